"""How a database file is opened.

WAL lets readers go on while a batch is written, and ``synchronous=FULL``
makes a commit mean that it is on disk.  Known to :mod:`.writer`, so nothing but the
standard library is imported here.
"""

from __future__ import annotations

import sqlite3

CHECKPOINT_PAGES = 4_000
"""Pages of the log, 16 MiB, after which a commit moves them into the database: a
page that many commits write is moved once, and each move costs two fsyncs."""

BUSY_MS = 50
"""Milliseconds that the reactor may wait for another process's write lock."""


def connect(path: str, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """A connection as the store wants it: WAL, FULL, explicit transactions.

    :param busy_ms: milliseconds to wait for another process's write lock.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1000
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    return connection


def connect_reader(path: str) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = connect(path)
    connection.execute("PRAGMA query_only=ON")
    return connection
