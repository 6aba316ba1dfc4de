"""What a command says: lines and progress for those who listen, and the end of it all.

Stands between ``printed``, which gives bytes, and the ears of a run.
"""

from __future__ import annotations

from collections.abc import Callable

from agentcom.sidecar.output import Lines, Note, Tail, note_in
from agentcom.sidecar.printed import Piece
from agentcom.sidecar.segments import OUT


class Hearing:
    """Hears the pieces of both streams in order.

    :param text: told whole lines, with their ends.
    :param note: told what lines of standard output say of progress.
    """

    def __init__(self, text: Callable[[str], None], note: Callable[[Note], None]) -> None:
        self._text = text
        self._note = note
        self._live = True
        self._tail = Tail()
        self._out = Lines(self._out_lines)
        self._err = Lines(self._lines)

    @property
    def output(self) -> str:
        """The end of what was printed."""
        return self._tail.text

    @property
    def truncated(self) -> bool:
        """Whether the output is not all; right once the output was asked for."""
        return self._tail.truncated

    def hear(self, piece: Piece, live: bool) -> None:
        """Take the next piece.

        :param live: whether it is told, or only kept for the end.
        """
        self._live = live
        if piece.stream is None:
            self.miss(piece.lost)
        elif piece.stream == OUT:
            self._out.feed(piece.data)
        else:
            self._err.feed(piece.data)
        self._live = True

    def miss(self, size: int) -> None:
        """So many bytes are lost here."""
        # What follows does not go on with the line before it.
        self.end()
        self._tail.truncated = True
        self._lines([f"[{size} bytes of output are lost here: too many to keep]"])

    def end(self) -> None:
        """Nothing more comes: what is left is a line too."""
        self._out.end()
        self._err.end()

    def _out_lines(self, lines: list[str]) -> None:
        plain: list[str] = []
        for line in lines:
            note = note_in(line)
            if note is None:
                plain.append(line)
                continue
            self._lines(plain)
            plain = []
            if self._live:
                self._note(note)
        self._lines(plain)

    def _lines(self, lines: list[str]) -> None:
        if not lines:
            return
        text = "".join([f"{line}\n" for line in lines])
        self._tail.add(text)
        if self._live:
            self._text(text)
