"""Who is busy with the queue while things are killed: agents' processes, and a submitter."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.integration.clients import Http
from tests.integration.processes import ROOT, HubProcess, environment

WORK_S = (0.1, 1.0)
"""Seconds that a task takes, from and to."""

AWAY_S = 3.0
"""Seconds until a killed agent is started again, at the most: some stay away over the hold."""

TERMS: dict[str, Any] = {"hold_s": 2, "max_attempts": 1000, "backoff": {"initial_s": 0.05}}


class Fleet:
    """The agents' processes.  Each is ended by its own pid."""

    def __init__(self, work: Path, count: int, generator: random.Random) -> None:
        self._work = work
        self._random = generator
        self.names = [f"agent-{number:02}" for number in range(count)]
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
