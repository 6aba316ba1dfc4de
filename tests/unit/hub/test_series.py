"""Steps of five seconds, cut by the test's own clock."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.state import Status
from agentcom.hub.series import POINTS, STEP_S, Series, Sizes
from agentcom.hub.timings import Timings

NOW = 1_700_000_000_000


class SeriesTests(SynchronousTestCase):
    """What is told of the last hour."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.timings = Timings()
        self.sizes = Sizes(0, 0)
        self.series = Series(self.timings, lambda: self.sizes, self.clock.seconds)

    def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.series.tick()

    def told(self, steps: int) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(self.series.told(steps * STEP_S, NOW))
        return told

    def test_at_first(self) -> None:
        """At first nothing is known, and there are as many points as were asked for."""
        self.advance(STEP_S - 1)
        told = self.told(3)
        self.assertEqual((told["step_s"], told["points"]), (5, 3))
        nothing = [None] * 3
        for name in ("submitted", "started", "completed", "failed", "queued", "agents"):
            self.assertEqual(told[name], nothing, name)
        self.assertEqual(told["dispatch_ms"], {"p50": nothing, "p95": nothing})
        self.assertEqual(told["run_ms"], {"p50": nothing, "p95": nothing})

    def test_counts(self) -> None:
        """A step tells what happened in it, not before and not after."""
        for submitted, started, completed, dead, expired, cancelled in (
            (7, 5, 3, 1, 1, 9),
            (0, 0, 0, 0, 0, 0),
            (1, 1, 1, 0, 1, 0),
        ):
            timings = self.timings
            timings.submitted["push"] += submitted
            timings.started += started
            timings.ended[Status.COMPLETED] += completed
            timings.ended[Status.DEAD_LETTER] += dead
            timings.ended[Status.EXPIRED] += expired
            timings.ended[Status.CANCELLED] += cancelled
            self.advance(STEP_S)
        self.timings.started += 1
        told = self.told(4)
        self.assertEqual(told["submitted"], [None, 7, 0, 1])
        self.assertEqual(told["started"], [None, 5, 0, 1])
        self.assertEqual(told["completed"], [None, 3, 0, 1])
        self.assertEqual(told["failed"], [None, 2, 0, 1])

    def test_sizes(self) -> None:
        """Sizes are those at the end of a step."""
        self.sizes = Sizes(3, 4)
        self.advance(STEP_S - 1)
        self.sizes = Sizes(5, 6)
        self.advance(1)
        self.sizes = Sizes(7, 8)
        told = self.told(1)
        self.assertEqual((told["queued"], told["agents"]), ([5], [6]))

    def test_percentiles(self) -> None:
        """Percentiles are of the step alone; where nothing was measured there is none."""
        for value in range(20):
            self.timings.waited.add(value)
        self.timings.ran.add(10)
        self.advance(STEP_S)
        self.timings.waited.add(3)
        self.advance(STEP_S)
        told = self.told(2)
        self.assertEqual(told["dispatch_ms"], {"p50": [9, 3], "p95": [18, 3]})
        self.assertEqual(told["run_ms"], {"p50": [10, None], "p95": [10, None]})

    def test_end(self) -> None:
        """The end that is told is that of the last whole step."""
        self.advance(STEP_S + 2)
        self.clock.advance(0.5)
        self.assertEqual(self.told(1)["end"], NOW - 2_500)

    def test_late_look(self) -> None:
        """A look that comes late moves the steps no further."""
        for _ in range(3):
            self.clock.advance(STEP_S + 0.5)
            self.series.tick()
        self.assertEqual(self.told(1)["end"], NOW - 1_500)

    def test_an_hour(self) -> None:
        """After an hour the oldest steps go."""
        self.timings.started += 1
        self.advance(STEP_S)
        for _ in range(POINTS - 1):
            self.clock.advance(STEP_S)
            self.series.tick()
        whole = self.told(POINTS)
        self.assertEqual((len(whole["started"]), whole["started"][:2]), (POINTS, [1, 0]))
        self.advance(STEP_S)
        self.assertEqual(self.told(POINTS)["started"], [0] * POINTS)

    def test_nobody_looked(self) -> None:
        """Steps in which the hub did not come to look are not known; what happened is not lost."""
        self.advance(STEP_S)
        self.timings.started += 2
        self.clock.advance(3 * STEP_S)
        self.assertEqual(self.told(4)["started"], [0, None, None, 2])
        self.clock.advance(1e7)
        self.assertEqual(self.told(POINTS)["started"], [None] * (POINTS - 1) + [0])
