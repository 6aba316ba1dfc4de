"""The SQLite store on a file: durability, other processes, who may read it."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.errors import StartError
from agentcom.store.connections import connect, connect_reader
from agentcom.store.interface import Unit
from agentcom.store.local import insert
from agentcom.store.sqlite import SqliteStore, open_file
from tests.unit.store.support import Held, file_store, make_clock, make_task, make_token


class FileTests(SynchronousTestCase):
    """What only a file can show."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "agentcom.db"
        self.path.parent.mkdir()
        self.clock = make_clock()

    def open(self, commits: Any = maybeDeferred) -> SqliteStore:
        store = file_store(self.clock, self.path, commits=commits)
        self.addCleanup(store.close)
        return store

    def test_commits_are_durable(self) -> None:
        """The database is in WAL mode and a commit waits for the disk."""
        store = self.open()
        db = store._connection
        self.assertEqual(db.execute("PRAGMA journal_mode").fetchone(), ("wal",))
        self.assertEqual(db.execute("PRAGMA synchronous").fetchone(), (2,))

    def test_tokens_of_another_process(self) -> None:
        """Tokens that another connection wrote are noticed; own commits are none."""
        store = self.open()
        store.commit(Unit(tokens=[make_token("own")]))
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(store.tokens_beyond(1)), [])
        other = connect(str(self.path))
        self.addCleanup(other.close)
        insert(other, make_token("theirs"))
        found = self.successResultOf(store.tokens_beyond(1))
        self.assertEqual({t.agent_id for t in found}, {"own", "theirs"})
        self.assertEqual(self.successResultOf(store.tokens_beyond(2)), [])

    def test_tokens_are_not_missed_during_a_commit(self) -> None:
        """A look while a commit is under way misses nothing and sees nothing too early."""
        held = Held()
        store = self.open(held)
        other = connect(str(self.path))
        self.addCleanup(other.close)
        insert(other, make_token("theirs"))
        held.holding = True
        store.commit(Unit(tokens=[make_token("own")]))
        self.clock.advance(0)
        found = self.successResultOf(store.tokens_beyond(0))
        self.assertEqual({t.agent_id for t in found}, {"theirs"})
        held.release()
        found = self.successResultOf(store.tokens_beyond(1))
        self.assertEqual({t.agent_id for t in found}, {"own", "theirs"})

    def test_another_process_holds_the_file(self) -> None:
        """A commit that another process's lock holds up is made once the lock is gone."""
        store = self.open()
        other = connect(str(self.path))
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        answered: list[str] = []
        store.commit(Unit(new=[make_task("t")], then=lambda: answered.append("t")))
        self.clock.advance(0)
        self.assertEqual((answered, store.trouble()), ([], None))
        other.execute("COMMIT")
        self.clock.advance(0.05)
        self.assertEqual(answered, ["t"])

    def test_readers_cannot_write(self) -> None:
        """A reading connection refuses to write."""
        self.open()
        reader = connect_reader(str(self.path))
        self.addCleanup(reader.close)
        self.assertRaises(sqlite3.OperationalError, reader.execute, "DELETE FROM tasks")

    def test_only_the_owner_can_read(self) -> None:
        """Every file of the database has mode 0600, whatever the umask is."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        store = self.open()
        store.commit(Unit(new=[make_task()]))
        self.clock.advance(0)
        self.successResultOf(store.task("task-1"))
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in self.path.parent.iterdir()}
        self.assertIn("agentcom.db-wal", modes)
        self.assertEqual(set(modes.values()), {0o600}, modes)

    def test_readable_file_is_made_private(self) -> None:
        """A database that others could read is made private when it is opened."""
        self.open().close()
        self.path.chmod(0o644)
        self.open()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_no_database(self) -> None:
        """A file that is no database, and a directory that is not there, are one sentence."""
        self.path.write_bytes(b"this is not a database, and long enough to be looked at" * 50)
        error = self.assertRaises(StartError, open_file, self.path, lambda: "e")
        self.assertIn(str(self.path), str(error))
        self.assertNotIn("\n", str(error))
        missing = self.path.parent / "missing" / "agentcom.db"
        error = self.assertRaises(StartError, open_file, missing, lambda: "e")
        self.assertIn("cannot open the database", str(error))
