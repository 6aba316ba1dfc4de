"""How long things take, as counts in classes: cheap to add to, small to keep.

A :class:`Histogram` has the few fixed classes that ``/metrics`` shows, a
:class:`Spread` many fine ones, from which percentiles are read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

FINE = 16
"""Classes of a spread to each doubling: a percentile is wrong by 3 % at the most."""

_SHIFT = FINE.bit_length()


class Histogram:
    """Counts of values by upper bound, since the hub started.

    :param bounds: ascending; what is above the last one is counted too.
    :ivar sum: of all values.
    """

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value; one that is below 0, as when the time was set back, is 0."""
        if value < 0:
            value = 0.0
        self._counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def cumulative(self) -> list[int]:
        """How many values were up to each bound, and at last how many there were."""
        return list(accumulate(self._counts))


class Spread:
    """Whole numbers from 0 to 2**53, of which percentiles are asked.

    It holds 800 counts at the most, however many values come.
    """

    __slots__ = ("_count", "_counts")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many classes have a count."""
        return len(self._counts)

    def add(self, value: int, times: int = 1) -> None:
        """Count a value; one that is out of bounds counts as the bound."""
        value = min(max(value, 0), 1 << 53)
        shift = value.bit_length() - _SHIFT
        # Below twice FINE each number has a class of its own.
        place = value if shift <= 0 else shift * FINE + (value >> shift)
        self._counts[place] = self._counts.get(place, 0) + times
        self._count += times

    def percentile(self, percent: int) -> int | None:
        """The least value that so many percent do not exceed, ``None`` where there is none.

        It is the middle of its class.
        """
        if not self._count:
            return None
        wanted = max(1, -(-self._count * percent // 100))
        seen = 0
        for place in sorted(self._counts):
            seen += self._counts[place]
            if seen >= wanted:
                return _middle(place)
        raise AssertionError("the counts do not add up")

    def clear(self) -> None:
        """Forget all values."""
        self._counts = {}
        self._count = 0


def _middle(place: int) -> int:
    if place < 2 * FINE:
        return place
    shift = place // FINE - 1
    low = (place - shift * FINE) << shift
    return low + ((1 << shift) >> 1)
