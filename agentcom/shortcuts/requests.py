"""Plain requests, from the bytes in which they came to the bytes of their answer.

``HTTPChannel`` takes a head line by line, starts and cancels a timer for each
request, and ``Request`` looks up a resource by its path's parts and writes an
answer in pieces; together that is two thirds of what a push over HTTP costs.
Here a request that came whole is parsed in one pass (:mod:`.heads`), finds its
endpoint in a dictionary (:mod:`.endpoints`), and is answered with one write.
Anything else, and all that comes while a request is under way, goes through
Twisted as ever; limits, turns and what happens when the line breaks are the
channel's own.

It would be needless if ``HTTPChannel`` parsed a head that is complete in its
buffer at once, kept its idle timer running while it serves, and if ``Request``
had one call for a body that is whole.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, HTTPChannel, datetimeToString, parse_qs
from twisted.web.http_headers import Headers, _nameEncoder
from twisted.web.server import Request, version

from agentcom.shortcuts.endpoints import Endpoints
from agentcom.shortcuts.heads import Head, Plain, plain

KEPT_HEAD = 1024
"""Bytes of a head that a connection remembers, to know it again."""

canonical = _nameEncoder.encode


class Dates:
    """The beginning of all answers, made once a second for each status."""

    def __init__(self) -> None:
        self._second = -1
        self._begins: dict[tuple[int, bytes], bytes] = {}

    def begin(self, code: int, words: bytes, now: float) -> bytes:
        """Status line, ``Server`` and ``Date``.

        :param now: seconds of a clock that goes on; only how they change counts.
        """
        if int(now) != self._second:
            self._second = int(now)
            self._begins.clear()
        begin = self._begins.get((code, words))
        if begin is None:
            begin = self._begins[code, words] = b"HTTP/1.1 %d %b\r\nServer: %b\r\nDate: %b\r\n" % (
                code,
                words,
                version,
                datetimeToString(),
            )
        return begin


def put(headers: Headers, name: bytes, value: bytes) -> None:
    """As ``setRawHeaders``, of a value without line breaks.

    :param name: written as Twisted writes it, such as ``Content-Type``.
    """
    headers._rawHeaders[name] = [value]


class QuickRequest(Request):
    """A request that can be taken whole, and answered in one write.

    :ivar whole: it was taken whole, so that :meth:`answer` may be called at any time.
    :ivar waits_for: what its answer waits for, if it waits.
    """

    whole = False
    waits_for: Deferred[Any] | None = None

    def take(self, plain: Plain) -> None:
        """Become what was taken from the bytes; as ``requestReceived`` would have it."""
        self.whole = True
        head = plain.head
        if head.fields is None:
            head.fields = {canonical(name): [value] for name, value in head.headers.items()}
        self.requestHeaders._rawHeaders = head.fields.copy()
        self.method, self.uri, self.path = head.method, head.target, head.path
        self.clientproto = b"HTTP/1.1"
        self.args = {} if head.query is None else parse_qs(head.query, True)
        self.content = BytesIO(plain.body)
        channel: Any = self.channel
        self.site = channel.site
        self.prepath, self.postpath = plain.path[1:].split(b"/"), []

    def refusal(self) -> bytes | None:
        """The body of an answer that is given before an endpoint is looked for, if any."""
        return None

    def is_over(self) -> bool:
        """Whether nothing can be answered any more."""
        return bool(self.finished or self._disconnected)

    def write(self, data: bytes) -> None:
        if self.whole and not self.startedWriting:
            # ``process`` would have said it.
            self.responseHeaders.setRawHeaders(b"server", [version])
            self.responseHeaders.setRawHeaders(b"date", [datetimeToString()])
        super().write(data)  # type: ignore[no-untyped-call]  # untyped in Twisted

    def answer(self, body: bytes) -> None:
        """Write an answer that is whole, and finish."""
        if self.is_over():
            return
        headers = self.responseHeaders._rawHeaders
        whole = headers.get(b"Content-Length") == [b"%d" % len(body)]
        if self.startedWriting or self.cookies or self.code in NO_BODY_CODES or not whole:
            self.write(body)
            self.finish()  # type: ignore[no-untyped-call]  # untyped in Twisted
            return
        self.startedWriting = 1
        self.sentLength = len(body)
        channel: Any = self.channel
        parts = [channel.dates.begin(self.code, self.code_message, channel.clock.seconds())]
        for name, values in headers.items():
            for value in values:
                parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", body)
        channel.transport.write(b"".join(parts))
        # As ``finish``, but that it tells no log of Twisted's.
        self.finished = 1
        self._cleanup()  # type: ignore[no-untyped-call]  # untyped in Twisted

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # untyped in Twisted
        if self.waits_for is not None:
            # As Klein does; work that must not end with its client does not wait here.
            self.waits_for.cancel()


class QuickChannel(HTTPChannel):
    """A connection on which plain requests are taken whole.

    :ivar endpoints: where they go; ``None`` turns this off.
    :ivar dates: see :class:`Dates`; one for all connections.
    :ivar partly: a request of which a part of the body has not come.
    """

    clock: Any
    endpoints: Endpoints | None = None
    dates: Dates
    partly: Plain | None = None
    _quick: QuickRequest | None = None
    _head: Head | None = None

    def dataReceived(self, data: bytes) -> None:
        found, over = self.partly, b""
        if found is not None:
            over = found.add(data)
        elif self.endpoints is not None and self.is_between():
            found = plain(data, self._head)
            if found is not None and not (
                self.endpoints.serves(found.path) and self.is_usual(found)
            ):
                found = None
        if found is None:
            HTTPChannel.dataReceived(self, data)
        elif found.missing:
            self.partly = found
        else:
            self.partly = None
            self.serve_plain(found)
            if over:
                self.dataReceived(over)

    def is_between(self) -> bool:
        """Whether nothing is under way."""
        return not (self.requests or self._buffer or self._waitingForTransport or self.partly)

    def is_usual(self, plain: Plain) -> bool:
        """Whether it may be taken here; the last word for who inherits this."""
        return True

    def serve_plain(self, plain: Plain) -> None:
        """Serve a request that is whole."""
        request: Any = self.requestFactory(self)
        self.requests.append(request)
        # As ``allContentReceived``, but for the timer: see :meth:`timeoutConnection`.
        self.persistent = 1
        self._handlingRequest = True
        self._quick = request
        if len(plain.head.raw) <= KEPT_HEAD:
            self._head = plain.head
        self.setRawMode()  # type: ignore[no-untyped-call]  # untyped in Twisted
        request.take(plain)
        refused = request.refusal()
        if refused is not None:
            request.answer(refused)
        elif self.endpoints is not None:
            self.endpoints.serve(request)

    def timeoutConnection(self) -> None:
        if self._quick is not None or self.partly is not None:
            # Its answer may take long, or there is another limit for its body.
            self.setTimeout(self.timeOut)  # type: ignore[no-untyped-call]  # untyped in Twisted
            return
        self.idle_for_long()

    def idle_for_long(self) -> None:
        """Silent between requests for too long."""
        super().timeoutConnection()  # type: ignore[no-untyped-call]  # untyped in Twisted

    def requestDone(self, request: Any) -> None:
        if request is not self._quick:
            super().requestDone(request)  # type: ignore[no-untyped-call]  # untyped in Twisted
            return
        self._quick = None
        self.resetTimeout()  # type: ignore[no-untyped-call]  # untyped in Twisted
        if self._dataBuffer:
            super().requestDone(request)  # type: ignore[no-untyped-call]  # untyped in Twisted
            return
        # Nothing came meanwhile, so nobody has stopped reading.
        self.requests.clear()
        self._handlingRequest = False
        self.setLineMode()  # type: ignore[no-untyped-call]  # untyped in Twisted
