"""Sessions of browsers: a row each."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.session import BrowserSession
from agentcom.store import migrate, reads
from agentcom.store.connections import connect
from agentcom.store.interface import Unit
from agentcom.store.sqlite import open_file
from tests.unit.store.support import NOW, StoreCase

A = BrowserSession("a" * 64, "1" * 64, NOW + 1, NOW + 9)
B = BrowserSession("b" * 64, "1" * 64, NOW, 2**53)


class SessionRowTests(StoreCase):
    """What is put into the store is what the hub reads when it starts."""

    def test_every_field(self) -> None:
        """A session comes back with all its fields, the oldest first."""
        self.put(Unit(sessions={A.hash: A}), Unit(sessions={B.hash: B}))
        self.assertEqual(self.store.load().sessions, [B, A])

    def test_the_last_word_stands(self) -> None:
        """Of several words in one batch, and in several, the last one stands."""
        for last, expected in ((A, [A]), (None, [])):
            self.put(Unit(sessions={A.hash: A}), Unit(sessions={A.hash: last}))
            self.assertEqual(self.store.load().sessions, expected)
            self.put(Unit(sessions={A.hash: A}))
            self.put(Unit(sessions={A.hash: last}))
            self.assertEqual(self.store.load().sessions, expected)

    def test_of_one(self) -> None:
        """The end of one is not that of another."""
        self.put(Unit(sessions={A.hash: A, B.hash: B}), Unit(sessions={A.hash: None}))
        self.assertEqual(self.store.load().sessions, [B])


class UpgradeTests(SynchronousTestCase):
    """A database that was made before browsers could sign in."""

    def test_from_the_fourth_version(self) -> None:
        """It gets the table, empty, and keeps what it has; there is a backup of it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / "agentcom.db"
        old = connect(str(path))
        migrate.upgrade(old, lambda: "epoch-1", "0004")
        old.execute("UPDATE meta SET last_seq = 42")
        old.close()
        new = open_file(path, lambda: "epoch-2")
        self.addCleanup(new.close)
        self.assertEqual(reads.sessions(new), [])
        self.assertEqual(
            new.execute("SELECT epoch, last_seq FROM meta").fetchall(), [("epoch-1", 42)]
        )
        names = [backup.name for backup in folder.glob("*.backup")]
        self.assertEqual(names, ["agentcom.db.before-0004.backup"])
