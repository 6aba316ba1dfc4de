"""``kill -9`` at any moment: what was acknowledged is there, and nothing is done twice.

The moments come from a seed that is printed; ``AGENTCOM_TEST_SEED`` repeats a
run, ``AGENTCOM_TEST_KILLS`` makes it longer.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter
from itertools import pairwise
from typing import Any

from tests.integration.clients import Http
from tests.integration.crowd import LAST_WORD, Crowd, Pusher, Watcher, Worker
from tests.integration.processes import HubProcess, ProcessTestCase, until

WORKERS = 4
PUSHERS = 3
KILLS = int(os.environ.get("AGENTCOM_TEST_KILLS", "50"))

LOAD_S = 0.2
"""Seconds of load between two kills at the most."""

WHILE_STARTING = 0.1
"""The share of kills that meet a hub which does not listen yet."""

RANK = {"assigned": 1, "working": 2, "completed": 3}


class KillTests(ProcessTestCase):
    """The hub is killed at random moments, with tasks in flight."""

    timeout = 300

    def setUp(self) -> None:
        super().setUp()
        self.seed = int(os.environ.get("AGENTCOM_TEST_SEED", random.randrange(10**9)))
        self.random = random.Random(self.seed)
        print(f"AGENTCOM_TEST_SEED={self.seed}", flush=True)

    def test_nothing_acknowledged_is_lost(self) -> None:
        """After every kill each acknowledged step is there; in the end each task ended once."""
        hub = self.hub()
        names = [f"worker-{n}" for n in range(WORKERS)]
        self.workers = [Worker(n, hub.token(n), self.random.randrange(10**9)) for n in names]
        self.pushers = [
            Pusher(f"p{n}", names, self.random.randrange(10**9)) for n in range(PUSHERS)
        ]
        self.watcher = Watcher()
        self.crowd = Crowd(*self.workers, *self.pushers, self.watcher)
        kills = 0
        while kills < KILLS:
            with self.crowd.at(hub):
                time.sleep(self.random.uniform(0.02, LOAD_S))
            kills += 1
            self.assertEqual(self.crowd.failures, [])
            if self.random.random() < WHILE_STARTING:
                early = self.start()
                time.sleep(self.random.uniform(0.0, 0.7))
                early.kill()
                kills += 1
            hub = self.hub()
            with hub.http() as client:
                self._compare(client.all_tasks())
        self._finish(hub)

    def _compare(self, tasks: dict[str, dict[str, Any]]) -> None:
        """Every task is at least as far as somebody was told."""
        for pusher in self.pushers:
            for key, task_id in pusher.pushed.items():
                self.assertIn(task_id, tasks, f"the push {key} was answered 200")
        for worker in self.workers:
            for task_id, work in worker.work.items():
                self.assertIn(task_id, tasks, "it was assigned")
                told = 3 if work.completed else 2 if work.accepted else 1
                task = tasks[task_id]
                self.assertGreaterEqual(RANK.get(task["status"], 0), told, task)
                if work.completed:
                    self.assertEqual(task["result"], worker.result_of(task_id))

    def _finish(self, hub: HubProcess) -> None:
        """Let everybody come back once more and end what is left."""
        for worker in self.workers:
            worker.patient = False
        crowd = Crowd(*self.workers, self.watcher)
        with crowd.at(hub) as threads, hub.http() as client:
            for pusher in self.pushers:
                until(lambda pusher=pusher: self._all_pushed(pusher, client), "answered pushes")
            until(
                lambda: {t["status"] for t in client.all_tasks().values()} == {"completed"},
                "every task completed",
                every=0.2,
            )
            tasks = client.all_tasks()
            with_last_word = self.agent(hub, "chronicler")
            with_last_word.say("status", status=LAST_WORD)
            threads[-1].join(20.0)
            self.assertFalse(threads[-1].is_alive(), "the watcher never read the last word")
            hub.ending = True
        self.assertEqual(crowd.failures, [])
        self._compare(tasks)
        self._judge(tasks)

    def _all_pushed(self, pusher: Pusher, client: Http) -> bool:
        pusher.repeat(client)
        return not pusher.open

    def _judge(self, tasks: dict[str, dict[str, Any]]) -> None:
        """The log tells of each task's end once, without a hole or a repetition."""
        self.assertEqual([e for w in self.workers for e in w.errors], [])
        keys = Counter(task["description"] for task in tasks.values())
        self.assertEqual([key for key, times in keys.items() if times > 1], [])
        self.assertEqual(self.watcher.gaps, [])
        events = self.watcher.events
        seqs = [event["seq"] for event in events]
        self.assertEqual(seqs[0], 1)
        self.assertEqual([(a, b) for a, b in pairwise(seqs) if b != a + 1], [])
        for name in ("task_submitted", "task_complete"):
            told = Counter(e["task_id"] for e in events if e["event"] == name)
            self.assertEqual(set(told), set(tasks), name)
            self.assertEqual([t for t, times in told.items() if times > 1], [], name)
        self.assertGreater(len(tasks), 5 * KILLS, "too little was in flight to prove anything")
        print(f"{len(tasks)} tasks, {len(events)} events, at least {KILLS} kills")


class FirstStartTests(ProcessTestCase):
    """The very first start is killed at any moment."""

    def test_a_first_start_that_is_killed_can_be_repeated(self) -> None:
        """However the first start ended, the next one has a database and an admin token."""
        generator = random.Random(7)
        for number in range(8):
            data_dir = self.work / f"data{number}"
            early = self.start(data_dir=data_dir)
            if number % 2:
                until(lambda path=data_dir / "agentcom.db": path.exists(), "a file", every=0.0005)
                time.sleep(generator.uniform(0.0, 0.3))
            else:
                time.sleep(generator.uniform(0.3, 1.0))
            early.kill()
            hub = self.hub(data_dir=data_dir)
            self.assertTrue((data_dir / "admin.token").exists(), hub.log())
            with hub.http() as client:
                self.assertEqual(client.request("GET", "/admin/tokens").status, 200)
            database = sqlite3.connect(data_dir / "agentcom.db")
            self.addCleanup(database.close)
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            hub.kill()
