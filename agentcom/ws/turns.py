"""How much of one peer is taken in one turn of the reactor.

One read can bring ten thousand tiny frames, and everybody else would wait until the last of
them is served.  So a line that had its share is read from no further, what has come of it
waits here, and it goes on in a later turn: in the order in which the bytes came, and before
anything new of it is read.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.ws.shortcuts import PlainFrames, QuickWrites

if TYPE_CHECKING:
    from agentcom.ws.backpressure import BackPressure
    from agentcom.ws.factory import AgentFactory

FROM_STRANGER = 16
"""Frames of any kind in one turn, from a peer that has not identified or is being closed."""

FROM_AGENT = 256
"""The same from an agent."""

TURN_S = 0.01
"""Seconds that the frames of one line may take in one turn."""

AGENTS_SHARE_S = 0.02
STRANGERS_SHARE_S = 0.005
"""Seconds of one turn for all lines that wait: none of the two can starve the other."""

AFTER_CLOSE = 1_000
"""Frames that are looked through for the peer's goodbye once the hub has closed."""


class Turns:
    """The lines of one factory that have more to be served, longest wait first."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._agents: deque[InTurns] = deque()
        self._strangers: deque[InTurns] = deque()
        self._planned = False

    def wait(self, line: InTurns) -> None:
        """Let a line go on in a later turn."""
        (self._agents if line.identified else self._strangers).append(line)
        if not self._planned:
            self._planned = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        for waiting, share_s in (
            (self._agents, AGENTS_SHARE_S),
            (self._strangers, STRANGERS_SHARE_S),
        ):
            until = self._clock.seconds() + share_s
            for _ in range(len(waiting)):
                line = waiting.popleft()
                try:
                    line.go_on()
                except Exception:
                    # In a read, Twisted would end the line for this.
                    self.log.failure("while serving frames that waited")
                    line.abort()
                if self._clock.seconds() >= until:
                    break
        self._planned = bool(self._agents or self._strangers)
        if self._planned:
            self._clock.callLater(0, self._turn)


class InTurns(QuickWrites):
    """A protocol that stops after its share of a turn.

    :ivar heard_at: when any byte came last, in seconds of the clock.
    """

    factory: AgentFactory

    def __init__(self) -> None:
        super().__init__()
        self.heard_at = 0.0
        self._deaf = False
        self._backpressure: BackPressure | None = None
        self._plain: PlainFrames | None = None
        self._waiting: bytes | None = None
        self._queued = self._spent = False
        self._turn_at = 0.0
        self._frames = self._after_close = 0

    @property
    def identified(self) -> bool:
        """Whether it has said who it is."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop the line now."""
        raise NotImplementedError

    def dataReceived(self, data: bytes) -> None:
        """Any byte is a sign of life."""
        now = self.factory.clock.seconds()
        self.heard_at = now
        if self._waiting is not None:
            # It is read from no more: over TLS, what one read brought comes in pieces.
            self._waiting += data
            return
        if now - self._turn_at >= TURN_S:
            self._turn_at = now
            self._frames = 0
        self._take(data)

    def _take(self, data: bytes) -> None:
        if self.state == WebSocketProtocol.STATE_CLOSED or self._after_close > AFTER_CLOSE:
            return
        rest = data if self._plain is None else self._plain.take(data)
        if rest and not self._spent:
            # Autobahn's own method formats a log line for each read, told or not.
            self._dataReceived(rest)
            rest = self.data
        if self._spent:
            # Autobahn stopped before a frame, so the rest can be kept apart from it.
            self.data = b""
            self._stop(rest)
        if self._backpressure is not None and not self._deaf:
            self._backpressure.look()

    def consumeData(self) -> None:
        """As Autobahn's, but only as many frames as there may be in a turn."""
        line: Any = self  # Autobahn declares a frame as None.
        if line.state not in (WebSocketProtocol.STATE_OPEN, WebSocketProtocol.STATE_CLOSING):
            super().consumeData()
            return
        goes_on = True
        while goes_on and line.state != WebSocketProtocol.STATE_CLOSED:
            begun = line.current_frame
            goes_on = line.processData()
            if begun is not None and line.current_frame is None and line.is_spent():
                return

    def is_spent(self) -> bool:
        """Count a frame; whether it was the last one of this turn."""
        self._frames += 1
        if self._deaf:
            self._after_close += 1
        self._spent = (
            self._frames >= FROM_AGENT
            or (self._frames >= FROM_STRANGER and (self._deaf or not self.identified))
            or self._after_close > AFTER_CLOSE
            or self.factory.clock.seconds() - self._turn_at >= TURN_S
        )
        return self._spent

    def _stop(self, rest: bytes) -> None:
        """Read no more until its next turn, and keep what has come."""
        self._spent = False
        if self.state == WebSocketProtocol.STATE_CLOSED or self._after_close > AFTER_CLOSE:
            return
        self._waiting = rest
        if self._backpressure is None or not self._backpressure.held:
            self._reading(False)
        self._queue()

    def _queue(self) -> None:
        if not self._queued:
            self._queued = True
            self.factory.turns.wait(self)

    def go_on(self) -> None:
        """Its turn has come."""
        self._queued = False
        if self._waiting is None or self.state == WebSocketProtocol.STATE_CLOSED:
            return
        if self._backpressure is not None and self._backpressure.held:
            # That one says when it is over.
            return
        # Nothing could come meanwhile: it is not silent.
        self.heard_at = self._turn_at = self.factory.clock.seconds()
        self._frames = 0
        rest, self._waiting = self._waiting, None
        if rest:
            self._take(rest)
        self.read_on()

    def read_on(self) -> None:
        """Read again, unless there is something left that holds the line back."""
        if self.state == WebSocketProtocol.STATE_CLOSED:
            return
        if self._waiting is not None:
            self._queue()
        elif self._backpressure is None or not self._backpressure.held:
            self._reading(True)

    def _finish(self) -> None:
        """The line is down: what an agent had said before still counts."""
        while self._waiting and self.identified and not self._deaf:
            rest, self._waiting = self._waiting, None
            self._frames = 0
            self._turn_at = self.factory.clock.seconds()
            self._take(rest)
        self._waiting = None

    def _reading(self, reads: bool) -> None:
        transport: Any = self.transport
        if reads:
            transport.resumeProducing()
        else:
            transport.pauseProducing()
