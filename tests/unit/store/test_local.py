"""Making an admin token on the machine itself, with and without a running hub."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.ids import hash_token
from agentcom.core.tokens import ADMIN
from agentcom.errors import StartError
from agentcom.store.connections import connect
from agentcom.store.interface import Unit
from agentcom.store.local import create_admin_token
from agentcom.store.sqlite import SqliteStore
from agentcom.testing import MemoryHub
from tests.unit.store.support import file_store, make_clock, make_task

NOW = 1_700_000_000_000


class LocalTokenTests(SynchronousTestCase):
    """``create_admin_token`` writes a token that the hub takes."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "agentcom.db"

    def store(self, clock: object = None) -> SqliteStore:
        store = file_store(clock or make_clock(), self.path)  # type: ignore[arg-type]
        self.addCleanup(store.close)
        return store

    def test_no_hub_yet(self) -> None:
        """Where there is no database the operator is told so, and none is made."""
        error = self.assertRaises(StartError, create_admin_token, self.folder, NOW)
        self.assertIn("start the hub there once", str(error))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_hub_is_not_running(self) -> None:
        """The token is there when the hub starts; the database holds only its hash."""
        self.store().close()
        secret = create_admin_token(self.folder, NOW)
        self.assertRegex(secret, r"\A[0-9a-f]{64}\Z")
        (token,) = self.store().load().tokens
        self.assertEqual((token.agent_id, token.scopes), ("admin", (ADMIN,)))
        self.assertEqual(token.hash, hash_token(secret))
        self.assertNotIn(secret.encode(), self.path.read_bytes())

    def test_hub_is_running(self) -> None:
        """A running hub takes the new token within about a second, and the old ones still."""
        clock = make_clock()
        hub = MemoryHub(self.store(clock), clock)
        secret = create_admin_token(self.folder, NOW)
        hub.advance(1.1)
        self.assertEqual(hub.request("GET", "/admin/tokens", token=secret).status, 200)
        self.assertEqual(hub.request("GET", "/admin/tokens").status, 200)

    def test_hub_writes_on(self) -> None:
        """The hub's own commits go on after it."""
        clock = make_clock()
        store = self.store(clock)
        create_admin_token(self.folder, NOW)
        store.commit(Unit(new=[make_task("t")]))
        clock.advance(0)
        self.assertIsNotNone(self.successResultOf(store.task("t")))

    def test_other_version(self) -> None:
        """A database of another version, newer or older, is refused, not touched or upgraded."""
        self.store()
        connection = connect(str(self.path))
        self.addCleanup(connection.close)
        for version in ("9999", "0000"):
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
            error = self.assertRaises(StartError, create_admin_token, self.folder, NOW)
            self.assertIn("version", str(error))
            self.assertNotIn("\n", str(error))
            self.assertEqual(connection.execute("SELECT * FROM tokens").fetchall(), [])
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            self.assertEqual(found, [(version,)])

    def test_no_database(self) -> None:
        """A file that is no database is one sentence."""
        self.path.write_bytes(b"no database at all " * 100)
        error = self.assertRaises(StartError, create_admin_token, self.folder, NOW)
        self.assertNotIn("\n", str(error))
