"""From version 0001 to 0002: a database with rows in it, as a hub of that version left it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.matching import NOTHING
from agentcom.core.state import USUAL, Ending, Status
from agentcom.errors import StartError
from agentcom.store import migrate
from agentcom.store import statements as sql
from agentcom.store.connections import connect
from agentcom.store.interface import Old, Unit
from agentcom.store.sqlite import SqliteStore
from tests.unit.store.support import NOW, file_store, make_clock, make_task

ENDING = '{"kind":"task_complete","agent_id":"worker","generation":1,"answer":"complete"}'

ROWS: tuple[dict[str, Any], ...] = (
    {"id": "waits", "status": "queued", "agent_id": "worker"},
    {"id": "works", "status": "working", "agent_id": "worker", "generation": 2},
    {
        "id": "ended",
        "status": "completed",
        "result": "null",
        "idempotency_key": "key",
        "ending": ENDING,
    },
)
"""What the tasks have beside what is usual, in the columns of version 0001."""


def fill(connection: sqlite3.Connection) -> None:
    """Write the tasks, with an event each; and two events that belong to none of them."""
    usual: dict[str, Any] = {
        "description": "work",
        "metadata": "{}",
        "priority": "normal",
        "origin": "push",
        "generation": 0,
        "attempts": 0,
        "max_attempts": 1,
        "submitted_by": "boss",
        "created_at": NOW,
        "updated_at": NOW,
        "hold_s": 30.0,
        "requeues": 0,
        "output_bytes": 0,
    }
    for seq, row in enumerate(ROWS, start=1):
        fields = usual | row
        marks = ", ".join("?" * len(fields))
        connection.execute(
            f"INSERT INTO tasks ({', '.join(fields)}) VALUES ({marks})", list(fields.values())
        )
        connection.execute(
            "INSERT INTO events (seq, topic, event, task_id, timestamp, payload)"
            " VALUES (?, 'tasks', 'task_submitted', ?, ?, '{}')",
            (seq, row["id"], NOW),
        )
    connection.execute(
        "INSERT INTO events (seq, topic, event, task_id, timestamp, payload)"
        " VALUES (4, 'presence', 'agent_joined', NULL, ?, '{}'),"
        " (5, 'tasks', 'task_complete', 'gone', ?, '{}')",
        (NOW, NOW),
    )
    connection.execute("UPDATE meta SET last_seq = 5")


class FailingConnection(sqlite3.Connection):
    """A connection on which one kind of statement fails, as a full disk makes it.

    :ivar failed: whether it has.
    """

    def __init__(self, path: Path, fails: str) -> None:
        super().__init__(path, isolation_level=None)
        self.failed = False
        self._fails = fails

    def cursor(self, *args: Any) -> Any:
        """Statements of migrations run on cursors."""
        connection = self

        class FailingCursor(sqlite3.Cursor):
            def execute(self, statement: str, *values: Any) -> Any:
                if connection._fails in statement:
                    connection.failed = True
                    raise sqlite3.OperationalError("database or disk is full")
                return super().execute(statement, *values)

        return super().cursor(FailingCursor)


class FirstVersionTests(SynchronousTestCase):
    """Opening it upgrades it, wholly or not at all."""

    def setUp(self) -> None:
        self.clock = make_clock()
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "agentcom.db"
        connection = connect(str(self.path))
        migrate.upgrade(connection, lambda: "epoch-1", "0001")
        fill(connection)
        connection.close()

    def open(self) -> SqliteStore:
        store = file_store(self.clock, self.path, "epoch-2")
        self.addCleanup(store.close)
        return store

    def assert_first_version(self) -> None:
        """The database is what it was: version, schema and rows."""
        connection = connect(str(self.path))
        self.addCleanup(connection.close)
        self.assertEqual(migrate._revision(connection), "0001")
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        self.assertNotIn("tasks_by_expiry", names)
        new = {"needs", "series", "expires_at", "pruned_seq", "pruned_number", "task_number"}
        for table in ("tasks", "meta", "events"):
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            self.assertEqual(columns & new, set())
        columns = {row[2] for row in connection.execute("PRAGMA index_info(events_by_task)")}
        self.assertEqual(columns, {"task_id", "seq"})
        found = connection.execute("SELECT id, status FROM tasks ORDER BY number").fetchall()
        self.assertEqual(found, [("waits", "queued"), ("works", "working"), ("ended", "completed")])

    def test_rows_are_read_as_tasks(self) -> None:
        """Tasks of that version come with what was usual then, and the log goes on."""
        store = self.open()
        loaded = store.load()
        self.assertEqual((loaded.epoch, loaded.last_seq, loaded.pruned_seq), ("epoch-1", 5, 0))
        (waits,) = loaded.waiting
        self.assertEqual((waits.id, waits.agent_id, waits.ready_at), ("waits", "worker", None))
        self.assertIs(waits.needs, NOTHING)
        works = make_task("works", number=2, status=Status.WORKING, agent_id="worker", generation=2)
        self.assertEqual(loaded.tasks, [works])
        self.assertIs(loaded.tasks[0].terms, USUAL)
        ended = store.fetch("ended")
        self.assertEqual(
            ended,
            make_task(
                "ended",
                number=3,
                status=Status.COMPLETED,
                result=b"null",
                ending=Ending("task_complete", "worker", 1, "complete"),
                idempotency_key="key",
            ),
        )
        self.assertEqual(self.successResultOf(store.tasks_by_keys("boss", ["key"])), {"key": ended})
        self.assertEqual(len(self.successResultOf(store.events(0, 9))), 5)

    def test_rows_can_be_changed(self) -> None:
        """They can be changed and forgotten like new ones."""
        store = self.open()
        changed = make_task(
            "works", number=2, status=Status.QUEUED, agent_id="w", series=2, expires_at=NOW
        )
        store.commit(Unit([changed], forgotten=["ended"], forgotten_events=[1]))
        self.clock.advance(0)
        self.assertEqual(store.fetch("works"), changed)
        self.assertIsNone(store.fetch("ended"))
        self.assertEqual(self.successResultOf(store.expired(NOW, 9)), ["works"])
        self.assertEqual(store.load().pruned_seq, 1)

    def test_events_are_found_by_number(self) -> None:
        """Events have the number of their task, and none where it is gone or there was none."""
        store = self.open()
        db = store._connection
        found = db.execute("SELECT seq, task_number FROM events ORDER BY seq").fetchall()
        self.assertEqual(found, [(1, 1), (2, 2), (3, 3), (4, None), (5, None)])
        columns = [row[2] for row in db.execute("PRAGMA index_info(events_by_task)")]
        self.assertEqual(columns, ["task_number", "seq"])
        plan = db.execute(f"EXPLAIN QUERY PLAN {sql.SELECT_TASK_EVENTS}", ("works", 0, 9))
        self.assertIn("events_by_task", plan.fetchone()[3])
        for seq, row in enumerate(ROWS, start=1):
            page = self.successResultOf(store.task_events(row["id"], 0, 9))
            self.assertEqual([event.seq for event in page.events], [seq])
        self.assertIsNone(self.successResultOf(store.last_event("gone")))

    def test_numbers_go_on(self) -> None:
        """New tasks are numbered on from the old ones."""
        store = self.open()
        self.assertEqual([store.next_number(), store.next_number()], [4, 5])

    def test_what_belongs_to_no_task_is_forgotten(self) -> None:
        """Events without a number are old one day like others; those of tasks that live stay."""
        found = self.successResultOf(self.open().old(NOW + 1, NOW + 1, (0, 0), 9))
        self.assertEqual(found, Old(["ended"], [3, 4, 5], None, {"completed": 1}))

    def test_upgraded_once(self) -> None:
        """There is a backup of the old version, and the next start has nothing to do."""
        self.open()
        (backup,) = self.path.parent.glob("*.backup")
        self.assertEqual(backup.name, "agentcom.db.before-0001.backup")
        backup.unlink()
        self.open()
        self.assertEqual(list(self.path.parent.glob("*.backup")), [])

    def test_failing_half_way_leaves_it(self) -> None:
        """Whichever step of the upgrade fails, the old version is left whole and usable."""
        steps = ["ADD COLUMN needs", "ADD COLUMN series", "CREATE INDEX", "ADD COLUMN pruned_seq"]
        steps += ["ADD COLUMN task_number", "DROP INDEX events_by_task", "UPDATE events"]
        steps += ["CREATE INDEX events_by_task", "UPDATE alembic_version"]
        for step in steps:
            connection = FailingConnection(self.path, step)
            with self.assertRaises(StartError):
                migrate.prepare(self.path, connection, lambda: "epoch-2")
            self.assertTrue(connection.failed, step)
            connection.close()
            self.assert_first_version()
        self.open()

    def test_killed_half_way_leaves_it(self) -> None:
        """So is one that is killed before its commit."""
        script = (
            "import os, sys; from pathlib import Path;"
            "from agentcom.store import migrate; from agentcom.store.connections import connect;"
            "path = Path(sys.argv[1]); connection = connect(str(path));"
            "kill = lambda s: s.startswith('COMMIT') and os._exit(9);"
            "connection.set_trace_callback(kill);"
            "migrate.prepare(path, connection, lambda: 'e')"
        )
        done = subprocess.run([sys.executable, "-c", script, str(self.path)], check=False)
        self.assertEqual(done.returncode, 9)
        self.assert_first_version()
        self.open()
