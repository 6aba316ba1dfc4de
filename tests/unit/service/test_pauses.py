"""The garbage collector while a hub runs: full passes look at what is new, alone."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom import pauses
from agentcom.pauses import WHOLE_EVERY_S, Pauses


class Thing:
    """Something that knows itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


class PausesTests(SynchronousTestCase):
    """The collector's settings are the process's, so each test puts them back."""

    def setUp(self) -> None:
        self.clock = Clock()
        # On this clock every pass takes no time.
        self.patch(pauses, "LONG_S", 0.0)
        self.used = 0.0
        self.pauses = Pauses(self.clock, lambda: self.used)
        self.addCleanup(self.pauses.stop)

    def left_behind(self, full_passes: int) -> weakref.ref[Thing]:
        """A cycle that outlives some full passes and then belongs to nobody."""
        thing = Thing()
        for _ in range(full_passes):
            gc.collect()
        return weakref.ref(thing)

    def test_what_lives_is_looked_at_once(self) -> None:
        """What a full pass has found alive is set aside; the next is not slowed by it."""
        self.pauses.start()
        before = gc.get_freeze_count()
        kept = [Thing() for _ in range(100)]
        gc.collect()
        self.assertGreaterEqual(gc.get_freeze_count() - before, len(kept))
        self.assertLess(len(gc.get_objects(generation=2)), 100)

    def test_young_cycles_are_freed(self) -> None:
        """A cycle that is garbage before a full pass came is freed by it, as ever."""
        self.pauses.start()
        found = self.left_behind(0)
        gc.collect()
        self.assertIsNone(found())

    def test_old_cycles_are_freed_in_the_end(self) -> None:
        """A cycle that was set aside is freed when everything is looked at, hours later."""
        self.pauses.start()
        found = self.left_behind(1)
        self.clock.advance(WHOLE_EVERY_S - 1)
        self.pauses.tick()
        gc.collect()
        self.assertIsNotNone(found())
        self.clock.advance(1)
        self.pauses.tick()
        self.assertIsNone(found())

    def test_what_is_set_aside_is_bounded(self) -> None:
        """Cycles that were set aside are freed after so many times, as soon as that is over."""
        self.pauses.start()
        found = self.left_behind(1)
        for _ in range(pauses.MOST_ASIDE - 2):
            gc.collect()
        self.clock.advance(pauses.SETTLED_AFTER_S)
        self.pauses.tick()
        self.assertIsNotNone(found())
        gc.collect()
        self.clock.advance(pauses.SETTLED_AFTER_S - 1)
        self.pauses.tick()
        self.assertIsNotNone(found())
        self.clock.advance(1)
        self.pauses.tick()
        self.assertIsNone(found())

    def test_short_passes_set_nothing_aside(self) -> None:
        """What a short pass found may be garbage soon: requests under way, for one."""
        self.patch(pauses, "LONG_S", 1.0)
        self.pauses.start()
        before = gc.get_freeze_count()
        kept = Thing()
        gc.collect()
        self.assertLessEqual(gc.get_freeze_count(), before)
        self.assertIsNotNone(kept)

    def test_new_things_do_not_pile_up(self) -> None:
        """What is made while as much is freed, which Python does not count, is looked at soon."""
        self.pauses.start()
        gc.disable()
        self.addCleanup(gc.enable)
        kept = [Thing() for _ in range(100)]
        for used, left in ((pauses.BUSY_S / 2, 100), (pauses.BUSY_S / 2, 0)):
            # A hub that does nothing makes nothing either.
            self.used += used
            self.clock.advance(pauses.LOOK_EVERY_S)
            new = sum(isinstance(one, Thing) for one in gc.get_objects())
            self.assertEqual(new, left)
        self.assertEqual(len(kept), 100)

    def test_stop(self) -> None:
        """Afterwards the collector is as it was."""
        callbacks, thresholds = list(gc.callbacks), gc.get_threshold()
        self.pauses.start()
        self.pauses.stop()
        self.assertEqual((gc.get_freeze_count(), gc.callbacks), (0, callbacks))
        self.assertEqual(gc.get_threshold(), thresholds)
        found = self.left_behind(1)
        gc.collect()
        self.assertIsNone(found())
        self.assertEqual(self.clock.getDelayedCalls(), [])
