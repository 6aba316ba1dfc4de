"""Connections that came in a crowd and have said nothing yet.

They cost nothing but a descriptor until they speak, which one look at all of them tells.  Who
stays silent is let in all the same: it is the hub's part to end those.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from select import EPOLLIN, epoll
from socket import socket
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

WAIT_S = 1.0
"""Seconds after which a connection is let in that still says nothing."""

AT_A_TIME = 64
"""Connections that are let in in one turn, and that are looked at between two looks at the
time."""

SORT_S = 0.002
"""Seconds of one turn in which those who speak are looked at."""

Taken = tuple[socket, Any]


@implementer(IReadDescriptor)
class Silence:
    """Those of one port, oldest first.

    :param spoke: is given one that has something to say; ``False`` where it has not.
    :param late: is given one that has waited for long.
    """

    def __init__(
        self,
        reactor: Any,
        clock: IReactorTime,
        spoke: Callable[[Taken], bool],
        late: Callable[[Taken], None],
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._spoke = spoke
        self._late = late
        self._waiting: dict[int, tuple[Taken, float]] = {}
        self._poller: epoll | None = None
        self._planned: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, taken: Taken) -> None:
        """Let one wait."""
        if self._poller is None:
            self._poller = epoll()
            self._reactor.addReader(self)
        fd = taken[0].fileno()
        self._waiting[fd] = (taken, self._clock.seconds() + WAIT_S)
        self._poller.register(fd, EPOLLIN)
        if self._planned is None:
            self._planned = self._clock.callLater(WAIT_S, self._over)

    def let_in(self) -> bool:
        """Let in the one that has waited for longest, if there is any."""
        fd = next(iter(self._waiting), None)
        if fd is None:
            return False
        self._late(self._take(fd))
        return True

    def doRead(self) -> None:
        """Some speak."""
        until = self._clock.seconds() + SORT_S
        while self._poller is not None:
            found = self._poller.poll(0, AT_A_TIME)
            for fd, _ in found:
                taken = self._take(fd)
                if not self._spoke(taken):
                    self._late(taken)
            if len(found) < AT_A_TIME or self._clock.seconds() >= until:
                break

    def end(self) -> None:
        """Close them all; not to be used again."""
        for taken, _ in self._waiting.values():
            taken[0].close()
        self._waiting.clear()
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        if self._poller is not None:
            self._reactor.removeReader(self)
            self._poller.close()
            self._poller = None

    def fileno(self) -> int:
        """What is ready when somebody speaks."""
        return -1 if self._poller is None else self._poller.fileno()

    def logPrefix(self) -> str:
        """For the reactor's own log lines."""
        return "Silence"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is at its end."""
        self.end()

    def _take(self, fd: int) -> Taken:
        assert self._poller is not None
        self._poller.unregister(fd)
        return self._waiting.pop(fd)[0]

    def _over(self) -> None:
        """Let in who has waited for long, some at a time."""
        self._planned = None
        now = self._clock.seconds()
        for fd, (_, until) in list(islice(self._waiting.items(), AT_A_TIME)):
            if until > now:
                break
            self._late(self._take(fd))
        if self._waiting:
            oldest = next(iter(self._waiting.values()))[1]
            self._planned = self._clock.callLater(max(0.0, oldest - now), self._over)
