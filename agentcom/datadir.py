"""The data directory: made private, locked by one hub, with its admin token."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

from agentcom.errors import StartError

LAST_BATCH_S = 10.0
"""Seconds that a start waits for the last batch of a hub that was killed to be written."""

LOOK_S = 0.01
"""Seconds between two looks at whether it is."""


LEFT = (
    "; there is no such process here: what writes its database has not ended (agentcom.store.writer"
    " in the list of processes: wait for its disk, or end it), or that hub is in another container"
)


class Lock:
    """An exclusive lock of one process on a file that tells who has it.

    A hub shares its locks with the process that writes its database, so that they are held
    until that one has ended, too.

    :param wait: lets so many seconds pass; by default the process sleeps.
    """

    def __init__(self, path: Path, wait: Callable[[float], object] | None = None) -> None:
        self._path = path
        self._wait = wait or Event().wait
        self._file: int | None = None

    @property
    def descriptor(self) -> int:
        """Of the file; whoever inherits it shares the lock.

        :raises RuntimeError: it is not locked.
        """
        if self._file is None:
            raise RuntimeError(f"{self._path} is not locked")
        return self._file

    def acquire(self) -> None:
        """Lock the file for this process.

        Waits, :data:`LAST_BATCH_S` at the most, where the holder is no more and only its last
        batch is still being written.

        :raises StartError: another process has it, or it cannot be written.
        """
        folder = self._path.parent
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise StartError(f"cannot write {self._path}: {e.strerror}") from e
        waited = 0.0
        while not _locked(file):
            holder = os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            gone = _gone(holder)
            if not gone or waited >= LAST_BATCH_S:
                os.close(file)
                raise StartError(
                    f"data directory in use by process {holder}: {folder}{LEFT if gone else ''}"
                ) from None
            self._wait(LOOK_S)
            waited += LOOK_S
        os.ftruncate(file, 0)
        os.pwrite(file, b"%d\n" % os.getpid(), 0)
        self._file = file

    def release(self) -> None:
        """Unlock it.  The file stays: removing it would race."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _locked(file: int) -> bool:
    """Lock it, if nobody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _gone(holder: str) -> bool:
    """Whether there is no process of this number, or one that has ended."""
    with suppress(OSError):
        # What comes before the last parenthesis is a name.
        stat = Path(f"/proc/{holder}/stat").read_bytes().rpartition(b")")[2]
        if stat.split()[:1] == [b"Z"]:
            return True
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        pass
    return False


class DataDir:
    """One hub's directory, held exclusively from :meth:`acquire` on.

    :ivar lock: what holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = Lock(path / "lock")

    @property
    def token_file(self) -> Path:
        """Where the admin token of the first start is."""
        return self.path / "admin.token"

    def acquire(self) -> None:
        """Make the directory where it is missing, and lock it for this process.

        :raises StartError: it cannot be written, or another hub has it.
        """
        make_private(self.path)
        self.lock.acquire()

    def release(self) -> None:
        """Let another hub have it."""
        self.lock.release()


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
