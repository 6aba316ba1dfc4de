"""The ledger: progress waits and merges, everything else is written at once, in order."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.changes import Accept, Assign, Cancel, Complete, Fail, Progress, Requeue
from agentcom.core.task import IllegalTransition, Status, Task, submitted
from agentcom.hub import ledger as ledger_module
from agentcom.hub.ledger import ENDED_KEPT, MERGED_OUTPUT, PROGRESS_WAIT_S, Ledger
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
        self.moves.append((old and old.status.value, new.status.value))

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
        return self.successResultOf(self.store.task(task_id))


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

    def test_load(self) -> None:
        """What is loaded is live, and told as new."""
        self.ledger.load([make_task("a"), make_task("b", status=Status.WORKING, agent_id="w")])
        self.assertEqual(set(self.ledger.live), {"a", "b"})
        self.assertEqual(self.moves, [(None, "queued"), (None, "working")])
