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
import subprocess
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
from tests.integration.processes import ROOT, HubProcess, environment, until
from tests.integration.replay import accepted_once, replay

WORK_S = (0.1, 1.0)
"""Seconds that a task takes, from and to."""

BETWEEN_S = (0.1, 0.5)
"""Seconds between two kills."""

AWAY_S = 3.0
"""Seconds until a killed agent is started again, at the most: some stay away over the hold."""

TERMS: dict[str, Any] = {"hold_s": 2, "max_attempts": 1000, "backoff": {"initial_s": 0.05}}
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


class Fleet:
    """The agents' processes.  Each is ended by its own pid."""

    def __init__(self, work: Path, size: Size, generator: random.Random) -> None:
        self._work = work
        self._random = generator
        self.names = [f"agent-{number:02}" for number in range(size.agents)]
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._away: dict[str, float] = {}
        self._url = ""
        self._tokens: dict[str, str] = {}
        self.kills = 0

    def start(self, hub: HubProcess) -> None:
        """Start them all; they come back to this address by themselves."""
        self._url = hub.url
        self._tokens = {name: hub.token(name) for name in self.names}
        for name in self.names:
            self._start(name)

    def _start(self, name: str) -> None:
        command = [sys.executable, "-m", "tests.integration.queue_agent", "--url", self._url]
        command += ["--agent-id", name, "--record", str(self.record(name))]
        command += ["--seed", str(self._random.randrange(10**9)), "--work", *map(str, WORK_S)]
        with (self._work / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=environment(self._work, QUEUE_AGENT_TOKEN=self._tokens[name]),
                start_new_session=True,
            )

    def kill_one(self) -> None:
        """Kill one that runs, and plan its return."""
        self.return_due()
        name = self._random.choice(sorted(self._running))
        self._end(name)
        self._away[name] = (
            time.monotonic() + self._random.choice((0.0, self._random.random())) * AWAY_S
        )
        self.kills += 1

    def return_due(self, *, all: bool = False) -> None:
        """Start again whoever was away long enough."""
        for name, due in list(self._away.items()):
            if all or due <= time.monotonic():
                del self._away[name]
                self._start(name)

    def end(self) -> None:
        """End all that run."""
        for name in list(self._running):
            self._end(name)

    def _end(self, name: str) -> None:
        process = self._running.pop(name)
        if process.poll() is None:
            process.kill()
        process.wait(20)

    def record(self, name: str) -> Path:
        """What the agent has written down."""
        return self._work / f"{name}.record"

    def notes(self) -> list[tuple[str, list[str]]]:
        """All that all agents have written down: by whom, and the words."""
        return [
            (name, line.split())
            for name in self.names
            if self.record(name).exists()
            for line in self.record(name).read_text().splitlines()
        ]

    def faults(self) -> list[str]:
        """What went wrong in the agents themselves."""
        logs = ((name, (self._work / f"{name}.log").read_text()) for name in self.names)
        return [f"{name}: {text}" for name, text in logs if text]


class Submitter:
    """Submits as many tasks as it may; asks again, with the same key, what was not answered.

    :ivar allowed: how many it may have submitted by now.
    :ivar ids: task ids that were answered with 200 or 201, by idempotency key.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.allowed = 0
        self._made = 0
        self._open: dict[str, Any] = {}
        self.ids: dict[str, str] = {}

    def live(self, hub: HubProcess) -> None:
        """Submit until the hub is gone."""
        with hub.http() as client:
            while not hub.ending and hub.process.poll() is None:
                if not self._open and self._made < self.allowed:
                    self._make(min(self._random.choice((1, 1, 1, 8)), self.allowed - self._made))
                if self._open:
                    self._submit(client)
                else:
                    time.sleep(0.01)

    def _make(self, count: int) -> None:
        for _ in range(count):
            self._made += 1
            key = f"key-{self._made}"
            self._open[key] = {"description": key, "idempotency_key": key, **TERMS}

    def _submit(self, client: Http) -> None:
        keys, bodies = list(self._open), list(self._open.values())
        if len(bodies) == 1:
            reply = client.request("POST", "/api/tasks", bodies[0])
        else:
            reply = client.request("POST", "/api/tasks/batch", {"tasks": bodies})
        if reply.status not in (200, 201):
            raise AssertionError(f"a submission was answered {reply}")
        ids = [reply.body["task_id"]] if len(bodies) == 1 else reply.body["task_ids"]
        self.ids.update(zip(keys, ids, strict=True))
        self._open.clear()


class Run:
    """One run, in a directory of its own."""

    def __init__(self, work: Path, size: Size) -> None:
        self._work = work
        self._size = size
        self._random = random.Random(size.seed)
        self._listen = f"tcp:{free_port()}:interface=127.0.0.1"
        self._fleet = Fleet(work, size, self._random)
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
        again.live(hub)
        hub.kill()
        events = self._watcher.events
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
