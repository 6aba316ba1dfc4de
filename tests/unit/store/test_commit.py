"""Group commit on a clock, over a database that fails when it is told to.

Time passes only by ``advance``; the commit runs at once unless it is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.events import TASKS, Draft
from agentcom.store.commit import BATCH, GIVE_UP_AFTER_S, UNWELL_AFTER_S, Batch, GroupCommit, size
from agentcom.store.interface import Post, Unit
from tests.unit.store.support import (
    FailingTransaction,
    Held,
    committing,
    make_clock,
    make_draft,
    make_task,
    unit_of,
)
from tests.unit.store.test_messages import message


class CommitCase(SynchronousTestCase):
    """A group commit over a :class:`FailingTransaction`."""

    def setUp(self) -> None:
        self.clock: Clock = make_clock()
        self.database = FailingTransaction()
        self.run_work = Held()
        self.told: list[Batch] = []
        self.given_up = 0
        self.commits = GroupCommit(
            self.clock,
            committing(self.database, self.run_work),
            10,
            self._committed,
            self._give_up,
        )
        self.logged: list[str] = []
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)

    def _committed(self, batch: Batch) -> Iterator[None]:
        self.told.append(batch)
        for unit in batch.units:
            if unit.then is not None:
                yield
                unit.then()

    def _give_up(self) -> None:
        self.given_up += 1

    def _observe(self, event: dict[str, object]) -> None:
        if event.get("log_namespace") == "agentcom.store.commit.GroupCommit":
            self.logged.append(str(event["log_level"]))

    def advance(self, seconds: float) -> None:
        while seconds > 0:
            self.clock.advance(min(0.05, seconds))
            seconds -= 0.05
        self.clock.advance(0)


class GatheringTests(CommitCase):
    """What goes together, and in which order."""

    def sizes(self) -> list[int]:
        return [len(inserts) for inserts, *_ in self.database.committed]

    def test_one_turn_is_one_transaction(self) -> None:
        """What is handed over in one turn of the reactor is one transaction."""
        for n in range(5):
            self.commits.add(unit_of(f"task-{n}"))
        self.assertEqual(self.database.calls, [])
        self.clock.advance(0)
        self.assertEqual(self.database.calls, ["write", "commit"])
        self.assertEqual(self.sizes(), [5])

    def test_at_most_192_changes(self) -> None:
        """A transaction has at most 192 changes; the rest goes with the next."""
        for n in range(550):
            self.commits.add(unit_of(f"task-{n}"))
        self.advance(1)
        self.assertEqual(BATCH, 192)
        self.assertEqual(self.sizes(), [192, 192, 166])

    def test_events_alone_count_too(self) -> None:
        """A unit without tasks is a change as well: a flood of events is cut up."""
        for _ in range(300):
            self.commits.add(Unit(drafts=[make_draft()]))
        self.advance(1)
        self.assertEqual([len(events) for _, _, events, *_ in self.database.committed], [192, 108])

    def test_units_are_indivisible(self) -> None:
        """A unit is never cut: one that does not fit waits, a large one goes alone."""
        self.commits.add(unit_of("first"))
        self.commits.add(unit_of(*(f"a{n}" for n in range(192))))
        self.commits.add(unit_of(*(f"b{n}" for n in range(800))))
        self.commits.add(unit_of("last"))
        self.advance(1)
        self.assertEqual(self.sizes(), [1, 192, 800, 1])

    def test_the_next_batch_fills_during_a_commit(self) -> None:
        """While one batch is being committed, everything new gathers in the next."""
        self.run_work.holding = True
        self.commits.add(unit_of("one"))
        self.clock.advance(0)
        self.commits.add(unit_of("two"))
        self.advance(1)
        self.commits.add(unit_of("three"))
        self.assertEqual(self.database.calls, ["write"])
        self.run_work.release()
        self.advance(1)
        self.assertEqual(self.sizes(), [1, 2])

    def test_nothing_is_answered_before_the_commit(self) -> None:
        """``then`` runs after the commit has returned, never before."""
        answered: list[str] = []
        self.run_work.holding = True
        self.commits.add(unit_of("one", then=lambda: answered.append("one")))
        self.advance(5)
        self.assertEqual(answered, [])
        self.run_work.release()
        self.assertEqual(answered, ["one"])

    def test_answers_keep_the_order(self) -> None:
        """Answers leave in the order in which the units came, over batches too."""
        answered: list[int] = []
        for n in range(130):
            self.commits.add(unit_of(f"task-{n}", then=lambda n=n: answered.append(n)))
        self.advance(1)
        self.assertEqual(answered, list(range(130)))

    def test_sequence_is_contiguous(self) -> None:
        """Events are numbered on from the stored counter, without a hole."""
        for n in range(70):
            self.commits.add(unit_of(f"a{n}", f"b{n}"))
        self.advance(1)
        seqs = [seq for _, _, events, *_ in self.database.committed for seq, _ in events]
        self.assertEqual(seqs, list(range(11, 151)))
        self.assertEqual(self.database.committed[-1][-1], 150)

    def test_new_task_that_changes_at_once_is_inserted_once(self) -> None:
        """A task that is new and changed in one batch is one insert of its last state."""
        self.commits.add(Unit(new=[make_task("t", generation=0)]))
        self.commits.add(Unit([make_task("t", generation=1)]))
        self.commits.add(Unit([make_task("u", generation=4)]))
        self.commits.add(Unit([make_task("u", generation=5)]))
        self.clock.advance(0)
        inserts, updates, *_ = self.database.committed[0]
        self.assertEqual([(t.id, t.generation) for t in inserts], [("t", 1)])
        self.assertEqual([(t.id, t.generation) for t in updates], [("u", 5)])

    def test_new_and_changed_in_one_unit(self) -> None:
        """One unit may hold new tasks beside changes of others, and all of them count."""
        both = Unit(new=[make_task("n")], tasks=[make_task("u"), make_task("n", generation=1)])
        self.commits.add(both)
        self.commits.add(unit_of(*(f"a{n}" for n in range(190))))
        self.advance(1)
        (inserts, updates, *_), _ = self.database.committed
        self.assertEqual([(t.id, t.generation) for t in inserts], [("n", 1)])
        self.assertEqual([t.id for t in updates], ["u"])

    def test_forgetting_counts(self) -> None:
        """A task that goes is a change like one that comes; five events that go are one."""
        self.assertEqual(size(Unit(forgotten=["a", "b"])), 2)
        self.assertEqual(size(Unit(forgotten_events=[1])), 1)
        self.assertEqual(size(Unit(forgotten_events=range(1, 51))), 10)
        everything = Unit(
            tasks=[make_task()],
            new=[make_task("n")],
            forgotten=["a"],
            forgotten_events=range(1, 11),
        )
        self.assertEqual(size(everything), 5)
        self.assertEqual(size(Unit()), 1)
        for n in range(4):
            self.commits.add(Unit(forgotten=[f"f{n}"]))
            self.commits.add(Unit(forgotten_events=range(n * 1000 + 1, n * 1000 + 451)))
        self.advance(1)
        gone = [(len(ids), len(seqs)) for *_, ids, seqs, _ in self.database.committed]
        self.assertEqual(gone, [(3, 900), (1, 900)])

    def test_bytes_count(self) -> None:
        """What clients have said counts, so that a batch of large units is no heap of bytes."""
        long = "x" * 64 * 1024
        said = [
            Unit(new=[make_task(description=long)]),
            Unit(new=[make_task(metadata=long.encode())]),
            Unit(tasks=[make_task(result=long.encode())]),
            Unit(drafts=[Draft(TASKS, "x", 0, payload=long.encode())]),
            Unit(post=Post([message(1, payload=long.encode())])),
        ]
        self.assertEqual([size(unit) for unit in said], [5] * 5)
        for n in range(100):
            self.commits.add(Unit(new=[make_task(f"t{n}", description=long)]))
        self.advance(1)
        self.assertEqual(self.sizes(), [38, 38, 24])

    def test_idle(self) -> None:
        """``idle`` fires when everything handed over before and meanwhile is committed."""
        self.assertIsNone(self.successResultOf(self.commits.idle()))
        self.run_work.holding = True
        self.commits.add(unit_of("one"))
        waiting = self.commits.idle()
        self.clock.advance(0)
        self.commits.add(unit_of("two"))
        self.assertNoResult(waiting)
        self.run_work.release()
        self.assertNoResult(waiting)
        self.assertTrue(self.commits.busy)
        self.advance(1)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertFalse(self.commits.busy)


class MeasureTests(CommitCase):
    """What commits took."""

    def test_commits(self) -> None:
        """Each commit counts once, with its units and its seconds."""
        self.run_work.holding = True
        for n in range(5):
            self.commits.add(unit_of(f"task-{n}"))
        self.clock.advance(0)
        self.commits.add(unit_of("task-9"))
        self.clock.advance(0.3)
        self.run_work.release()
        self.advance(0)
        measures = self.commits.measures
        self.assertEqual((measures.units.sum, measures.units.cumulative()[-1]), (6, 2))
        self.assertAlmostEqual(measures.seconds.sum, 0.3)
        self.assertEqual(measures.seconds.cumulative()[-1], 2)
        self.assertEqual(measures.failures, 0)

    def test_failures(self) -> None:
        """A try that fails is a failure, and not a commit until it is one."""
        self.database.fails = "commit"
        self.commits.add(unit_of("task-1"))
        self.advance(0.1)
        measures = self.commits.measures
        self.assertGreater(measures.failures, 1)
        self.assertEqual(measures.seconds.cumulative()[-1], 0)
        self.assertEqual(measures.units.sum, 0)
        failures, self.database.fails = measures.failures, ""
        self.advance(1)
        self.assertEqual((measures.failures, measures.units.sum), (failures, 1))


class FailingTests(CommitCase):
    """A commit that fails is tried again unchanged, and nobody is answered meanwhile."""

    def begin(self, where: str) -> list[str]:
        answered: list[str] = []
        self.database.fails = where
        self.commits.add(unit_of("one", then=lambda: answered.append("one")))
        self.clock.advance(0)
        return answered

    def assert_same_again(self, where: str) -> None:
        answered = self.begin(where)
        self.advance(3)
        self.assertGreater(len(self.database.tried), 3)
        first = self.database.tried[0]
        self.commits.add(unit_of("two", then=lambda: answered.append("two")))
        self.advance(3)
        for again in self.database.tried:
            self.assertEqual(again, first)
        self.assertEqual((answered, self.database.committed, self.told), ([], [], []))
        self.database.fails = ""
        self.advance(2)
        self.assertEqual(answered, ["one", "two"])
        self.assertEqual(self.database.committed[0], first)
        events = [event for _, _, found, *_ in self.database.committed for event in found]
        self.assertEqual([seq for seq, _ in events], [11, 12])

    def test_failing_statements(self) -> None:
        """A batch whose statements fail is rolled back and tried again, the same one."""
        self.assert_same_again("write")

    def test_failing_commit(self) -> None:
        """A batch whose COMMIT fails is rolled back and tried again, the same one."""
        self.assert_same_again("commit")

    def test_every_try_begins_anew(self) -> None:
        """After each failure there is a rollback before the next try."""
        self.begin("commit")
        self.advance(1)
        calls = self.database.calls
        self.assertEqual(calls[:6], ["write", "commit", "rollback"] * 2)

    def test_trouble_only_after_half_a_second(self) -> None:
        """A short hiccup is not told; failing for half a second is."""
        self.assertFalse(self.commits.unwell())
        self.begin("commit")
        self.assertFalse(self.commits.unwell())
        self.clock.advance(UNWELL_AFTER_S - 0.01)
        self.assertFalse(self.commits.unwell())
        self.clock.advance(0.02)
        self.assertTrue(self.commits.unwell())
        self.assertEqual(UNWELL_AFTER_S, 0.5)

    def test_recovery_is_logged_once(self) -> None:
        """One line says that commits fail and one that they work again, however many tries."""
        self.begin("write")
        self.advance(5)
        self.database.fails = ""
        self.advance(2)
        self.commits.add(unit_of("more"))
        self.advance(2)
        self.assertFalse(self.commits.unwell())
        names = [level.rpartition("=")[2].rstrip(">") for level in self.logged]
        self.assertEqual(names, ["error", "info"])

    def test_gives_up_after_a_minute(self) -> None:
        """After 60 s of failing the process is told to end: once, and not before."""
        self.begin("commit")
        self.advance(GIVE_UP_AFTER_S - 1)
        self.assertEqual(self.given_up, 0)
        self.advance(3)
        self.assertEqual(self.given_up, 1)
        tries = len(self.database.tried)
        self.advance(120)
        self.assertEqual((self.given_up, len(self.database.tried)), (1, tries))
        self.assertEqual(GIVE_UP_AFTER_S, 60.0)

    def test_two_short_failures_are_not_a_long_one(self) -> None:
        """The minute begins anew after each success."""
        for _ in range(3):
            self.begin("commit")
            self.advance(40)
            self.database.fails = ""
            self.advance(2)
        self.assertEqual(self.given_up, 0)
        self.assertEqual(len(self.database.committed), 3)

    def test_answering_that_raises_is_logged(self) -> None:
        """What ``committed`` raises is logged, and the next batch goes on."""

        def broken() -> None:
            raise ZeroDivisionError

        later: list[str] = []
        run: Callable[[], None] = broken
        self.commits.add(unit_of("one", then=run))
        self.clock.advance(0)
        self.commits.add(unit_of("two", then=lambda: later.append("two")))
        self.advance(1)
        self.assertEqual(later, ["two"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class TellingTests(CommitCase):
    """Telling of what is committed takes its time, and no turn takes all of it."""

    def setUp(self) -> None:
        super().setUp()
        self.order: list[object] = []

    def slow(self, n: int) -> None:
        """Units whose answers take 2 ms each."""

        def answer(n: int) -> None:
            self.order.append(n)
            self.clock.rightNow += 0.002

        for k in range(n):
            self.commits.add(unit_of(f"task-{k}", then=partial(answer, k)))

    def test_in_slices(self) -> None:
        """After 5 ms others have their turn, then the rest is told, in the same order."""
        self.slow(7)
        self.clock.callLater(0, self.order.append, "others")
        self.clock.callLater(0.007, self.order.append, "others again")
        self.clock.advance(0)
        expected = [0, 1, 2, "others", 3, 4, 5, "others again", 6]
        self.assertEqual(self.order, expected)

    def test_batches_in_their_order(self) -> None:
        """A batch that is committed meanwhile is told of behind the one before it."""
        self.slow(4)
        later = unit_of("later", then=lambda: self.order.append("later"))
        self.clock.callLater(0, self.commits.add, later)
        self.clock.advance(0)
        self.assertEqual(self.order, [0, 1, 2, 3, "later"])
        self.assertFalse(self.commits.busy)

    def test_late_telling_holds_up_batches(self) -> None:
        """While two batches are not told of, what comes waits where it is counted."""
        untold, waiting = [], []

        def answer(n: int) -> None:
            self.order.append(n)
            untold.append(len(self.database.committed) - len(self.told))
            waiting.append(self.commits.backlog)
            self.clock.rightNow += 0.004

        for n in range(200):
            more = Unit(drafts=[make_draft()], then=partial(answer, n))
            self.clock.callLater(0.001 * n, self.commits.add, more)
        self.advance(5)
        self.assertEqual(self.order, list(range(200)))
        self.assertLessEqual(max(untold), 1)
        self.assertGreater(max(waiting), 50)
        self.assertFalse(self.commits.busy)

    def test_not_idle_before_all_are_told(self) -> None:
        """``idle`` waits for answers that wait for their turn."""
        self.slow(4)
        self.commits.idle().addCallback(lambda _: self.order.append("idle"))
        self.clock.callLater(0, lambda: self.order.append(self.commits.busy))
        self.clock.advance(0)
        self.assertEqual(self.order, [0, 1, 2, True, 3, "idle"])
