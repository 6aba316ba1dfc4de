"""What a command prints, on disk: numbered files of which the oldest go.

``supervise`` writes them, ``printed`` reads them.  Part of the supervisor: it
needs nothing but the standard library.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from contextlib import suppress

OUT, ERR = 1, 2
CHUNK = 64 * 1024
SEGMENT_BYTES = 1024 * 1024
KEPT_BYTES = 8 * 1024 * 1024
# Segments can be short only where writing failed; so many of those are kept.
KEPT_SEGMENTS = 64

# What a segment begins with: how many bytes were printed before it.
BEGINNING = struct.Struct(">Q")
# What a piece of output begins with: its stream, and how many bytes follow.
PIECE = struct.Struct(">BI")


class Log:
    """The output of one command, while it is written.

    :param segment: how many bytes a file has at most.
    :param kept: how many bytes all of them have at most.
    :ivar printed: how many bytes the command has printed, kept or not.
    """

    def __init__(
        self, directory: str, segment: int = SEGMENT_BYTES, kept: int = KEPT_BYTES
    ) -> None:
        self.printed = 0
        self._directory = directory
        self._segment = segment
        self._kept = kept
        self._number = 0
        self._file: int | None = None
        self._size = 0
        self._old: deque[tuple[str, int]] = deque()
        self._old_size = 0

    def add(self, stream: int, data: bytes) -> None:
        """Append a piece of at most :data:`CHUNK` bytes; none is nothing.

        Never raises: what cannot be written is left out, and the beginning of
        the next segment shows how much that was.
        """
        if not data:
            return
        piece = PIECE.pack(stream, len(data)) + data
        try:
            if self._file is not None and self._size + len(piece) > self._segment:
                self._close()
            if self._file is None:
                self._open()
            self._write(piece)
        except OSError:
            self._close()
        self.printed += len(data)

    def sync(self) -> None:
        """Bring the end of it to the disk."""
        self._close()
        for path, _ in list(self._old)[-2:]:
            sync(path)

    def _open(self) -> None:
        while self._old and (
            self._old_size + self._segment > self._kept or len(self._old) >= KEPT_SEGMENTS
        ):
            path, size = self._old.popleft()
            self._old_size -= size
            with suppress(OSError):
                os.unlink(path)
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(self._path(), flags, 0o600)
        self._write(BEGINNING.pack(self.printed))

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        rest = data
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            # Half a piece is of no use, and a full disk can do without it.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _close(self) -> None:
        if self._file is None:
            return
        with suppress(OSError):
            os.close(self._file)
        if self._size:
            self._old.append((self._path(), self._size))
            self._old_size += self._size
        else:
            with suppress(OSError):
                os.unlink(self._path())
        self._file = None
        self._size = 0

    def _path(self) -> str:
        return os.path.join(self._directory, f"output.{self._number:08}")


def sync(path: str) -> None:
    """Bring a file or directory to the disk, if it is there and can be."""
    with suppress(OSError):
        # A pipe in its place must not make us wait.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.fsync(file)
        finally:
            os.close(file)
