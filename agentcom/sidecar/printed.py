"""What a supervised command printed, read from where its supervisor writes it.

``segments.Log`` is the writer.  It removes the oldest segments without
asking, so a reader that is too slow finds a gap, and is told how large.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentcom.sidecar.segments import BEGINNING, CHUNK, ERR, OUT, PIECE

PREFIX = "output."
# Fewer bytes might not hold a whole piece, and look like the end.
LARGEST = BEGINNING.size + PIECE.size + CHUNK


@dataclass(frozen=True)
class Piece:
    """Some bytes of one stream, or that some are lost.

    :ivar stream: :data:`OUT`, :data:`ERR`, or ``None`` for what is lost.
    :ivar end: how many bytes were printed up to its end, what is lost included.
    :ivar lost: how many bytes are lost.
    """

    stream: int | None
    data: bytes
    end: int
    lost: int = 0


class Printed:
    """Reads from the oldest that is left, each piece once, in order.

    :ivar position: how many bytes were printed up to where it has read.
    """

    def __init__(self, directory: Path) -> None:
        self.position = 0
        self._directory = directory
        self._number = 0
        self._offset = 0
        self._file: int | None = None

    def read(self, limit: int) -> list[Piece]:
        """What comes next, about so many bytes.

        None: it has read all that was written when it was called.

        :raises OSError: it cannot look now, for want of a descriptor perhaps.
        """
        found: list[Piece] = []
        while limit > 0:
            # Looked for first: what is older than it will not grow any more.
            newer = self._newer()
            pieces = self._pieces(limit)
            found += pieces
            limit -= sum(PIECE.size + len(piece.data) for piece in pieces)
            if not pieces:
                if newer is None:
                    break
                self._enter(newer)
        return found

    def close(self) -> None:
        """Read no more."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _newer(self) -> int | None:
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return None
        numbers = [name[len(PREFIX) :] for name in names if name.startswith(PREFIX)]
        newer = [int(n) for n in numbers if n.isdecimal() and int(n) > self._number]
        return min(newer, default=None)

    def _enter(self, number: int) -> None:
        opened: int | None = None
        # It may have become the oldest, and gone.
        with suppress(FileNotFoundError):
            opened = os.open(self._directory / f"{PREFIX}{number:08}", os.O_RDONLY)
        self.close()
        self._number, self._offset, self._file = number, 0, opened

    def _pieces(self, limit: int) -> list[Piece]:
        if self._file is None:
            return []
        try:
            data = os.pread(self._file, max(limit, LARGEST), self._offset)
        except OSError:
            return []
        found: list[Piece] = []
        at = 0
        if self._offset == 0:
            if len(data) < BEGINNING.size:
                return []
            at = BEGINNING.size
            found += self._gap(*BEGINNING.unpack_from(data))
        while at + PIECE.size <= len(data):
            stream, size = PIECE.unpack_from(data, at)
            end = at + PIECE.size + size
            # After a power cut there may be anything; the next segment shows what is lost.
            if stream not in (OUT, ERR) or not 0 < size <= CHUNK or end > len(data):
                break
            self.position += size
            found.append(Piece(stream, data[at + PIECE.size : end], self.position))
            at = end
        self._offset += at
        return found

    def _gap(self, printed: int) -> list[Piece]:
        lost = printed - self.position
        if lost <= 0:
            return []
        self.position = printed
        return [Piece(None, b"", printed, lost)]
