"""The process that writes a hub's database, on a disk that is full while a file exists.

Started by :mod:`.faulty_hub`; the file's path is in ``FAULT_FLAG``.
"""

from __future__ import annotations

import os
import sqlite3

from agentcom.store import transaction, writer

_commit = transaction.commit


def _failing(connection: sqlite3.Connection) -> None:
    if os.path.exists(os.environ["FAULT_FLAG"]):
        raise sqlite3.OperationalError("database or disk is full")
    _commit(connection)


def main() -> None:
    """Be the process, on such a disk."""
    transaction.commit = _failing
    writer.main()
