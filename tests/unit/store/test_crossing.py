"""Lists by two conditions and more: all that meets them, in pages of bounded work."""

from __future__ import annotations

import random
from typing import Any

from agentcom.core.state import Priority, Status, Task
from agentcom.store import crossing
from agentcom.store.interface import PAGE_BYTES, TaskFilter, TaskPage, Unit
from tests.unit.store.support import StoreCase, make_task

RARE = (Status.QUEUED, Status.COMPLETED, Status.DEAD_LETTER)


class CrossingTests(StoreCase):
    """A store with some tasks, and walks through lists of them."""

    def page(self, **wanted: Any) -> TaskPage:
        return self.successResultOf(self.store.tasks(TaskFilter(**wanted)))

    def walk(self, **wanted: Any) -> tuple[list[str], int]:
        """All that a list has, and how many pages it took."""
        found: list[str] = []
        pages = 0
        before: int | None = None
        while True:
            page = self.page(before=before, **wanted)
            found += [task.id for task in page.tasks]
            pages += 1
            if page.next is None:
                return found, pages
            self.assertTrue(before is None or page.next < before)
            before = page.next

    def fill(self, count: int) -> list[Task]:
        """Tasks of all kinds, the newest first."""
        rng = random.Random(count)
        made = [
            make_task(
                f"t{n}",
                status=rng.choice(RARE),
                agent_id=rng.choice((None, "a", "b")),
                submitted_by=rng.choice("xy"),
                priority=rng.choice((Priority.NORMAL, Priority.NORMAL, Priority.URGENT)),
            )
            for n in range(count)
        ]
        self.put(Unit(new=made))
        return made[::-1]

    def test_finds_all(self) -> None:
        """Whatever is asked for together, each task that meets all of it is listed once, the
        newest first, wherever pages end and however little one looks at."""
        made = self.fill(60)
        for wanted in (
            {"status": "queued", "submitted_by": "x"},
            {"status": "completed", "agent_id": "a"},
            {"agent_id": "b", "submitted_by": "y"},
            {"status": "queued", "priority": "urgent"},
            {"status": "queued", "priority": "normal", "submitted_by": "x"},
            {"status": "queued", "agent_id": "a", "submitted_by": "x"},
            {"status": "dead_letter", "agent_id": "b", "submitted_by": "y", "priority": "urgent"},
        ):
            self.assertTrue(crossing.is_for(TaskFilter(**wanted)), wanted)
            fit = [t.id for t in made if all(getattr(t, k) == v for k, v in wanted.items())]
            self.assertGreater(len(fit), 0, wanted)
            for limit, looks in ((100, 4_000), (3, 4_000), (100, 7), (2, 5), (1, 2)):
                self.patch(crossing, "LOOKS", looks)
                self.assertEqual(self.walk(limit=limit, **wanted)[0], fit, (wanted, limit, looks))

    def test_nothing(self) -> None:
        """Where one of two conditions finds nothing the list ends at once."""
        self.patch(crossing, "LOOKS", 4)
        self.fill(60)
        self.assertEqual(self.walk(status="queued", submitted_by="nobody"), ([], 1))
        self.assertEqual(self.walk(status="expired", submitted_by="x"), ([], 1))

    def test_bounded(self) -> None:
        """A page that has looked often enough ends, with nothing but a place to go on from."""
        self.patch(crossing, "LOOKS", 10)
        names = ("x", "y")
        self.put(
            Unit(
                new=[
                    make_task(f"t{n}", submitted_by=names[n % 2], agent_id="ab"[n % 2])
                    for n in range(40)
                ]
            )
        )
        page = self.page(submitted_by="x", agent_id="b")
        self.assertEqual(page.tasks, [])
        self.assertIsNotNone(page.next)
        self.assertEqual(self.walk(submitted_by="x", agent_id="b"), ([], 5))

    def test_heavy(self) -> None:
        """A page ends with the task whose texts fill it."""
        half = b'"%s"' % (b"x" * (PAGE_BYTES // 2))
        self.put(Unit(new=[make_task(f"t{n}", agent_id="a", metadata=half) for n in range(5)]))
        self.assertEqual(
            self.walk(status="queued", agent_id="a"), (["t4", "t3", "t2", "t1", "t0"], 3)
        )

    def test_others(self) -> None:
        """One condition needs no crossing, and of a last error and of names others know more."""
        for wanted in (
            TaskFilter(),
            TaskFilter(status="queued"),
            TaskFilter(status="queued", priority="normal"),
            TaskFilter(status="queued", agent_id="a", search="text"),
            TaskFilter(status="dead_letter", agent_id="a", last_error="no"),
            TaskFilter(status="dead_letter", agent_id="a", task_ids=["t1"]),
        ):
            self.assertFalse(crossing.is_for(wanted), wanted)

    def test_indexes(self) -> None:
        """Each look is one in an index, and nothing is sorted."""
        for first, second in (
            ("agent_id", "submitted_by"),
            ("submitted_by", "priority"),
            ("priority", "status"),
        ):
            statement, order = crossing._statement((first, second), False)
            values = [1] * len(order)
            rows = self.store._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plan = "\n".join(str(row[3]) for row in rows)
            for name in (first, second):
                index = "submitter" if name == "submitted_by" else name.removesuffix("_id")
                self.assertIn(f"tasks_by_{index} ({name}=? AND rowid<?)", plan)
            self.assertNotIn("TEMP", plan)
