"""A clock whose calls come when everything that was ready before them has been served.

With :mod:`agentcom.shortcuts.polls` a turn of the reactor is short however much there is to
do, so a timer that comes in time says nothing of how long a request waits to be read.  What
is due here waits in the same row as requests do: it is a descriptor that becomes ready.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
class Rounds:
    """One call at a time, for :class:`agentcom.hub.load.Load`.

    :param reactor: that of the sockets.
    :param called: told after each call.
    """

    log = Logger()

    def __init__(self, reactor: Any, called: Callable[[], object] = lambda: None) -> None:
        self._reactor = reactor
        self._called = called
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._due: Callable[[], object] | None = None
        self.seconds: Callable[[], float] = reactor.seconds
        reactor.addReader(self)

    def callLater(self, delay: float, call: Callable[..., object], *args: object) -> None:
        """Call something so many seconds later, and behind what is ready by then."""
        self._due = lambda: call(*args)
        self._reactor.callLater(delay, self._ready)

    def stop(self) -> None:
        """Call nothing any more."""
        self._due = None
        if self._fd >= 0:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1

    def _ready(self) -> None:
        if self._fd >= 0:
            os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        """What is ready."""
        return self._fd

    def logPrefix(self) -> str:
        """For the reactor's own log lines."""
        return "Rounds"

    def doRead(self) -> None:
        """Its turn has come."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        due, self._due = self._due, None
        if due is not None:
            try:
                due()
                self._called()
            except Exception:
                # The reactor would drop a descriptor that raises.
                self.log.failure("while looking at how much there is to do")

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has given it up."""
        self.stop()
