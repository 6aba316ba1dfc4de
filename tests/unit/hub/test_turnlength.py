"""How long turns were, by what is told of them."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.turnlength import KEPT_S, LONG_S, TurnLength


class TurnLengthTests(SynchronousTestCase):
    """One reactor's turns, on a clock that the test moves."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.turns = TurnLength(self.clock.seconds)

    def test_counted(self) -> None:
        """Each turn is counted by its length; of long ones the processor time is, too."""
        self.turns.took(LONG_S / 2, self.fail)
        self.turns.took(0.03, lambda: 0.012)
        self.assertEqual(self.turns.wall.cumulative()[-1], 2)
        self.assertAlmostEqual(self.turns.wall.sum, LONG_S / 2 + 0.03)
        self.assertEqual(self.turns.cpu.cumulative()[-1], 1)
        self.assertAlmostEqual(self.turns.cpu.sum, 0.012)

    def test_longest(self) -> None:
        """The longest turn, and the greatest processor time of one, of as many seconds as asked."""
        self.turns.took(0.03, lambda: 0.01)
        self.turns.took(0.02, lambda: 0.015)
        self.assertEqual(self.turns.longest(5), (0.03, 0.015))
        self.clock.advance(5)
        self.turns.took(0.01, lambda: 0.01)
        self.assertEqual(self.turns.longest(5), (0.01, 0.01))
        self.assertEqual(self.turns.longest(6), (0.03, 0.015))

    def test_forgotten(self) -> None:
        """What was longer ago than is remembered does not count, whatever came since."""
        self.turns.took(0.03, lambda: 0.01)
        self.clock.advance(KEPT_S)
        self.assertEqual(self.turns.longest(), (0, 0))

    def test_told(self) -> None:
        """Who asked for it is told of turns from a length on, until they ask no more."""
        told: list[tuple[float, float]] = []
        self.turns.tell(0.02, lambda wall, cpu: told.append((wall, cpu)))
        self.turns.took(0.019, lambda: 0.019)
        self.turns.took(0.02, lambda: 0.01)
        self.assertEqual(told, [(0.02, 0.01)])
        self.turns.tell(None, None)
        self.turns.took(1, lambda: 1)
        self.assertEqual(len(told), 1)
