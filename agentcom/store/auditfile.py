"""The audit log on disk: lines at the end of a file that is turned over by size.

It is no part of the database: who tidies up or restores that leaves alone
what was done.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

NAME = "audit.log"
"""The file in the data directory; older ones are ``audit.log.1`` and so on."""

LARGEST = 10 * 1024 * 1024
"""Bytes of a file that is turned over."""

KEPT = 5
"""Older files that are kept."""

MOST_WAITING = 10_000
"""Lines that wait for the disk; more are lost, and counted."""


class AuditFile:
    """A file of lines that only its owner can read.  Its calls block."""

    def __init__(self, path: Path, largest: int = LARGEST, kept: int = KEPT) -> None:
        self.path = path
        self._largest = largest
        self._kept = kept
        self._torn = False

    def append(self, lines: bytes, turn_over: bool = True) -> None:
        """Write whole lines at the end.

        :param turn_over: begin a new file where this one is large; for the hub alone.
        :raises OSError: they cannot be written, or not all of them.
        """
        if turn_over:
            with suppress(FileNotFoundError):
                if self.path.stat().st_size + len(lines) > self._largest:
                    self._turn_over()
        data = b"\n" + lines if self._torn else lines
        self._torn = True
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while data:
                data = data[os.write(file, data) :]
        finally:
            os.close(file)
        self._torn = False

    def _turn_over(self) -> None:
        names = [self.path, *(self.path.with_name(f"{NAME}.{n + 1}") for n in range(self._kept))]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            with suppress(FileNotFoundError):
                newer.replace(older)


class AuditWriter:
    """Hands lines to a thread, so that a disk that is stuck holds up nobody.

    :param in_thread: runs a call in another thread; one at a time is asked for.
    """

    log = Logger()

    def __init__(
        self, file: AuditFile, in_thread: Callable[[Callable[[], None]], Deferred[None]]
    ) -> None:
        self._file = file
        self._in_thread = in_thread
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._busy = self._failing = False

    def write(self, line: bytes) -> None:
        """Take one line without its end; never fails and never waits."""
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(line)
        if not self._busy:
            self._begin()

    def close(self) -> None:
        """Write what is left; only when the thread has ended."""
        if self._waiting:
            with suppress(OSError):
                self._file.append(self._taken()[1])

    def _begin(self) -> None:
        self._busy = True
        count, lines = self._taken()
        done = self._in_thread(lambda: self._file.append(lines))
        done.addCallbacks(self._written, self._failed, errbackArgs=(count,))
        done.addErrback(lambda f: self.log.failure("while writing the audit log", f))

    def _taken(self) -> tuple[int, bytes]:
        """Lines that are to be written, and how many are lost if they cannot be."""
        lines = list(self._waiting)
        self._waiting.clear()
        count = len(lines) + self._lost
        if self._lost:
            lines.append(b'{"act":"lines_lost","count":%d}' % self._lost)
            self._lost = 0
        return count, b"".join(line + b"\n" for line in lines)

    def _written(self, _: None) -> None:
        if self._failing:
            self._failing = False
            self.log.info("the audit log is written again")
        self._busy = False
        if self._waiting:
            self._begin()

    def _failed(self, failure: Failure, count: int) -> None:
        self._lost += count
        if not self._failing:
            self._failing = True
            self.log.error(
                "the audit log {path} cannot be written, what happens now is missing there: {why}",
                path=str(self._file.path),
                why=failure.getErrorMessage(),
            )
        # The next line is the next try.
        self._busy = False
