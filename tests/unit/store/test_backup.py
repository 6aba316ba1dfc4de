"""A backup is one sound state of a database that goes on changing, or it is not there."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.store import migrate
from agentcom.store.backup import BackupError, Facts, back_up
from agentcom.store.interface import Unit
from agentcom.store.sqlite import SqliteStore
from tests.unit.store.support import file_store, make_clock, make_draft, make_task


class FilesCase(SynchronousTestCase):
    """A hub's database in a file, written as a hub writes it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(mode=0o700)
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        self.database = self.data / "agentcom.db"
        self.target = self.folder / "backup.db"
        self.progress: list[tuple[int, int]] = []

    def told(self, done: int, of: int) -> None:
        self.progress.append((done, of))

    def store(self) -> SqliteStore:
        self.clock = make_clock()
        store = file_store(self.clock, self.database, "cafe0001")
        self.addCleanup(store.close)
        return store

    def put(self, store: SqliteStore, *units: Unit) -> None:
        for unit in units:
            store.commit(unit)
        for _ in range(5):
            self.clock.advance(0)

    def fill(self, count: int, size: int = 100) -> SqliteStore:
        store = self.store()
        for n in range(count):
            task = make_task(f"task-{n}", number=n + 1, description="x" * size)
            draft = make_draft(task_id=None)
            self.put(store, Unit(new=[task], drafts=[draft]))
        return store

    def back_up(self, force: bool = False) -> Facts:
        return back_up(self.database, self.target, force=force, told=self.told)

    def rows(self, path: Path, query: str) -> list[tuple[object, ...]]:
        db = sqlite3.connect(path)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"data"}


class BackUpTests(FilesCase):
    def test_what_is_in_the_log(self) -> None:
        """What is committed is in the backup, also where it is in SQLite's log only."""
        self.fill(3)
        self.assertGreater(self.database.with_name("agentcom.db-wal").stat().st_size, 0)
        facts = self.back_up()
        self.assertEqual(
            (facts.tasks, facts.epoch, facts.last_seq, facts.revision),
            (3, "cafe0001", 3, migrate.HEAD),
        )
        self.assertEqual(facts.size, self.target.stat().st_size)
        self.assertEqual(len(self.rows(self.target, "SELECT * FROM tasks")), 3)

    def test_one_private_file(self) -> None:
        """The backup is one file for its owner alone, and nothing is left beside it."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.fill(1)
        self.back_up()
        self.assertEqual(stat.S_IMODE(self.target.stat().st_mode), 0o600)
        self.assertEqual(self.files(), {"backup.db"})
        # Bytes 18 and 19 say whether there is a log beside it.
        self.assertEqual(self.target.read_bytes()[18:20], b"\x01\x01")

    def test_one_state(self) -> None:
        """What a hub writes while the copy is made is not in it, and the copy ends."""
        store = self.fill(40, size=100_000)
        written = 0

        def told(done: int, of: int) -> None:
            nonlocal written
            written += 1
            if written > 200:
                raise AssertionError("the copy begins anew with each write")
            self.put(store, Unit(new=[make_task(f"late-{written}", number=1000 + written)]))

        facts = back_up(self.database, self.target, force=False, told=told)
        self.assertGreater(written, 2)
        self.assertLess(written, 100)
        self.assertEqual(facts.tasks, 40)
        late = self.rows(self.target, "SELECT id FROM tasks WHERE id LIKE 'late%'")
        self.assertEqual(late, [])
        self.assertIsNotNone(self.successResultOf(store.task("late-1")))

    def test_progress(self) -> None:
        """Progress is told in bytes and ends with all of them."""
        self.fill(40, size=100_000)
        self.back_up()
        done, of = self.progress[-1]
        self.assertEqual(done, of)
        self.assertGreater(of, 4_000_000)
        self.assertLess(self.progress[0][0], of)

    def test_nothing_is_replaced(self) -> None:
        """A file that is there already stays, unless its owner says otherwise."""
        self.fill(2)
        self.target.write_text("precious")
        error = self.assertRaises(BackupError, self.back_up)
        self.assertIn("--force", str(error))
        self.assertEqual(self.target.read_text(), "precious")
        self.assertEqual(self.back_up(force=True).tasks, 2)

    def test_never_the_database_itself(self) -> None:
        """The database is not overwritten with itself, under another name either."""
        self.fill(1)
        self.target.symlink_to(self.database)
        error = self.assertRaises(BackupError, self.back_up, force=True)
        self.assertIn("the database itself", str(error))
        self.assertEqual(self.rows(self.database, "SELECT COUNT(*) FROM tasks"), [(1,)])

    def test_failure_leaves_nothing(self) -> None:
        """A copy that breaks off leaves the earlier backup and no half of a new one."""
        self.fill(40, size=100_000)
        self.target.write_text("earlier")

        def told(done: int, of: int) -> None:
            raise KeyboardInterrupt

        self.assertRaises(
            KeyboardInterrupt, back_up, self.database, self.target, force=True, told=told
        )
        self.assertEqual(self.target.read_text(), "earlier")
        self.assertEqual(self.files(), {"backup.db"})

    def test_half_a_copy_of_before(self) -> None:
        """What a killed backup left is thrown away, its journal too."""
        self.fill(2)
        (self.folder / "backup.db.partial").write_bytes(b"SQLite format 3\0" + b"x" * 9_000)
        (self.folder / "backup.db.partial-journal").write_bytes(b"y" * 9_000)
        self.assertEqual(self.back_up().tasks, 2)
        self.assertEqual(self.files(), {"backup.db"})

    def test_two_at_once(self) -> None:
        """A second backup to the same file waits for nobody and breaks nothing."""
        self.fill(1)
        file = os.open(self.folder / "backup.db.partial", os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, file)
        fcntl.flock(file, fcntl.LOCK_EX)
        self.assertIn("another process", str(self.assertRaises(BackupError, self.back_up)))
        self.assertEqual(self.files(), {"backup.db.partial"})

    def test_damaged(self) -> None:
        """A damaged database makes no backup, and one sentence says so."""
        self.fill(40, size=10_000).close()
        data = bytearray(self.database.read_bytes())
        for place in range(8_192, len(data), 4_096):
            data[place : place + 64] = b"\xff" * 64
        self.database.write_bytes(data)
        error = self.assertRaises(BackupError, self.back_up)
        self.assertNotIn("\n", str(error))
        self.assertEqual(self.files(), set())

    def test_sentences(self) -> None:
        """What cannot be backed up, or not there, is one sentence."""
        self.assertIn("there is no database", str(self.assertRaises(BackupError, self.back_up)))
        self.database.write_text("no database at all " * 500)
        self.assertIn("cannot", str(self.assertRaises(BackupError, self.back_up)))
        self.database.unlink()
        sqlite3.connect(self.database).execute("CREATE TABLE other (x)").connection.close()
        self.assertIn("no database of a hub", str(self.assertRaises(BackupError, self.back_up)))
        self.target = self.folder / "nowhere" / "backup.db"
        self.assertIn("no directory", str(self.assertRaises(BackupError, self.back_up)))
        self.target = self.folder
        self.assertIn("is a directory", str(self.assertRaises(BackupError, self.back_up)))
        self.target = Path("/dev/null")
        found = self.assertRaises(BackupError, self.back_up, force=True)
        self.assertIn("no plain file", str(found))
