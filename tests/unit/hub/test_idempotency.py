"""Idempotency keys while the first request with one is under way.

The store's reads and commits go on when the test says so, so that requests
overlap in every order.  What a key means later is said in the tests of HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.state import Task
from agentcom.core.task import submitted
from agentcom.errors import IdempotencyConflict, QueueFull
from agentcom.hub.idempotency import IdempotencyKeys, check_same, hash_of
from agentcom.store.interface import Unit
from agentcom.testing import MemoryHub
from agentcom.wire.tasks import Submission
from tests.unit.store.support import Held, make_clock, make_task, memory_store

Made = list[tuple[Task, bool]]


class KeysTests(SynchronousTestCase):
    """Reservations of keys, over the real store in memory."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.reads = Held()
        self.store = memory_store(self.clock, reads=self.reads)
        self.addCleanup(self.store.close)
        self.keys = IdempotencyKeys(self.store)
        self.inside: list[str] = []
        self.ends: list[Deferred[None]] = []
        self.addCleanup(self.end_all)

    def end_all(self) -> None:
        """Nobody keeps anything beyond the test."""
        for end in self.ends:
            if not end.called:
                end.callback(None)

    def hold(self, name: str, keys: Sequence[str], submitter: str = "s") -> Deferred[None]:
        """Reserve keys; what is returned ends the reservation."""
        end: Deferred[None] = Deferred()
        self.ends.append(end)

        async def held() -> None:
            async with self.keys.reserve(submitter, keys):
                self.inside.append(name)
                await end
            self.inside.append(f"{name} ends")

        self.ended = Deferred.fromCoroutine(held())
        return end

    def test_one_at_a_time(self) -> None:
        """Whoever has a key has it alone; those who wait get it one after the other."""
        ends = [self.hold(name, ["k"]) for name in "abc"]
        self.assertEqual(self.inside, ["a"])
        ends[0].callback(None)
        self.assertEqual(self.inside[:2], ["a", "b"])
        self.assertNotIn("c", self.inside)
        ends[1].callback(None)
        ends[2].callback(None)
        self.assertEqual([name for name in self.inside if "ends" not in name], ["a", "b", "c"])
        self.assertEqual(self.keys._reserved, {})

    def test_other_keys(self) -> None:
        """Other keys, and other submitters' same keys, do not wait."""
        self.hold("a", ["k"])
        self.hold("b", ["l"])
        self.hold("c", ["k"], submitter="other")
        self.assertEqual(self.inside, ["a", "b", "c"])

    def test_crossing_keys(self) -> None:
        """Two with the same keys in the other order do not wait for each other for ever."""
        first = self.hold("a", ["k", "l"])
        second = self.hold("b", ["l", "k"])
        third = self.hold("c", ["m", "l"])
        self.assertEqual(self.inside, ["a"])
        for end in (first, second, third):
            end.callback(None)
        self.assertEqual(sorted(self.inside)[::2], ["a", "b", "c"])
        self.assertEqual(self.keys._reserved, {})

    def test_waits_for_both(self) -> None:
        """One that needs keys of two others begins when both have ended, and not before."""
        first, second = self.hold("a", ["k"]), self.hold("b", ["l"])
        self.hold("c", ["k", "l"])
        first.callback(None)
        self.assertNotIn("c", self.inside)
        # Nothing is kept while it waits: the other key is free for whoever needs no more.
        third = self.hold("d", ["k"])
        self.assertIn("d", self.inside)
        second.callback(None)
        self.assertNotIn("c", self.inside)
        third.callback(None)
        self.assertIn("c", self.inside)

    def test_taken_before_the_store_is_asked(self) -> None:
        """While the store looks for a key, nobody else has it."""
        self.reads.holding = True
        self.hold("a", ["k"])
        self.hold("b", ["k"])
        self.assertEqual((self.inside, len(self.reads.waiting)), ([], 1))
        self.reads.release()
        self.assertEqual(self.inside, ["a"])

    def test_failure_gives_it_back(self) -> None:
        """A read that fails, or whoever had the key, does not keep it from the next one."""
        self.reads.error = OSError("disk")
        self.hold("a", ["k"])
        self.failureResultOf(self.ended, OSError)
        self.reads.error = None
        end = self.hold("b", ["k"])
        ended = self.ended
        self.hold("c", ["k"])
        self.assertEqual(self.inside, ["b"])
        end.errback(ZeroDivisionError())
        self.failureResultOf(ended, ZeroDivisionError)
        self.assertEqual(self.inside, ["b", "c"])

    def test_waiter_that_gives_up(self) -> None:
        """Who waits no more for a key keeps it from nobody."""
        end = self.hold("a", ["k"])
        self.hold("b", ["k"])
        self.ended.addErrback(lambda _: None)
        self.ended.cancel()
        self.hold("c", ["k"])
        end.callback(None)
        self.assertEqual(self.inside, ["a", "c", "a ends"])

    def test_gives_what_there_is(self) -> None:
        """It gives the submitter's tasks that have one of the keys."""
        mine = make_task("t1", submitted_by="s", idempotency_key="k")
        theirs = make_task("t2", submitted_by="other", idempotency_key="l")
        drafts = [*submitted(mine), *submitted(theirs)]
        self.store.commit(Unit(new=[mine, theirs], drafts=drafts))
        self.clock.advance(0)
        found: list[dict[str, Task]] = []

        async def look() -> None:
            async with self.keys.reserve("s", ["k", "l", "m"]) as known:
                found.append(known)

        self.successResultOf(Deferred.fromCoroutine(look()))
        self.assertEqual(found, [{"k": mine}])


class HashTests(SynchronousTestCase):
    """What tells one request from another."""

    def test_order_of_fields(self) -> None:
        """The order of fields makes no difference, anything else does."""
        one = hash_of({"a": 1, "b": {"c": [1, 2], "d": None}})
        self.assertEqual(one, hash_of({"b": {"d": None, "c": [1, 2]}, "a": 1}))
        others: list[object] = [{"a": 1}, {"a": 1, "b": {"c": [2, 1], "d": None}}, {"a": "1"}, []]
        for other in others:
            self.assertNotEqual(one, hash_of(other), other)

    def test_check(self) -> None:
        """A task that was made by another request is a conflict that names it."""
        task = make_task("t", body_hash=hash_of("x"))
        check_same(task, hash_of("x"))
        error = self.assertRaises(IdempotencyConflict, check_same, task, hash_of("y"))
        self.assertEqual(error.fields["task_id"], "t")
        unnamed = make_task("u")
        self.assertRaises(IdempotencyConflict, check_same, unnamed, hash_of("x"))


class SubmissionTests(SynchronousTestCase):
    """Batches that overlap, on a hub whose disk is slow."""

    def setUp(self) -> None:
        clock = make_clock()
        self.reads, self.commits = Held(), Held()
        store = memory_store(clock, reads=self.reads, commits=self.commits)
        self.addCleanup(store.close)
        self.hub = MemoryHub(store, clock, max_queued=5)

    def submit(self, *keys: str | None, submitter: str = "s", what: str = "x") -> Deferred[Made]:
        """A batch with these keys."""
        bodies = [Submission(description=what, idempotency_key=key) for key in keys]
        made = Deferred.fromCoroutine(self.hub.hub.submissions.submit_all(submitter, bodies))
        self.hub.settle()
        return made

    def slowly(self) -> None:
        """From now on reads and commits end when they are released."""
        self.reads.holding = self.commits.holding = True

    def go_on(self) -> None:
        """Let reads and commits end, those to come too."""
        for disk in (self.reads, self.commits) * 3:
            disk.release()
            self.hub.settle()

    def told(self, made: Deferred[Made]) -> list[tuple[str, bool]]:
        """Ids, and whether each is new."""
        return [(task.id, is_new) for task, is_new in self.successResultOf(made)]

    def test_two_in_one_batch(self) -> None:
        """A key that stands twice in a batch is one task, new once."""
        (a, first), (b, second), (c, third) = self.told(self.submit("k", "k", None))
        self.assertEqual((a, first, second), (b, True, False))
        self.assertNotEqual(c, a)
        self.assertTrue(third)
        self.assertEqual(len(self.hub.hub.dispatch.queue), 2)

    def test_while_the_first_is_written(self) -> None:
        """A second request waits for the first one's commit and then gives its task."""
        self.slowly()
        first, second = self.submit("k"), self.submit("k")
        self.reads.release()
        self.hub.settle()
        self.assertNoResult(first)
        self.assertNoResult(second)
        self.go_on()
        ((task_id, is_new),) = self.told(first)
        self.assertTrue(is_new)
        self.assertEqual(self.told(second), [(task_id, False)])

    def test_crossing_batches(self) -> None:
        """Two batches with the same keys in the other order both end, with the same tasks."""
        self.slowly()
        first, second = self.submit("k", "l"), self.submit("l", "k", "m")
        self.go_on()
        (one, _), (two, _) = self.told(first)
        found = self.told(second)
        self.assertEqual(found[:2], [(two, False), (one, False)])
        self.assertTrue(found[2][1])
        self.assertEqual(len(self.hub.hub.dispatch.queue), 3)

    def test_many_crossing_batches(self) -> None:
        """However many overlap, each key is one task in the end."""
        self.slowly()
        keys = ["a", "b", "c", "d", "e"]
        batches = [
            [keys[(n + i * step) % 5] for i in range(3)] for n in range(5) for step in (1, 2)
        ]
        made = [self.submit(*batch) for batch in batches]
        self.go_on()
        by_key: dict[str, set[str]] = {}
        news: list[bool] = []
        for batch, done in zip(batches, made, strict=True):
            for key, (task_id, is_new) in zip(batch, self.told(done), strict=True):
                by_key.setdefault(key, set()).add(task_id)
                news.append(is_new)
        self.assertEqual({key: len(ids) for key, ids in by_key.items()}, dict.fromkeys(keys, 1))
        self.assertEqual(news.count(True), 5)

    def test_conflict_with_one_under_way(self) -> None:
        """Another body with the key of one that is being written is a conflict; nothing of its
        batch is taken."""
        self.slowly()
        first, second = self.submit("k"), self.submit(None, "k", what="y")
        self.go_on()
        ((task_id, _),) = self.told(first)
        error = self.failureResultOf(second, IdempotencyConflict).value
        self.assertEqual(error.fields["task_id"], task_id)
        self.assertEqual(len(self.hub.hub.dispatch.queue), 1)

    def test_conflict_in_one_batch(self) -> None:
        """Two bodies with one key in one batch are a conflict; nothing of it is taken, and the
        key is free."""
        bodies = [Submission(description=what, idempotency_key="k") for what in ("x", "y")]
        made = Deferred.fromCoroutine(self.hub.hub.submissions.submit_all("s", bodies))
        self.hub.settle()
        self.failureResultOf(made, IdempotencyConflict)
        self.assertEqual(len(self.hub.hub.dispatch.queue), 0)
        self.assertEqual([new for _, new in self.told(self.submit("k"))], [True])

    def test_first_one_is_refused(self) -> None:
        """Where the first request fails, the second one is on its own."""
        self.slowly()
        first = self.submit("k", *[None] * 5)
        second = self.submit("k")
        self.go_on()
        self.failureResultOf(first, QueueFull)
        self.assertEqual([new for _, new in self.told(second)], [True])

    def test_others_do_not_wait(self) -> None:
        """Batches without keys, or of other submitters, do not wait for a key."""
        self.reads.holding = True
        self.submit("k")
        self.reads.holding = False
        self.assertEqual([new for _, new in self.told(self.submit(None))], [True])
        self.assertEqual([new for _, new in self.told(self.submit("k", submitter="t"))], [True])
        self.reads.release()
        self.hub.settle()
        self.assertEqual(len(self.hub.hub.dispatch.queue), 3)
