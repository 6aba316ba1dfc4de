"""What is old enough to be forgotten: looked for again and again, until it is gone."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from agentcom.core.events import PRESENCE, TASK_DELETED, Draft
from agentcom.core.state import ENDED, Status, Task
from agentcom.store.connections import connect_reader
from agentcom.store.interface import Old, Unit
from tests.unit.store.support import NOW, StoreCase, file_store, make_draft, make_task, memory_store

CUTOFF = NOW + 1_000
"""What ended before this is old."""


class RetentionCase(StoreCase):
    """A store with tasks and their events."""

    def add(
        self, task_id: str, events: int = 1, at: int = NOW, status: Status = Status.COMPLETED
    ) -> None:
        """A task that was made and changed last at a time, with so many events."""
        task = make_task(task_id, status=status, created_at=at, updated_at=at)
        self.put(Unit(new=[task], drafts=[make_draft("e", task_id, at)] * events))

    def happen(self, at: int = NOW, task_id: str | None = None) -> None:
        """Something that belongs to no task, or to one that is gone."""
        self.put(Unit(drafts=[Draft(PRESENCE, TASK_DELETED, at, task_id)]))

    def look(self, limit: int, place: tuple[int, int] = (0, 0), before: int = CUTOFF) -> Old:
        return self.successResultOf(self.store.old(before, CUTOFF + 10**6, place, limit))

    def forget(self, limit: int, before: int = CUTOFF) -> int:
        """Look and forget until the look is through; gives the number of looks."""
        place: tuple[int, int] | None = (0, 0)
        looks = 0
        while place is not None:
            found = self.look(limit, place, before)
            self.assertLessEqual(len(found.events), limit)
            self.assertLessEqual(len(found.tasks), limit)
            self.assertEqual(len({*found.events}), len(found.events))
            nothing = found.next == place and not found.events and not found.tasks
            self.assertFalse(nothing, "a look that got nowhere")
            self.put(Unit(forgotten=found.tasks, forgotten_events=found.events))
            place = found.next
            looks += 1
            self.assertLess(looks, 1_000)
        return looks

    def left(self) -> tuple[list[str], list[int | None]]:
        events = self.successResultOf(self.store.events(0, 1_000))
        return self.listed(limit=1_000)[::-1], [event.seq for event in events]


class LookTests(RetentionCase):
    """One look: what it names, and where the next goes on."""

    def test_rows_of_the_future(self) -> None:
        """What was made while the clock was ahead hides nothing that comes after it."""
        for number in range(6):
            self.add(f"wrong{number}", at=NOW + 10**9)
        for number in range(6):
            self.add(f"old{number}", at=CUTOFF - 1)
        self.forget(2)
        self.assertEqual(self.left()[0], [f"wrong{number}" for number in range(6)])

    def test_nothing(self) -> None:
        """In an empty store the look is through at once."""
        self.assertEqual(self.look(5), Old([], [], None))

    def test_ended_tasks_with_their_events(self) -> None:
        """A task that ended goes with all of its events, whichever way it ended."""
        for status in sorted(ENDED):
            self.add(status.value, 2, status=status)
        found = self.look(100)
        self.assertEqual((found.tasks, found.next), (sorted(ENDED), None))
        self.assertEqual(found.events, list(range(1, 9)))

    def test_what_lives_is_not_named(self) -> None:
        """A task that has not ended stays with its events, however old it is."""
        for status in sorted(set(Status) - ENDED):
            self.add(status.value, 2, status=status)
        self.assertEqual(self.look(100), Old([], [], None))

    def test_the_cutoff(self) -> None:
        """What ended at the cutoff or later stays, also where it began before."""
        self.add("old", at=CUTOFF - 1)
        self.add("late", at=CUTOFF - 1)
        self.put(Unit([make_task("late", status=Status.COMPLETED, updated_at=CUTOFF)]))
        self.add("new", at=CUTOFF)
        self.happen(CUTOFF - 1)
        self.happen(CUTOFF)
        self.assertEqual(self.look(100), Old(["old"], [1, 4], None, {"completed": 1}))

    def test_events_of_no_task(self) -> None:
        """Events of no task, and of one whose row is gone, go; those of others stay."""
        self.happen()
        self.happen(task_id="gone")
        self.add("queued", status=Status.QUEUED)
        self.happen()
        self.assertEqual(self.look(100), Old([], [1, 2, 4], None))

    def test_no_more_rows_than_asked_for(self) -> None:
        """A look stops after its number of rows, and the next goes on there."""
        for n in range(5):
            self.add(f"q{n}", status=Status.QUEUED)
        self.add("old", 2)
        self.assertEqual(self.look(3), Old([], [], (3, 3)))
        self.assertEqual(self.look(3, (3, 3)), Old(["old"], [6, 7], (6, 6), {"completed": 1}))
        self.assertEqual(self.look(3, (6, 6)), Old([], [], None))

    def test_stops_at_the_first_young_row(self) -> None:
        """Behind a row that is too young nothing is looked at."""
        self.add("old")
        for n in range(20):
            self.add(f"new{n}", at=CUTOFF)
        self.assertEqual(self.look(2), Old(["old"], [1], None, {"completed": 1}))

    def test_a_task_whose_events_do_not_fit(self) -> None:
        """It is named by the look that names the last of its events, and not passed by."""
        self.add("a", 2)
        self.add("b", 5)
        self.add("c", 1)
        first = self.look(4)
        self.assertEqual(first, Old(["a"], [1, 2, 3, 4], (1, 4), {"completed": 1}))
        self.put(Unit(forgotten=first.tasks, forgotten_events=first.events))
        second = self.look(4, (1, 4))
        self.assertEqual(second.tasks, ["b", "c"])
        self.assertEqual(second.events, [5, 6, 7, 8])

    def test_tasks_without_events(self) -> None:
        """A task whose events are gone already needs no room."""
        self.add("a", 1)
        self.add("b", 0)
        self.add("c", 1)
        self.assertEqual(self.look(3), Old(["a", "b", "c"], [1, 2], (3, 2), {"completed": 3}))
        self.assertEqual(self.look(2), Old(["a", "b"], [1], (2, 2), {"completed": 2}))

    def test_no_room_for_other_events(self) -> None:
        """Events of no task that do not fit beside those of tasks are not passed by."""
        self.happen()
        self.add("a", 2)
        self.happen()
        self.assertEqual(self.look(2), Old(["a"], [2, 3], (1, 0), {"completed": 1}))
        self.assertEqual(self.look(3), Old(["a"], [2, 3, 1], (1, 3), {"completed": 1}))

    def test_an_event_after_the_end(self) -> None:
        """What is written of a task after its row is gone goes in its own time."""
        self.add("a")
        self.forget(9)
        self.happen(CUTOFF, "a")
        self.forget(9)
        self.assertEqual(self.left(), ([], [2]))
        self.forget(9, CUTOFF + 1)
        self.assertEqual(self.left(), ([], []))

    def test_the_place_does_not_go_back(self) -> None:
        """A place behind rows that are gone since is kept, not looked for anew."""
        for _ in range(3):
            self.happen()
        self.add("q", 0, status=Status.QUEUED)
        self.assertEqual(self.look(2, (50, 0)), Old([], [1, 2], (50, 2)))
        self.assertEqual(self.look(2, (0, 50)).next, None)

    def test_a_clock_that_was_set_back(self) -> None:
        """What was written while the clock was behind is found by its own time."""
        self.add("old", at=CUTOFF - 10)
        self.add("young", at=CUTOFF + 5)
        self.add("behind", at=CUTOFF - 5)
        self.forget(9)
        self.assertEqual(self.left(), (["young"], [2]))


class ForgettingTests(RetentionCase):
    """Looks with the forgetting between them."""

    def test_every_limit_comes_to_the_end(self) -> None:
        """Whatever the limit, the looks end, and exactly what is old is gone."""
        chance = random.Random(7)
        for limit in (1, 2, 3, 5, 8, 50):
            self.store = memory_store(self.clock)
            self.addCleanup(self.store.close)
            live, young = [], []
            for n in range(40):
                at = NOW + n * 30
                status = chance.choice(list(Status))
                self.add(f"t{n}", chance.randrange(6), at, status)
                if status not in ENDED or at >= CUTOFF:
                    live.append(f"t{n}")
                if chance.random() < 0.5:
                    self.happen(at, chance.choice([None, "gone"]))
                    young += [at] if at >= CUTOFF else []
            events = self.successResultOf(self.store.events(0, 1_000))
            kept = [
                e.seq
                for e in events
                if (e.task_id in live if e.event == "e" else e.timestamp >= CUTOFF)
            ]
            self.forget(limit)
            self.assertEqual(self.left(), (live, kept))
            self.assertEqual(
                len([e for e in events if e.event != "e" and e.seq in kept]), len(young)
            )
            gone = {event.seq for event in events} - set(kept)
            self.assertEqual(self.store.load().pruned_seq, max(seq or 0 for seq in gone))

    def test_a_later_run_finds_what_a_former_left(self) -> None:
        """Each run begins anew, so what lived then is found once it has ended."""
        self.add("q", 2, status=Status.QUEUED)
        self.add("a", 2)
        self.happen()
        self.forget(2)
        self.assertEqual(self.left(), (["q"], [1, 2]))
        self.put(Unit([make_task("q", status=Status.CANCELLED)]))
        self.forget(2)
        self.assertEqual(self.left(), ([], []))

    def test_tried_again_between_look_and_commit(self) -> None:
        """A dead letter that was named and then tried again keeps its row and its events."""
        self.add("a", 3, status=Status.DEAD_LETTER)
        found = self.look(2)
        self.assertEqual(found, Old([], [1, 2], (0, 2)))
        self.put(Unit([make_task("a", series=2)], drafts=[make_draft(task_id="a")]))
        self.put(Unit(forgotten=["a"], forgotten_events=found.events))
        self.assertEqual(self.left(), (["a"], [1, 2, 3, 4]))
        self.forget(2)
        self.assertEqual(self.left(), (["a"], [1, 2, 3, 4]))

    def test_new_rows_do_not_hold_up_the_end(self) -> None:
        """A run ends although tasks and events come in all the time."""
        for n in range(6):
            self.add(f"old{n}")
        place: tuple[int, int] | None = (0, 0)
        looks = 0
        while place is not None:
            found = self.look(2, place)
            for n in range(5):
                self.add(f"new-{looks}-{n}", at=CUTOFF + looks)
            self.put(Unit(forgotten=found.tasks, forgotten_events=found.events))
            place = found.next
            looks += 1
            self.assertLess(looks, 20)
        self.assertFalse([task_id for task_id in self.left()[0] if task_id.startswith("old")])


class SnapshotTests(RetentionCase):
    """A look in a file, where others write meanwhile."""

    def test_a_look_sees_one_moment(self) -> None:
        """A task that is tried again in the midst of a look is seen as it was before."""
        path = Path(self.mktemp())
        dead = make_task("a", status=Status.DEAD_LETTER)
        happened: list[Task] = []

        def retry(statement: str) -> None:
            if "LEFT OUTER JOIN" in statement and not happened:
                happened.append(msgspec.structs.replace(dead, status=Status.QUEUED, series=2))
                self.put(Unit(happened, drafts=[make_draft(task_id="a")]))

        reader = connect_reader(str(path))
        self.store = file_store(self.clock, path, open_reader=lambda: reader)
        self.addCleanup(self.store.close)
        self.put(Unit(new=[dead], drafts=[make_draft(task_id="a")]))
        reader.set_trace_callback(retry)
        self.assertEqual(self.look(9), Old(["a"], [1], None, {"dead_letter": 1}))
        self.assertEqual(len(happened), 1)
        self.assertFalse(reader.in_transaction)
        self.assertEqual(self.look(9), Old([], [], None))

    def test_in_the_midst_of_a_batch(self) -> None:
        """In memory a look while a batch is being written leaves that batch alone."""
        self.add("a")
        self.commits.holding = True
        self.store.commit(Unit(new=[make_task("b")]))
        self.clock.advance(0)
        self.assertEqual(self.look(9), Old(["a"], [1], None, {"completed": 1}))
        self.commits.release()
        self.settle()
        self.assertEqual(self.listed(), ["b", "a"])
