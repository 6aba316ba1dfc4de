"""Bring the database to this version's schema: atomically, after a backup.

The version table is read without Alembic first, because nearly every start
finds it right and importing Alembic takes a third of a second.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentcom.errors import StartError
from agentcom.store import statements as sql

HEAD = "0006"
"""The newest revision in ``migrations/versions``; a test compares them."""

MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(path: Path, connection: sqlite3.Connection, epoch: Callable[[], str]) -> None:
    """Make or upgrade the database file, so that the store can use it.

    :param connection: open on the file, outside any transaction.
    :param epoch: makes the epoch of a new event log.
    :raises StartError: it cannot be used, or is of a newer version.
    """
    try:
        found = _revision(connection)
        if found == HEAD:
            return
        if found is not None:
            if found not in _revisions():
                raise StartError(
                    f"the database {path} is of a newer version ({found}) than this hub ({HEAD}):"
                    " install the newer version, or start from a backup made before it"
                )
            _backup(connection, path, found)
        _upgrade_or_say_why(path, connection, epoch)
    except sqlite3.Error as e:
        raise StartError(f"cannot use the database {path}: {e}") from e


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether the database has just this version's schema."""
    return _revision(connection) == HEAD


def _upgrade_or_say_why(
    path: Path, connection: sqlite3.Connection, epoch: Callable[[], str]
) -> None:
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        upgrade(connection, epoch)
    except DBAPIError as e:
        raise StartError(f"cannot make the tables in {path}: {e.orig}") from e
    except (SQLAlchemyError, CommandError) as e:
        raise StartError(f"cannot make the tables in {path}: {str(e).splitlines()[0]}") from e


def upgrade(connection: sqlite3.Connection, epoch: Callable[[], str], to: str = "head") -> None:
    """Run all missing migrations in one transaction of our own.

    The driver would commit before each CREATE TABLE, and a crash half-way
    would leave half a schema: so its transactions are off, and BEGIN is ours.
    """
    from alembic.config import Config
    from alembic.operations import Operations
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    script = ScriptDirectory(str(MIGRATIONS))

    def steps(revision: Any, context: Any) -> Any:
        return script._upgrade_revs(to, revision)

    # Alembic commits by itself unless a transaction is there before it.
    with engine.connect() as bound, bound.begin():
        bound.exec_driver_sql("BEGIN IMMEDIATE")
        with EnvironmentContext(Config(), script, fn=steps) as environment:
            environment.configure(connection=bound, transactional_ddl=True)
            with Operations.context(environment.get_context()):
                environment.get_context().run_migrations()
        if connection.execute(sql.SELECT_META).fetchone() is None:
            connection.execute(sql.INSERT_META, (1, epoch(), 0))


def _revision(connection: sqlite3.Connection) -> str | None:
    table = connection.execute(
        "SELECT name FROM sqlite_master WHERE type='table' AND name='alembic_version'"
    ).fetchone()
    if table is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {str(s.revision) for s in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def _backup(connection: sqlite3.Connection, path: Path, revision: str) -> None:
    """Copy by SQLite's own backup: a copied file would miss the WAL."""
    target = path.with_name(f"{path.name}.before-{revision}.backup")
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    copy = sqlite3.connect(partial)
    try:
        os.chmod(partial, 0o600)
        connection.backup(copy)
    finally:
        copy.close()
    partial.replace(target)
