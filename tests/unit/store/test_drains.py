"""Drains of agents: a row each, written with the events that explain them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.drain import Drain
from agentcom.core.events import PRESENCE, Draft
from agentcom.store import migrate, reads
from agentcom.store.connections import connect
from agentcom.store.interface import Unit
from agentcom.store.sqlite import open_file
from tests.unit.store.support import NOW, StoreCase

FULL = Drain(by="kim", since=NOW, note="new \u2603", deadline=2**53, drained_at=NOW + 1)
BARE = Drain(by="admin", since=NOW + 2)


class DrainRowTests(StoreCase):
    """What is put into the store is what the hub reads when it starts."""

    def test_every_field(self) -> None:
        """A drain comes back with all its fields, the oldest first."""
        self.put(Unit(drains={"b": BARE}), Unit(drains={"a": FULL}))
        self.assertEqual(list(self.store.load().drains.items()), [("a", FULL), ("b", BARE)])

    def test_none(self) -> None:
        """Of a new store nobody is drained."""
        self.assertEqual(self.store.load().drains, {})

    def test_the_last_word_stands(self) -> None:
        """Of several words in one batch, and in several, the last one stands."""
        for last, expected in ((BARE, {"a": BARE}), (None, {})):
            self.put(Unit(drains={"a": FULL}), Unit(drains={"a": None}), Unit(drains={"a": last}))
            self.assertEqual(self.store.load().drains, expected)
            self.put(Unit(drains={"a": None}))
            self.put(Unit(drains={"a": FULL}))
            self.put(Unit(drains={"a": last}))
            self.assertEqual(self.store.load().drains, expected)

    def test_of_one_agent(self) -> None:
        """The end of one agent's drain is not that of another's."""
        self.put(Unit(drains={"a": FULL, "b": BARE}), Unit(drains={"b": None}))
        self.assertEqual(self.store.load().drains, {"a": FULL})

    def test_with_its_event(self) -> None:
        """A drain is in the table when its event is in the log."""
        draft = Draft(PRESENCE, "agent_draining", NOW, agent_id="a")
        self.put(Unit(drafts=(draft,), drains={"a": FULL}))
        (event,) = self.successResultOf(self.store.events(0, 10))
        self.assertEqual((event.event, event.agent_id), ("agent_draining", "a"))
        self.assertEqual(self.store.load().drains, {"a": FULL})


class DrainTests(StoreCase):
    """A drain as a value."""

    def test_deadline(self) -> None:
        """A deadline has passed from its own millisecond on; without one, never."""
        drain = Drain(by="kim", since=NOW, deadline=NOW + 5)
        self.assertEqual([drain.passed(NOW + n) for n in (4, 5, 6)], [False, True, True])
        self.assertFalse(BARE.passed(2**53))

    def test_words(self) -> None:
        """In words it is who, and why where that was told, in one line."""
        self.assertEqual([FULL.words(), BARE.words()], ["by kim: new \u2603", "by admin"])
        lines = Drain(by="kim", since=NOW, note=" new\n\tkernel\r\n")
        self.assertEqual(lines.words(), "by kim: new kernel")


class UpgradeTests(SynchronousTestCase):
    """A database that was made before agents could be drained."""

    def test_from_the_second_version(self) -> None:
        """It gets the table, empty, and keeps what it has; there is a backup of it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / "agentcom.db"
        old = connect(str(path))
        migrate.upgrade(old, lambda: "epoch-1", "0002")
        old.execute("UPDATE meta SET last_seq = 42")
        old.close()
        new = open_file(path, lambda: "epoch-2")
        self.addCleanup(new.close)
        self.assertEqual(reads.drains(new), {})
        self.assertEqual(
            new.execute("SELECT epoch, last_seq FROM meta").fetchall(), [("epoch-1", 42)]
        )
        self.assertEqual(
            [backup.name for backup in folder.glob("*.backup")],
            ["agentcom.db.before-0002.backup"],
        )
