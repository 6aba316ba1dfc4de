"""Processes of a run: what they print goes to a file, and each is ended by its own pid."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

MAX_LOG = 64 * 1024 * 1024
"""Bytes that are kept of what one process prints."""

LONGEST_LINE = 64 * 1024
ROOT = Path(__file__).resolve().parents[2]
KILL_LIMIT_S = 10.0

SIGNS_OF_FAULTS = ("Traceback (most recent call last)", "Unhandled", "fault here")
"""What no line that a process prints should have in it."""


class Child(ProcessProtocol):
    """One process.

    :param log: the file that what it prints is appended to.
    :param heard: told of each line.
    :ivar wanted: somebody ended it; else its end is a fault.
    """

    def __init__(self, log: Path, heard: Callable[[str], None]) -> None:
        self._log = log
        self._heard = heard
        self._rest = b""
        self._waiters: list[Deferred[None]] = []
        self.transport: Any = None
        self.wanted = False
        self.over = False
        self.ending: Any = None

    def outReceived(self, data: bytes) -> None:
        if not self._log.exists() or self._log.stat().st_size < MAX_LOG:
            with self._log.open("ab") as file:
                file.write(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-LONGEST_LINE:]
        for line in lines:
            self._heard(line.decode("utf-8", "replace"))

    def errReceived(self, data: bytes) -> None:
        self.outReceived(data)

    def processExited(self, reason: Failure) -> None:
        self.over = True
        self.ending = reason.value
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if not self.over:
            with suppress(ProcessExitedAlready):
                self.transport.signalProcess(int(number))

    def ended(self) -> Deferred[None]:
        """Fires when the process is gone."""
        waiter: Deferred[None] = Deferred()
        if self.over:
            waiter.callback(None)
        else:
            self._waiters.append(waiter)
        return waiter

    async def kill(self) -> None:
        """End it without a chance to do anything."""
        self.wanted = True
        self.signal(signal.SIGKILL)
        await self.ended()

    async def orphan(self) -> None:
        """Kill those that it has started, which it must not survive.

        Where the system does not tell who they are (no ``/proc``), it is killed itself.
        """
        self.wanted = True
        pid = self.transport.pid
        with suppress(OSError):
            for started in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                os.kill(int(started), signal.SIGKILL)
                await self.ended()
        await self.kill()

    async def stop(self, clock: Any, limit_s: float) -> bool:
        """Ask it to end; kill it if it has not after so many seconds.

        :returns: whether it ended by itself.
        """
        self.wanted = True
        self.signal(signal.SIGTERM)
        try:
            await self.ended().addTimeout(limit_s, clock)
        except DeferredTimeout:
            await self.kill()
            return False
        return True


class Children:
    """Everything that a run has started.

    :param troubled: told who did, and what it did that it should not have.
    """

    def __init__(self, reactor: Any, work: Path, troubled: Callable[[str, str], None]) -> None:
        self._reactor = reactor
        self._work = work
        self._troubled = troubled
        self._all: list[Child] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        heard: Callable[[str], None] = lambda line: None,
        **environment: str,
    ) -> Child:
        """Start a process in a directory of its own, which it finds as its home.

        :param environment: what is added to it.
        """
        home = self._work / name
        home.mkdir(mode=0o700, exist_ok=True)

        def line(text: str) -> None:
            if any(sign in text for sign in SIGNS_OF_FAULTS):
                self._troubled(name, f"it printed {text.strip()!r}, see {log}")
            heard(text)

        log = self._work / f"{name}.log"
        child = Child(log, line)
        env = {**inherited(os.environ, home), **environment}
        self._reactor.spawnProcess(child, command[0], list(command), env, str(home))
        self._all = [other for other in self._all if not other.over] + [child]
        child.ended().addCallback(lambda _: self._look(name, child))
        return child

    async def end_all(self) -> None:
        """Kill whatever still runs."""
        for child in self._all:
            child.wanted = True
            child.signal(signal.SIGKILL)
        for child in self._all:
            await child.ended().addTimeout(KILL_LIMIT_S, self._reactor)

    def _look(self, name: str, child: Child) -> None:
        if not child.wanted:
            self._troubled(name, f"it ended by itself: {child.ending}")


def inherited(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """The environment of a process that knows nothing of its user's own files."""
    kept = {name: text for name, text in environment.items() if not name.startswith("AGENTCOM_")}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {
        **kept,
        "HOME": str(home),
        "AGENTCOM_HOME": str(home / "agentcom"),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
    }
