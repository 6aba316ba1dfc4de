"""The data directory: made private, locked by one hub, with its admin token."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agentcom.errors import StartError


class Lock:
    """An exclusive lock of one process on a file that tells who has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Lock the file for this process.

        :raises StartError: another process has it, or it cannot be written.
        """
        folder = self._path.parent
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise StartError(f"cannot write {self._path}: {e.strerror}") from e
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise StartError(f"data directory in use by process {holder}: {folder}") from None
        os.ftruncate(file, 0)
        os.pwrite(file, b"%d\n" % os.getpid(), 0)
        self._file = file

    def release(self) -> None:
        """Unlock it.  The file stays: removing it would race."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class DataDir:
    """One hub's directory, held exclusively from :meth:`acquire` on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock(path / "lock")

    @property
    def token_file(self) -> Path:
        """Where the admin token of the first start is."""
        return self.path / "admin.token"

    def acquire(self) -> None:
        """Make the directory where it is missing, and lock it for this process.

        :raises StartError: it cannot be written, or another hub has it.
        """
        make_private(self.path)
        self._lock.acquire()

    def release(self) -> None:
        """Let another hub have it."""
        self._lock.release()


def free_bytes(path: Path) -> int:
    """Free disk space for unprivileged processes where the path is, in bytes."""
    stat = os.statvfs(path)
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
