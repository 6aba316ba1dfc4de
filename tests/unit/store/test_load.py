"""What the hub reads when it starts: what agents hold, what waits, and one task at once."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from agentcom.core.matching import NOTHING, LabelRule, needs
from agentcom.core.state import Priority, Status
from agentcom.store.connections import connect_reader
from agentcom.store.interface import Unit, Waiting
from tests.unit.store.support import FULL, NOW, StoreCase, file_store, make_task, make_token


class LoadTests(StoreCase):
    """Held tasks come whole, queued ones without their texts, ended ones not at all."""

    def test_load(self) -> None:
        """Each status is in its place, and all tokens come."""
        self.put(
            *(Unit(new=[make_task(s.value, status=s)]) for s in Status),
            Unit(new=[FULL]),
            Unit(tokens=[make_token(), make_token("gone", revoked_at=NOW)]),
        )
        loaded = self.store.load()
        assigned = make_task("assigned", status=Status.ASSIGNED)
        working = make_task("working", status=Status.WORKING)
        self.assertEqual(loaded.tasks, [assigned, working, FULL])
        self.assertEqual([w.id for w in loaded.waiting], ["queued"])
        self.assertEqual({t.agent_id for t in loaded.tokens}, {"worker", "gone"})
        self.assertEqual((loaded.epoch, loaded.last_seq, loaded.pruned_seq), ("00000000", 0, 0))

    def test_every_field_of_what_waits(self) -> None:
        """What waits has the fields of its task."""
        wanted = needs(["gpu"], [LabelRule("os", "=", ("linux",))])
        full = make_task(
            "full",
            priority=Priority.LOW,
            created_at=NOW + 5,
            pinned="worker",
            needs=wanted,
            ready_at=NOW + 9,
            agent_id="other",
        )
        self.put(Unit(new=[full, make_task("plain")]))
        self.assertEqual(
            list(self.store.load().waiting),
            [
                Waiting("full", Priority.LOW, NOW + 5, "boss", "worker", wanted, NOW + 9, "other"),
                Waiting("plain", Priority.NORMAL, NOW, "boss", None, NOTHING, None, None),
            ],
        )

    def test_the_order_is_that_of_submission(self) -> None:
        """The oldest comes first, also where it was away from the queue since."""
        self.put(Unit(new=[make_task("b"), make_task("a"), make_task("c")]))
        self.put(Unit([make_task("b", status=Status.WORKING)]))
        self.put(Unit([make_task("b", status=Status.QUEUED, updated_at=NOW + 9)]))
        self.assertEqual([w.id for w in self.store.load().waiting], ["b", "a", "c"])
        self.put(Unit(new=[make_task("d")]))
        self.assertEqual([w.id for w in self.store.load().waiting], ["b", "a", "c", "d"])


class ManyTests(StoreCase):
    """Twenty thousand tasks that wait, in a file."""

    COUNT = 20_000

    def setUp(self) -> None:
        super().setUp()
        path = Path(self.mktemp())
        self.readers: list[sqlite3.Connection] = []

        def open_reader() -> sqlite3.Connection:
            self.readers.append(connect_reader(str(path)))
            return self.readers[-1]

        self.store = file_store(self.clock, path, open_reader=open_reader)
        self.addCleanup(self.store.close)
        kinds = [NOTHING, needs(["gpu"], ()), needs(["git"], [LabelRule("os", "exists")])]
        new = [
            make_task(
                f"task-{n}",
                submitted_by=f"boss-{n % 7}",
                pinned=f"agent-{n % 5}" if n % 2 else None,
                agent_id=f"agent-{n % 5}" if n % 4 else None,
                needs=kinds[n % 3],
                created_at=NOW + n,
            )
            for n in range(self.COUNT)
        ]
        self.put(Unit(new=new))

    def test_they_share_what_is_equal(self) -> None:
        """All come, in order, and equal names and needs are one object each."""
        found = list(self.store.load().waiting)
        self.assertEqual([w.id for w in found], [f"task-{n}" for n in range(self.COUNT)])
        self.assertEqual(len({id(w.submitted_by) for w in found}), 7)
        # Pinned and last agents are the same names, so the same objects.
        names = {id(name) for w in found for name in (w.pinned, w.agent_id) if name is not None}
        self.assertEqual(len(names), 5)
        self.assertEqual(len({id(w.needs) for w in found}), 3)
        self.assertIs(found[0].needs, NOTHING)
        self.assertIs(found[0].priority, Priority.NORMAL)

    def test_they_are_read_one_by_one(self) -> None:
        """Nothing is read before it is asked for, and stopping half-way holds up nothing:
        what is read elsewhere is the newest state."""
        loaded = self.store.load()
        self.assertEqual(self.readers, [])
        first = [next(loaded.waiting) for _ in range(3)]
        self.assertEqual([w.id for w in first], ["task-0", "task-1", "task-2"])
        self.put(Unit([make_task("task-1", status=Status.COMPLETED, submitted_by="boss-1")]))
        found = self.store.fetch("task-1")
        self.assertIsNotNone(found)
        self.assertEqual(found and found.status, Status.COMPLETED)
        self.assertEqual(next(loaded.waiting).id, "task-3")

    def test_the_connection_is_closed(self) -> None:
        """When all are read nothing is left open."""
        self.assertEqual(sum(1 for _ in self.store.load().waiting), self.COUNT)
        (reader,) = self.readers
        self.assertRaises(sqlite3.ProgrammingError, reader.execute, "SELECT 1")


class FetchTests(StoreCase):
    """One task at once."""

    def test_fetch(self) -> None:
        """It is whole, and ``None`` where there is none."""
        self.put(Unit(new=[FULL]))
        self.assertEqual(self.store.fetch(FULL.id), FULL)
        self.assertIsNone(self.store.fetch("other"))

    def test_fetch_from_a_file(self) -> None:
        """It reads what is committed, while a commit is under way too, on one connection."""
        path = Path(self.mktemp())
        opened: list[int] = []

        def open_reader() -> sqlite3.Connection:
            opened.append(threading.get_ident())
            return connect_reader(str(path))

        store = file_store(self.clock, path, commits=self.commits, open_reader=open_reader)
        self.addCleanup(store.close)
        store.commit(Unit(new=[make_task("t")]))
        self.clock.advance(0)
        self.assertEqual(store.fetch("t"), make_task("t"))
        self.commits.holding = True
        store.commit(Unit([make_task("t", generation=1)]))
        self.clock.advance(0)
        self.assertEqual(store.fetch("t"), make_task("t"))
        self.commits.release()
        self.assertEqual(store.fetch("t"), make_task("t", generation=1))
        self.assertEqual(opened, [threading.get_ident()])
