"""Hub and agents killed with ``kill -9`` at random moments, and what comes of their tasks.

Everything is real: one ``twistd``, each agent a process.  A run can be as
long as one likes::

    python -m tests.integration.queue_kills --tasks 2000 --agents 20 \\
        --hub-kills 10 --agent-kills 100 --seed 1

A task whose agent was killed between its end and the word of it runs twice;
that is nobody's fault, and its result is accepted once.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.clients import Http
from tests.integration.crowd import LAST_WORD, Crowd, Watcher
from tests.integration.processes import HubProcess, until
from tests.integration.queue_fleet import Fleet, Submitter
from tests.integration.replay import accepted_once, replay

BETWEEN_S = (0.1, 0.5)
"""Seconds between two kills."""

FINISH_S = 180.0

PORTS = range(20_000, 32_000)
"""Below those that clients are given: else one that calls a dead hub may get its very port."""


@dataclass(frozen=True)
class Size:
    """How much is done, and how often it is disturbed."""

    tasks: int = 200
    agents: int = 20
    hub_kills: int = 3
    agent_kills: int = 12
    seed: int = 0


@dataclass
class Outcome:
    """What came of a run.  ``faults`` must be empty."""

    size: Size
    faults: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in self.figures.items())
        end = "no fault" if not self.faults else f"{len(self.faults)} FAULTS"
        size = self.size
        return (
            f"seed {size.seed}: {size.tasks} tasks, {size.agents} agents, "
            f"{size.hub_kills} hub kills, {size.agent_kills} agent kills: "
            f"{told}; {self.seconds:.0f} s; {end}"
        )


class Run:
    """One run, in a directory of its own."""

    def __init__(self, work: Path, size: Size) -> None:
        self._work = work
        self._size = size
        self._random = random.Random(size.seed)
        self._listen = f"tcp:{free_port()}:interface=127.0.0.1"
        self._fleet = Fleet(work, size.agents, self._random)
        self._submitter = Submitter(self._random.randrange(10**9))
        self._watcher = Watcher()
        members: list[Any] = [self._submitter, self._watcher]
        self._crowd = Crowd(*members)
        self._exit = ExitStack()

    def run(self) -> Outcome:
        """Do it all; nothing is left running."""
        begun = time.monotonic()
        with self._exit:
            self._exit.callback(self._fleet.end)
            outcome = self._run()
        outcome.seconds = time.monotonic() - begun
        return outcome

    def _hub(self) -> HubProcess:
        hub = HubProcess(self._work / "data", "--listen", self._listen, work=self._work)
        self._exit.callback(hub.kill)
        return hub.ready()

    def _run(self) -> Outcome:
        kills = ["hub"] * self._size.hub_kills + ["agent"] * self._size.agent_kills
        self._random.shuffle(kills)
        hub = self._hub()
        self._fleet.start(hub)
        lives = " ".join(kills).split("hub")
        done = 0
        for number, life in enumerate(lives):
            last = number == len(lives) - 1
            with self._crowd.at(hub) as threads:
                for _ in life.split():
                    done += 1
                    self._disturb(done / (len(kills) + 1))
                    self._fleet.kill_one()
                done += 1
                self._disturb(done / (len(kills) + 1))
                if last:
                    tasks = self._finish(hub, threads[-1])
            if not last:
                if self._random.random() < 0.5:
                    # Some come back while there is no hub.
                    self._fleet.return_due(all=True)
                hub = self._hub()
        return self._judge(tasks)

    def _disturb(self, share: float) -> None:
        """Let more tasks come, and time pass until the next kill."""
        self._submitter.allowed = round(self._size.tasks * min(1.0, share))
        end = time.monotonic() + self._random.uniform(*BETWEEN_S)
        while time.monotonic() < end:
            self._fleet.return_due()
            time.sleep(0.02)

    def _finish(self, hub: HubProcess, watching: Any) -> dict[str, dict[str, Any]]:
        """Let all tasks come to their end, and the watcher read to the end of the log."""
        self._submitter.allowed = self._size.tasks
        self._fleet.return_due(all=True)

        def all_over() -> bool:
            counts = client.ok("GET", "/api/tasks/stats")["by_status"]
            live = counts["queued"] + counts["assigned"] + counts["working"]
            return len(self._submitter.ids) == self._size.tasks and not live

        with hub.http() as client:
            try:
                until(all_over, "over", FINISH_S, every=0.2)
            except AssertionError as e:
                raise AssertionError(f"{e}\n{_stuck(client)}") from None
            tasks = client.all_tasks()
            self._fleet.end()
            until(lambda: not client.ok("GET", "/api/agents")["agents"], "alone")
            chronicler = hub.agent("chronicler")
            chronicler.say("status", status=LAST_WORD)
            watching.join(20.0)
            chronicler.close()
        return tasks

    def _judge(self, tasks: dict[str, dict[str, Any]]) -> Outcome:
        """Compare what everybody knows: the clients, the log, the hub after one more restart."""
        hub = self._hub()
        again = Watcher()
        with hub.http() as client:
            after = client.all_tasks()
        with Crowd(again).at(hub) as (reading,):
            # A log that has lost its last word is never read to its end.
            reading.join(20.0)
        events = [event for event in self._watcher.events if "seq" in event]
        outcome = Outcome(self._size)
        faults = outcome.faults
        faults += [repr(e) for e in self._crowd.failures] + self._fleet.faults()
        faults += [f"a gap: {gap}" for gap in self._watcher.gaps]
        faults += replay(events, tasks)
        faults += accepted_once(events, self._submitter.ids.values())
        ended = Counter(task["status"] for task in tasks.values())
        if set(ended) != {"completed"} or set(tasks) != set(self._submitter.ids.values()):
            faults.append(f"{len(self._submitter.ids)} were submitted, the hub has {dict(ended)}")
        if again.events != events[: len(again.events)] or len(again.events) < len(events):
            faults.append("the log on disk is not what the watcher was told")
        faults += [f"{i}: not the same after a restart" for i in tasks if after.get(i) != tasks[i]]
        faults += self._honest(events, tasks)
        faults += self._clean()
        outcome.figures = self._figures(events, tasks)
        return outcome

    def _honest(self, events: list[dict[str, Any]], tasks: dict[str, Any]) -> list[str]:
        """What was accepted is what that agent had done in just that attempt."""
        done = {(name, *words[1:]) for name, words in self._fleet.notes() if words[0] == "done"}
        faults = []
        for event in events:
            if event["event"] == "task_complete":
                who, task_id, number = event["agent_id"], event["task_id"], event["generation"]
                if (who, task_id, str(number)) not in done:
                    faults.append(f"{task_id}: {who} never finished attempt {number}")
                elif tasks[task_id]["result"] != {"by": who, "generation": number}:
                    faults.append(f"{task_id}: its result is not that of {who}")
        return faults

    def _clean(self) -> list[str]:
        """Neither the hubs' logs nor the database have anything odd."""
        faults = [
            f"{path.name}: {path.read_text()[:2000]}"
            for pattern in ("hub-*.log", "hub-*.stderr")
            for path in self._work.glob(pattern)
            if "Traceback" in path.read_text() or "Unhandled" in path.read_text()
        ]
        database = sqlite3.connect(self._work / "data" / "agentcom.db")
        try:
            sound = database.execute("PRAGMA integrity_check").fetchone()
        finally:
            database.close()
        return faults if sound == ("ok",) else [*faults, f"the database: {sound}"]

    def _figures(self, events: list[dict[str, Any]], tasks: dict[str, Any]) -> dict[str, int]:
        names = Counter(event["event"] for event in events)
        notes = [words for _, words in self._fleet.notes()]
        begun = Counter(words[1] for words in notes if words[0] == "begun")
        done = Counter(words[1] for words in notes if words[0] == "done")
        return {
            "completed": sum(task["status"] == "completed" for task in tasks.values()),
            "accepted": names["task_complete"],
            "begun more than once": sum(times > 1 for times in begun.values()),
            "finished more than once": sum(times > 1 for times in done.values()),
            "taken up again": names["task_recovering"],
            "requeued": names["task_requeued"],
            "reports refused": sum(words[0] == "refused" for words in notes),
            "events": len(events),
        }


def _stuck(client: Http) -> str:
    """Why some of the tasks that have not ended have not, in the hub's own words."""
    ids = [
        task["id"]
        for status in ("queued", "assigned", "working")
        for task in client.ok("GET", f"/api/tasks?status={status}&limit=5")["tasks"]
    ]
    told = [client.ok("GET", f"/api/tasks/{task_id}/explain") for task_id in ids]
    return "\n".join(f"{one['task_id']} {one['status']}: {one['summary']}" for one in told)


def free_port() -> int:
    """A port that stays the hub's through all of its lives."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def main() -> int:
    """Run once and print the outcome."""
    options = argparse.ArgumentParser(description=__doc__)
    for name, value in (
        ("tasks", 2000),
        ("agents", 20),
        ("hub-kills", 10),
        ("agent-kills", 100),
        ("seed", int.from_bytes(os.urandom(3), "big")),
    ):
        options.add_argument(f"--{name}", type=int, default=value)
    size = Size(**vars(options.parse_args()))
    with tempfile.TemporaryDirectory() as work:
        outcome = Run(Path(work), size).run()
    print(outcome)
    for fault in outcome.faults[:20]:
        print(f"  {fault}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
