"""What is read of the store: each read gives what was written, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agentcom.core.events import PRESENCE, TASKS, Draft, Event, payload
from agentcom.core.matching import NOTHING, Needs
from agentcom.core.state import USUAL, Priority, Status, Task, Terms
from agentcom.store import rows
from agentcom.store import statements as sql
from agentcom.store.interface import PAGE_BYTES, TaskFilter, Unit, event_weight
from agentcom.store.statements import KEYS
from tests.unit.store.support import FULL, NOW, Held, StoreCase, file_store, make_draft, make_task


class ReadingTests(StoreCase):
    """What was written is read back, and nothing else."""

    def test_every_field_of_a_task(self) -> None:
        """A task is read back with every field as it was written."""
        for name in Task.__struct_fields__:
            default = msgspec.structs.replace(make_task("task-full"))
            if name != "id" and name not in {"description", "submitted_by"}:
                same = getattr(FULL, name) == getattr(default, name)
                self.assertEqual(same, name in {"created_at", "updated_at", "origin"}, name)
        self.put(Unit(new=[FULL]))
        self.assertEqual(self.task("task-full"), FULL)
        self.assertIsNone(self.task("task-other"))

    def test_every_change_of_a_task(self) -> None:
        """An update writes all that can change, and leaves the rest of the row alone."""
        self.put(Unit(new=[make_task("task-full", number=FULL.number), make_task("other")]))
        new = msgspec.structs.replace(
            FULL,
            metadata=b"{}",
            priority=Priority.NORMAL,
            pinned=None,
            max_attempts=1,
            hold_s=30.0,
            idempotency_key=None,
            body_hash=None,
            needs=NOTHING,
            terms=USUAL,
        )
        self.put(Unit([new]))
        self.assertEqual(self.task("task-full"), new)
        self.assertEqual(self.task("other"), make_task("other"))

    def test_fixed_fields_do_not_change(self) -> None:
        """Description, metadata and submitter are written once."""
        self.put(Unit(new=[make_task("t")]))
        self.put(Unit([make_task("t", description="x", metadata=b'{"x":1}', submitted_by="x")]))
        self.assertEqual(self.task("t"), make_task("t"))

    def by_keys(self, who: str, *keys: str) -> dict[str, Task]:
        return self.successResultOf(self.store.tasks_by_keys(who, keys))

    def test_by_idempotency_keys(self) -> None:
        """Keys belong to their submitter; those that nobody used are left out."""
        tasks = [make_task(f"t{n}", idempotency_key=f"k{n}") for n in range(3)]
        theirs = make_task("x", idempotency_key="k0", submitted_by="other")
        self.put(Unit(new=[*tasks, theirs, make_task("none")]))
        self.assertEqual(self.by_keys("boss", "k0"), {"k0": tasks[0]})
        self.assertEqual(self.by_keys("boss", "k2", "x", "k1"), {"k1": tasks[1], "k2": tasks[2]})
        self.assertEqual(self.by_keys("other", "k0", "k1", "k0"), {"k0": theirs})
        self.assertEqual(self.by_keys("nobody", "k0"), {})
        self.assertEqual(self.by_keys("boss"), {})

    def test_many_idempotency_keys(self) -> None:
        """A thousand keys are all found, whatever number of them one statement takes."""
        keys = [f"k{n}" for n in range(1_000)]
        self.put(Unit(new=[make_task(f"t{k}", idempotency_key=k) for k in keys]))
        for count in (KEYS - 1, KEYS, KEYS + 1, 2 * KEYS, 1_000):
            found = self.by_keys("boss", *keys[:count])
            self.assertEqual(
                {k: t.id for k, t in found.items()}, {k: f"t{k}" for k in keys[:count]}
            )

    def test_a_key_cannot_be_stored_twice(self) -> None:
        """The database itself refuses a second task of one submitter and key, and no other."""
        self.put(Unit(new=[make_task("a", idempotency_key="k")]))
        self.put(Unit(new=[make_task("c", idempotency_key="k", submitted_by="other")]))
        self.put(Unit(new=[make_task("d"), make_task("e")]))
        self.assertEqual(self.listed(), ["e", "d", "c", "a"])
        self.put(Unit(new=[make_task("b", idempotency_key="k")]))
        self.assertIsNone(self.task("b"))

    def test_filters(self) -> None:
        """Each filter narrows the list, together they narrow it further."""
        self.put(
            Unit(new=[make_task("a", agent_id="w1", priority=Priority.URGENT)]),
            Unit(new=[make_task("b", agent_id="w2", status=Status.COMPLETED)]),
            Unit(new=[make_task("c", agent_id="w1", submitted_by="clerk")]),
        )
        self.assertEqual(self.listed(), ["c", "b", "a"])
        self.assertEqual(self.listed(status="completed"), ["b"])
        self.assertEqual(self.listed(status="queued"), ["c", "a"])
        self.assertEqual(self.listed(agent_id="w1"), ["c", "a"])
        self.assertEqual(self.listed(priority="urgent"), ["a"])
        self.assertEqual(self.listed(submitted_by="clerk"), ["c"])
        self.assertEqual(self.listed(agent_id="w1", priority="normal"), ["c"])
        self.assertEqual(self.listed(agent_id="w1' OR 1=1 --"), [])

    def test_dead_letters(self) -> None:
        """Tasks are chosen by exactly their last error, and by their ids."""
        dead = {"a": "boom", "b": "boom!", "c": "boom", "d": None}
        self.put(*(Unit(new=[self.dead(i, last_error=e)]) for i, e in dead.items()))
        self.put(Unit(new=[make_task("queued", last_error="boom")]))
        self.assertEqual(self.listed(status="dead_letter", last_error="boom"), ["c", "a"])
        self.assertEqual(self.listed(last_error="boom"), ["queued", "c", "a"])
        self.assertEqual(self.listed(last_error=""), [])
        self.assertEqual(self.listed(task_ids=["a", "d", "x", "a"]), ["d", "a"])
        self.assertEqual(self.listed(task_ids=["b", "queued"], status="dead_letter"), ["b"])
        self.assertEqual(self.listed(task_ids=["a", "b"], last_error="boom"), ["a"])
        self.assertEqual(self.listed(task_ids=()), [])
        many = [f"none-{n}" for n in range(999)]
        self.assertEqual(self.listed(task_ids=[*many, "a"]), ["a"])

    def dead(self, task_id: str, **fields: Any) -> Task:
        return make_task(task_id, status=Status.DEAD_LETTER, **fields)

    def test_pages(self) -> None:
        """Pages of a list neither repeat nor miss a task, while new ones come in."""
        self.put(*(Unit(new=[make_task(f"t{n}")]) for n in range(5)))
        seen: list[str] = []
        before: int | None = None
        sizes: list[int] = []
        while True:
            page = self.successResultOf(self.store.tasks(TaskFilter(limit=2, before=before)))
            self.put(Unit(new=[make_task(f"new{len(sizes)}")]))
            seen += [task.id for task in page.tasks]
            sizes.append(len(page.tasks))
            before = page.next
            if before is None:
                break
        self.assertEqual((seen, sizes), (["t4", "t3", "t2", "t1", "t0"], [2, 2, 1]))

    def test_last_page(self) -> None:
        """A page that is just full says whether something comes after it."""
        self.put(Unit(new=[make_task(f"t{n}") for n in range(4)]))
        self.put(Unit(drafts=[make_draft(task_id="t1")] * 4))
        for limit, more in ((3, True), (4, False), (5, False)):
            tasks = self.successResultOf(self.store.tasks(TaskFilter(limit=limit)))
            events = self.successResultOf(self.store.task_events("t1", 0, limit))
            self.assertEqual((tasks.next is not None, events.next is not None), (more, more), limit)
            self.assertEqual((len(tasks.tasks), len(events.events)), (min(limit, 4),) * 2)

    def test_heavy_tasks_end_a_page(self) -> None:
        """A page ends with the task whose texts fill it, and the next goes on after it."""
        half = "x" * (PAGE_BYTES // 2)
        self.put(
            Unit(new=[make_task("e", result=b"1"), make_task("d", description=half)]),
            Unit(new=[make_task("c", metadata=half.encode())]),
            Unit(new=[make_task("b", result=half.encode(), metadata=half.encode())]),
            Unit(new=[make_task("a")]),
        )
        pages, before = [], None
        while True:
            page = self.successResultOf(self.store.tasks(TaskFilter(before=before)))
            pages.append([task.id for task in page.tasks])
            before = page.next
            if before is None:
                break
        self.assertEqual(pages, [["a", "b"], ["c", "d"], ["e"]])

    def test_heavy_events_end_a_page(self) -> None:
        """So do pages of a task's events, and what is read of the whole log."""
        large = b'"%s"' % (b"x" * PAGE_BYTES)
        heavy = msgspec.structs.replace(make_draft("task_progress"), payload=large)
        self.put(Unit(new=[make_task()], drafts=[make_draft(), heavy, heavy, make_draft()]))
        pages, after = [], 0
        while True:
            page = self.successResultOf(self.store.task_events("task-1", after, 100))
            pages.append([event.seq for event in page.events])
            if page.next is None:
                break
            after = page.next
        self.assertEqual(pages, [[1, 2], [3], [4]])
        self.assertEqual([e.seq for e in self.successResultOf(self.store.events(0, 100))], [1, 2])

    def test_weight_of_an_event(self) -> None:
        """An event weighs what its payload has in bytes, whatever the payload was cut from."""
        raw = msgspec.Raw(b'{"x":"\xc3\xa4"}')
        self.assertEqual(event_weight(Event(1, TASKS, "e", None, None, None, NOW, raw)), 10)

    def test_events(self) -> None:
        """Events are read after a number, oldest first, all of them or of one task."""
        self.put(
            Unit(new=[make_task("a"), make_task("b")]),
            Unit(drafts=[make_draft("task_submitted", "a"), make_draft("task_submitted", "b")]),
            Unit(drafts=[Draft(PRESENCE, "agent_joined", NOW, None, "w", None, payload(x=1))]),
            Unit(drafts=[make_draft("task_cancelled", "a")]),
        )
        read = self.store
        everything = self.successResultOf(read.events(0, 100))
        self.assertEqual([e.seq for e in everything], [1, 2, 3, 4])
        third = Event(3, PRESENCE, "agent_joined", None, "w", None, NOW, msgspec.Raw(b'{"x":1}'))
        self.assertEqual(msgspec.json.encode(everything[2]), msgspec.json.encode(third))
        self.assertEqual([e.seq for e in self.successResultOf(read.events(2, 1))], [3])
        self.assertEqual(self.of_task("a", 0, 9), [1, 4])
        self.assertEqual(self.of_task("a", 1, 9), [4])
        self.assertEqual(self.of_task("a", 0, 1), [1])

    def of_task(self, task_id: str, after: int, limit: int) -> list[int | None]:
        page = self.successResultOf(self.store.task_events(task_id, after, limit))
        return [event.seq for event in page.events]

    def test_first_seq(self) -> None:
        """The oldest kept number is 0 for an empty log, else the first one's."""
        self.assertEqual(self.successResultOf(self.store.first_seq()), 0)
        self.put(Unit(drafts=[make_draft()]), Unit(drafts=[make_draft()]))
        self.assertEqual(self.successResultOf(self.store.first_seq()), 1)

    def test_reads_see_only_what_is_committed(self) -> None:
        """While a commit is under way, readers of a file do not see its tasks."""
        path = Path(self.mktemp())
        held = Held()
        store = file_store(self.clock, path, commits=held)
        self.addCleanup(store.close)
        held.holding = True
        store.commit(Unit(new=[make_task("t")]))
        self.clock.advance(0)
        self.assertEqual(len(held.waiting), 1)
        self.assertIsNone(self.successResultOf(store.task("t")))
        held.release()
        self.assertIsNotNone(self.successResultOf(store.task("t")))


class SweepTests(StoreCase):
    """What the hub asks again and again: what is due, and how many there are."""

    def test_expired(self) -> None:
        """What is due comes earliest first, up to a limit; what is not due does not come."""
        due = {"late": NOW + 2, "now": NOW + 1, "early": NOW - 5, "future": NOW + 3, "never": None}
        self.put(Unit(new=[make_task(i, expires_at=at) for i, at in due.items()]))
        expired = self.store.expired
        self.assertEqual(self.successResultOf(expired(NOW - 6, 9)), [])
        self.assertEqual(self.successResultOf(expired(NOW + 1, 9)), ["early", "now"])
        self.assertEqual(self.successResultOf(expired(NOW + 2, 2)), ["early", "now"])
        self.assertEqual(
            self.successResultOf(expired(NOW + 9, 9)), ["early", "now", "late", "future"]
        )

    def test_expiry_changes(self) -> None:
        """A task whose time was taken away or put off is due no more."""
        self.put(Unit(new=[make_task(i, expires_at=NOW) for i in "abc"]))
        self.put(Unit([make_task("a"), make_task("b", expires_at=NOW + 1)]))
        self.assertEqual(self.successResultOf(self.store.expired(NOW, 9)), ["c"])

    def test_counts(self) -> None:
        """Tasks of each status are counted, the completed ones too."""
        counts = self.store.counts
        self.assertEqual(self.successResultOf(counts()), {})
        self.put(Unit(new=[make_task("q")]))
        self.assertEqual(self.successResultOf(counts()), {"queued": 1})
        wanted = {status.value: n for n, status in enumerate(Status, start=2)}
        self.put(
            *(
                Unit(new=[make_task(f"{status}-{n}", status=Status(status))])
                for status, count in wanted.items()
                for n in range(count)
            ),
        )
        wanted["queued"] += 1
        self.assertEqual(self.successResultOf(counts()), wanted)
        self.put(Unit([make_task("q", status=Status.COMPLETED)]))
        wanted["queued"] -= 1
        wanted["completed"] += 1
        self.assertEqual(self.successResultOf(counts()), wanted)


class PlanTests(StoreCase):
    """Nothing that a large table makes slow is read by looking at all of its rows."""

    def plan(self, statement: str, values: Sequence[Any] | None = None) -> list[str]:
        if values is None:
            values = [None] * statement.count("?")
        found = self.store._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        return [row[3] for row in found]

    def test_statements(self) -> None:
        """Each statement searches an index, the one that was made for it."""
        for statement, index in (
            (sql.SELECT_HELD, "tasks_by_status"),
            (sql.SELECT_WAITING, "tasks_by_status"),
            (sql.SELECT_BY_KEYS, "tasks_by_key"),
            (sql.SELECT_EXPIRED, "tasks_by_expiry"),
            (sql.SELECT_TASK_EVENTS, "events_by_task"),
            (sql.SELECT_OLD_TASKS, "events_by_task"),
            (sql.SELECT_LAST_EVENT, "events_by_task"),
            (sql.SELECT_OLD_EVENTS, "SEARCH tasks USING INTEGER PRIMARY KEY"),
            (sql.SELECT_TASK, "sqlite_autoindex_tasks_1"),
            (sql.DELETE_TASK, "sqlite_autoindex_tasks_1"),
            (sql.UPDATE_TASK, "PRIMARY KEY"),
            (sql.UPDATE_AGENT, "PRIMARY KEY"),
            (sql.DELETE_EVENT, "SEARCH tasks USING INTEGER PRIMARY KEY"),
            (sql.SELECT_NEWEST_NUMBER, "events_by_task"),
            (sql.SELECT_TASK_AT, "PRIMARY KEY"),
            (sql.SELECT_EVENT_AT, "PRIMARY KEY"),
        ):
            plan = self.plan(statement)
            self.assertTrue(any(index in step for step in plan), (statement, plan))
            scans = {step for step in plan if "SCAN" in step}
            # meta has one row.
            self.assertFalse(scans - {"SCAN meta"}, statement)

    def test_streams_are_not_sorted(self) -> None:
        """What is read row by row comes in its order without being gathered first."""
        for statement in (
            sql.SELECT_WAITING,
            sql.SELECT_EXPIRED,
            sql.SELECT_OLD_TASKS,
            sql.SELECT_OLD_EVENTS,
            sql.SELECT_TASK_EVENTS,
            sql.SELECT_LAST_EVENT,
        ):
            self.assertNotIn("TEMP", "\n".join(self.plan(statement)))

    def test_counting(self) -> None:
        """Completed tasks are counted by pages, the others in their index."""
        plan = "\n".join(self.plan(sql.COUNT_TASKS))
        self.assertIn("SCAN tasks USING COVERING INDEX tasks_by_status", plan)
        steps = self.store._connection.execute(f"EXPLAIN {sql.COUNT_TASKS}")
        self.assertIn("Count", [step[1] for step in steps])

    def test_lists(self) -> None:
        """Each list finds its tasks in an index, in their order, however few they are."""
        for fields, index in (
            *(({"status": status.value}, "tasks_by_status") for status in Status),
            ({"agent_id": "a"}, "tasks_by_agent"),
            ({"submitted_by": "a"}, "tasks_by_submitter"),
            ({"priority": "urgent"}, "tasks_by_priority"),
            ({"status": "dead_letter", "last_error": "x"}, "dead_letters_by_error"),
            ({"task_ids": ["a"]}, "sqlite_autoindex_tasks_1"),
        ):
            for before in (None, 7):
                plan = self.plan(*sql.select_tasks(TaskFilter(**fields, before=before), 9))
                self.assertIn(index, plan[0], (fields, plan))
                if "task_ids" not in fields:
                    self.assertEqual(len(plan), 1, plan)


class RowTests(StoreCase):
    """What most tasks have takes no room, and is one object."""

    def test_nothing_and_usual(self) -> None:
        """What nobody asked for is NULL, and comes back as the very same object."""
        self.put(Unit(new=[make_task("t"), make_task("e", needs=Needs(), terms=Terms())]))
        found = self.store._connection.execute("SELECT needs, terms, ready_at FROM tasks")
        self.assertEqual(found.fetchall(), [(None, None, None)] * 2)
        for task in (self.task("t"), self.task("e")):
            assert task is not None
            self.assertIs(task.needs, NOTHING)
            self.assertIs(task.terms, USUAL)

    def test_equal_ones_are_shared(self) -> None:
        """Tasks that ask for the same have one object for it."""
        full = [
            msgspec.structs.replace(FULL, number=n, id=f"{n}", idempotency_key=f"{n}")
            for n in (1, 2)
        ]
        self.put(Unit(new=full))
        a, b = self.store.fetch("1"), self.store.fetch("2")
        assert a is not None and b is not None
        self.assertIs(a.needs, b.needs)
        self.assertIs(a.terms, b.terms)
        self.assertEqual((a.needs, a.terms), (FULL.needs, FULL.terms))

    def test_every_status_and_priority(self) -> None:
        """All of them come back as members, in the words that are stored."""
        for status in Status:
            for priority in Priority:
                task = make_task(f"{status}-{priority}", status=status, priority=priority)
                row = rows.task_row(task)
                named = dict(zip(sql.TASK_COLUMNS, row, strict=True))
                words = named["status"], named["priority"]
                self.assertEqual({type(word) for word in words}, {str})
                self.assertEqual(words, (status.value, priority.value))
                self.assertEqual(rows.to_task(row), task)
