"""A hub is lost, and another one is started on what was backed up of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.python.runtime import seconds

from agentcom.store.restore import MESSAGES_A_MS
from tests.integration.clients import Agent, Http, server_sent_events
from tests.integration.processes import HubProcess, ProcessTestCase, environment, until

LIVE = ("queued", "assigned", "working")

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from agentcom.store.restore import restore

def step(name):
    if name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

restore(Path(sys.argv[1]), Path(sys.argv[2]), epoch="0badcafe", stamp=sys.argv[3], now=0,
        told=lambda *_: None, step=step)
"""


class BackupCase(ProcessTestCase):
    timeout = 180

    def agentcom(self, *arguments: str, code: int = 0, data_dir: Path | None = None) -> str:
        """What a command prints, with the exit code that it must have."""
        done = subprocess.run(
            [sys.executable, "-m", "agentcom.cli", *arguments],
            env=environment(self.work, AGENTCOM_HOME=str(data_dir or self.data_dir)),
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stdout + done.stderr

    def rows(self, path: Path, table: str, where: str = "1") -> list[dict[str, Any]]:
        db = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)
        try:
            db.row_factory = sqlite3.Row
            found = db.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY 1, 2")
            return [dict(row) for row in found]
        finally:
            db.close()


class Load(threading.Thread):
    """Submits tasks until it is told to stop."""

    def __init__(self, hub: HubProcess) -> None:
        super().__init__(daemon=True)
        self._http = hub.http()
        self.stopped = False
        self.answered: list[str] = []

    def run(self) -> None:
        while not self.stopped:
            body = {"description": "load", "capabilities": ["nobody"]}
            self.answered.append(self._http.ok("POST", "/api/tasks", body)["task_id"])
        self._http.close()


class RestoredTests(BackupCase):
    """Everything that a hub had is in a hub on the restored database."""

    jumped_to = 0
    """The generation to which the restore raised tasks."""

    def populate(self, hub: HubProcess, http: Http) -> dict[str, str]:
        """Tasks in every state, messages, channels, a drain; gives some ids by what they are."""
        self.worker = self.agent(hub, "worker", slots=100, presence="none")
        self.other = self.agent(hub, "other", presence="none", capabilities=["other"])
        named: dict[str, str] = {}
        priorities = ("urgent", "high", "normal", "low")
        batch = [
            {
                "description": f"wait {n} \u2603",
                "capabilities": ["later"],
                "priority": priorities[n % 4],
                "metadata": {"n": n, "deep": {"er": [n]}},
                "labels": {"os": "linux"},
                "max_attempts": 1 + n % 5,
                "idempotency_key": f"key-{n}",
                "attempt_timeout_s": 100 + n,
            }
            for n in range(150)
        ]
        self.queued = http.ok("POST", "/api/tasks/batch", {"tasks": batch})["task_ids"]
        for n in range(60):
            named[f"done-{n}"] = task_id = http.push("worker", f"done {n}", metadata={"n": n})
            self.worker.say("task_accepted", task_id=task_id, generation=1)
            self.worker.say("task_progress", task_id=task_id, generation=1, output=f"line {n}\n")
            result = {"n": n, "text": "x" * n * 10}
            self.worker.say("task_complete", task_id=task_id, generation=1, result=result)
            self.worker.next("task_ack", task_id=task_id, status="complete")
        for n in range(20):
            named[f"working-{n}"] = task_id = http.push("worker", f"working {n}")
            self.worker.say("task_accepted", task_id=task_id, generation=1)
            self.worker.say("task_progress", task_id=task_id, generation=1, progress=n / 20)
            self.worker.next("task_ack", task_id=task_id, status="accepted")
            named[f"assigned-{n}"] = http.push("worker", f"assigned {n}")
            named[f"dead-{n}"] = task_id = http.push("worker", f"dead {n}")
            self.worker.say("task_failed", task_id=task_id, generation=1, error=f"broke {n}")
            self.worker.next("task_ack", task_id=task_id, status="failed")
            named[f"cancelled-{n}"] = task_id = http.push("worker", f"cancelled {n}")
            http.ok("POST", f"/api/tasks/{task_id}/cancel")
            again = {"description": f"retried {n}", "agent_id": "worker", "max_attempts": 3}
            again["backoff"] = {"initial_s": 3_000}
            named[f"retried-{n}"] = task_id = http.ok("POST", "/api/tasks", again)["task_id"]
            self.worker.next("task_assign", task_id=task_id)
            self.worker.say("task_failed", task_id=task_id, generation=1, error="not now")
            self.worker.next("task_ack", task_id=task_id, outcome="retried")
            late = {"description": f"late {n}", "capabilities": ["none"], "queue_timeout_s": 0.1}
            named[f"expired-{n}"] = http.ok("POST", "/api/tasks", late)["task_id"]
        http.ok("POST", "/api/channels", {"name": "news"})
        for agent in (self.worker, self.other):
            agent.say("channel_subscribe", channel="news")
            agent.next("channel_subscribed")
        hub.token("away")
        for n in range(30):
            self.worker.say("message", to="away", payload={"n": n}, ref=n)
            self.worker.next("message_sent", ref=n)
            self.worker.say("channel_publish", channel="news", payload={"n": n}, ref=n)
            self.worker.next("channel_published", ref=n)
        self.worker.say("message", payload={"all": True})
        self.worker.next("message_sent")
        http.ok("POST", "/api/agents/away/drain", {"note": "new kernel"})
        last = named["expired-19"]
        until(lambda: http.task(last)["status"] == "expired", "expired")
        return named

    def dump(self, http: Http, tasks: dict[str, Any]) -> dict[str, Any]:
        """All that the API shows and that does not depend on who is connected."""
        return {
            "tasks": tasks,
            "events": {
                i: http.ok("GET", f"/api/tasks/{i}/events?limit=1000")["events"] for i in tasks
            },
            "mail": http.ok("GET", "/api/mailbox/away?limit=1000")["messages"],
            "news": http.ok("GET", "/api/channels/news/history?limit=100")["messages"],
            "subscriptions": http.ok("GET", "/api/agents/worker/subscriptions"),
            "tokens": http.ok("GET", "/admin/tokens")["tokens"],
        }

    def expected(self, task: dict[str, Any]) -> dict[str, Any]:
        """A task as a restored hub shows it."""
        wanted = dict(task)
        if task["status"] in (*LIVE, "dead_letter"):
            wanted["generation"] = self.jumped_to
        if task["status"] == "queued":
            wanted["agent_id"] = None
        return wanted

    def test_every_task(self) -> None:
        """Every task, event, message and drain of the backup is in the restored hub."""
        hub = self.hub()
        http = self.http(hub)
        named = self.populate(hub, http)
        before = self.dump(http, http.all_tasks())
        cursor = http.ok("GET", f"/api/tasks/{named['done-0']}/events")["events"][-1]["seq"]
        self.assertGreater(len(before["tasks"]), 300)
        states = {task["status"] for task in before["tasks"].values()}
        self.assertEqual(len(states), 7, states)

        load = Load(hub)
        load.start()
        self.addCleanup(setattr, load, "stopped", True)
        until(lambda: len(load.answered) > 20, "load")
        sure = len(load.answered)
        file = self.work / "backup.db"
        told = json.loads(self.agentcom("backup", str(file), "--json"))
        until(lambda: len(load.answered) > sure + 20, "load that goes on")
        load.stopped = True
        load.join(10)

        # What the backup does not know: queued work is given away, held work ends.
        later = self.agent(hub, "later", capabilities=["later"], labels={"os": "linux"})
        given = later.next("task_assign")
        self.worker.say("task_complete", task_id=named["working-0"], generation=1, result=1)
        self.worker.next("task_ack", task_id=named["working-0"])
        hub.kill()

        new = self.work / "new"
        began = seconds()
        said = self.agentcom("restore", str(file), data_dir=new)
        self.assertIn("agentcom token create --admin", said)
        (self.jumped_to,) = {
            row["generation"]
            for row in self.rows(new / "agentcom.db", "tasks", "status = 'queued'")
        }
        self.assertTrue(began * 1000 - 1 < self.jumped_to <= seconds() * 1000)
        token = self.agentcom("token", "create", "--admin", data_dir=new).strip()
        self.assertIn("All is well", self.agentcom("check", "--min-free", "0", data_dir=new))
        hub = self.hub(data_dir=new)
        http = self.http(hub, token)

        self.compare_rows(file, new / "agentcom.db", told["last_seq"])
        tasks = http.all_tasks()
        self.assertEqual(len(tasks), told["tasks"])
        self.assertLessEqual(set(load.answered[:sure]), set(tasks))
        after = self.dump(http, {i: tasks[i] for i in before["tasks"]})
        for task_id, task in before["tasks"].items():
            self.assertEqual(after["tasks"][task_id], self.expected(task), task["description"])
            self.assertEqual(after["events"][task_id], before["events"][task_id])
        for what in ("mail", "news", "subscriptions"):
            self.assertEqual(after[what], before[what], what)
        self.assertEqual(
            [t for t in after["tokens"] if t["token_prefix"] != token[: len(t["token_prefix"])]],
            before["tokens"],
        )
        self.fenced(hub, http, named, given, later)
        self.new_numbers(hub, http, token, told, cursor)
        self.assert_clean_log(hub)

    def compare_rows(self, backup: Path, restored: Path, last_seq: int) -> None:
        """Field by field, all that is stored: the restored file against the backup."""
        old, new = self.rows(backup, "tasks"), self.rows(restored, "tasks")
        self.assertEqual(len(new), len(old))
        for was, now in zip(old, new, strict=True):
            self.assertEqual(now, self.expected(was))
        where = f"seq <= {last_seq}"
        self.assertEqual(self.rows(restored, "events", where), self.rows(backup, "events"))
        for table in ("messages", "mail", "channels", "subscriptions", "drains"):
            self.assertEqual(self.rows(restored, table), self.rows(backup, table), table)
            self.assertNotEqual(self.rows(backup, table), [], table)

    def fenced(
        self, hub: HubProcess, http: Http, named: dict[str, str], given: Any, later: Agent
    ) -> None:
        """No attempt of before is taken for one of the restored hub; its task is done anew."""
        tokens = {name: hub_token(http, name) for name in ("worker", "later")}
        ours = named["working-1"]
        mention = [{"task_id": ours, "generation": 1}]
        worker = self.agent(hub, "worker", tokens["worker"], slots=100, tasks=mention)
        self.assertEqual(worker.identified["tasks"], [{"task_id": ours, "action": "abort"}])
        worker.say("task_complete", task_id=ours, generation=1, result="of before")
        worker.next("error", task_id=ours, error="stale_generation")
        again = worker.next("task_assign", task_id=ours)
        self.assertEqual(again["generation"], self.jumped_to)
        worker.say("task_complete", task_id=ours, generation=again["generation"], result="anew")
        worker.next("task_ack", task_id=ours, status="complete")
        self.assertEqual(http.task(ours)["result"], "anew")
        # It failed before the backup, and says so again: the same answer.
        dead = named["dead-0"]
        worker.say("task_failed", task_id=dead, generation=1, error="broke 0")
        worker.next("task_ack", task_id=dead, status="failed", outcome="dead_letter")

        late = self.agent(hub, "later", tokens["later"], slots=1)
        theirs = given["task_id"]
        late.say("task_complete", task_id=theirs, generation=given["generation"], result="stale")
        late.next("error", task_id=theirs, error="not_assignee")
        self.assertEqual(http.task(theirs)["status"], "queued")

    def new_numbers(
        self, hub: HubProcess, http: Http, token: str, told: dict[str, Any], seq: int
    ) -> None:
        """Numbers of messages do not repeat, and old cursors are told of a gap."""
        box = http.ok("GET", "/api/mailbox/away?limit=1000")
        self.assertEqual(len(box["messages"]), 31)
        http.ok("POST", "/api/message", {"to": "away", "payload": {}})
        found = http.ok("GET", f"/api/mailbox/away?since={box['last_seq']}")["messages"]
        self.assertEqual(found[0]["seq"], self.jumped_to * MESSAGES_A_MS + 1)
        with hub.http(token) as watcher:
            path = f"/api/events?topics=tasks&after={told['epoch']}:{seq}"
            for _, event, _ in server_sent_events(watcher, path):
                if event is not None:
                    self.assertEqual(event, "gap")
                    break


def hub_token(http: Http, agent_id: str) -> str:
    """A new token of an agent."""
    return str(http.ok("POST", "/admin/tokens", {"agent_id": agent_id})["token"])


class KilledTests(BackupCase):
    """A restore that is killed leaves the old database or the new one."""

    def test_at_every_step(self) -> None:
        """Whatever the step, what is there can be used, and a further restore works."""
        hub = self.hub()
        with hub.http() as http:
            http.ok("POST", "/api/tasks", {"description": "old and new"})
            file = self.work / "backup.db"
            self.agentcom("backup", str(file))
            http.ok("POST", "/api/tasks", {"description": "old"})
        hub.kill()
        database = self.data_dir / "agentcom.db"
        for step in ("copy", "check", "adjust", "fold", "keep", "swap", "done"):
            killed = subprocess.run(
                [sys.executable, "-c", KILLED_AT, str(file), str(self.data_dir), step],
                env=environment(self.work),
                timeout=60,
            )
            self.assertEqual(killed.returncode, -signal.SIGKILL, step)
            self.assertEqual(
                [row["description"] for row in self.rows(database, "tasks")],
                ["old and new"] if step == "done" else ["old and new", "old"],
                step,
            )
            (meta,) = self.rows(database, "meta")
            self.assertEqual(meta["epoch"] == "0badcafe", step == "done", step)
        said = self.agentcom("restore", str(file))
        self.assertIn("agentcom.db.before-restore-", said)
        self.assertFalse((self.data_dir / "agentcom.db.restoring").exists())
        with self.hub().http() as http:
            self.assertEqual(
                [task["description"] for task in http.all_tasks().values()], ["old and new"]
            )

    def test_hub_runs(self) -> None:
        """A hub that runs is not restored under its feet."""
        hub = self.hub()
        file = self.work / "backup.db"
        self.agentcom("backup", str(file))
        said = self.agentcom("restore", str(file), code=1)
        self.assertIn("stop the hub", said)
        self.assertEqual(os.listdir(self.work).count("backup.db"), 1)
        with hub.http() as http:
            http.ok("POST", "/api/tasks", {"description": "goes on"})


class CheckTests(BackupCase):
    """A hub that runs is looked over beside its files."""

    def test_hub(self) -> None:
        """Whether it takes work is asked where it is named, and why not is told."""
        hub = self.hub()
        options = ("check", "--min-free", "0", "--hub", hub.url)
        told = self.agentcom(*options)
        self.assertIn(f"the hub at {hub.url} is ready", told)
        self.assertIn(f"process {hub.pid}", told)
        self.assertIn("of the hub is", told)
        with hub.http() as http:
            http.ok("POST", "/api/admin/drain", {"note": "at noon"})
        self.assertIn("draining: at noon", self.agentcom(*options, code=1))
        hub.stop()
        self.assertIn("nothing answers", self.agentcom(*options, code=1))
