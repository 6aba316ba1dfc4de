"""How many tasks ended how, between two looks of the store, whose reads the test holds up."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.state import Status
from agentcom.hub.timings import Timings
from agentcom.hub.totals import ANEW_S, Totals
from agentcom.store.interface import Unit
from tests.unit.http.support import HttpCase
from tests.unit.store.support import Held, make_clock, make_task, memory_store


class TotalsTests(HttpCase):
    """One hub; what it counts against what the store has."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a", slots=5)

    def submit(self) -> str:
        return str(self.post("/api/tasks", {"description": "x"}).body["task_id"])

    def end(self, how: str = "task_complete", **fields: object) -> str:
        """A task that has ended."""
        task_id = self.submit()
        self.agent.say("task_accepted", task_id=task_id)
        self.agent.say(how, task_id=task_id, **fields)
        return task_id

    def die(self) -> str:
        return self.end("task_failed", error="x", retryable=False)

    def ended(self) -> dict[str, int]:
        return self.hub.parts.measures.totals.ended()

    def assert_ended(self, **expected: int) -> None:
        nothing = {"completed": 0, "dead_letter": 0, "cancelled": 0, "expired": 0}
        self.assertEqual(self.ended(), {**nothing, **expected})

    def test_moves(self) -> None:
        """What ends is counted at once, and what is retried is taken away again."""
        self.assert_ended()
        self.end()
        dead = self.die()
        self.die()
        cancelled = self.submit()
        self.post(f"/api/tasks/{cancelled}/cancel")
        self.assert_ended(completed=1, dead_letter=2, cancelled=1)
        self.post(f"/api/tasks/{dead}/retry")
        self.assert_ended(completed=1, dead_letter=1, cancelled=1)

    def test_restart(self) -> None:
        """After a restart what ended before is counted too."""
        self.end()
        self.die()
        store, clock = self.hub.store, self.hub.clock
        self.hub = type(self.hub)(store, clock, seed=1)
        self.assert_ended(completed=1, dead_letter=1)
        self.agent = self.hub.agent("a", slots=5)
        self.end()
        self.assert_ended(completed=2, dead_letter=1)

    def test_deleted(self) -> None:
        """What is deleted is counted no more, whether by hand or because it is old."""
        dead = self.die()
        self.end()
        self.hub.request("DELETE", f"/api/tasks/{dead}")
        self.assert_ended(completed=1)
        self.die()
        archive = self.hub.hub.archive
        pruned = Deferred.fromCoroutine(archive.prune(2**53, (0, 0)))
        self.hub.settle()
        self.assertEqual(self.successResultOf(pruned)[0], 2)
        self.assert_ended()

    def test_counted_anew(self) -> None:
        """Whatever it had wrong is right after ten minutes, and not looked up before."""
        self.end()
        self.hub.parts.measures.timings.ended[Status.COMPLETED] += 5
        self.hub.advance(ANEW_S / 2, step=1)
        self.assert_ended(completed=6)
        self.hub.advance(ANEW_S / 2 + 2, step=1)
        self.assert_ended(completed=1)


class LookTests(SynchronousTestCase):
    """When the store is asked, and what its answer is worth."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.reads = Held()
        self.store = memory_store(self.clock, reads=self.reads)
        self.addCleanup(self.store.close)
        self.timings = Timings()
        self.totals = Totals(self.store, self.timings, Counter(), self.clock)

    def end(self, id: str) -> None:
        """A task ends, and its row is written."""
        old, new = make_task(id), make_task(id, status=Status.COMPLETED)
        self.timings.follow(old, new)
        self.store.commit(Unit(new=(new,)))
        self.clock.advance(0)

    def completed(self) -> int:
        return self.totals.ended()["completed"]

    def test_one_at_a_time(self) -> None:
        """No look is begun upon another, however long it takes."""
        self.reads.holding = True
        self.totals.tick()
        self.clock.advance(2 * ANEW_S)
        self.totals.tick()
        self.assertEqual(len(self.reads.waiting), 1)
        self.reads.release()
        self.reads.holding = True
        self.totals.tick()
        self.assertEqual(len(self.reads.waiting), 1)

    def test_slow_look(self) -> None:
        """What ends while the store looks is not lost, and the next look is right."""
        self.end("a")
        self.reads.holding = True
        self.totals.tick()
        self.end("b")
        self.assertEqual(self.completed(), 2)
        self.reads.release()
        # It looked when both had ended, so the second counts twice until the next look.
        self.assertEqual(self.completed(), 3)
        self.clock.advance(ANEW_S)
        self.totals.tick()
        self.assertEqual(self.completed(), 2)

    def test_failing_look(self) -> None:
        """A look that fails is logged, and comes again."""
        self.end("a")
        self.reads.error = OSError("disk I/O error")
        self.totals.tick()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.completed(), 1)
        self.reads.error = None
        self.reads.holding = True
        self.clock.advance(ANEW_S)
        self.totals.tick()
        self.assertEqual(len(self.reads.waiting), 1)
        self.reads.release()
        self.assertEqual(self.completed(), 1)
