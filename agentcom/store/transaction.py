"""Steps on a database: all of them, or none.

Known to :mod:`.writer`, so nothing but the standard library is imported here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

Step = tuple[str, Sequence[tuple[Any, ...]]]
"""A statement, and the values of each time that it is run."""


def write(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    """Begin, and run all of it."""
    connection.execute("BEGIN IMMEDIATE")
    for statement, values in steps:
        connection.executemany(statement, values)


def commit(connection: sqlite3.Connection) -> None:
    """Make it durable."""
    connection.execute("COMMIT")


def rollback(connection: sqlite3.Connection) -> None:
    """Forget what was begun, if anything was; never raises."""
    # A failed statement may have ended the transaction by itself; and a rollback that
    # fails leaves what the next BEGIN says so of.
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
