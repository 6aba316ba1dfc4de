"""The reactor's look at its sockets: what comes into a turn, and how long the turn was.

Twisted serves whatever is ready in one turn, one as good as the other.  When ten thousand
agents leave in the same moment, that turn takes a second, and all timers and everybody else
wait for it.  Here a turn gets so many sockets at the most, and those of agents are looked at
apart: however many of them are ready, an API call need not wait behind them.  Whoever is left
out is next, before any that became ready later.

And the end of a turn, like its beginning, can only be seen here.

Needless if Twisted's reactors had a limit of events in an iteration, and classes of
descriptors, and told of the time that an iteration took.
"""

from __future__ import annotations

from collections.abc import Callable
from select import EPOLLIN, epoll
from time import monotonic, thread_time
from typing import Any

from agentcom.hub.turnlength import TurnLength

MOST = 64
MOST_LATER = 32
"""Sockets that are served in one turn: of the first class, and of those that come later."""

Ready = list[tuple[int, int]]


class Polls:
    """Stands between a reactor and its poller.

    :param poller: the reactor's, of epoll's kind.
    :param turns: told how long each turn was.
    :ivar began: when the turn that is going on did, in seconds of the steady clock; ``None``
        while the reactor waits.
    """

    def __init__(self, poller: Any, turns: TurnLength) -> None:
        self.poller = poller
        self._poll: Callable[[float, int], Ready] = poller.poll
        # A poller that is polled by the other: one wait is for both.
        self._later = epoll()
        self._later_fd = self._later.fileno()
        poller.register(self._later_fd, EPOLLIN)
        self._class: set[int] = set()
        self._flags: dict[int, int] = {}
        self._took = turns.took
        self.began: float | None = None
        self._turn_began = monotonic()
        self._cpu_began = thread_time()

    def later(self, fd: int) -> None:
        """A socket that is not registered yet is served behind those of the first class."""
        self._class.add(fd)

    def sooner(self, fd: int) -> None:
        """It is of the first class, which all others are; descriptors are used again."""
        self._class.discard(fd)

    def register(self, fd: int, flags: int) -> None:
        """Look at a descriptor, in its class."""
        if fd in self._class:
            self._later.register(fd, flags)
            self._flags[fd] = flags
        else:
            self.poller.register(fd, flags)

    def modify(self, fd: int, flags: int) -> None:
        """Look for other things."""
        if fd in self._flags:
            self._later.modify(fd, flags)
            self._flags[fd] = flags
        else:
            self.poller.modify(fd, flags)

    def unregister(self, fd: int) -> None:
        """Look at it no more."""
        if self._flags.pop(fd, None) is not None:
            self._later.unregister(fd)
        else:
            self.poller.unregister(fd)

    def poll(self, timeout: float, most: int) -> Ready:
        """What is ready, as the poller says it, and as much of it as comes into one turn."""
        now = monotonic()
        self._took(now - self._turn_began, self._cpu_s)
        if timeout:
            self.began = None
            found = self._poll(timeout, MOST)
            self._turn_began = self.began = monotonic()
        else:
            # Something waits already: what this takes, too, is time that it waits.
            self._turn_began = self.began = now
            found = self._poll(0, MOST)
        self._cpu_began = thread_time()
        if (self._later_fd, EPOLLIN) in found:
            found.remove((self._later_fd, EPOLLIN))
            found += self._later.poll(0, MOST_LATER)
        return found

    def close(self) -> None:
        """Give what was looked at later back to the poller."""
        self.poller.unregister(self._later_fd)
        for fd, flags in self._flags.items():
            self.poller.register(fd, flags)
        self._later.close()

    def _cpu_s(self) -> float:
        return thread_time() - self._cpu_began


def observe(reactor: Any, turns: TurnLength) -> Polls | None:
    """Stand between a reactor and its poller from now on.

    :returns: ``None`` where the reactor has no epoll; nothing is changed then.
    """
    poller = getattr(reactor, "_poller", None)
    if not isinstance(poller, epoll):
        return None
    reactor._poller = polls = Polls(poller, turns)
    return polls


def release(reactor: Any, polls: Polls) -> None:
    """Stand aside again."""
    if getattr(reactor, "_poller", None) is polls:
        reactor._poller = polls.poller
        polls.close()
