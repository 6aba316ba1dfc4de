"""An older client, as they are in the field: a process of its own.

It keeps no journal, names no tasks when it identifies, comes back after a
fixed delay, never ends what it has begun, and its reports carry no generation,
or 0.  What ended while the line was down it says when it is back.  Run as::

    python -m agentcom.chaos.oldstyle --url ws://… --agent-id a --sink HOST:PORT [--zero]

with its token in ``AGENTCOM_TOKEN``.  Each report that the hub refuses is one
line of JSON on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autobahn.exception import Disconnected
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import deferLater, react
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure

from agentcom.chaos import command
from agentcom.client.urls import HubURL

AGAIN_S = 0.5
"""Seconds until it connects again, always the same."""

MOST_UNSAID = 1_000
"""Reports that it keeps while the line is down; of more, the oldest are lost."""

REPORTS = frozenset({"not_assignee", "stale_generation", "invalid_state"})
Frame = Mapping[str, Any]
Run = Callable[[Frame], Deferred[tuple[bytes, bytes, int]]]


class OldAgent:
    """What it knows, over all its connections.

    :param generation: what its reports carry: ``None`` for nothing, or 0.
    :param run: runs the command for a task; fires with what it printed, and
        its exit code.
    :param refused: told of each refusal.
    """

    def __init__(
        self,
        identity: Mapping[str, Any],
        generation: int | None,
        run: Run,
        refused: Callable[[Frame], None],
    ) -> None:
        self._identity = identity
        self._said = {} if generation is None else {"generation": generation}
        self._run = run
        self._refused = refused
        self._running: set[str] = set()
        self._unsaid: deque[Frame] = deque(maxlen=MOST_UNSAID)
        self._send: Callable[[Frame], None] | None = None

    def connected(self, send: Callable[[Frame], None]) -> None:
        """A line is up."""
        self._send = send
        send({"type": "identify", **self._identity})

    def lost(self) -> None:
        """It is down; what runs, runs on."""
        self._send = None

    def received(self, frame: Frame) -> None:
        """A frame of the hub."""
        match frame.get("type"):
            case "identified":
                for report in [self._unsaid.popleft() for _ in range(len(self._unsaid))]:
                    self._say(report)
            case "task_assign":
                self._assigned(frame)
            case "error" if frame.get("error") in REPORTS:
                self._refused(frame)

    def _assigned(self, frame: Frame) -> None:
        task_id = str(frame["task_id"])
        self._say({"type": "task_accepted", "task_id": task_id, **self._said})
        if task_id in self._running:
            return
        self._running.add(task_id)

        result = {"by": self._identity["agent_id"], "generation": frame["generation"]}

        def ended(outcome: tuple[bytes, bytes, int] | Failure) -> None:
            self._running.discard(task_id)
            self._say({**_report(outcome, result), "task_id": task_id, **self._said})

        self._run(frame).addBoth(ended)

    def _say(self, report: Frame) -> None:
        if self._send is not None:
            self._send(report)
        elif report["type"] != "task_accepted":
            self._unsaid.append(report)


def _report(outcome: tuple[bytes, bytes, int] | Failure, result: Frame) -> dict[str, Any]:
    """What it makes of a command's end.  That the sink refused it is all the same to it."""
    if isinstance(outcome, Failure):
        return {"type": "task_failed", "error": outcome.getErrorMessage()}
    _, _, code = outcome
    if code not in (0, command.SUPERSEDED):
        return {"type": "task_failed", "error": f"exit status {code}"}
    return {"type": "task_complete", "result": result}


class OldLine(WebSocketClientProtocol):
    """Hooks of one line each."""

    def __init__(self, agent: OldAgent, closed: Deferred[None]) -> None:
        super().__init__()
        self._agent = agent
        self._closed = closed

    def onOpen(self) -> None:
        self._agent.connected(self._say)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._agent.received(json.loads(payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._agent.lost()
        if not self._closed.called:
            self._closed.callback(None)

    def _say(self, frame: Frame) -> None:
        try:
            self.sendMessage(json.dumps(frame).encode())  # type: ignore[no-untyped-call]  # Autobahn's
        except Disconnected:
            return


class OldFactory(WebSocketClientFactory):
    """Makes the protocol of one connection."""

    noisy = False

    def __init__(self, url: str, agent: OldAgent, closed: Deferred[None], reactor: Any) -> None:
        super().__init__(url, reactor=reactor)  # type: ignore[no-untyped-call]  # Autobahn's
        self._agent = agent
        self._closed = closed

    def buildProtocol(self, addr: object) -> OldLine:
        line = OldLine(self._agent, self._closed)
        line.factory = self
        return line


def runner(reactor: Any, agent_id: str, sink: str) -> Run:
    """Runs the command with the task in its environment."""
    script = str(Path(command.__file__).resolve())

    def run(frame: Frame) -> Deferred[tuple[bytes, bytes, int]]:
        environment = {
            **os.environ,
            "AGENTCOM_AGENT_ID": agent_id,
            "AGENTCOM_TASK_ID": str(frame["task_id"]),
            "AGENTCOM_GENERATION": str(frame["generation"]),
            "AGENTCOM_DESCRIPTION": str(frame["description"]),
        }
        del environment["AGENTCOM_TOKEN"]
        arguments = ["-I", "-S", script, sink]
        running: Deferred[tuple[bytes, bytes, int]] = getProcessOutputAndValue(
            sys.executable, arguments, environment, reactor=reactor
        )
        return running

    return run


async def serve(reactor: Any, url: HubURL, agent: OldAgent) -> None:
    """Stay connected for ever."""
    while True:
        closed: Deferred[None] = Deferred()
        factory = OldFactory(url.websocket, agent, closed, reactor)
        try:
            await HostnameEndpoint(reactor, url.host, url.port).connect(factory)
            await closed
        except Exception as e:
            print(f"no line: {e}", file=sys.stderr, flush=True)
        await deferLater(reactor, AGAIN_S, lambda: None)


def main(reactor: Any, *arguments: str) -> Deferred[None]:
    """Run for ever; whoever started it ends it."""
    given = _parse(arguments)
    identity = {
        "agent_id": given.agent_id,
        "token": os.environ["AGENTCOM_TOKEN"],
        "name": given.agent_id,
        "capabilities": given.capability,
        "client_type": "older",
    }

    def refused(frame: Frame) -> None:
        names = ("error", "task_id", "message_type")
        print(json.dumps({name: str(frame.get(name)) for name in names}), flush=True)

    run = runner(reactor, given.agent_id, given.sink)
    agent = OldAgent(identity, 0 if given.zero else None, run, refused)
    return Deferred.fromCoroutine(serve(reactor, HubURL.parse(given.url), agent))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="agentcom.chaos.oldstyle")
    options.add_argument("--url", required=True)
    options.add_argument("--agent-id", required=True)
    options.add_argument("--sink", required=True)
    options.add_argument("--capability", action="append", default=[])
    options.add_argument("--zero", action="store_true")
    return options.parse_args(arguments)


if __name__ == "__main__":
    react(main, sys.argv[1:])
