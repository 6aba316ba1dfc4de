"""The way out: frames to a peer that may read slowly, or never close.

Holds frames while the transport's buffer is full, counts what is held, and
ends a connection that stays behind.  ``sendClose`` of Autobahn refuses the
codes below 3000, so close frames are sent here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from agentcom.hub.link import SharedFrame
from agentcom.ws.shortcuts import text_frame

ABORT_AFTER_S = 5.0
"""Seconds that a peer has to answer a close frame."""

_CLOSE_REASON_BYTES = 123


class Follower(Protocol):
    """Who sends as much as the peer takes, and no more."""

    def pause(self) -> None:
        """The peer takes no more now."""

    def resume(self) -> None:
        """It has taken everything."""

    def crowded(self) -> None:
        """Half of what may wait for the peer does: the line may soon be closed."""

    def stop(self) -> None:
        """The line is down."""


@implementer(IPushProducer)
class Outbound:
    """Everything that is sent on one connection.

    :param protocol: the Autobahn protocol.
    :param limit: bytes that may wait for the peer.
    :param overrun: called once when more than that would wait.
    :ivar follower: who hears of its room; set by :meth:`follow`.
    """

    __slots__ = (
        "__weakref__",
        "_abort",
        "_clock",
        "_held",
        "_held_bytes",
        "_limit",
        "_overrun",
        "_protocol",
        "closing",
        "follower",
        "paused",
    )

    def __init__(
        self, protocol: Any, clock: IReactorTime, limit: int, overrun: Callable[[], None]
    ) -> None:
        self._overrun = overrun
        self._protocol = protocol
        self._clock = clock
        self._limit = limit
        # An empty deque takes 600 bytes, and nearly no connection needs one.
        self._held: deque[bytes] | None = None
        self._held_bytes = 0
        self.paused = False
        self._abort: IDelayedCall | None = None
        self.closing = False
        self.follower: Follower | None = None

    def take_over(self) -> None:
        """From now on hear from the transport when its buffer is full."""
        transport = self._protocol.transport
        # An HTTP channel stays registered as producer and would get ours refused.
        transport.unregisterProducer()
        transport.registerProducer(self, True)

    def send(self, frame: bytes) -> None:
        """Send a text frame; nothing happens where the line is down or closing."""
        if self.closing or self._protocol.state != WebSocketProtocol.STATE_OPEN:
            return
        wire = _on_the_wire(frame)
        if not self.paused:
            self._protocol.sendData(wire)
            return
        if self._held is None:
            self._held = deque()
        self._held.append(wire)
        self._held_bytes += len(wire)
        if self._held_bytes > self._limit:
            self._drop_held()
            self._overrun()
        elif self.follower is not None and self._held_bytes * 2 > self._limit:
            self.follower.crowded()

    def follow(self, follower: Follower | None) -> None:
        """Tell this one, and nobody else, of the room that there is."""
        self.follower = follower
        if follower is not None and self.paused:
            follower.pause()

    def close(self, code: int, reason: str) -> bool:
        """Send a close frame, once; drop the line if the peer never answers.

        :returns: whether this is the one that counts.
        """
        if self.closing:
            return False
        self.closing = True
        if self._protocol.state == WebSocketProtocol.STATE_OPEN:
            self._flush()
            self._protocol.sendCloseFrame(code=code, reasonUtf8=_cut(reason, _CLOSE_REASON_BYTES))
        self._await_close()
        return True

    def end(self) -> bool:
        """Somebody else has said goodbye: drop the line if it is not down soon.

        :returns: whether it was not closing before.
        """
        first, self.closing = not self.closing, True
        self._await_close()
        return first

    def _await_close(self) -> None:
        if self._abort is None:
            self._abort = self._clock.callLater(ABORT_AFTER_S, self.drop)

    def lost(self) -> None:
        """The line is down."""
        self.closing = True
        self._drop_held()
        follower, self.follower = self.follower, None
        if follower is not None:
            follower.stop()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()

    def pauseProducing(self) -> None:
        """The transport's buffer is full: hold frames from now on."""
        self.paused = True
        if self.follower is not None:
            self.follower.pause()

    def resumeProducing(self) -> None:
        """There is room again."""
        self.paused = False
        if not self.closing:
            self._flush()
            if self.follower is not None and not self.paused:
                self.follower.resume()

    def stopProducing(self) -> None:
        """The transport is gone; ``lost`` follows."""

    def _flush(self) -> None:
        # Closing, all of it goes out before the close frame.
        while self._held and (self.closing or not self.paused):
            wire = self._held.popleft()
            self._held_bytes -= len(wire)
            self._protocol.sendData(wire)

    def _drop_held(self) -> None:
        self._held = None
        self._held_bytes = 0

    def drop(self) -> None:
        """Drop the line now."""
        drop(self._protocol)


def drop(protocol: Any) -> None:
    """Drop the line of a protocol now, if it has one."""
    if protocol.transport is not None:
        protocol.transport.abortConnection()


def _cut(text: str, limit: int) -> bytes:
    """The beginning of a text, of whole characters, in so many bytes of UTF-8."""
    return text.encode()[:limit].decode("utf-8", "ignore").encode()


def _on_the_wire(frame: bytes) -> bytes:
    if not isinstance(frame, SharedFrame):
        return text_frame(frame)
    if frame.wire is None:
        frame.wire = text_frame(frame)
    return frame.wire
