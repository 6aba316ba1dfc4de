"""The reactor's look at its sockets: what comes into a turn, and how long the turn was.

Twisted serves whatever is ready in one turn, one as good as the other.  When ten thousand
agents leave in the same moment, that turn takes a second, and all timers and everybody else
wait for it.  Here sockets have classes, and a turn gets so many of each at the most: however
many agents speak, an API call need not wait behind them, and neither behind strangers.
Whoever is left out is next, before any of its class that became ready later.

And the end of a turn, like its beginning, can only be seen here.

Needless if Twisted's reactors had a limit of events in an iteration, and classes of
descriptors, and told of the time that an iteration took.
"""

from __future__ import annotations

from select import EPOLLIN, epoll
from time import monotonic, thread_time
from typing import Any

from agentcom.hub.turnlength import TurnLength

MOST = 64
"""Sockets of the first class, which is everybody's who is in no other, in one turn."""

MOST_SHEDDING = 512
"""The same while there is too much to do and most calls are refused, which costs next to
nothing: in short turns more than half of that would be lost to the turns themselves."""

AGENTS, STRANGERS = 0, 1
"""The other classes: lines of agents, and those of agents that have not said who they are."""

MOST_OF = (48, 32)
"""Sockets of these in one turn."""

Ready = list[tuple[int, int]]


class Polls:
    """Stands between a reactor and its poller.

    :param poller: the reactor's, of epoll's kind.
    :param turns: told how long each turn was.
    :ivar most: sockets of the first class in one turn.
    :ivar began: when the turn that is going on did, in seconds of the steady clock; ``None``
        while the reactor waits.
    """

    def __init__(self, poller: epoll, turns: TurnLength) -> None:
        self.poller = poller
        self._poll = poller.poll
        # Pollers that are polled by the first one: one wait is for all of them.
        self._others = tuple(epoll() for _ in MOST_OF)
        self._others_ready = tuple(
            ((other.fileno(), EPOLLIN), other, share)
            for other, share in zip(self._others, MOST_OF, strict=True)
        )
        for other in self._others:
            poller.register(other.fileno(), EPOLLIN)
        self._class: dict[int, int] = {}
        self._flags: dict[int, int] = {}
        self.most = MOST
        self._took = turns.took
        self.began: float | None = None
        self._turn_began = monotonic()
        self._cpu_began = thread_time()

    def place(self, fd: int, place: int) -> None:
        """Put a socket into a class: :data:`AGENTS` or :data:`STRANGERS`."""
        flags = self._flags.get(fd)
        if flags is not None:
            self._of(fd).unregister(fd)
        self._class[fd] = place
        if flags is not None:
            self._of(fd).register(fd, flags)

    def first(self, fd: int) -> None:
        """One that is not registered yet is of the first class.

        Others are, too; but numbers of descriptors are used again.
        """
        self._class.pop(fd, None)

    def register(self, fd: int, flags: int) -> None:
        """Look at a descriptor, in its class."""
        self._of(fd).register(fd, flags)
        self._flags[fd] = flags

    def modify(self, fd: int, flags: int) -> None:
        """Look for other things."""
        self._of(fd).modify(fd, flags)
        self._flags[fd] = flags

    def unregister(self, fd: int) -> None:
        """Look at it no more."""
        self._of(fd).unregister(fd)
        self._flags.pop(fd, None)

    def _of(self, fd: int) -> epoll:
        place = self._class.get(fd)
        return self.poller if place is None else self._others[place]

    def poll(self, timeout: float, most: int) -> Ready:
        """What is ready, as the poller says it, and as much of it as comes into one turn."""
        now = monotonic()
        self._took(now - self._turn_began, self._cpu_s)
        if timeout:
            self.began = None
            found = self._poll(timeout, self.most)
            self._turn_began = self.began = monotonic()
        else:
            # Something waits already: what this takes, too, is time that it waits.
            self._turn_began = self.began = now
            found = self._poll(0, self.most)
        self._cpu_began = thread_time()
        # A full turn may have left out the very descriptors that tell of the others.
        full = len(found) >= self.most
        for ready, other, share in self._others_ready:
            if ready in found:
                found.remove(ready)
            elif not full:
                continue
            found += other.poll(0, share)
        return found

    def close(self) -> None:
        """Give back to the poller what was taken from it."""
        for other in self._others:
            self.poller.unregister(other.fileno())
        for fd, flags in self._flags.items():
            if fd in self._class:
                self.poller.register(fd, flags)
        for other in self._others:
            other.close()

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
