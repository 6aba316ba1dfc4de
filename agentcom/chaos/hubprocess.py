"""The hub of a run: a real process that is killed and started again."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from agentcom.chaos.children import Child, Children
from agentcom.client.hub import HubClient, connect
from agentcom.client.urls import HubURL

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
"""``twistd``, wherever its script is installed."""

START_S = 2.0
"""Seconds that its start takes on a machine that is not busy."""

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
PING_S, SILENCE_S = 1, 3
"""Seconds; short, so that what freezes or falls silent is missed within a run."""

_READY = re.compile(r"AgentCom is ready: listening on http://127\.0\.0\.1:([0-9]+)")


class NoHub(Exception):
    """The hub does not start; the text says why."""


class PortTaken(NoHub):
    """Its port is somebody else's now."""


class HubProcess:
    """One hub on one data directory, in as many lives as it takes.

    :param command: what runs in place of ``twistd``.
    """

    def __init__(
        self, reactor: Any, children: Children, work: Path, command: Sequence[str] = TWISTD
    ) -> None:
        self._reactor = reactor
        self._children = children
        self._command = command
        self.data_dir = work / "data"
        self._child: Child | None = None
        self._port = 0
        self._up = False
        self._due: float | None = None
        self._turns = DeferredLock()

    @property
    def late(self) -> bool:
        """Whether it should have been started again by now."""
        return not self._up and self._due is not None and self._due < self._reactor.seconds()

    async def start(self) -> None:
        """Start it, on the port that it had before.

        :raises NoHub: it is not ready in time.
        """
        await self._turns.run(lambda: Deferred.fromCoroutine(self._start()))

    async def kill(self, down_s: float, *, writer: bool = False) -> None:
        """``kill -9``, and a start so many seconds later.

        :param writer: of the process that writes its database, with which it must end.
        :raises NoHub: it is not ready in time.
        """
        await self._turns.run(lambda: Deferred.fromCoroutine(self._kill(down_s, writer)))

    async def stop(self) -> str | None:
        """Stop it in good order; what was wrong with that."""
        child, self._up = self._child, False
        if child is None or child.over:
            return "it was not running"
        if not await child.stop(self._reactor, STOP_LIMIT_S):
            return f"it did not stop within {STOP_LIMIT_S:.0f} s of SIGTERM"
        code = child.ending.exitCode
        return None if code == 0 else f"its exit code after SIGTERM was {code}"

    def damage(self) -> str | None:
        """What SQLite finds wrong with the database of the stopped hub."""
        database = sqlite3.connect(self.data_dir / "agentcom.db")
        try:
            (found,) = database.execute("PRAGMA integrity_check").fetchone()
        except sqlite3.DatabaseError as e:
            return str(e)
        finally:
            database.close()
        return None if found == "ok" else str(found)

    def reach(self, protocol: Protocol) -> Deferred[Any]:
        """Connect to it; fails while it is down."""
        if not self._up:
            # Not even tried: on a port without a listener, a client that is
            # given the same one connects to itself.
            refused: Deferred[Any] = Deferred()
            refused.errback(ConnectionRefusedError())
            return refused
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", self._port)
        connecting: Deferred[Any] = connectProtocol(endpoint, protocol)
        return connecting

    def client(self) -> HubClient:
        """A client that speaks to it as its administrator, and not through the proxy."""
        token = (self.data_dir / "admin.token").read_text("ascii").strip()
        return connect(self._reactor, HubURL(False, "127.0.0.1", self._port), token)

    async def _start(self) -> None:
        try:
            await self._begin(self._port)
        except PortTaken:
            # Connections are given any free port: while it was down, its own, too.
            await self._begin(0)

    async def _begin(self, port: int) -> None:
        ready: Deferred[int] = Deferred()
        problem = NoHub(f"the hub was not ready within {READY_LIMIT_S:.0f} s; its log says why")

        def heard(line: str) -> None:
            nonlocal problem
            found = _READY.search(line)
            if found and not ready.called:
                ready.callback(int(found[1]))
            elif line.startswith("agentcom: "):
                taken = port and "in use" in line
                problem = PortTaken(line) if taken else NoHub(f"the hub does not start: {line}")

        listen = f"tcp:{port}:interface=127.0.0.1"
        limits = ["--ping-interval", str(PING_S), "--silence-limit", str(SILENCE_S)]
        arguments = ["-n", "--pidfile=", "agentcom", "--listen", listen, *limits]
        child = self._children.start(
            "hub", [*self._command, *arguments, "--data-dir", str(self.data_dir)], heard
        )
        self._child = child
        child.wanted = True

        def ended(_: object) -> None:
            if not ready.called:
                ready.cancel()

        child.ended().addCallback(ended)
        try:
            self._port = await ready.addTimeout(READY_LIMIT_S, self._reactor)
        except (CancelledError, DeferredTimeout):
            await child.kill()
            raise problem from None
        child.wanted = False
        self._up = True

    async def _kill(self, down_s: float, writer: bool) -> None:
        self._up = False
        self._due = self._reactor.seconds() + down_s + START_S
        if self._child is not None:
            await (self._child.orphan() if writer else self._child.kill())
        await deferLater(self._reactor, down_s, lambda: None)
        await self._start()
