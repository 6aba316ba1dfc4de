"""How late timers come, on a clock that the test makes late."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.looplag import EVERY_S, WINDOW_S, LoopLag


class LagTests(SynchronousTestCase):
    """One clock, one lag."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lag = LoopLag(self.clock)

    def pass_time(self, seconds: float) -> None:
        """Time in which every timer is on time."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            (call,) = self.clock.getDelayedCalls()
            self.clock.advance(call.getTime() - self.clock.seconds())

    def test_on_time(self) -> None:
        """A timer that is on time is no lag; there is a look each tenth of a second."""
        self.lag.start()
        self.pass_time(10)
        self.assertAlmostEqual(self.lag.worst_s(), 0)
        self.assertAlmostEqual(self.lag.seconds.sum, 0)
        self.assertIn(self.lag.seconds.cumulative()[-1], (99, 100, 101))

    def test_late(self) -> None:
        """How late it came is counted, and the greatest is remembered for a minute or two."""
        self.lag.start()
        self.clock.advance(EVERY_S + 0.3)
        self.clock.advance(EVERY_S + 0.2)
        self.assertAlmostEqual(self.lag.seconds.sum, 0.5)
        self.assertAlmostEqual(self.lag.worst_s(), 0.3)
        self.pass_time(WINDOW_S)
        self.assertAlmostEqual(self.lag.worst_s(), 0.3)
        self.pass_time(WINDOW_S + 1)
        self.assertAlmostEqual(self.lag.worst_s(), 0)

    def test_going_on(self) -> None:
        """A lag that is not over counts."""
        self.lag.start()
        self.clock.rightNow += EVERY_S + 5
        self.assertAlmostEqual(self.lag.worst_s(), 5)

    def test_stop(self) -> None:
        """Nothing is left behind, whether it was started or not."""
        self.lag.stop()
        self.assertEqual(self.lag.worst_s(), 0)
        self.lag.start()
        self.lag.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(self.lag.worst_s(), 0)
