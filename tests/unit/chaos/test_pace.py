"""The time of a plan, on a Clock."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.chaos.pace import Pace


class PaceTests(SynchronousTestCase):
    """When it is time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.late = False
        self.pace = Pace(self.clock, lambda: self.late)
        self.pace.start()

    def test_in_order(self) -> None:
        """Each waits for its own time; what is past does not wait."""
        second, first = self.pace.until(2.0), self.pace.until(1.0)
        self.clock.pump([0.1] * 11)
        self.successResultOf(first)
        self.assertNoResult(second)
        self.clock.pump([0.1] * 10)
        self.successResultOf(second)
        self.successResultOf(self.pace.until(0.5))

    def test_stands_still(self) -> None:
        """While somebody is late no time passes."""
        due = self.pace.until(1.0)
        self.late = True
        self.clock.pump([0.1] * 50)
        self.assertNoResult(due)
        self.late = False
        self.clock.pump([0.1] * 9)
        self.assertNoResult(due)
        self.clock.pump([0.1] * 2)
        self.successResultOf(due)

    def test_cancelled(self) -> None:
        """Whoever waits no more harms nobody else."""
        gone, due = self.pace.until(1.0), self.pace.until(1.0)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.clock.pump([0.1] * 11)
        self.successResultOf(due)

    def test_stop(self) -> None:
        """When it is stopped nothing is left to be done."""
        self.pace.stop()
        self.pace.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
