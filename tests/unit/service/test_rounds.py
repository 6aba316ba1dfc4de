"""Calls that come behind what was ready, on a reactor that the test drives."""

from __future__ import annotations

import os
import select

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.rounds import Rounds


class Reactor(Clock):
    """A clock that remembers who is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Rounds] = []

    def addReader(self, reader: Rounds) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Rounds) -> None:
        self.readers.remove(reader)


class RoundsTests(SynchronousTestCase):
    """One reactor, one clock of rounds."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.rounds = Rounds(self.reactor)
        self.addCleanup(self.rounds.stop)
        self.called: list[str] = []

    def is_ready(self) -> bool:
        """Whether the reactor would read from it."""
        return bool(select.select([self.rounds.fileno()], [], [], 0)[0])

    def test_in_turn(self) -> None:
        """A call is due in time and comes when its descriptor is read, once."""
        self.rounds.callLater(2, self.called.append, "a")
        self.reactor.advance(1)
        self.assertFalse(self.is_ready())
        self.reactor.advance(1)
        self.assertTrue(self.is_ready())
        self.assertEqual(self.called, [])
        self.rounds.doRead()
        self.assertEqual(self.called, ["a"])
        self.assertFalse(self.is_ready())
        self.rounds.doRead()
        self.assertEqual(self.called, ["a"])

    def test_told(self) -> None:
        """Somebody is told after each call, and not of others."""
        rounds = Rounds(self.reactor, lambda: self.called.append("told"))
        self.addCleanup(rounds.stop)
        rounds.callLater(1, self.called.append, "a")
        for _ in range(2):
            rounds.doRead()
        self.assertEqual(self.called, ["a", "told"])

    def test_again(self) -> None:
        """What is called may ask for its next call."""
        self.rounds.callLater(1, self.rounds.callLater, 1, self.called.append, "b")
        for _ in range(2):
            self.reactor.advance(1)
            self.rounds.doRead()
        self.assertEqual(self.called, ["b"])
        self.assertEqual(self.rounds.seconds(), 2)

    def test_a_call_that_raises(self) -> None:
        """It is logged, and the descriptor stays: the reactor would drop it."""
        self.rounds.callLater(1, lambda: 1 / 0)
        self.reactor.advance(1)
        self.rounds.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.reactor.readers, [self.rounds])

    def test_stop(self) -> None:
        """Nothing is called any more, nothing is read from, and the descriptor is given back."""
        self.rounds.callLater(1, self.called.append, "a")
        fd = self.rounds.fileno()
        self.rounds.stop()
        self.rounds.stop()
        self.reactor.advance(1)
        self.assertEqual((self.called, self.reactor.readers), ([], []))
        self.assertRaises(OSError, os.fstat, fd)
