"""What Autobahn does slowly for every frame and every connection, done in one step.

Nearly all frames of agents are whole, small texts, and Autobahn takes each
through some fifteen calls.  What is anything else (fragments, control frames, bad UTF-8,
large frames, violations) is left to it, byte for byte once the frame is whole,
so there is one place that judges peers.  ``AgentFactory.shortcuts`` switches this off; it would be
needless if Autobahn took frames that are complete in its buffer in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from agentcom.wire.codec import is_utf8
from agentcom.ws.quiet import Quiet

TEXT, FINAL, MASKED = 0x01, 0x80, 0x80
SHORT, MEDIUM = 125, 65_535
"""Bytes of a payload whose length takes one byte, and three."""

_number = int.from_bytes


def with_options(protocol: type, factory: Any) -> type:
    """The protocol class with a factory's options as attributes of the class.

    Autobahn copies them to every connection, a third of what it holds, and
    formats them all for a line that nobody logs, a fifth of the time that a
    handshake takes.  It would be needless if it read them from the factory.
    """
    names: list[str] = protocol.CONFIG_ATTRS  # type: ignore[attr-defined]  # Autobahn's
    options = {name: getattr(factory, name) for name in names}
    # A function would become a method of the class.
    kept = {n: staticmethod(o) if isfunction(o) else o for n, o in options.items()}
    return type(protocol.__name__, (protocol,), {**kept, "CONFIG_ATTRS": ()})


class QuickWrites(WebSocketServerProtocol):
    """Autobahn's protocol with quick writes, and an end that leaves no cycles."""

    log = Quiet()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Autobahn keeps the transport, and two Deferreds whose result is itself."""
        super().connectionLost(reason)
        gone: Any = self
        gone.is_open = gone.is_closed = gone.transport = None

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """As Autobahn's, without a log line formatted for each write."""
        if sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            transport: Any = self.transport
            transport.write(data)


def text_frame(payload: bytes) -> bytes:
    """A server's frame of one text message."""
    size = len(payload)
    if size <= SHORT:
        return b"\x81%c%b" % (size, payload)
    if size <= MEDIUM:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


class PlainFrames:
    """The shortcut of one connection, between its transport and Autobahn.

    :param protocol: Autobahn's; its frame state is looked at, and nothing else.
    :ivar kept: the beginning of a frame that has not come whole.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self.kept = b""

    def take(self, data: bytes) -> bytes:
        """Hand over whole plain frames; gives what Autobahn must see."""
        protocol = self._protocol
        if self.kept:
            data, self.kept = self.kept + data, b""
        if protocol.state != WebSocketProtocol.STATE_OPEN:
            return data
        if protocol.data or protocol.inside_message or protocol.current_frame is not None:
            # Autobahn is in the middle of something.
            return data
        taken, goes_on = take_text(data, protocol.maxFramePayloadSize, self._received)
        if goes_on:
            self.kept = data[taken:]
            return b""
        return data[taken:]

    def _received(self, payload: bytes) -> int:
        protocol = self._protocol
        protocol.onMessage(payload, False)
        if protocol.is_spent() or protocol.state != WebSocketProtocol.STATE_OPEN:
            return -1
        limit: int = protocol.maxFramePayloadSize
        return limit


def take_text(data: bytes, limit: int, receive: Callable[[bytes], int]) -> tuple[int, bool]:
    """Take the plain text frames at the beginning of what a client sent.

    :param data: begins with a frame.
    :param limit: bytes of payload that a frame may have.
    :param receive: takes a payload; gives the limit from now on, or -1 to stop.
    :returns: how many bytes were taken, and whether what follows is the
        beginning of one more such frame.
    """
    at, have = 0, len(data)
    while True:
        if have - at < 6:
            return at, have == at or (data[at] == FINAL | TEXT and _may_be(data, at, limit))
        if data[at] != FINAL | TEXT:
            return at, False
        size = data[at + 1] - MASKED
        start = at + 2
        if size < 0 or size > SHORT + 1:
            return at, False
        if size > SHORT:
            size = (data[start] << 8) | data[start + 1]
            start += 2
            if size <= SHORT:
                return at, False
        if size > limit:
            return at, False
        end = start + 4 + size
        if end > have:
            return at, True
        payload = _unmasked(data, start, size)
        if not (payload.isascii() or is_utf8(payload)):
            return at, False
        at = end
        limit = receive(payload)
        if limit < 0:
            return at, False


def _may_be(data: bytes, at: int, limit: int) -> bool:
    """Whether the first bytes of a frame are those of a plain one."""
    return len(data) - at < 2 or 0 <= data[at + 1] - MASKED <= min(SHORT + 1, limit)


def _unmasked(data: bytes, start: int, size: int) -> bytes:
    body = start + 4
    mask = _number((data[start:body] * (size // 4 + 1))[:size], "little")
    return (_number(data[body : body + size], "little") ^ mask).to_bytes(size, "little")
