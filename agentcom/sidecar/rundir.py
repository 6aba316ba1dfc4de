"""The directory of one run: what the agent and the supervisor of a command share.

::

  STATE_DIR/runs/TASK.GENERATION/
    lock          held by the supervisor as long as it lives
    task.json     the command's standard input
    pid           of the command, while it is not reaped
    output.N      what it printed; written by segments, read by printed
    told          how much of that was told already
    result.json   what the command left as its result
    wish          TERM or KILL, when the agent wants it to end
    exit.json     how it ended; exit.partial before
    log           faults of the supervisor itself

Nothing here is a promise of its own: the journal of the agent says what is run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import msgspec

from agentcom.sidecar.supervise import RESERVED, RESERVED_BYTES

PID = re.compile(rb"[1-9][0-9]*\n")
MAX_NAME = 200
MAX_LOG = 2_000
MAX_RESULT_FILE = 128 * 1024


class Ending(msgspec.Struct, frozen=True):
    """How a command ended, as its supervisor recorded it.

    :ivar code: its exit status, ``None`` if a signal ended it or it never began.
    :ivar problem: a sentence, where the supervisor could not do its part.
    :ivar begun: whether the command was let go at all.
    :ivar printed: how many bytes it printed in all.
    """

    code: int | None = None
    signal: int | None = None
    problem: str | None = None
    begun: bool = True
    printed: int = 0


class RunDir:
    """One run's directory, which may not be there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def result_file(self) -> Path:
        """Where the command may leave a result."""
        return self.path / "result.json"

    def make(self, task: bytes) -> int:
        """Make it, for a task that becomes the command's standard input.

        :return: a descriptor that holds the lock; who inherits it, holds it too.
        :raises OSError: it is there already, or the disk does not take it.
        """
        self.path.mkdir(mode=0o700)
        self._write("task.json", task)
        self._write(RESERVED, b" " * RESERVED_BYTES)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        return lock

    def open_log(self) -> int:
        """A descriptor for what the supervisor says on its standard error.

        :raises OSError: the disk does not take it.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.open(self.path / "log", flags, 0o600)

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    @property
    def alive(self) -> bool:
        """Whether a supervisor lives: nobody else can hold the lock.

        :raises OSError: that cannot be told now, for want of a descriptor perhaps.
        """
        try:
            lock = os.open(self.path / "lock", os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def pid(self) -> int | None:
        """Of the command, which leads its group; ``None`` before it and after its end.

        It may be signalled only while the supervisor lives, see ``supervise``.

        :raises OSError: it cannot be read now.
        """
        written = self._read("pid", 32) or b""
        # While it is being written, a part of it would be another's.
        return int(written) if PID.fullmatch(written) else None

    def ending(self) -> Ending | None:
        """How the command ended, once it has.

        :raises OSError: it cannot be read now.
        """
        recorded = self._read("exit.json", RESERVED_BYTES)
        if recorded is None:
            return None
        try:
            return msgspec.json.decode(recorded, type=Ending)
        except msgspec.MsgspecError:
            return Ending(problem="the record of how the command ended cannot be read")

    def result(self) -> bytes | None:
        """What the command left in its result file, ``None`` if it wrote nothing.

        :raises OSError: it cannot be read.
        :raises ValueError: it is not a regular file, or too large.
        """
        try:
            # A pipe or a device in its place must not make the agent wait.
            descriptor = os.open(self.result_file, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("it is not a regular file")
            data = file.read(MAX_RESULT_FILE + 1)
        if len(data) > MAX_RESULT_FILE:
            raise ValueError(f"it has more than {MAX_RESULT_FILE} bytes")
        return data or None

    def wish(self, wanted: str) -> None:
        """Tell the supervisor how patient to be.  Never raises."""
        with suppress(OSError):
            self._write("wish", wanted.encode())

    def told(self) -> int:
        """How many bytes of the output were told already, as far as is known."""
        with suppress(OSError, ValueError):
            return int(self._read("told", 32) or 0)
        return 0

    def tell(self, position: int) -> None:
        """Remember that.  Never raises: then a little is told twice."""
        with suppress(OSError):
            file = os.open(self.path / "told", os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(file, b"%020d" % position, 0)
            finally:
                os.close(file)

    def log(self) -> str:
        """The last line that the supervisor said of faults of its own."""
        with suppress(OSError):
            said = (self._read("log", MAX_LOG) or b"").decode("utf-8", "replace")
            return said.strip().rpartition("\n")[2]
        return ""

    def remove(self) -> None:
        """Drop it all.  Idempotent, never raises."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _read(self, name: str, limit: int) -> bytes | None:
        try:
            with open(self.path / name, "rb") as file:
                return file.read(limit)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        file = os.open(self.path / name, flags, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(data)


class RunDirs:
    """All runs of one agent."""

    def __init__(self, state_dir: Path) -> None:
        # A command carries the path of its result file; it must be the same next time.
        self._root = Path(os.path.realpath(state_dir)) / "runs"

    def of(self, key: tuple[str, int]) -> RunDir:
        """The one of an attempt, there or not."""
        return RunDir(self._root / name_of(key))

    def make_room(self) -> None:
        """Make the directory that they stand in.

        :raises OSError: it cannot be made.
        """
        self._root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root.mkdir(mode=0o700, exist_ok=True)

    def __iter__(self) -> Iterator[RunDir]:
        """Those that are there; of none if they cannot be listed."""
        with suppress(OSError):
            for path in sorted(self._root.iterdir()):
                if path.is_dir() and not path.is_symlink():
                    yield RunDir(path)


def name_of(key: tuple[str, int]) -> str:
    """A name for an attempt's directory, whatever the task's id looks like."""
    task_id, generation = key
    name = quote(task_id, safe="", errors="surrogatepass")
    if len(name) > MAX_NAME:
        name = hashlib.sha256(name.encode("ascii")).hexdigest()
    return f"{name}.{generation:d}"
