"""Tasks of one submitter that wait, by age; and the oldest of all, in whatever lane it is.

For ``/metrics``, which asks at any time: there may be a lane for each of ten
thousand agents, so what changes is noted, and put right when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace

SLACK = 64
"""Stale entries that a heap may have beside the good ones."""

Item = tuple[int, str]
"""Age and id of a task: the smallest is the oldest."""


class Lane:
    """The ready tasks of one submitter at one priority in one group, by age.

    :ivar listed: the age at which the group's turns have its submitter.
    :ivar noted: the age at which :class:`Eldest` has it, ``None`` where it has not.
    """

    __slots__ = ("count", "heap", "listed", "noted")

    def __init__(self) -> None:
        self.heap: list[Item] = []
        self.count = 0
        self.listed: int | None = None
        self.noted: int | None = None


class Eldest:
    """Knows which lane has the oldest task.

    A lane that has any stands where its oldest one would, or further in front; one
    that has none may still stand there.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Lane]] = []
        self._pushed = 0
        self._full = SLACK

    def note(self, lane: Lane, age: int) -> None:
        """A task of this age is in the lane now."""
        if lane.noted is None or age < lane.noted:
            lane.noted = age
            self._pushed += 1
            heappush(self._heap, (age, self._pushed, lane))
            if len(self._heap) > self._full:
                self._tidy()

    def first(self, is_good: Callable[[Item], bool]) -> int | None:
        """The age of the oldest task, ``None`` where there is none.

        :param is_good: whether an entry of a lane still stands.
        """
        heap = self._heap
        while heap:
            age, number, lane = heap[0]
            if lane.noted != age:
                heappop(heap)
                continue
            if not lane.count:
                lane.noted = None
                heappop(heap)
                continue
            while not is_good(lane.heap[0]):
                heappop(lane.heap)
            now = lane.heap[0][0]
            if now == age:
                return age
            lane.noted = now
            heapreplace(heap, (now, number, lane))
        return None

    def _tidy(self) -> None:
        kept = []
        for age, number, lane in self._heap:
            if lane.noted == age:
                if lane.count:
                    kept.append((age, number, lane))
                else:
                    lane.noted = None
        heapify(kept)
        self._heap = kept
        self._full = 2 * len(kept) + SLACK
