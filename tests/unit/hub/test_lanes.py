"""The oldest of all tasks, in whatever lane it waits; ``test_queue_model.py`` has it in lives."""

from __future__ import annotations

from heapq import heappush

from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.lanes import SLACK, Eldest, Item, Lane


class EldestTests(SynchronousTestCase):
    """Lanes that are filled by hand."""

    def setUp(self) -> None:
        self.eldest = Eldest()
        self.gone: set[Item] = set()

    def put(self, lane: Lane, age: int) -> None:
        lane.count += 1
        heappush(lane.heap, (age, str(age)))
        self.eldest.note(lane, age)

    def drop(self, lane: Lane, age: int) -> None:
        lane.count -= 1
        self.gone.add((age, str(age)))
        if not lane.count:
            lane.heap.clear()

    def first(self) -> int | None:
        return self.eldest.first(lambda item: item not in self.gone)

    def test_comes_and_goes(self) -> None:
        """It is the oldest that is there, also when an older one comes back, or a lane fills
        again."""
        one, other = Lane(), Lane()
        self.assertIsNone(self.first())
        self.put(one, 5)
        self.put(other, 7)
        self.put(one, 9)
        self.assertEqual(self.first(), 5)
        self.drop(one, 5)
        self.assertEqual(self.first(), 7)
        self.put(one, 3)
        self.assertEqual(self.first(), 3)
        self.drop(one, 3)
        self.drop(one, 9)
        self.drop(other, 7)
        self.assertIsNone(self.first())
        self.put(one, 11)
        self.assertEqual(self.first(), 11)

    def test_bounded(self) -> None:
        """Lanes that come and go behind an old task are not kept, and those that stay are told
        of."""
        old, stays = Lane(), Lane()
        self.put(old, 1)
        self.put(stays, 2)
        for age in range(10, 10 * SLACK):
            lane = Lane()
            self.put(lane, age)
            self.drop(lane, age)
            self.assertEqual(self.first(), 1)
        self.assertLessEqual(len(self.eldest._heap), 2 * 2 + SLACK)
        self.drop(old, 1)
        self.assertEqual(self.first(), 2)

    def test_emptied_while_tidied(self) -> None:
        """A lane that was empty when the heap was tidied is told of when it fills again."""
        old, lane = Lane(), Lane()
        self.put(old, 1)
        self.put(lane, 2)
        self.drop(lane, 2)
        for age in range(10, 10 + 2 * SLACK):
            other = Lane()
            self.put(other, age)
            self.drop(other, age)
        self.drop(old, 1)
        self.put(lane, 500)
        self.assertEqual(self.first(), 500)
