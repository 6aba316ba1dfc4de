"""The journal: what it keeps over the end of a process, and what it does when it cannot.

Failures are SQLite's own: a database that may not be written, or may not grow.
"""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.journal import Entry, Journal, JournalFailed
from tests.unit.sidecar.fakes import database, memory_journal, unwritable

KEY = ("task-1", 1)
TASK = {"type": "task_assign", "task_id": "task-1", "generation": 1, "metadata": {"a": [1]}}
REPORT = {"type": "task_complete", "task_id": "task-1", "generation": 1}


class StageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.db = database()
        self.journal = memory_journal(self.db)

    def again(self) -> Journal:
        """The journal of the next process."""
        return memory_journal(self.db)

    def test_stages(self) -> None:
        """Another process finds how far each attempt came, and what is to be said of it."""
        self.journal.accepted(KEY, TASK)
        self.assertEqual(self.again().entries(), [Entry(KEY, "accepted", TASK)])
        self.journal.working(KEY)
        self.assertEqual(self.again().entries(), [Entry(KEY, "working", TASK)])
        self.journal.ended(KEY, [{"output": "last"}, REPORT])
        self.assertEqual(self.again().entries(), [Entry(KEY, "ended", {})])
        self.assertEqual(self.again().said(KEY), [{"output": "last"}, REPORT])
        self.journal.forget(KEY)
        self.assertEqual(self.again().entries(), [])

    def test_order(self) -> None:
        """Ends come in the order in which they came, over restarts."""
        keys = [(name, 1) for name in "cab"]
        for key in keys:
            self.journal.accepted(key, TASK)
        for key in reversed(keys):
            self.journal = self.again()
            self.journal.ended(key, [REPORT])
        self.assertEqual([entry.key[0] for entry in self.again().entries()], ["b", "a", "c"])

    def test_attempts_are_apart(self) -> None:
        """Two attempts at one task are two rows; one accepted anew is one."""
        self.journal.accepted(("task-1", 1), TASK)
        self.journal.accepted(("task-1", 2), TASK)
        self.journal.working(("task-1", 2))
        self.journal.accepted(("task-1", 1), TASK)
        self.assertEqual(
            [(entry.key[1], entry.stage) for entry in self.journal.entries()],
            [(2, "working"), (1, "accepted")],
        )

    def test_strange_text(self) -> None:
        """Text that UTF-8 cannot hold stops no report."""
        self.journal.ended(KEY, [{**REPORT, "result": "\ud800\0"}])
        self.assertEqual(self.again().said(KEY)[0]["result"], "?\0")

    def test_not_there(self) -> None:
        """What is not in the journal cannot be said."""
        self.assertRaises(JournalFailed, self.journal.said, KEY)


class FailureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.db = database()
        self.journal = memory_journal(self.db)

    def on_disk(self) -> list[tuple[str, str]]:
        return [(e.key[0], e.stage) for e in memory_journal(self.db).entries()]

    def test_cannot_accept(self) -> None:
        """What could not be written is told, with the reason."""
        unwritable(self.db)
        for write in (lambda: self.journal.accepted(KEY, TASK), lambda: self.journal.working(KEY)):
            with self.assertRaises(JournalFailed) as caught:
                write()
            self.assertIn("readonly database", str(caught.exception))

    def test_full(self) -> None:
        """A full disk takes nothing new, and what is on it can still be ended and forgotten."""
        self.journal.accepted(("first", 1), TASK)
        (pages,) = self.db.execute("PRAGMA page_count").fetchone()
        self.db.execute(f"PRAGMA max_page_count = {pages}")
        big = {**TASK, "description": "x" * 100_000}
        with self.assertRaises(JournalFailed) as caught:
            self.journal.accepted(KEY, big)
        self.assertIn("full", str(caught.exception))
        self.journal.ended(("first", 1), [REPORT])
        self.assertEqual(self.on_disk(), [("first", "ended")])
        self.assertFalse(self.journal.behind)

    def test_end_waits(self) -> None:
        """An end that cannot be written is known all the same, and written later, in order."""
        for name in ("a", "b"):
            self.journal.accepted((name, 1), TASK)
        unwritable(self.db)
        for name in ("b", "a"):
            self.journal.ended((name, 1), [REPORT])
        self.assertEqual(self.journal.said(("b", 1)), [REPORT])
        self.assertEqual((self.journal.behind, self.journal.holds(("b", 1))), (True, False))
        self.assertEqual([stage for _, stage in self.on_disk()], ["accepted"] * 2)
        unwritable(self.db, False)
        self.journal.catch_up()
        self.assertEqual(self.on_disk(), [("b", "ended"), ("a", "ended")])
        self.assertEqual((self.journal.behind, self.journal.holds(("b", 1))), (False, True))

    def test_forgotten_later(self) -> None:
        """What could not be forgotten is forgotten with the next write."""
        self.journal.accepted(KEY, TASK)
        unwritable(self.db)
        self.journal.forget(KEY)
        self.assertTrue(self.journal.behind)
        unwritable(self.db, False)
        self.journal.accepted(("other", 1), TASK)
        self.assertEqual(self.on_disk(), [("other", "accepted")])

    def test_forgotten_unwritten(self) -> None:
        """An end that was acknowledged before it could be written is not written any more."""
        self.journal.accepted(KEY, TASK)
        unwritable(self.db)
        self.journal.ended(KEY, [REPORT])
        self.journal.forget(KEY)
        unwritable(self.db, False)
        self.journal.catch_up()
        self.assertEqual((self.on_disk(), self.journal.behind), ([], False))

    def test_accepted_again(self) -> None:
        """What was to be forgotten and is accepted anew is not forgotten."""
        self.journal.accepted(KEY, TASK)
        unwritable(self.db)
        self.journal.forget(KEY)
        unwritable(self.db, False)
        self.journal.accepted(KEY, TASK)
        self.assertEqual(self.on_disk(), [("task-1", "accepted")])

    def test_said_once(self) -> None:
        """An episode of failures is one line in the log, and its end another."""

        def said() -> list[str]:
            with capturedLogs() as events:
                for _ in range(3):
                    self.journal.ended(KEY, [REPORT])
            return [str(event["log_format"]) for event in events]

        for _ in range(2):
            unwritable(self.db)
            (line,) = said()
            self.assertIn("no task is taken until it can", line)
            self.assertEqual(said(), [])
            unwritable(self.db, False)
            (line,) = said()
            self.assertIn("can be written again", line)

    def test_number_out_of_range(self) -> None:
        """A number that SQLite cannot hold is a failed write, no crash."""
        self.assertRaises(JournalFailed, self.journal.accepted, ("t", 2**70), TASK)

    def test_unreadable(self) -> None:
        """A row that is damaged is told."""
        self.journal.accepted(KEY, TASK)
        self.db.execute("UPDATE attempts SET task = x'00'")
        self.assertRaises(JournalFailed, self.journal.entries)


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "journal.db"

    def open(self, agent_id: str = "bot") -> Journal:
        journal = Journal.open(self.path, agent_id)
        self.addCleanup(journal.close)
        return journal

    def refused(self, agent_id: str = "bot") -> str:
        with self.assertRaises(JournalFailed) as caught:
            Journal.open(self.path, agent_id)
        return str(caught.exception)

    def test_private_and_durable(self) -> None:
        """Nobody else can read the file or what SQLite puts beside it; writes reach the disk."""
        journal = self.open()
        journal.accepted(KEY, TASK)
        names = {p.name for p in self.folder.iterdir()}
        self.assertIn("journal.db-wal", names)
        for path in self.folder.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
        settings = [
            journal._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "fullfsync")
        ]
        self.assertEqual(settings, ["wal", 2, 1])

    def test_found_again(self) -> None:
        """A process that was killed leaves everything to the next."""
        self.open().accepted(KEY, TASK)
        self.assertEqual(self.open().entries(), [Entry(KEY, "accepted", TASK)])

    def test_newer(self) -> None:
        """A journal of a newer version is left alone."""
        journal: Any = self.open()
        journal._db.execute("PRAGMA user_version = 2")
        self.assertIn("newer version of agentcom", self.refused())

    def test_other_agent(self) -> None:
        """An agent does not speak for another."""
        self.open("bot")
        self.assertIn("the one of agent bot", self.refused("other"))

    def test_no_journal(self) -> None:
        """What is no journal is told, and left as it is."""
        self.path.write_bytes(b"letters\n" * 100)
        self.assertIn("cannot be used", self.refused())
        self.assertEqual(self.path.read_bytes(), b"letters\n" * 100)

    def test_in_the_way(self) -> None:
        """A path that cannot be a file is told."""
        self.path.mkdir()
        self.assertIn("cannot be opened", self.refused())

    def test_half_made(self) -> None:
        """A journal is made whole or not at all."""
        db = sqlite3.connect(self.path, isolation_level=None)
        db.execute("CREATE TABLE attempts (x)")
        self.refused()
        self.assertEqual(db.execute("SELECT name FROM sqlite_master").fetchall(), [("attempts",)])
        db.close()
