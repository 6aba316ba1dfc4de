"""The text format of server-sent events, as browsers read it: bytes in, events out.

https://html.spec.whatwg.org/multipage/server-sent-events.html says how; no
I/O here, ``stream`` feeds it.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_PENDING = 16 * 1024 * 1024


@dataclass(frozen=True)
class ServerEvent:
    """One event of a stream.

    :ivar id: the last id that the stream gave, by which it can be resumed.
    :ivar data: empty where only an ``id`` came.
    """

    event: str
    data: str
    id: str | None


class EventParser:
    """Collects bytes, gives whole events.  Comments give nothing."""

    def __init__(self) -> None:
        self._rest = b""
        self._first = True
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._new_id = False

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that these bytes complete.

        :raises ValueError: a line that does not end.
        """
        lines = self._lines(data)
        found = []
        for line in lines:
            if line:
                self._field(line)
            else:
                event = self._dispatch()
                if event is not None:
                    found.append(event)
        return found

    def _lines(self, data: bytes) -> list[str]:
        pending = self._rest + data
        # A CR at the end may be the first half of CR LF: wait for the next byte.
        held = b"\r" if pending.endswith(b"\r") else b""
        pending = pending[: len(pending) - len(held)]
        pieces = pending.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = pieces.pop() + held
        if len(self._rest) > MAX_PENDING:
            raise ValueError("a line of the event stream does not end")
        lines = [piece.decode("utf-8", "replace") for piece in pieces]
        if lines and self._first:
            self._first = False
            lines[0] = lines[0].removeprefix("\ufeff")
        return lines

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value or None
            self._new_id = True

    def _dispatch(self) -> ServerEvent | None:
        event = None
        if self._data or self._new_id:
            kind = (self._event or "message") if self._data else ""
            event = ServerEvent(kind, "\n".join(self._data), self._id)
        self._event, self._data, self._new_id = "", [], False
        return event
