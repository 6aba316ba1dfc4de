"""How a function says how it goes: from any thread, as often as it likes.

What is told waits, bounded, for the next turn of the event loop and goes on
in one piece; from there it is batched like what a command prints.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from numbers import Real

from agentcom.sidecar.output import MAX_LINE, MAX_PENDING_TEXT, Note
from agentcom.sidecar.runner import Ears


class Progress:
    """Tells people how one attempt goes.  Never waits; may be called from any thread.

    :param soon: has a call made in the event loop's thread.
    """

    def __init__(self, soon: Callable[[Callable[[], None]], object], ears: Ears) -> None:
        self._soon = soon
        self._ears = ears
        self._lock = threading.Lock()
        self._waiting: deque[str | Note] = deque()
        self._size = 0
        self._skipped = 0
        self._number: float | None = None
        self._due = False
        self._over = False

    def __call__(
        self, number: float | None = None, message: str | None = None, *, output: str | None = None
    ) -> None:
        """Tell any of these.

        :param number: how far it is; its unit is yours, people expect 0 to 1
            or per cent.
        :param message: what it is doing, cut after 8 192 characters.
        :param output: text that is shown as it comes; nothing is added to it.
            Of more than 256 KiB that the hub could not be sent yet the newest stay.
        :raises TypeError: one of them is of another type.
        :raises ValueError: the number is not finite.
        """
        told = None if number is None else _finite(number)
        for name, text in (("message", message), ("output", output)):
            if text is not None and not isinstance(text, str):
                raise TypeError(f"progress: {name} must be a text, not {type(text).__name__}")
        with self._lock:
            if self._over:
                return
            if output:
                self._add(output)
            if told is not None:
                self._number = told
            if told is not None or message:
                # The newest of several notes replaces the others, so it says all.
                self._add(Note(self._number, (message or "")[:MAX_LINE]))
            if self._due or not self._waiting:
                return
            self._due = True
        # A thread may outlive the loop; then nobody listens.
        with suppress(RuntimeError):
            self._soon(self.flush)

    def flush(self) -> None:
        """Pass on what waits; in the event loop's thread only."""
        with self._lock:
            waiting, skipped = list(self._waiting), self._skipped
            self._waiting.clear()
            self._size = self._skipped = 0
            self._due = False
        texts = [f"[{skipped} characters of output are not shown here]\n"] if skipped else []
        for piece in waiting:
            if isinstance(piece, str):
                texts.append(piece)
                continue
            self._text(texts)
            texts = []
            self._ears.note(piece)
        self._text(texts)

    def close(self) -> None:
        """Pass on what waits, and from now on nothing; in the loop's thread only."""
        with self._lock:
            self._over = True
        self.flush()

    def _text(self, pieces: list[str]) -> None:
        if pieces:
            self._ears.text("".join(pieces))

    def _add(self, piece: str | Note) -> None:
        if isinstance(piece, Note):
            if self._waiting and isinstance(self._waiting[-1], Note):
                self._size -= _size(self._waiting.pop())
        elif len(piece) > MAX_PENDING_TEXT:
            self._skipped += len(piece) - MAX_PENDING_TEXT
            piece = piece[-MAX_PENDING_TEXT:]
        self._waiting.append(piece)
        self._size += _size(piece)
        while self._size > MAX_PENDING_TEXT:
            oldest = self._waiting.popleft()
            self._size -= _size(oldest)
            if isinstance(oldest, str):
                self._skipped += len(oldest)


def _size(piece: str | Note) -> int:
    return len(piece) if isinstance(piece, str) else len(piece.message)


def _finite(number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(
            f"progress: the number must be a number, not {type(number).__name__}; "
            "a text goes into message=... or output=..."
        )
    try:
        found = float(number)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError("progress: the number must be finite")
    return found
