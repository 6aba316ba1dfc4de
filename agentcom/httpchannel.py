"""One connection that speaks HTTP, and how long it may take over what it says.

Twisted reads heads and bodies for as long as bytes come, answers what is no
HTTP without a word of why, and serves requests that came together at once,
although others wait or nobody reads the answers.  Here each has a limit and
an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES
from zope.interface import implementer

from agentcom.errors import (
    AgentComError,
    BadRequest,
    HeadersTooLarge,
    RequestTimeout,
    UriTooLong,
)
from agentcom.http.errors import status_of
from agentcom.pipelines import Pipelines
from agentcom.shortcuts.heads import Plain
from agentcom.shortcuts.requests import QuickChannel
from agentcom.wire.codec import encode
from agentcom.ws.admission import Admission

READ_WITHIN_S = 60.0
READ_PACE = 16 * 1024
"""Seconds in which an answer must be read, where another one waits or the line is to end; and
one more for each so many bytes of it."""

LAST_WITHIN_S = 5.0
"""Seconds in which a peer that says no more may get the answers to what it has asked.  It
looks no different from one that has left, so it gets less time than others."""

HEAD_WITHIN_S = 10.0
"""Seconds from the first byte of a request to the end of its head."""

BODY_WITHIN_S = 30.0
BODY_PACE = 16 * 1024
"""Seconds for a body, and one more for each so many bytes of it that have come."""

TOO_MANY_DIGITS = "set_int_max_str_digits"
"""What Python says of a number that is too long to be read."""

LOOK_EVERY_S = 1.0
"""Seconds between looks at all connections: limits are met that much later."""

_HEAD, _BODY, _ANSWER = "head", "body", "answer"


@implementer(IHalfCloseableProtocol)
class EndingChannel(QuickChannel):
    """A connection that speaks HTTP, and how it ends: in time, and only once.

    What is planned for its end goes through here, since nothing may be asked
    of a transport that is gone: TLS raises, and a plan keeps all of it in memory.
    """

    clock: IReactorTime
    _plan: IDelayedCall | None = None
    _closing = _lost = _heard_all = False
    _given = 0

    def loseConnection(self) -> None:
        """Say goodbye when all is written, and see that it ends: TLS waits for the peer's.

        Said again, or of a line that is gone, it does nothing.
        """
        if self._closing or self._lost:
            return
        self._closing = True
        super().loseConnection()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self.hang_up(self._read_within_s())

    def hang_up(self, seconds: float) -> None:
        """Drop the line then, if it is still there: in place of what was planned before."""
        self._later(seconds, self._drop)

    def linger(self, seconds: float) -> None:
        """Say goodbye then, and hear until then what comes."""
        if not self._closing:
            self._later(seconds, self.loseConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        self._forget()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # untyped in Twisted

    def readConnectionLost(self) -> None:
        """Its peer says no more, or has left: answer what is whole, and end."""
        if self._heard_all or self._closing:
            return
        self._heard_all = True
        stream: Any = self._requestProducer
        if stream is not None:
            # It has no end, and nobody would say any more that the line is full.
            stream.pauseProducing()
            self.loseConnection()
            self.hang_up(LAST_WITHIN_S)
        elif self._handlingRequest:
            self.linger(LAST_WITHIN_S)
        else:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """Nobody here ends only this half."""

    def requestDone(self, request: Any) -> None:
        super().requestDone(request)
        if self._heard_all and not self._handlingRequest:
            self.loseConnection()

    def _read_within_s(self) -> float:
        """Seconds for the newest answer."""
        return READ_WITHIN_S + self._given / READ_PACE

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        if not self._lost:
            self._forget()
            self._plan = self.clock.callLater(seconds, what)

    def _forget(self) -> None:
        if self._plan is not None and self._plan.active():
            self._plan.cancel()
        self._plan = None

    def _drop(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


class Channel(EndingChannel):
    """A connection that speaks HTTP, perhaps until it becomes a WebSocket."""

    admission: Admission
    everybody: set[Channel]
    pipelines: Pipelines
    logger = Logger()
    _held: Any = None
    _in_turn = False
    _served = 0
    _waits: tuple[str, int] | None = None
    _since = 0.0

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self.everybody.add(self)

    def idle_for_long(self) -> None:
        """No line of the log: anybody can be."""
        self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.leave()
        self._held = None
        super().connectionLost(reason)

    def leave(self) -> None:
        """It is no connection of HTTP any more; said once."""
        self.admission.http -= 1
        self.everybody.discard(self)
        self._forget()
        self.leave = lambda: None  # type: ignore[method-assign]

    # -- requests that come together ---------------------------------------

    def allContentReceived(self) -> None:
        self._served += 1
        super().allContentReceived()  # type: ignore[no-untyped-call]  # untyped in Twisted

    def is_between(self) -> bool:
        """Whether nothing is under way, and its peer reads what it is told."""
        return not self._closing and super().is_between()

    def serve_plain(self, plain: Plain) -> None:
        self._served += 1
        super().serve_plain(plain)

    def rawDataReceived(self, data: bytes) -> None:
        super().rawDataReceived(data)
        # Twisted takes it that nothing is read while nobody reads, which is not so where a
        # request is being answered: whatever came would be kept.
        if self._handlingRequest and self._waitingForTransport:
            network: Any = self._networkProducer
            if sum(map(len, self._dataBuffer)) > self._optimisticEagerReadSize:
                network.pauseProducing()

    def requestDone(self, request: Any) -> None:
        """An answer is written: serve the next request once there is room for its answer,
        and others have had their turn.

        A few bytes can ask for a large file, and a read brings a thousand
        such requests.
        """
        self._given = request.sentLength
        if not self.persistent or not (self._waitingForTransport or self._has_more()):
            super().requestDone(request)
            return
        self._held = request
        if not self._waitingForTransport:
            self._wait()

    def resumeProducing(self) -> None:
        super().resumeProducing()  # type: ignore[no-untyped-call]  # untyped in Twisted
        if self._held is not None:
            self._wait()

    def go_on(self) -> None:
        """Its turn has come; see :class:`.pipelines.Line`."""
        self._in_turn = False
        held = self._held
        # Where nobody reads, :meth:`resumeProducing` asks for a turn again.
        if held is None or self._waitingForTransport or self._closing:
            return
        self._held = None
        try:
            super().requestDone(held)
        except Exception:
            # Nobody above answers for what happens in a later turn.
            self.logger.failure("while serving requests that came together")
            self._drop()

    def _wait(self) -> None:
        if not self._in_turn:
            self._in_turn = True
            self.pipelines.wait(self)

    def _has_more(self) -> bool:
        """Whether more has come than the requests so far."""
        return bool(self._buffer) or any(self._dataBuffer)

    # -- peers that take too long, and what is no HTTP ---------------------

    def dataReceived(self, data: bytes) -> None:
        try:
            super().dataReceived(data)
        except ValueError as e:
            # A Content-Length of so many digits that Python does not read it.
            if TOO_MANY_DIGITS not in str(e):
                raise
            self.refuse(BadRequest("this is no Content-Length"))

    def look(self, now: float) -> None:
        """End the line if its peer takes too long over what it says, or reads.

        Looked at from outside, so that a request that comes at once costs no timer.

        :param now: seconds of the clock.
        """
        if self._closing:
            return
        what = self._waits_for()
        waits = None if what is None else (what, self._served)
        if waits is None or waits != self._waits:
            self._waits, self._since = waits, now
            return
        took = now - self._since
        if what == _ANSWER:
            if took > self._read_within_s():
                self._drop()
        elif what == _HEAD:
            if took > HEAD_WITHIN_S:
                self.refuse(RequestTimeout("the head of the request did not come in time"))
        elif took > BODY_WITHIN_S + self._taken() / BODY_PACE:
            self.refuse(RequestTimeout("the body of the request did not come in time"))

    def began(self, since: float) -> None:
        """Its peer has begun a head before this was there."""
        self._waits, self._since = (_HEAD, 0), since

    def _taken(self) -> int:
        """Bytes that have come of the newest request's body."""
        taken: int = self.requests[-1].taken if self.partly is None else len(self.partly.body)
        return taken

    def _waits_for(self) -> str | None:
        """What its peer has begun and not ended, ``None`` between requests and while one
        is answered."""
        if self.partly is not None:
            return _BODY
        if self._held is not None:
            return _ANSWER if self._waitingForTransport else None
        if self._handlingRequest:
            return None
        if self.requests:
            return _HEAD if self.line_mode else _BODY
        return _HEAD if self._buffer else None

    def refuse(self, error: AgentComError) -> None:
        """Answer on the bare connection, hear no more, and close it."""
        self.dataReceived = self.lineReceived = self.rawDataReceived = _ignore  # type: ignore[method-assign]
        self.setTimeout(None)  # type: ignore[no-untyped-call]  # untyped in Twisted
        transport: Any = self.transport
        transport.write(bare(error))
        self.loseConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        if self.requests:
            self.refuse(HeadersTooLarge(self.totalHeadersSize, self.maxHeaders))
        else:
            self.refuse(UriTooLong(self.MAX_LENGTH))

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's only word for what is no HTTP.

        Its own goes on to read, and even to serve, what follows a bad header.
        """
        size, count = self._receivedHeaderSize, self._receivedHeaderCount
        if size > self.totalHeadersSize or count > self.maxHeaders:
            self.refuse(HeadersTooLarge(self.totalHeadersSize, self.maxHeaders))
        else:
            self.refuse(BadRequest("this is no HTTP/1.1 request"))


def bare(
    error: AgentComError, reason: str | None = None, headers: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """A whole answer that ends its connection, where no request can carry it."""
    status, body = status_of(error), encode(error.body())
    words = RESPONSES.get(status, b"Refused") if reason is None else reason.encode()
    lines = [b"HTTP/1.1 %d %s" % (status, words)]
    lines += [name + b": " + value for name, value in headers]
    lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
    return b"\r\n".join([*lines, b"connection: close", b"", body])


def _ignore(data: bytes) -> None:
    """What a peer says that is heard no more."""
