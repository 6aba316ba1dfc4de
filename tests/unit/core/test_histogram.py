"""Counts in classes, checked against the values themselves."""

from __future__ import annotations

import random
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.histogram import FINE, Histogram, Spread

MOST = 1 << 53


class HistogramTests(SynchronousTestCase):
    """The classes of ``/metrics``."""

    def test_bounds(self) -> None:
        """A bound belongs to the class below it; what is above all counts at last."""
        histogram = Histogram([1, 5])
        for value in (0, 1, 1.5, 5, 5.1, 1e9):
            histogram.add(value)
        self.assertEqual(histogram.cumulative(), [2, 4, 6])
        self.assertEqual(histogram.sum, 1e9 + 12.6)

    def test_below_nothing(self) -> None:
        """A time that was set back makes no negative sum."""
        histogram = Histogram([1])
        histogram.add(-3)
        self.assertEqual((histogram.cumulative(), histogram.sum), ([1, 1], 0))


class SpreadTests(SynchronousTestCase):
    """Percentiles."""

    def spread(self, values: Sequence[int]) -> Spread:
        spread = Spread()
        for value in values:
            spread.add(value)
        return spread

    def test_of_nothing(self) -> None:
        """Of nothing there is none, at first and when all was forgotten."""
        spread = self.spread([7])
        self.assertEqual(spread.percentile(50), 7)
        spread.clear()
        self.assertIsNone(spread.percentile(50))

    def test_small_numbers(self) -> None:
        """Small numbers are told as they are, each percentile by the nearest rank."""
        spread = self.spread(range(1, 2 * FINE))
        for percent in (1, 50, 95, 100):
            self.assertEqual(spread.percentile(percent), max(1, -(-31 * percent // 100)), percent)

    def test_any_numbers(self) -> None:
        """Of any numbers a percentile is wrong by 3 % at the most."""
        dice = random.Random(5)
        for _ in range(200):
            values = sorted(dice.randrange(1 << dice.randrange(1, 53)) for _ in range(50))
            spread = self.spread(values)
            for percent in (1, 50, 95, 100):
                true = values[max(1, -(-50 * percent // 100)) - 1]
                found = spread.percentile(percent)
                assert found is not None
                self.assertLessEqual(abs(found - true), true / (2 * FINE), (values, percent))

    def test_every_border(self) -> None:
        """Where a class ends and the next begins, order is kept."""
        borders = [n for k in range(53) for n in (2**k - 1, 2**k, 2**k + 1)]
        found = [self.spread([n]).percentile(50) for n in sorted(borders)]
        self.assertEqual(found, sorted(found))  # type: ignore[type-var]

    def test_out_of_bounds(self) -> None:
        """What is too small or too large counts as the bound."""
        self.assertEqual(self.spread([-1]).percentile(50), 0)
        self.assertEqual(self.spread([1 << 80]).percentile(50), self.spread([MOST]).percentile(50))

    def test_small(self) -> None:
        """However many values there are, its memory has a bound."""
        dice = random.Random(1)
        spread = self.spread([dice.randrange(1 << dice.randrange(54)) for _ in range(50_000)])
        self.assertLessEqual(len(spread), 800)
