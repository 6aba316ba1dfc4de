"""Numbers of tasks: none comes twice, lists follow them, and events are found by them."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec

from agentcom.core.changes import Assign
from agentcom.core.events import PRESENCE, TASK_DELETED, TASKS, Draft, Event
from agentcom.core.state import Status
from agentcom.core.task import apply, submitted
from agentcom.store.commit import Batch
from agentcom.store.interface import Old, Unit
from tests.unit.store.support import NOW, StoreCase, file_store, make_draft, make_task


class NumberingTests(StoreCase):
    """Each number is higher than all before it, whatever became of their tasks."""

    def setUp(self) -> None:
        super().setUp()
        self.path = Path(self.mktemp())
        self.restart()

    def restart(self) -> None:
        """As after a stop or a crash: the file is all that is left."""
        self.store = file_store(self.clock, self.path)
        self.addCleanup(self.store.close)

    def add(self, status: Status = Status.DEAD_LETTER) -> int:
        """A task with its number, and an event of it."""
        number = self.store.next_number()
        task = make_task(f"t{number}", number=number, status=status)
        self.put(Unit(new=[task], drafts=submitted(task)))
        return number

    def pruned_number(self) -> int:
        found = self.store._connection.execute("SELECT pruned_number FROM meta").fetchone()
        return int(found[0])

    def test_first(self) -> None:
        """The first task is number 1, and each call gives the next one."""
        self.assertEqual([self.store.next_number() for _ in range(3)], [1, 2, 3])

    def test_restart(self) -> None:
        """Numbers go on after those of tasks that are stored; holes are not filled."""
        self.add()
        self.store.next_number()
        self.assertEqual(self.add(), 3)
        self.restart()
        self.assertEqual(self.add(), 4)

    def test_deleted(self) -> None:
        """The number of a task that was deleted is taken: its events are still there."""
        self.add()
        self.add()
        told = Draft(TASKS, TASK_DELETED, NOW, "t2", number=2)
        self.put(Unit(drafts=[told], forgotten=["t2"]))
        self.restart()
        self.assertEqual(self.add(), 3)

    def test_only_events(self) -> None:
        """Events alone hold a number too."""
        self.put(Unit(drafts=[make_draft()]))
        self.restart()
        self.assertEqual(self.store.next_number(), 2)

    def test_pruned(self) -> None:
        """Nothing is left of the newest tasks, and still their numbers do not come again."""
        for _ in range(3):
            self.add(Status.COMPLETED)
        self.put(Unit(forgotten=["t2", "t3"], forgotten_events=[2, 3]))
        self.restart()
        self.assertEqual(self.add(Status.COMPLETED), 4)
        self.put(Unit(forgotten=["t1", "t4"], forgotten_events=[1, 4]))
        self.assertEqual((self.listed(), self.successResultOf(self.store.events(0, 9))), ([], []))
        for expected in (5, 5, 5):
            self.restart()
            self.assertEqual(self.store.next_number(), expected)

    def test_pruned_one_after_the_other(self) -> None:
        """It is the same where row and events go in different commits, in either order."""
        for forgotten in itertools.permutations(
            [Unit(forgotten=["t1"]), Unit(forgotten_events=[1]), Unit(forgotten=["t0"])]
        ):
            self.path = Path(self.mktemp())
            self.restart()
            self.add(Status.COMPLETED)
            for unit in forgotten:
                self.put(unit)
                self.assertEqual(self.pruned_number(), 1)
            self.restart()
            self.assertEqual(self.store.next_number(), 2)

    def test_made_and_forgotten_in_one_commit(self) -> None:
        """It is the same where one commit makes and forgets a task."""
        task = make_task("t1", status=Status.COMPLETED)
        self.put(Unit(new=[task], drafts=submitted(task)), Unit((), (), forgotten=["t1"]))
        self.put(Unit(forgotten_events=[1]))
        self.restart()
        self.assertEqual(self.store.next_number(), 2)

    def test_lists_follow_numbers(self) -> None:
        """Lists and what waits are in the order of the numbers, whatever was written first."""
        numbers = {"b": 7, "c": 2, "a": 9}
        for task_id, number in numbers.items():
            self.put(Unit(new=[make_task(task_id, number=number)]))
        self.assertEqual(self.listed(), ["a", "b", "c"])
        self.assertEqual(self.listed(before=9), ["b", "c"])
        self.assertEqual([w.id for w in self.store.load().waiting], ["c", "b", "a"])


class EventTests(StoreCase):
    """Events are stored with the numbers of their tasks, which nobody is shown."""

    def numbers(self) -> list[int | None]:
        found = self.store._connection.execute("SELECT task_number FROM events ORDER BY seq")
        return [number for (number,) in found]

    def test_rows_have_the_numbers(self) -> None:
        """Each event has its own task's, and those of no task have none."""
        a, b = make_task("a", number=5), make_task("b", number=3)
        held, told = apply(a, Assign("w"), NOW)
        joined = Draft(PRESENCE, "agent_joined", NOW, None, "w")
        self.put(
            Unit(new=[b], drafts=submitted(b)),
            Unit(drafts=[joined]),
            Unit(new=[held], drafts=[*submitted(a), joined, *told]),
        )
        self.assertEqual(self.numbers(), [3, None, 5, None, 5])
        for task_id, seqs in (("a", [3, 5]), ("b", [1])):
            page = self.successResultOf(self.store.task_events(task_id, 0, 9))
            self.assertEqual([event.seq for event in page.events], seqs)
            last = self.successResultOf(self.store.last_event(task_id))
            self.assertEqual(last and last.seq, seqs[-1])

    def test_events_do_not_show_them(self) -> None:
        """What clients see of an event has no number of a task, told live or read."""
        heard: list[Event] = []
        self.store.on_commit(heard.extend)
        task = make_task("a", number=4711)
        self.put(Unit(new=[task], drafts=submitted(task)))
        read = self.successResultOf(self.store.events(0, 9))
        self.assertEqual(msgspec.json.encode(heard), msgspec.json.encode(read))
        self.assertNotIn(b"number", msgspec.json.encode(read))
        self.assertNotIn(b"4711", msgspec.json.encode(read))

    def test_a_batch_pairs_them(self) -> None:
        """A batch has a number, or none, for each of its events, over all units."""
        units = [
            Unit(drafts=[make_draft(task_id=task_id) for task_id in ids])
            for ids in (["a"], [], ["b", None, "a"], [None])
        ]
        batch = Batch(units, 10)
        self.assertEqual(batch.numbers, [1, 2, None, 1, None])
        self.assertEqual([event.seq for event in batch.events], [11, 12, 13, 14, 15])

    def test_of_a_task_that_is_gone(self) -> None:
        """Of a task whose row is gone there is nothing to read but the log."""
        dead = make_task("a", status=Status.DEAD_LETTER)
        self.put(Unit(new=[dead], drafts=submitted(dead)))
        self.put(Unit(drafts=[make_draft(TASK_DELETED, "a")], forgotten=["a"]))
        self.assertEqual(self.successResultOf(self.store.task_events("a", 0, 9)).events, [])
        self.assertIsNone(self.successResultOf(self.store.last_event("a")))
        self.assertEqual(len(self.successResultOf(self.store.events(0, 9))), 2)

    def test_retention_finds_all_of_no_task(self) -> None:
        """Events without a number, and those whose number no task has, are of no task."""
        live = make_task("live")
        self.put(
            Unit(drafts=[Draft(PRESENCE, "agent_joined", NOW)]),
            Unit(drafts=[Draft(TASKS, TASK_DELETED, NOW, "older than numbers")]),
            Unit(drafts=[make_draft(TASK_DELETED, "gone")]),
            Unit(new=[live], drafts=submitted(live)),
        )
        self.assertEqual(self.numbers(), [None, None, 2, 1])
        found = self.successResultOf(self.store.old(NOW + 1, NOW + 1, (0, 0), 9))
        self.assertEqual(found, Old([], [1, 2, 3], None))
        self.put(Unit(forgotten_events=[1, 2, 3, 4]))
        events = self.successResultOf(self.store.events(0, 9))
        self.assertEqual([event.seq for event in events], [4])
