"""Migrations: they make the schema that the statements use, wholly or not at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from twisted.trial.unittest import SynchronousTestCase

from agentcom.errors import StartError
from agentcom.store import migrate, schema
from agentcom.store.connections import connect
from agentcom.store.sqlite import open_file

BREAKS = '''
"""A revision that fails in its middle."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table("halfway", sa.Column("id", sa.Integer(), primary_key=True))
    op.add_column("tasks", sa.Column("halfway", sa.Text()))
    op.execute("INSERT INTO halfway VALUES (1)")
    op.execute("THIS IS NO SQL")
'''

WORKS = BREAKS.replace('    op.execute("THIS IS NO SQL")\n', "")


def tables(connection: sqlite3.Connection) -> set[str]:
    """The names of everything in the schema."""
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}


class SchemaTests(SynchronousTestCase):
    """The migrations and the schema say the same."""

    def test_migrations_make_the_schema(self) -> None:
        """What the migrations make is what ``schema`` describes: indexes and types too."""
        connection = connect(":memory:")
        self.addCleanup(connection.close)
        migrate.upgrade(connection, lambda: "e")
        engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
        with engine.connect() as bound:
            context = MigrationContext.configure(
                bound, opts={"compare_type": True, "compare_server_default": True}
            )
            self.assertEqual(compare_metadata(context, schema.metadata), [])

    def test_partial_indexes_are_the_same(self) -> None:
        """Conditions of indexes, which the comparison leaves out, agree too."""
        migrated, created = connect(":memory:"), connect(":memory:")
        self.addCleanup(migrated.close)
        self.addCleanup(created.close)
        migrate.upgrade(migrated, lambda: "e")
        engine = create_engine("sqlite://", creator=lambda: created, poolclass=StaticPool)
        schema.metadata.create_all(engine)
        query = "SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE%INDEX%' ORDER BY name"
        indexes = migrated.execute(query).fetchall()
        self.assertEqual(indexes, created.execute(query).fetchall())
        self.assertTrue(any("WHERE" in (sql or "") for _, sql in indexes))

    def test_head_is_the_newest_revision(self) -> None:
        """``HEAD`` names the newest revision, and there is one line of them."""
        script = ScriptDirectory(str(migrate.MIGRATIONS))
        self.assertEqual(script.get_heads(), [migrate.HEAD])
        self.assertEqual(script.get_bases(), ["0001"])

    def test_columns_hold_what_the_limits_allow(self) -> None:
        """Integers that may be as large as 2**53 are big integers everywhere."""
        small = {
            f"{table.name}.{column.name}"
            for table in schema.metadata.sorted_tables
            for column in table.columns
            if str(column.type) == "INTEGER" and not column.primary_key
        }
        counters = {"attempts", "max_attempts", "requeues", "series"}
        self.assertEqual(small, {f"tasks.{name}" for name in counters})


class UpgradeTests(SynchronousTestCase):
    """Opening a file of this, an older, or a newer version."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "agentcom.db"

    def open(self) -> sqlite3.Connection:
        connection = open_file(self.path, lambda: "epoch-1")
        self.addCleanup(connection.close)
        return connection

    def with_revision(self, source: str) -> None:
        """Let there be one more revision."""
        copy = self.folder / "migrations"
        shutil.copytree(migrate.MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "versions" / "r0007_more.py").write_text(source)
        self.patch(migrate, "MIGRATIONS", copy)
        self.patch(migrate, "HEAD", "0007")

    def with_data(self) -> None:
        """A database of this version with something in it, some of it in the WAL."""
        connection = self.open()
        connection.execute("UPDATE meta SET last_seq = 41")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("UPDATE meta SET last_seq = 42")

    def backups(self) -> list[Path]:
        return sorted(self.folder.glob("*.backup*"))

    def test_new_file(self) -> None:
        """A new file gets the whole schema, the epoch, and counts from 0; no backup of it."""
        connection = self.open()
        rows = connection.execute("SELECT epoch, last_seq FROM meta").fetchall()
        self.assertEqual(rows, [("epoch-1", 0)])
        self.assertEqual(self.backups(), [])

    def test_same_version(self) -> None:
        """Opening a file of this version changes nothing: neither epoch nor counter."""
        self.with_data()
        connection = open_file(self.path, lambda: "epoch-2")
        self.addCleanup(connection.close)
        rows = connection.execute("SELECT epoch, last_seq FROM meta").fetchall()
        self.assertEqual(rows, [("epoch-1", 42)])
        self.assertEqual(self.backups(), [])

    def test_upgrade_keeps_the_log(self) -> None:
        """An upgrade adds what is new, and keeps epoch, counter and rows."""
        self.with_data()
        self.with_revision(WORKS)
        connection = self.open()
        self.assertIn("halfway", tables(connection))
        self.assertEqual(
            connection.execute("SELECT epoch, last_seq FROM meta").fetchall(), [("epoch-1", 42)]
        )
        self.assertEqual(migrate._revision(connection), "0007")

    def test_failing_upgrade_leaves_nothing(self) -> None:
        """An upgrade that fails half-way leaves the old version, whole and usable."""
        self.with_data()
        before = tables(self.open())
        self.with_revision(BREAKS)
        with self.assertRaises(Exception):  # noqa: B017 - Alembic's or SQLite's own
            self.open()
        connection = connect(str(self.path))
        self.addCleanup(connection.close)
        self.assertEqual(tables(connection), before)
        self.assertEqual(migrate._revision(connection), "0006")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(tasks)")]
        self.assertNotIn("halfway", columns)
        self.assertEqual(connection.execute("SELECT last_seq FROM meta").fetchall(), [(42,)])

    def test_failing_upgrade_is_one_sentence(self) -> None:
        """An upgrade that fails is told to the operator in one sentence."""
        self.with_data()
        self.with_revision(BREAKS)
        error = self.assertRaises(StartError, self.open)
        self.assertIn(str(self.path), str(error))
        self.assertNotIn("\n", str(error))

    def test_killed_first_start_leaves_nothing(self) -> None:
        """A first start that dies half-way leaves no table: the next one begins anew."""
        connection = connect(str(self.path))
        self.addCleanup(connection.close)

        def die() -> str:
            raise SystemExit(9)

        self.assertRaises(SystemExit, migrate.prepare, self.path, connection, die)
        self.assertEqual(tables(connection), set())
        self.assertEqual(self.open().execute("SELECT epoch FROM meta").fetchall(), [("epoch-1",)])

    def test_backup_before_an_upgrade(self) -> None:
        """Before an upgrade there is a backup of all that was committed, the WAL included."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.with_data()
        self.with_revision(BREAKS)
        with self.assertRaises(Exception):  # noqa: B017 - told of in another test
            self.open()
        (backup,) = self.backups()
        self.assertEqual(backup.name, "agentcom.db.before-0006.backup")
        self.assertEqual(stat.S_IMODE(backup.stat().st_mode), 0o600)
        copy = sqlite3.connect(backup)
        self.addCleanup(copy.close)
        self.assertEqual(copy.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        self.assertEqual(copy.execute("SELECT last_seq FROM meta").fetchall(), [(42,)])
        self.assertEqual(migrate._revision(copy), "0006")

    def test_newer_database(self) -> None:
        """A database of a newer version is refused in one sentence, and left alone."""
        self.with_data()
        connection = self.open()
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        error = self.assertRaises(StartError, self.open)
        self.assertIn("newer version (9999)", str(error))
        self.assertNotIn("\n", str(error))
        self.assertEqual(migrate._revision(connection), "9999")
        self.assertEqual(self.backups(), [])
