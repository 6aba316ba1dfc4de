"""The directory in which an agent keeps what must outlive its process.

Held by one process at a time.  The ``journal`` is in it, and whatever a
workshop leaves there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from urllib.parse import quote

from agentcom.sidecar.connector import GiveUp
from agentcom.sidecar.journal import Journal, JournalFailed

MAX_NAME = 200
# Kept tokens, and files on their way to become one, are called so.
_TAKEN = (".token", ".new", ".partial")


def default_state_dir(data_dir: Path, agent_id: str) -> Path:
    """Where an agent keeps its state unless it is told otherwise."""
    return data_dir / "agents" / directory_name(agent_id)


def directory_name(agent_id: str) -> str:
    """A name in the file system for an agent, whatever its id is; no two share one."""
    name = quote(agent_id, safe="@:")
    if name.startswith(".") or name.endswith(_TAKEN):
        # As % itself is quoted, no other id is given this name.
        name = name.replace(".", "%2E")
    if len(name) > MAX_NAME:
        # No id that is quoted has two % in a row.
        name = name[:100] + "%%" + hashlib.sha256(agent_id.encode("utf-8", "replace")).hexdigest()
    return name


class State:
    """One agent's directory, from :meth:`open` to :meth:`close`.

    :ivar path: the directory, absolute.
    """

    def __init__(self, path: Path, journal: Journal, lock: int) -> None:
        self.path = path
        self.journal = journal
        self._lock = lock

    @classmethod
    def open(cls, path: Path, agent_id: str) -> State:
        """Make the directory where it is missing, hold it, and open its journal.

        Not before a daemon has forked: neither the lock nor the journal would
        survive that.

        :raises GiveUp: another process holds it, or it cannot be used.
        """
        path = path.expanduser().absolute()
        try:
            _make(path)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise GiveUp(f"the state directory {path} cannot be used: {e.strerror}") from e
        try:
            _hold(lock, path, agent_id)
            return cls(path, Journal.open(path / "journal.db", agent_id), lock)
        except (GiveUp, JournalFailed) as e:
            os.close(lock)
            raise GiveUp(str(e)) from e

    def close(self) -> None:
        """Let another process have it."""
        self.journal.close()
        os.close(self._lock)


def _make(path: Path) -> None:
    # mkdir would give its mode to the last one only; a hub may come to use the others.
    if not path.parent.exists():
        _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def _hold(lock: int, path: Path, agent_id: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise GiveUp(
            f"the state directory {path} is in use by process {holder}; stop that, or give "
            f"agent {agent_id} another id or state directory"
        ) from None
    except OSError as e:
        raise GiveUp(f"the state directory {path} cannot be used: {e.strerror}") from e
