"""Looking for a text in tasks: what is found, and how much one page looks at."""

from __future__ import annotations

import sqlite3
from typing import Any, cast

from agentcom.core.state import Priority, Status
from agentcom.store import search
from agentcom.store.interface import PAGE_BYTES, TaskFilter, TaskPage, Unit
from tests.unit.store.support import StoreCase, make_task


class SearchCase(StoreCase):
    """A store, and walks through what is found in it."""

    def page(self, text: str, **wanted: Any) -> TaskPage:
        return self.successResultOf(self.store.tasks(TaskFilter(search=text, **wanted)))

    def walk(self, text: str, **wanted: Any) -> tuple[list[str], list[TaskPage]]:
        """All that is found, and the pages that it took."""
        found: list[str] = []
        pages: list[TaskPage] = []
        before: int | None = None
        while True:
            page = self.page(text, before=before, **wanted)
            pages.append(page)
            found += [task.id for task in page.tasks]
            if page.next is None:
                return found, pages
            self.assertTrue(before is None or page.next < before)
            before = page.next

    def found(self, text: str, **wanted: Any) -> list[str]:
        return self.walk(text, **wanted)[0]


class FoundTests(SearchCase):
    """What a text finds."""

    def setUp(self) -> None:
        super().setUp()
        self.put(
            Unit(new=[make_task("task-01", description="Fix the Boiler", agent_id="alice")]),
            Unit(new=[make_task("task-02", description="50% of a_b\\c", agent_id="Bob")]),
            Unit(
                new=[
                    make_task(
                        "task-03",
                        description="none",
                        status=Status.DEAD_LETTER,
                        last_error="BOILER exploded",
                        priority=Priority.URGENT,
                        submitted_by="clerk",
                    )
                ]
            ),
            Unit(new=[make_task("Other", description="ÄÖ straße", status=Status.COMPLETED)]),
        )

    def test_where_it_looks(self) -> None:
        """Description, agent and last error are searched anywhere, the id from its start."""
        self.assertEqual(self.found("boiler"), ["task-03", "task-01"])
        self.assertEqual(self.found("ALICE"), ["task-01"])
        self.assertEqual(self.found("ob"), ["task-02"])
        self.assertEqual(self.found("TASK-0"), ["task-03", "task-02", "task-01"])
        self.assertEqual(self.found("other"), ["Other"])
        self.assertEqual(self.found("ask-0"), [])
        self.assertEqual(self.found("clerk"), [])

    def test_it_is_no_pattern(self) -> None:
        """What SQL gives a meaning is looked for as it is."""
        self.assertEqual(self.found("%"), ["task-02"])
        self.assertEqual(self.found("_"), ["task-02"])
        self.assertEqual(self.found("a_b\\C"), ["task-02"])
        self.assertEqual(self.found("/"), [])
        self.assertEqual(self.found("' OR 1=1 --"), [])
        self.assertEqual(self.found("(?)"), [])

    def test_other_letters(self) -> None:
        """Letters beyond ASCII are found as they were written."""
        self.assertEqual(self.found("äö"), [])
        self.assertEqual(self.found("ÄÖ STRAß"), ["Other"])

    def test_deleted_meanwhile(self) -> None:
        """A task that is deleted between the look and the read is left out."""
        db = self.store._connection

        class Deleting:
            """Deletes the newest before the first task is read, as another thread may."""

            def execute(self, statement: str, values: Any = ()) -> Any:
                if statement == search._SELECT_NUMBER:
                    db.execute("DELETE FROM tasks WHERE id = 'task-03'")
                return db.execute(statement, values)

        page = search.tasks(cast(sqlite3.Connection, Deleting()), TaskFilter(search="boiler"))
        self.assertEqual([task.id for task in page.tasks], ["task-01"])
        self.assertEqual((page.searched, page.next), (4, None))

    def test_with_filters(self) -> None:
        """It narrows what the other filters leave."""
        self.assertEqual(self.found("boiler", status="dead_letter"), ["task-03"])
        self.assertEqual(self.found("boiler", status="queued"), ["task-01"])
        self.assertEqual(self.found("o", status="completed"), ["Other"])
        self.assertEqual(self.found("boiler", agent_id="alice"), ["task-01"])
        self.assertEqual(self.found("boiler", agent_id="alice", status="dead_letter"), [])
        self.assertEqual(self.found("boiler", priority="urgent"), ["task-03"])
        self.assertEqual(self.found("boiler", submitted_by="clerk"), ["task-03"])
        self.assertEqual(self.found("boiler", last_error="BOILER exploded"), ["task-03"])
        self.assertEqual(self.found("boiler", task_ids=["task-01", "task-02"]), ["task-01"])

    def test_an_id_is_found_at_once(self) -> None:
        """The task of exactly this id comes first, and only once, however old it is."""
        self.put(Unit(new=[make_task("new", description="like task-01, but for the roof")]))
        self.patch(search, "LOOKED_AT", 1)
        self.patch(search, "STEP", 1)
        self.assertEqual([task.id for task in self.page("task-01").tasks], ["task-01", "new"])
        self.assertEqual(self.found("task-01"), ["task-01", "new"])
        self.assertEqual(self.found("task-01", status="completed"), [])
        self.assertEqual(self.found("task-01", agent_id="Bob"), [])
        self.assertEqual(self.found("task-01", priority="urgent"), [])


class BoundTests(SearchCase):
    """How much a page looks at, and where the next one begins."""

    def fill(self, count: int, **fields: Any) -> None:
        self.put(
            Unit(
                new=[
                    make_task(f"t{n}", description="odd" if n % 2 else "even", **fields)
                    for n in range(count)
                ]
            )
        )

    def test_a_page_looks_at_so_many(self) -> None:
        """A page ends when it has looked at enough, found or not, and says how many."""
        self.patch(search, "LOOKED_AT", 6)
        self.patch(search, "STEP", 3)
        self.fill(15)
        found, pages = self.walk("nothing")
        self.assertEqual(found, [])
        self.assertEqual([page.searched for page in pages], [6, 6, 3])
        self.assertEqual(self.found("t3"), ["t3"])
        self.assertEqual(self.page("t0").searched, 6)

    def test_by_an_index(self) -> None:
        """Tasks that an index finds are looked at in the same numbers."""
        self.patch(search, "LOOKED_AT", 4)
        self.patch(search, "STEP", 2)
        self.fill(10, agent_id="w")
        self.assertEqual(self.page("nothing", agent_id="w").searched, 4)
        self.assertEqual(self.page("nothing", status="queued").searched, 4)

    def test_a_page_looks_at_so_much(self) -> None:
        """A page ends when the texts that it has looked at are large."""
        self.patch(search, "LOOKED_AT_WEIGHT", 10_000)
        self.patch(search, "STEP", 2)
        self.fill(8, metadata=b'"%s"' % (b"x" * 3_000))
        pages = self.walk("nothing")[1]
        self.assertEqual([page.searched for page in pages], [4, 4, 0])

    def test_pages_are_filled(self) -> None:
        """Pages of what is found neither repeat nor miss a task, wherever they end."""
        self.patch(search, "STEP", 5)
        self.fill(23)
        odd = [f"t{n}" for n in range(22, -1, -1) if n % 2]
        for limit in (1, 2, 3, 5, 11, 12):
            found, pages = self.walk("ODD", limit=limit)
            self.assertEqual(found, odd, limit)
            self.assertTrue(all(len(page.tasks) <= limit for page in pages))
        self.assertEqual(self.page("t", limit=5).searched, 5)

    def test_heavy_tasks_end_a_page(self) -> None:
        """A page of what is found ends with the task whose texts fill it."""
        half = b'"%s"' % (b"x" * (PAGE_BYTES // 2))
        self.fill(5, metadata=half)
        found, pages = self.walk("t")
        self.assertEqual(found, ["t4", "t3", "t2", "t1", "t0"])
        self.assertEqual([len(page.tasks) for page in pages], [2, 2, 1])

    def test_only_what_an_index_serves_is_left_out(self) -> None:
        """A rare status is walked by its index; a filter without one is part of the look."""
        self.patch(search, "LOOKED_AT", 4)
        self.patch(search, "STEP", 2)
        self.put(Unit(new=[make_task("dead", status=Status.DEAD_LETTER, description="even")]))
        self.fill(20, status=Status.COMPLETED)
        self.assertEqual(len(self.walk("even", status="dead_letter")[1]), 1)
        self.assertEqual(self.page("even", submitted_by="nobody").searched, 4)

    def test_indexes(self) -> None:
        """A step goes by the index of the filter that has one, in its order, without sorting."""
        for wanted, index in (
            (TaskFilter(), "PRIMARY KEY"),
            (TaskFilter(status="completed"), "PRIMARY KEY"),
            (TaskFilter(submitted_by="x"), "PRIMARY KEY"),
            (TaskFilter(status="queued", agent_id="x"), "tasks_by_status"),
            (TaskFilter(agent_id="x"), "tasks_by_agent"),
        ):
            statement, values = search._step(wanted, "text")
            rows = self.store._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plan = "\n".join(str(row[3]) for row in rows)
            self.assertIn(index, plan)
            self.assertNotIn("TEMP", plan)
