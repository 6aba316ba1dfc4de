"""The ledger: progress waits and merges, everything else is written at once, in order."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.changes import (
    Accept,
    Assign,
    Cancel,
    Complete,
    Fail,
    Progress,
    Requeue,
    Retry,
)
from agentcom.core.task import IllegalTransition, Status, Task, submitted
from agentcom.hub import ledger as ledger_module
from agentcom.hub.ledger import ENDED_KEPT, MERGED_OUTPUT, PROGRESS_WAIT_S, Ledger
from agentcom.store.interface import Unit
from tests.unit.store.support import make_clock, make_task, memory_store


class LedgerCase(SynchronousTestCase):
    """A ledger over the real store in memory."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.store = memory_store(self.clock)
        self.addCleanup(self.store.close)
        self.ledger = Ledger(self.store, self.clock, lambda: int(self.clock.seconds() * 1000))
        self.moves: list[tuple[str | None, str]] = []
        self.ledger.on_move(self._moved)

    def _moved(self, old: Task | None, new: Task) -> None:
        self.moves.append((None if old is None else old.status.value, new.status.value))

    def settle(self) -> None:
        for _ in range(5):
            self.clock.advance(0)

    def working(self, task_id: str = "t", **fields: Any) -> None:
        task = make_task(task_id, **fields)
        self.ledger.add(task, submitted(task))
        self.ledger.change(task_id, Assign("w"))
        self.ledger.change(task_id, Accept())
        self.settle()

    def events(self, task_id: str = "t") -> list[tuple[str, dict[str, Any]]]:
        """What the log says since the acceptance."""
        found = self.successResultOf(self.store.task_events(task_id, 0, 1_000))
        told = [(e.event, json.loads(bytes(e.payload))) for e in found.events]
        return [one for one in told if one[0] not in {"task_submitted", "task_assigned"}][1:]

    def stored(self, task_id: str = "t") -> Task:
        found = self.successResultOf(self.store.task(task_id))
        assert found is not None
        return found


class ProgressTests(LedgerCase):
    """Progress may wait 250 ms and merge with more of the same task; nothing else merges."""

    def test_waits_and_merges(self) -> None:
        """What comes within 250 ms is one event: the last number and message, all output."""
        self.working()
        self.ledger.progress("t", Progress(0.1, "one", "a"))
        self.ledger.progress("t", Progress(0.2, None, "b", {"usd": 1}))
        self.ledger.progress("t", Progress(None, "three", None))
        self.clock.advance(0.2)
        self.settle()
        self.assertEqual(self.events(), [])
        self.clock.advance(0.06)
        self.settle()
        merged = {"progress": 0.2, "message": "three", "output": "ab", "cost": {"usd": 1}}
        self.assertEqual(self.events(), [("task_progress", merged)])
        self.assertEqual(self.stored().progress, 0.2)
        self.assertEqual(PROGRESS_WAIT_S, 0.25)

    def test_each_task_for_itself(self) -> None:
        """Progress of two tasks is two events."""
        self.working("a")
        self.working("b")
        self.ledger.progress("a", Progress(0.1))
        self.ledger.progress("b", Progress(0.9))
        self.clock.advance(0.25)
        self.settle()
        self.assertEqual(self.events("a"), [("task_progress", {"progress": 0.1})])
        self.assertEqual(self.events("b"), [("task_progress", {"progress": 0.9})])

    def test_begins_anew(self) -> None:
        """After the wait the next progress is an event of its own."""
        self.working()
        for number in (0.1, 0.2):
            self.ledger.progress("t", Progress(number))
            self.clock.advance(0.25)
            self.settle()
        self.assertEqual([told["progress"] for _, told in self.events()], [0.1, 0.2])

    def test_first_one_begins_the_work(self) -> None:
        """The progress that implies acceptance does not wait."""
        task = make_task("t")
        self.ledger.add(task, submitted(task))
        self.ledger.change("t", Assign("w"))
        self.ledger.progress("t", Progress(0.1))
        self.assertEqual(self.ledger.live["t"].status, Status.WORKING)
        self.settle()
        self.assertEqual(self.stored().status, Status.WORKING)

    def test_other_changes_take_it_along(self) -> None:
        """Waiting progress is written before any other change of its task, in one unit."""
        for change, events in (
            (Complete(), ["task_progress", "task_complete"]),
            (Cancel("boss"), ["task_progress", "task_cancelled"]),
            (Fail("e"), ["task_progress", "task_failed", "task_dead_letter"]),
            (Requeue("hold_expired"), ["task_progress", "task_requeued"]),
        ):
            task_id = type(change).__name__
            self.working(task_id)
            self.ledger.progress(task_id, Progress(0.5))
            self.ledger.change(task_id, change)
            self.settle()
            self.assertEqual([name for name, _ in self.events(task_id)], events)
            self.assertEqual(self.stored(task_id).progress, 0.5)
            self.clock.advance(1)
            self.settle()
            self.assertEqual(len(self.events(task_id)), len(events))

    def test_much_output_does_not_wait(self) -> None:
        """Once much output waits, it is written at once."""
        self.working()
        self.ledger.progress("t", Progress(0.1, None, "x" * MERGED_OUTPUT))
        self.settle()
        self.assertEqual(self.events(), [])
        self.ledger.progress("t", Progress(None, None, "y"))
        self.settle()
        ((name, told),) = self.events()
        self.assertEqual((name, told["output"]), ("task_progress", "x" * MERGED_OUTPUT + "y"))
        self.clock.advance(1)
        self.settle()
        self.assertEqual(len(self.events()), 1)

    def test_flush(self) -> None:
        """A stop writes what waits."""
        self.working()
        self.ledger.progress("t", Progress(0.7))
        self.ledger.flush()
        self.settle()
        self.assertEqual(self.stored().progress, 0.7)


class ChangeTests(LedgerCase):
    """How changes are kept and answered."""

    def test_answers_after_the_commit(self) -> None:
        """``then`` runs after the commit, in the order of the changes, also for no change."""
        answered: list[str] = []
        task = make_task("t")
        self.ledger.add(task, submitted(task), lambda: answered.append("added"))
        self.ledger.change("t", Assign("w"), lambda: answered.append("assigned"))
        self.ledger.change("t", Accept(), lambda: answered.append("accepted"))
        self.ledger.change("t", Accept(), lambda: answered.append("again"))
        self.ledger.answer(lambda: answered.append("read"))
        self.ledger.answer(None)
        self.assertEqual(answered, [])
        self.settle()
        self.assertEqual(answered, ["added", "assigned", "accepted", "again", "read"])
        self.assertEqual(self.events(), [])

    def test_moves(self) -> None:
        """Whoever follows the ledger hears of each change, with what was before."""
        self.working()
        self.ledger.change("t", Complete())
        self.assertEqual(
            self.moves,
            [(None, "queued"), ("queued", "assigned"), ("assigned", "working"),
             ("working", "completed")],
        )  # fmt: skip

    def test_illegal_change(self) -> None:
        """An illegal change changes nothing, in memory or on disk."""
        self.working()
        self.assertRaises(IllegalTransition, self.ledger.change, "t", Assign("v"))
        self.settle()
        self.assertEqual(self.ledger.live["t"].agent_id, "w")
        self.assertEqual(self.events(), [])

    def test_ended_tasks_are_remembered_without_bodies(self) -> None:
        """An ended task is no longer live; what judges late reports is kept, bodies are not."""
        self.working(metadata=b'{"big":1}')
        self.ledger.change("t", Complete(b'"result"'))
        self.assertNotIn("t", self.ledger.live)
        found = self.ledger.find("t")
        self.assertIsNotNone(found)
        assert found is not None
        self.assertEqual((found.status, found.generation), (Status.COMPLETED, 1))
        self.assertEqual((found.description, found.metadata, found.result), ("", b"{}", None))
        self.settle()
        self.assertEqual(self.stored().result, b'"result"')
        self.assertEqual(self.stored().metadata, b'{"big":1}')

    def test_memory_of_ended_tasks_is_bounded(self) -> None:
        """Only the newest ended tasks are remembered."""
        self.assertEqual(ENDED_KEPT, 4_096)
        self.patch(ledger_module, "ENDED_KEPT", 3)
        for n in range(5):
            self.working(f"t{n}")
            self.ledger.change(f"t{n}", Complete())
        self.assertEqual(
            [bool(self.ledger.find(f"t{n}")) for n in range(5)], [False] * 2 + [True] * 3
        )
        self.assertEqual(self.ledger.live, {})

    def test_revive(self) -> None:
        """A task that has ended, as the store has it, lives again with all that it was."""
        self.working(metadata=b'{"big":1}')
        self.ledger.change("t", Fail("e", retryable=False))
        self.settle()
        self.moves.clear()
        new = self.ledger.revive(self.stored(), Retry("boss"))
        self.assertEqual(self.moves, [("dead_letter", "queued")])
        self.assertEqual((new.status, new.metadata), (Status.QUEUED, b'{"big":1}'))
        self.assertIs(self.ledger.find("t"), new)
        self.settle()
        self.assertEqual(self.stored(), new)

    def test_forget(self) -> None:
        """A deleted task is unknown, also to late reports; one that is unknown may be deleted."""
        self.working()
        self.ledger.change("t", Cancel("boss"))
        self.assertIsNotNone(self.ledger.find("t"))
        self.ledger.forget("t")
        self.ledger.forget("t")
        self.assertIsNone(self.ledger.find("t"))

    def test_settled(self) -> None:
        """It fires when all that was handed over before is on disk, not sooner."""
        task = make_task("t")
        self.ledger.add(task, submitted(task))
        settled = self.ledger.settled()
        self.assertNoResult(settled)
        self.settle()
        self.successResultOf(settled)
        self.assertEqual(self.stored(), task)

    def test_load(self) -> None:
        """What is loaded is live, and told as new."""
        self.ledger.load([make_task("a"), make_task("b", status=Status.WORKING, agent_id="w")])
        self.assertEqual(set(self.ledger.live), {"a", "b"})
        self.assertEqual(self.moves, [(None, "queued"), (None, "working")])


class TogetherTests(LedgerCase):
    """What is changed together is written as one."""

    def setUp(self) -> None:
        super().setUp()
        self.units: list[Unit] = []
        commit = self.store.commit

        def heard(unit: Unit) -> None:
            self.units.append(unit)
            commit(unit)

        self.patch(self.store, "commit", heard)

    def add(self, task_id: str) -> None:
        task = make_task(task_id)
        self.ledger.add(task, submitted(task))

    def test_one_unit(self) -> None:
        """Tasks, changes of them and of others, and their events are one unit, in order."""
        self.working("old")
        self.units.clear()

        def work() -> None:
            self.add("a")
            self.ledger.change("old", Complete())
            self.add("b")
            self.ledger.change("a", Assign("w"))
            self.assertEqual(self.units, [])

        self.ledger.together(work)
        (unit,) = self.units
        self.assertEqual([task.id for task in unit.new], ["a", "b"])
        self.assertEqual([task.id for task in unit.tasks], ["old"])
        # A task stands in it once, as it is at the end.
        self.assertIs(unit.new[0], self.ledger.live["a"])
        self.assertEqual(
            [(draft.task_id, draft.event) for draft in unit.drafts],
            [("a", "task_submitted"), ("old", "task_complete"), ("b", "task_submitted"),
             ("a", "task_assigned")],
        )  # fmt: skip
        self.settle()
        self.assertEqual(self.stored("a").status, Status.ASSIGNED)
        self.assertEqual(self.stored("b").status, Status.QUEUED)
        self.assertEqual(self.stored("old").status, Status.COMPLETED)

    def test_memory_is_ahead(self) -> None:
        """Inside, each change is seen at once by those who follow the ledger."""

        def work() -> None:
            self.add("a")
            self.ledger.change("a", Assign("w"))
            self.assertEqual(self.moves, [(None, "queued"), ("queued", "assigned")])

        self.ledger.together(work)

    def test_answers(self) -> None:
        """All answers come after the commit, in their order; one that raises stops none."""
        answered: list[str] = []

        def broken() -> None:
            raise ZeroDivisionError

        def work() -> None:
            self.ledger.answer(lambda: answered.append("first"))
            self.add("a")
            self.ledger.answer(broken)
            self.ledger.change("a", Assign("w"), lambda: answered.append("assigned"))
            self.ledger.settled().addCallback(lambda _: answered.append("settled"))

        self.ledger.together(work)
        self.assertEqual(answered, [])
        self.settle()
        self.assertEqual(answered, ["first", "assigned", "settled"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_within_another(self) -> None:
        """What is together within something together belongs to that."""

        def work() -> None:
            self.ledger.together(lambda: self.add("a"))
            self.add("b")

        self.ledger.together(work)
        self.assertEqual([[task.id for task in unit.new] for unit in self.units], [["a", "b"]])

    def test_what_was_done_is_written(self) -> None:
        """Memory is never rolled back: what was changed before something raised is written."""

        def half() -> None:
            self.add("a")
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.ledger.together, half)
        self.settle()
        self.assertEqual(self.stored("a").id, "a")
        self.add("b")
        self.assertEqual([len(unit.new) for unit in self.units], [1, 1])

    def test_afterwards(self) -> None:
        """What comes after it is written by itself again."""
        self.ledger.together(lambda: self.add("a"))
        self.add("b")
        self.ledger.change("a", Assign("w"))
        self.assertEqual(len(self.units), 3)
