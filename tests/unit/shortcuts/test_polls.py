"""Classes of sockets, over real descriptors and the kernel's own poller."""

from __future__ import annotations

import select
import socket
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.turnlength import TurnLength
from agentcom.shortcuts.polls import (
    AGENTS,
    MOST,
    MOST_OF,
    MOST_SHEDDING,
    STRANGERS,
    Polls,
    observe,
    release,
)


class Reactor:
    """What there is of a reactor that matters here."""

    def __init__(self, poller: object) -> None:
        self._poller = poller


class PollsTests(SynchronousTestCase):
    """A poller, and sockets that can be read from as soon as they are there."""

    def setUp(self) -> None:
        self.poller = select.epoll()
        self.addCleanup(self.poller.close)
        self.turns = TurnLength(lambda: 0.0)
        self.reactor: Any = Reactor(self.poller)
        polls = observe(self.reactor, self.turns)
        assert polls is not None
        self.polls = polls

    def readable(self) -> int:
        """A descriptor that can be read from, and written to."""
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        other.send(b"x")
        return one.fileno()

    def many(self, number: int, place: int | None = None) -> set[int]:
        """So many of a class, which are looked at."""
        found = set()
        for _ in range(number):
            fd = self.readable()
            if place is not None:
                self.polls.place(fd, place)
            self.polls.register(fd, EPOLLIN)
            found.add(fd)
        return found

    def ready(self) -> list[int]:
        """What one turn has to serve."""
        return [fd for fd, _ in self.polls.poll(0, 10_000)]

    def test_bounded(self) -> None:
        """A turn gets so many of each class at the most, and later ones get all the others."""
        sockets = [self.many(MOST + 1), self.many(100, AGENTS), self.many(100, STRANGERS)]
        found = self.ready()
        self.assertLessEqual(len(found), MOST + sum(MOST_OF))
        for place, most in enumerate(MOST_OF, start=1):
            self.assertEqual(len(sockets[place].intersection(found)), most)
        seen = set(found)
        for _ in range(5):
            seen.update(self.ready())
        self.assertEqual(seen, set.union(*sockets))

    def test_more_at_a_time(self) -> None:
        """As many of the first class as it is told come into a turn, and the others' share."""
        calls, agents = self.many(MOST + 40), self.many(100, AGENTS)
        self.polls.most = MOST_SHEDDING
        found = self.ready()
        self.assertEqual(calls - set(found), set())
        self.assertEqual(len(agents.intersection(found)), MOST_OF[AGENTS])

    def test_nobody_waits_behind_another_class(self) -> None:
        """One call among thousands of agents and strangers is served in the first turn."""
        self.many(300, AGENTS)
        self.many(300, STRANGERS)
        (call,) = self.many(1)
        self.assertIn(call, self.ready())

    def test_moves(self) -> None:
        """A socket that changes its class is looked at for the same things as before."""
        fd = self.readable()
        self.polls.register(fd, EPOLLOUT)
        self.polls.place(fd, STRANGERS)
        self.assertEqual(self.polls.poll(0, 10), [(fd, EPOLLOUT)])
        self.polls.modify(fd, EPOLLIN | EPOLLOUT)
        self.polls.place(fd, AGENTS)
        self.assertEqual(self.polls.poll(0, 10), [(fd, EPOLLIN | EPOLLOUT)])
        self.polls.unregister(fd)
        self.assertEqual(self.polls.poll(0, 10), [])
        self.polls.register(fd, EPOLLIN)
        self.assertEqual(self.ready(), [fd])

    def test_numbers_are_used_again(self) -> None:
        """A new socket with the number of an agent's is of the first class once that is said."""
        (fd,) = self.many(1, AGENTS)
        self.polls.unregister(fd)
        self.polls.first(fd)
        self.polls.register(fd, EPOLLIN)
        self.assertEqual(self.poller.poll(0, 10), [(fd, EPOLLIN)])

    def test_waits(self) -> None:
        """A wait ends for every class; a turn is going on when it is over."""
        (fd,) = self.many(1, STRANGERS)
        self.assertEqual(self.polls.poll(60, 10), [(fd, EPOLLIN)])
        self.assertIsNotNone(self.polls.began)

    def test_measures(self) -> None:
        """Each turn is told, from one look to the next."""
        for _ in range(3):
            self.polls.poll(0, 10)
        self.assertEqual(self.turns.wall.cumulative()[-1], 3)

    def test_release(self) -> None:
        """Afterwards the reactor has its poller again, and that has every descriptor."""
        sockets = self.many(2) | self.many(2, AGENTS) | self.many(2, STRANGERS)
        release(self.reactor, self.polls)
        self.assertIs(self.reactor._poller, self.poller)
        self.assertEqual({fd for fd, _ in self.poller.poll(0, 100)}, sockets)

    def test_another_reactor(self) -> None:
        """One without such a poller stays as it is."""
        for poller in (None, object(), Polls(select.epoll(), self.turns)):
            other = Reactor(poller)
            self.assertIsNone(observe(other, self.turns))
            self.assertIs(other._poller, poller)
        self.assertIsNone(observe(object(), self.turns))
