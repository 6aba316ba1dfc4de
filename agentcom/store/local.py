"""What can be done to the store on the machine itself, without the hub.

Also while a hub runs: SQLite lets one process write at a time, and the hub
looks every second for tokens that another process wrote.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from agentcom.core.ids import ADMIN_ID, Ids
from agentcom.core.tokens import ADMIN, Token, mint
from agentcom.errors import StartError
from agentcom.store import migrate, rows
from agentcom.store import statements as sql
from agentcom.store.auditfile import NAME, AuditFile
from agentcom.store.connections import connect

WAIT_MS = 5_000
"""Milliseconds to wait for a hub that is just writing."""


def create_admin_token(data_dir: Path, now: int) -> str:
    """Make a new admin token and give its secret.

    :param now: Unix milliseconds.
    :raises StartError: there is no database, or it cannot be written.
    """
    path = data_dir / "agentcom.db"
    if not path.exists():
        raise StartError(f"there is no hub's database in {data_dir}: start the hub there once")
    ids = Ids(os.urandom)
    secret, token = mint(ids, ADMIN_ID, (ADMIN,), now)
    try:
        connection = connect(str(path), WAIT_MS)
        try:
            # Never migrate here: an older hub may be running on it.
            if not migrate.is_current(connection):
                raise StartError(
                    f"the database {path} is of another version than this command:"
                    " use the command that was installed with the hub"
                )
            insert(connection, token)
            _told(data_dir, now)
        finally:
            connection.close()
    except sqlite3.Error as e:
        raise StartError(f"cannot write the token to {path}: {e}") from e
    return secret


def _told(data_dir: Path, now: int) -> None:
    """A line in the hub's audit log; the token is made whether or not it can be written."""
    line = b'{"time":%d,"act":"create_admin_token_locally","uid":%d}\n' % (now, os.getuid())
    with suppress(OSError):
        AuditFile(data_dir / NAME).append(line, turn_over=False)


def count_tokens(connection: sqlite3.Connection) -> int:
    """How many tokens there are, revoked ones included."""
    return int(connection.execute(sql.COUNT_TOKENS).fetchone()[0])


def insert(connection: sqlite3.Connection, token: Token) -> None:
    """Store a token; durable when this returns."""
    connection.execute(sql.UPSERT_TOKEN, rows.token_row(token))
