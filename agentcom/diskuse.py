"""What the database takes of its disk, and what is left; each look is some microseconds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from agentcom.datadir import free_bytes


class DiskUse:
    """Looks at one database's files; what cannot be looked at is 0.

    :param path: of the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def free(self) -> int:
        """Free disk space where the database is, in bytes."""
        return _or_nothing(lambda: free_bytes(self._path.parent))

    def database(self) -> int:
        """Bytes of the database itself."""
        return _or_nothing(lambda: os.stat(self._path).st_size)

    def log(self) -> int:
        """Bytes of SQLite's log, in which changes are before they go into the database."""
        return _or_nothing(lambda: os.stat(f"{self._path}-wal").st_size)


def _or_nothing(look: Callable[[], int]) -> int:
    try:
        return look()
    except OSError:
        return 0
