"""What a command prints: cut into lines, kept by its end, sent on in pieces.

Everything here is bounded, however much is printed and however long the line
to the hub is down: a command is never slowed because nobody listens.
"""

from __future__ import annotations

import codecs
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_LINE = 8 * 1024
MAX_FRAME_TEXT = 16 * 1024
MAX_PENDING_TEXT = 256 * 1024
MAX_PENDING_NOTES = 100
KEPT_BYTES = 256 * 1024
PROGRESS_PREFIX = "agentcom:progress "


@dataclass(frozen=True)
class Note:
    """Progress that was told.

    :ivar progress: a number whose meaning is the teller's, ``None`` without one.
    """

    progress: float | None
    message: str


def note_in(line: str) -> Note | None:
    """The progress that a line of standard output tells, if it does."""
    if not line.startswith(PROGRESS_PREFIX):
        return None
    number, _, message = line[len(PROGRESS_PREFIX) :].strip().partition(" ")
    try:
        progress = float(number)
    except ValueError:
        return None
    return Note(progress, message.strip()) if math.isfinite(progress) else None


class Lines:
    """Bytes in, whole lines out; a line that is too long comes in parts.

    :param take: called with the lines that are complete, without their ends.
    """

    def __init__(self, take: Callable[[list[str]], None]) -> None:
        self._take = take
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> None:
        self._split(self._decoder.decode(data))

    def end(self) -> None:
        """Nothing more comes: what is left is a line too."""
        self._split(self._decoder.decode(b"", final=True))
        if self._rest:
            self._take([self._rest])
            self._rest = ""

    def _split(self, text: str) -> None:
        *whole, rest = (self._rest + text).split("\n")
        lines = [part for line in whole for part in _parts(line.removesuffix("\r"))]
        while len(rest) > MAX_LINE:
            lines.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        self._rest = rest
        if lines:
            self._take(lines)


def _parts(line: str) -> list[str]:
    if len(line) <= MAX_LINE:
        return [line]
    return [line[start : start + MAX_LINE] for start in range(0, len(line), MAX_LINE)]


class Tail:
    """The end of all that was printed: how a run ended stands there."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self.truncated = False

    def add(self, text: str) -> None:
        piece = text.encode("utf-8", "replace")
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size - len(self._pieces[0]) >= self._limit:
            self._size -= len(self._pieces.popleft())
            self.truncated = True

    @property
    def text(self) -> str:
        """At most the limit, in bytes of UTF-8."""
        whole = b"".join(self._pieces)
        if len(whole) > self._limit:
            self.truncated = True
            whole = whole[-self._limit :]
        return whole.decode("utf-8", "ignore")


class Pending:
    """What the hub has not been sent yet of one run, oldest first."""

    def __init__(self) -> None:
        self._pieces: deque[str | Note] = deque()
        self._text = 0
        self._notes = 0
        self._skipped = 0

    def __bool__(self) -> bool:
        return bool(self._pieces) or self._skipped > 0

    def add_text(self, text: str) -> None:
        """Whole lines; many at once become pieces that fit a frame."""
        while len(text) > MAX_FRAME_TEXT:
            cut = text.rfind("\n", 0, MAX_FRAME_TEXT) + 1 or MAX_FRAME_TEXT
            self._pieces.append(text[:cut])
            self._text += cut
            text = text[cut:]
        self._pieces.append(text)
        self._text += len(text)
        self._shrink()

    def add_note(self, note: Note) -> None:
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Note):
            # Nothing was printed between them: the newer says it all, but for the number.
            number = last.progress if note.progress is None else note.progress
            self._pieces[-1] = Note(number, note.message)
            return
        self._pieces.append(note)
        self._notes += 1
        self._shrink()

    def take(self, frames: int) -> list[dict[str, Any]]:
        """The fields of the next ``task_progress`` frames, at most so many."""
        taken: list[dict[str, Any]] = []
        while self and len(taken) < frames:
            taken.append(self._frame())
        return taken

    def _shrink(self) -> None:
        while self._text > MAX_PENDING_TEXT or self._notes > MAX_PENDING_NOTES:
            piece = self._pieces.popleft()
            if isinstance(piece, Note):
                self._notes -= 1
            else:
                self._text -= len(piece)
                self._skipped += len(piece)

    def _frame(self) -> dict[str, Any]:
        text = []
        size = 0
        if self._skipped:
            text.append(f"[{self._skipped} characters of output are not shown here]\n")
            self._skipped = 0
        fields: dict[str, Any] = {}
        while self._pieces:
            piece = self._pieces[0]
            if isinstance(piece, Note):
                self._pieces.popleft()
                self._notes -= 1
                fields = {} if piece.progress is None else {"progress": piece.progress}
                if piece.message:
                    fields["message"] = piece.message
                break
            if size and size + len(piece) > MAX_FRAME_TEXT:
                break
            self._pieces.popleft()
            self._text -= len(piece)
            size += len(piece)
            text.append(piece)
        if text:
            fields["output"] = "".join(text)
        return fields
