"""Classes of sockets, over real descriptors and the kernel's own poller."""

from __future__ import annotations

import os
import select
import socket
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.turnlength import TurnLength
from agentcom.shortcuts.polls import (
    AGENTS,
    FIRST,
    LEAST_S,
    MOST,
    MOST_OF,
    MOST_SHEDDING,
    OWN,
    STRANGERS,
    UNTIL_S,
    UNTIL_SHEDDING_S,
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
        self.now = 0.0
        polls = observe(self.reactor, self.turns, lambda: self.now)
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
        self.polls.adapt(True)
        found = self.ready()
        self.assertEqual(calls - set(found), set())
        self.assertLess(len(calls), MOST_SHEDDING)
        self.assertEqual(len(agents.intersection(found)), MOST_OF[AGENTS - 1])
        self.polls.adapt(False)
        self.assertEqual(len(calls.intersection(self.ready())), MOST)

    def test_nobody_waits_behind_another_class(self) -> None:
        """One call among thousands of agents and strangers is served in the first turn."""
        self.many(300, AGENTS)
        self.many(300, STRANGERS)
        (call,) = self.many(1)
        self.assertIn(call, self.ready())

    def test_own_ones_come_before_everybody(self) -> None:
        """The hub's own pipes are served first, in a turn that is full of everybody's, too."""
        self.many(2 * MOST)
        self.many(100, AGENTS)
        own = self.many(2, OWN)
        for _ in range(3):
            self.assertEqual(set(self.ready()[:2]), own)

    def test_own_ones_take_nothing_from_others(self) -> None:
        """However long what follows a commit takes, the others have their time behind it."""
        calls = self.many(8)
        (own,) = self.many(1, OWN)
        found = []
        for fd, _ in self.polls.poll(0, 10_000):
            found.append(fd)
            self.now += 0.1 if fd == own else UNTIL_S[FIRST] / 5
        self.assertEqual(found[0], own)
        self.assertGreaterEqual(len(calls.intersection(found)), 5)

    def test_moves(self) -> None:
        """A socket that changes its class is looked at for the same things as before."""
        fd = self.readable()
        self.polls.register(fd, EPOLLOUT)
        self.polls.place(fd, STRANGERS)
        self.assertEqual([*self.polls.poll(0, 10)], [(fd, EPOLLOUT)])
        self.polls.modify(fd, EPOLLIN | EPOLLOUT)
        self.polls.place(fd, AGENTS)
        self.assertEqual([*self.polls.poll(0, 10)], [(fd, EPOLLIN | EPOLLOUT)])
        self.polls.unregister(fd)
        self.assertEqual([*self.polls.poll(0, 10)], [])
        self.polls.register(fd, EPOLLIN)
        self.assertEqual(self.ready(), [fd])

    def test_numbers_are_used_again(self) -> None:
        """A new socket with the number of an agent's is of the first class once that is said."""
        (fd,) = self.many(1, AGENTS)
        self.polls.unregister(fd)
        self.polls.register(fd, EPOLLIN)
        self.polls.place(fd, FIRST)
        self.assertEqual(self.poller.poll(0, 10), [(fd, EPOLLIN)])

    def test_waits(self) -> None:
        """A wait ends for every class; a turn is going on when it is over."""
        (fd,) = self.many(1, STRANGERS)
        self.assertEqual([*self.polls.poll(60, 10)], [(fd, EPOLLIN)])
        self.assertIsNotNone(self.polls.began)

    def test_measures(self) -> None:
        """Each turn is told, from one look to the next."""
        for _ in range(3):
            self.polls.poll(0, 10)
        self.assertEqual(self.turns.wall.cumulative()[-1], 3)

    def served(self, *each_s: float) -> list[int]:
        """What one turn serves where it takes so many seconds for one after the other."""
        found = []
        took = iter(each_s)
        for fd, _ in self.polls.poll(0, 10_000):
            found.append(fd)
            os.read(fd, 1)
            self.now += next(took, each_s[-1])
        return found

    def test_time(self) -> None:
        """When the time of a class is over the others have theirs, and the next turn the rest."""
        calls, agents, strangers = self.many(30), self.many(30, AGENTS), self.many(30, STRANGERS)
        each_s = UNTIL_S[FIRST] / 9.5
        found = self.served(each_s)
        self.assertEqual(len(calls.intersection(found)), 10)
        for place, sockets in ((AGENTS, agents), (STRANGERS, strangers)):
            share_s = UNTIL_S[place] - UNTIL_S[place - 1]
            self.assertIn(len(sockets.intersection(found)) - int(share_s / each_s), (0, 1))

    def test_time_that_is_left(self) -> None:
        """What callers do not use of a turn agents have."""
        agents = self.many(40, AGENTS)
        found = self.served(UNTIL_S[AGENTS] / 19.5)
        self.assertEqual(len(agents.intersection(found)), 20)

    def test_a_long_one(self) -> None:
        """After a call that took all of a turn agents and strangers have some time all the same."""
        call, agents, strangers = self.many(1), self.many(9, AGENTS), self.many(9, STRANGERS)
        found = self.served(1.0, LEAST_S / 2)
        for sockets, number in ((call, 1), (agents, 2), (strangers, 2)):
            self.assertEqual(len(sockets.intersection(found)), number)

    def test_more_time_while_shedding(self) -> None:
        """While there is too much to do the turns of callers are longer."""
        self.many(40)
        self.polls.adapt(True)
        each_s = UNTIL_SHEDDING_S[FIRST] / 19.5
        self.assertEqual(len(self.served(each_s)), 20)

    def test_in_order(self) -> None:
        """Who is left out is served before any of its class that became ready later, and once."""
        first = self.many(30)
        found = self.served(UNTIL_S[FIRST] / 9.5)
        later = self.many(30)
        for _ in range(2):
            found += self.served(UNTIL_S[FIRST] / 9.5)
        self.assertEqual((set(found), len(found)), (first, 30))
        self.assertEqual(len(later.intersection(self.served(UNTIL_S[FIRST] / 9.5))), 10)

    def test_who_is_left_out_waits_for_nobody(self) -> None:
        """There is no wait while somebody was left out, though nothing else is ready."""
        ends = [self.readable() for _ in range(2)]
        for fd in ends:
            self.polls.register(fd, EPOLLIN)
        (done,) = self.served(1.0)
        (left,) = set(ends) - {done}
        os.read(left, 1)
        # Were this a wait, it would last.
        self.assertEqual([*self.polls.poll(60, 10)], [(left, EPOLLIN)])

    def test_left_out_and_gone(self) -> None:
        """One that was left out and is looked at no more, or for other things, is not served."""
        for change in (
            self.polls.unregister,
            lambda fd: self.polls.modify(fd, EPOLLIN | EPOLLOUT),
            lambda fd: self.polls.place(fd, AGENTS),
        ):
            ends = self.many(2)
            (done,) = self.served(1.0)
            (left,) = ends - {done}
            os.read(left, 1)
            change(left)
            self.polls.unregister(done)
            self.assertNotIn((left, EPOLLIN), [*self.polls.poll(0, 10)])
            if change != self.polls.unregister:
                self.polls.unregister(left)

    def test_gone_in_the_same_turn(self) -> None:
        """One that is closed by what was served before it in a turn is not served."""
        self.many(2)
        turn = self.polls.poll(0, 10)
        (fd, _) = next(turn)
        (other,) = {*self.polls._flags} - {fd}
        self.polls.unregister(other)
        self.assertEqual([*turn], [])

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
