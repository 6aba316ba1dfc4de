"""The data directory: made private, locked by one hub, with its admin token."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agentcom.errors import StartError


class DataDir:
    """One hub's directory, held exclusively from :meth:`acquire` on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def token_file(self) -> Path:
        """Where the admin token of the first start is."""
        return self.path / "admin.token"

    def acquire(self) -> None:
        """Make the directory where it is missing, and lock it for this process.

        :raises StartError: it cannot be written, or another hub has it.
        """
        make_private(self.path)
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise StartError(f"cannot write in the data directory {self.path}: {e.strerror}") from e
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise StartError(f"data directory in use by process {holder}: {self.path}") from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        self._lock = lock

    def release(self) -> None:
        """Unlock the directory.  The file stays: removing it would race."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def free_bytes(self) -> int:
        """Free disk space for unprivileged processes, in bytes."""
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize


def make_private(path: Path) -> None:
    """Make a directory that only its owner can enter.

    :raises StartError: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as e:
        raise StartError(f"cannot make the data directory {path}: {e.strerror}") from e


def write_secret(path: Path, secret: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(secret + "\n")
        f.flush()
        os.fsync(f.fileno())
    partial.replace(path)
