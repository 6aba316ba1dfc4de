"""When a hub that has had too much to do takes everything again.

What is offered is told to the load as its callers would, and the test says
what time of a processor it costs.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub import load
from agentcom.store.interface import Unit
from agentcom.testing import MemoryHub
from tests.unit.store.support import Held, make_clock, memory_store

TURNS = round(1 / load.LOOK_S)
"""Turns of a second in which nothing is late."""


class EndTests(SynchronousTestCase):
    """A hub that has just been offered too much.

    :ivar refused: how many were refused since.
    """

    def setUp(self) -> None:
        clock = make_clock()
        self.commits = Held()
        store = memory_store(clock, commits=self.commits)
        self.addCleanup(store.close)
        self.hub = MemoryHub(store, clock)
        self.load = self.hub.hub.load
        self.cpu_s = 0.0
        self.load.start(clock, lambda: self.cpu_s)
        self.refused = 0
        self.offer(1, 0)
        for _ in range(5):
            clock.advance(load.LATE_S * 2)
        self.assertTrue(self.load.shedding)

    def offer(self, many: int, cost_s: float, units: int = 1) -> None:
        """So many come at once; each that is taken costs that, and so many units of the store."""
        for _ in range(many):
            if self.load.full():
                self.load.refusal(load.WORK)
                self.refused += 1
                continue
            self.load.taken += 1
            self.cpu_s += cost_s
            for _ in range(units):
                self.hub.store.commit(Unit())

    def pass_turn(self, seconds: float = load.LOOK_S) -> None:
        """What was offered is written; the next turn begins."""
        self.hub.clock.advance(seconds)
        self.hub.settle()

    def burst_each_second(self, many: int, cost_s: float, seconds: int = 15) -> None:
        """So many at once, each second, and nothing else."""
        for _ in range(seconds):
            self.offer(many, cost_s)
            for _ in range(TURNS):
                self.pass_turn()

    def test_bursts(self) -> None:
        """A light load whose bursts are refused in part ends it: nothing is refused any more."""
        for many, cost_s in ((60, 0.001), (100, 0.001), (200, 0.0001)):
            self.setUp()
            self.burst_each_second(many, cost_s)
            self.assertGreater(self.refused, 0)
            self.assertFalse(self.load.shedding)
            self.refused = 0
            self.burst_each_second(many, cost_s)
            self.assertEqual(self.refused, 0)

    def test_now_and_then_a_long_turn(self) -> None:
        """Single long turns do not begin it, so they do not keep it either."""
        for _ in range(15):
            self.offer(60, 0.001)
            self.pass_turn(load.LATE_S * 2)
            for _ in range(TURNS - 8):
                self.pass_turn()
        self.assertFalse(self.load.shedding)

    def test_reports_beside(self) -> None:
        """What agents report is no reason to refuse others, as long as nothing is late."""
        for _ in range(15):
            self.offer(60, 0.001)
            for _ in range(TURNS):
                self.cpu_s += 0.6 / TURNS
                self.pass_turn()
        self.assertFalse(self.load.shedding)

    def test_not_before_some_seconds(self) -> None:
        """It takes some seconds without too much to do until refusals do not matter."""
        self.burst_each_second(60, 0.001, int(load.LIGHT_S) - 1)
        self.assertTrue(self.load.shedding)

    def test_too_much(self) -> None:
        """More than the hub can take is refused for as long as it comes, though nothing is late."""
        for _ in range(30 * TURNS // 3):
            self.offer(200, 0.001, 0)
            self.pass_turn(load.TURN_S + load.LOOK_S)
        self.assertTrue(self.load.shedding)

    def test_too_much_on_a_shared_processor(self) -> None:
        """The same where others use half of the processor."""
        for _ in range(30 * TURNS // 5):
            self.offer(200, 0.001, 0)
            self.pass_turn(load.TURN_S * 2)
        self.assertTrue(self.load.shedding)

    def test_too_much_for_the_disk(self) -> None:
        """The same where the store is what can take no more, and the processor has little to do."""
        self.commits.holding = True
        for _ in range(15 * TURNS):
            self.offer(400, 0.00001)
            self.hub.clock.advance(load.LOOK_S)
            # One batch is written, and the next one begins.
            self.commits.release()
            self.commits.holding = True
            self.hub.clock.advance(0)
        self.assertTrue(self.load.shedding)
        self.assertFalse(self.load._slow)
        self.commits.release()
        self.hub.settle()

    def test_too_much_again(self) -> None:
        """What is late for long begins the time anew that must pass without it."""
        self.burst_each_second(60, 0.001, 4)
        for _ in range(5):
            self.offer(60, 0.001)
            self.pass_turn(load.LATE_S * 2)
        self.burst_each_second(60, 0.001, 3)
        self.assertTrue(self.load.shedding)
        self.burst_each_second(60, 0.001, 4)
        self.assertFalse(self.load.shedding)

    def test_rare_refusals_that_last(self) -> None:
        """Bursts that come ten times a second are refused in part, and end it as well."""
        for _ in range(15 * 10):
            self.offer(60, 0.001)
            self.pass_turn(load.TURN_S + 0.005)
            for _ in range(2):
                self.pass_turn()
        self.assertGreater(self.refused, 0)
        self.assertFalse(self.load.shedding)
