"""One turn of `takeover`: how soon a task runs elsewhere when its agent is killed.

Two real agents (`agentcom agent --exec`) wait for work. A task with `hold_s` 0 goes to one of them;
that process gets SIGKILL, and the time counts until the event stream says that the other one has
accepted the task. Then a new agent takes the place of the dead one, and the next time follows.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from agentcom.bench import stalls
from agentcom.bench.api import Api
from agentcom.bench.loads.modes import agent_tokens
from agentcom.bench.measure import spread
from agentcom.bench.options import Options
from agentcom.bench.programs import ENV
from agentcom.bench.servers import ServerFailed
from agentcom.bench.targets import serving

COMMAND_S = 4
COMMAND = f"sleep {COMMAND_S}"
"""Longer than a takeover; what a killed agent leaves running is over soon."""

PATIENCE_S = 30.0
RUNNING_S = 0.2
"""Seconds that the first agent works before it is killed."""

CALM_S = 0.5
"""Seconds in which the other one ends the cancelled command."""


class Feed:
    """The hub's event stream, with the moment at which each event came; use it with `with`."""

    def __init__(self, api: Api) -> None:
        parts = urlsplit(api.url)
        self._line = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=PATIENCE_S
        )
        self._line.request(
            "GET", "/api/events?topics=tasks", headers={"Authorization": f"Bearer {api.token}"}
        )
        self._answer = self._line.getresponse()
        self._events: SimpleQueue[tuple[float, dict[str, Any]]] = SimpleQueue()
        self._thread = threading.Thread(target=self._read, name="events", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.close()

    def wait(self, task_id: str, event: str, generation: int) -> tuple[float, str]:
        """When that event of a task came, and the agent it names; earlier ones are passed over.

        :raises ServerFailed: it has not come in time.
        """
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                came, found = self._events.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                raise ServerFailed(f"no {event} of {task_id}, generation {generation}") from None
            key = (found["task_id"], found["event"], found["generation"])
            if key == (task_id, event, generation):
                return came, found["agent_id"] or ""

    def _read(self) -> None:
        try:
            for line in self._answer:
                if line.startswith(b"data:"):
                    self._events.put((time.monotonic(), json.loads(line[5:])))
        except (OSError, ValueError, AttributeError):
            """The stream was closed."""


class Agents:
    """The agent processes; use it with `with`."""

    def __init__(self, api: Api, data: Path) -> None:
        self._api = api
        self._data = data
        self._numbers = count()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Agents:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self) -> None:
        """Start one more agent, with a state of its own."""
        agent_id = f"bench-takeover-{next(self._numbers)}"
        token = agent_tokens(self._api.url, self._api.token, [agent_id])[agent_id]
        home = {"AGENTCOM_HOME": str(self._data / "agents"), "AGENTCOM_TOKEN": token}
        command = [sys.executable, "-P", "-m", "agentcom.cli", "agent"]
        command += ["--agent-id", agent_id, "--hub", self._api.url]
        with open(self._data / f"{agent_id}.log", "wb") as log:
            self.running[agent_id] = subprocess.Popen(
                [*command, "--exec", COMMAND],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENV, **home},
            )

    def kill(self, agent_id: str) -> float:
        """End one at once; when."""
        process = self.running.pop(agent_id)
        killed = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait()
        return killed

    def wait_connected(self) -> None:
        """Wait until the hub has all of them, and nobody else.

        :raises ServerFailed: it has not in time.
        """
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            here = {agent["agent_id"] for agent in self._api.call("/api/agents")["agents"]}
            if here == set(self.running):
                return
            time.sleep(0.05)
        raise ServerFailed(f"connected are {sorted(here)}, not {sorted(self.running)}")


def turn(
    name: str, data: Path, loads: Sequence[str], options: Options
) -> dict[str, dict[str, Any]]:
    """Start the hub, kill agents, end it; the report by mode."""
    assigned, accepted = [], []
    with serving(name, data, options) as server:
        api = Api(server.url, (data / "admin.token").read_text().strip())
        with Agents(api, data) as agents, Feed(api) as feed:
            agents.start()
            for _ in range(options.times):
                agents.start()
                agents.wait_connected()
                moments = once(api, agents, feed)
                assigned.append(moments[0])
                accepted.append(moments[1])
        stall = stalls.ask(server.metrics, stalls.WINDOWS_S[-1])
        # The command of an agent that was killed goes on without it.
        time.sleep(COMMAND_S)
    return {
        loads[0]: {
            "agents": 2,
            "stall_ms": stall,
            "times": len(accepted),
            "assigned_ms": spread(assigned),
            "accepted_ms": spread(accepted),
            "each_ms": [round(took * 1000, 1) for took in accepted],
            "load_average": [round(value, 2) for value in os.getloadavg()],
            "errors": 0,
            "unfinished": 0,
            "error_examples": [],
        }
    }


def once(api: Api, agents: Agents, feed: Feed) -> tuple[float, float]:
    """Kill the agent of a task: seconds until another one is assigned it, and has accepted it."""
    task_id = api.call("/api/tasks", {"description": "to be taken over", "hold_s": 0})["task_id"]
    _, first = feed.wait(task_id, "task_accepted", 1)
    time.sleep(RUNNING_S)
    killed = agents.kill(first)
    assigned, second = feed.wait(task_id, "task_assigned", 2)
    accepted, _ = feed.wait(task_id, "task_accepted", 2)
    if second == first:
        raise ServerFailed(f"{first} was killed and got its task again")
    api.call(f"/api/tasks/{task_id}/cancel", {})
    time.sleep(CALM_S)
    return assigned - killed, accepted - killed


def said(report: dict[str, Any]) -> str:
    """A turn in a few words."""
    found = report["accepted_ms"]
    return f"{found['p50']:.0f} ms, at the most {found['max']:.0f} ms"
