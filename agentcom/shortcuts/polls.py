"""The reactor's look at its sockets: what comes into a turn, and how long the turn was.

Twisted serves whatever is ready in one turn, one as good as the other.  When ten thousand
agents leave in the same moment, that turn takes a second, and all timers and everybody else
wait for it.  Here sockets have classes, and a turn gets so many of each at the most, and no
more than there is time for: however many agents speak, an API call need not wait behind
them, and neither behind strangers.  Whoever is left out is next, before any of its class
that became ready later.

And the end of a turn, like its beginning, can only be seen here.

Needless if Twisted's reactors had a limit of events and of time in an iteration, and classes
of descriptors, and told of the time that an iteration took.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from select import EPOLLIN, epoll
from time import monotonic, thread_time
from typing import Any

from agentcom.hub.turnlength import TurnLength

MOST = 64
"""Sockets of the first class, which is everybody's who is in no other, in one turn."""

MOST_SHEDDING = 512
"""The same while there is too much to do and most calls are refused, which costs next to
nothing: in short turns more than half of that would be lost to the turns themselves."""

FIRST, AGENTS, STRANGERS, OWN = range(4)
"""The classes: all others, lines of agents, those of agents that have not said who they are,
and the hub's own pipes, which come before everybody: whoever waits for the disk waits for
them."""

MOST_OF = (48, 32)
"""Sockets of agents and of strangers in one turn."""

MOST_OWN = 8
"""The hub's own descriptors in one turn; there are fewer."""

UNTIL_S = (0.002, 0.0035, 0.0045)
"""Seconds of a turn after which the rest of a class is left to the next one; what a class
does not use, those behind it have.  Timers and commits are in the same turn."""

UNTIL_SHEDDING_S = (0.005, 0.0065, 0.0075)
"""The same while there is too much to do."""

LEAST_S = 0.001
"""Seconds that a class has in any case."""

Ready = tuple[int, int]


class Polls:
    """Stands between a reactor and its poller.

    :param poller: the reactor's, of epoll's kind.
    :param turns: told how long each turn was.
    :param seconds: a steady clock.
    :ivar began: when the turn that is going on did, in seconds of the steady clock; ``None``
        while the reactor waits.
    """

    def __init__(
        self, poller: epoll, turns: TurnLength, seconds: Callable[[], float] = monotonic
    ) -> None:
        self.poller = poller
        self._seconds = seconds
        # Pollers that are polled by the first one: one wait is for all of them.
        self._pollers = (poller, epoll(), epoll(), epoll())
        # What is ready and was not served yet, in the order in which the poller told of it.
        self._kept: tuple[OrderedDict[int, int], ...] = tuple(OrderedDict() for _ in self._pollers)
        self._others = {one.fileno(): place for place, one in enumerate(self._pollers) if place}
        for fd in self._others:
            poller.register(fd, EPOLLIN)
        self._class: dict[int, int] = {}
        self._flags: dict[int, int] = {}
        self._most = MOST
        self._until_s = UNTIL_S
        self._took = turns.took
        self.began: float | None = None
        self._turn_began = seconds()
        self._cpu_began = thread_time()

    def adapt(self, shedding: bool) -> None:
        """Have larger turns while there is too much to do, and small ones otherwise."""
        self._most = MOST_SHEDDING if shedding else MOST
        self._until_s = UNTIL_SHEDDING_S if shedding else UNTIL_S

    def place(self, fd: int, place: int) -> None:
        """Put a socket into a class, such as :data:`AGENTS`.

        One that the reactor looked at before this stood there must be looked at anew after it.
        """
        before = self._class.get(fd, FIRST)
        if place == before:
            return
        flags = self._flags.get(fd)
        if flags is not None:
            self.unregister(fd)
        if place == FIRST:
            del self._class[fd]
        else:
            self._class[fd] = place
        if flags is not None:
            self.register(fd, flags)

    def register(self, fd: int, flags: int) -> None:
        """Look at a descriptor, in its class."""
        self._pollers[self._class.get(fd, FIRST)].register(fd, flags)
        self._flags[fd] = flags

    def modify(self, fd: int, flags: int) -> None:
        """Look for other things."""
        place = self._class.get(fd, FIRST)
        self._pollers[place].modify(fd, flags)
        self._flags[fd] = flags
        # What was ready may be nothing that is looked for now; if it is, it is told again.
        self._kept[place].pop(fd, None)

    def unregister(self, fd: int) -> None:
        """Look at it no more."""
        place = self._class.get(fd, FIRST)
        self._kept[place].pop(fd, None)
        self._flags.pop(fd, None)
        self._pollers[place].unregister(fd)

    def poll(self, timeout: float, most: int) -> Iterator[Ready]:
        """What is ready, as the poller says it, and as much of it as comes into one turn."""
        now = self._seconds()
        self._took(now - self._turn_began, self._cpu_s)
        first = self._kept[FIRST]
        room = self._most - len(first)
        if timeout and not any(self._kept):
            self.began = None
            found = self._pollers[FIRST].poll(timeout, room)
            self._turn_began = self.began = self._seconds()
        else:
            # Something waits already: what this takes, too, is time that it waits.
            self._turn_began = self.began = now
            found = self._pollers[FIRST].poll(0, room) if room > 0 else []
        self._cpu_began = thread_time()
        # A full turn may have left out the very descriptors that tell of the others.
        look = set(self._others.values()) if len(found) >= room else set()
        for fd, event in found:
            if fd in self._others:
                look.add(self._others[fd])
            else:
                first[fd] = event
        return self._turn(look, self._turn_began)

    def _turn(self, look: set[int], began: float) -> Iterator[Ready]:
        """Class by class."""
        if OWN in look:
            yield from self._pollers[OWN].poll(0, MOST_OWN)
            # What follows a commit has its own limit, and takes nothing from the others.
            began = self._seconds()
        yield from self._share(FIRST, began)
        for place, most in enumerate(MOST_OF, start=AGENTS):
            kept = self._kept[place]
            room = most - len(kept)
            if place in look and room > 0:
                kept.update(self._pollers[place].poll(0, room))
            if kept:
                yield from self._share(place, began)

    def _share(self, place: int, began: float) -> Iterator[Ready]:
        """What is ready of a class, until its time is over."""
        kept, seconds = self._kept[place], self._seconds
        until = max(began + self._until_s[place], seconds() + LEAST_S)
        while kept:
            yield kept.popitem(last=False)
            if seconds() >= until:
                break

    def close(self) -> None:
        """Give back to the poller what was taken from it."""
        for fd in self._others:
            self.poller.unregister(fd)
        for fd, flags in self._flags.items():
            if fd in self._class:
                self.poller.register(fd, flags)
        for one in self._pollers[1:]:
            one.close()

    def _cpu_s(self) -> float:
        return thread_time() - self._cpu_began


def observe(
    reactor: Any, turns: TurnLength, seconds: Callable[[], float] = monotonic
) -> Polls | None:
    """Stand between a reactor and its poller from now on.

    :returns: ``None`` where the reactor has no epoll; nothing is changed then.
    """
    poller = getattr(reactor, "_poller", None)
    if not isinstance(poller, epoll):
        return None
    reactor._poller = polls = Polls(poller, turns, seconds)
    return polls


def release(reactor: Any, polls: Polls) -> None:
    """Stand aside again."""
    if getattr(reactor, "_poller", None) is polls:
        reactor._poller = polls.poller
        polls.close()
