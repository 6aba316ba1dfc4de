"""Live events as server-sent events: ``GET /api/events``.

A stream stands at a cursor and reads on from it whenever the log has news
and the client takes more; it is never sent faster than it reads.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from agentcom.core.events import TOPICS, Event
from agentcom.core.tokens import SUBMIT, Token
from agentcom.errors import Unauthorized
from agentcom.http.route import Call, Page, Route, Streamed, invalid_query
from agentcom.hub.eventlog import EventLog, Gap
from agentcom.hub.hub import Hub
from agentcom.wire.codec import encode

EVENT_STREAM = b"text/event-stream"

ALIVE_S = 2.5
"""Seconds between comment lines; the contract says 3 at the most."""


@implementer(IPushProducer)
class Stream:
    """One client's stream of events.

    :param seq: the cursor: the last event that the client has.
    :param topics: the topics that it wants.
    :param done: called when the stream has ended.
    """

    log = Logger()

    def __init__(
        self,
        request: Request,
        event_log: EventLog,
        clock: IReactorTime,
        seq: int,
        topics: frozenset[str],
        done: Callable[[], object],
    ) -> None:
        self._request = request
        self._log = event_log
        self._clock = clock
        self._seq = seq
        self._topics = topics
        self._done = done
        self._paused = False
        self._reading = False
        self._over = False
        self._alive: IDelayedCall | None = None
        self._subscription = event_log.subscribe(self._wake, self._live)
        # Asked for the oldest that there are: what lies between them is no gap.
        self._walks_old = event_log.missed(seq) is not None

    def start(self) -> None:
        """Send what the client has not seen, and go on."""
        self._request.notifyFinish().addBoth(self._closed)
        self._request.registerProducer(self, True)
        self._still_here()
        self._wake()

    def finish(self) -> None:
        """End the stream from this side; the client resumes elsewhere."""
        if not self._over:
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        """The client reads slower than things happen."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It has caught up with what was written."""
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        """It is gone; ``notifyFinish`` tells too."""

    def _wake(self) -> None:
        if self._reading or self._paused or self._over:
            return
        missed = self._log.missed(self._seq)
        if missed is None:
            self._walks_old = False
        elif not self._walks_old:
            # It was slow while events were forgotten.
            self._request.write(gap_lines(self._log, missed, self._log.cursor(self._seq)))
            self._seq = missed.first - 1
        self._reading = True
        self._log.after(self._seq).addCallbacks(self._got, self._broken)

    def _got(self, events: list[Event]) -> None:
        self._reading = False
        if self._over or not events:
            return
        self._seq = events[-1].seq or self._seq
        self._request.write(
            b"".join(self._line(event) for event in events if event.topic in self._topics)
        )
        if not self._paused:
            # Through the clock: a long log must not hold up the reactor.
            self._clock.callLater(0, self._wake)

    def _broken(self, failure: Failure) -> None:
        self._reading = False
        self.log.failure("while reading events after {seq}", failure, seq=self._seq)
        self.finish()

    def _live(self, event: Event) -> None:
        if event.topic in self._topics and not self._paused and not self._over:
            self._request.write(b"event: %s\ndata: %s\n\n" % (event.event.encode(), encode(event)))

    def _line(self, event: Event) -> bytes:
        cursor = self._log.cursor(event.seq or 0)
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (
            cursor.encode(),
            event.event.encode(),
            encode(event),
        )

    def _still_here(self) -> None:
        if not self._paused:
            self._request.write(b": alive\n\n")
        self._alive = self._clock.callLater(ALIVE_S, self._still_here)

    def _closed(self, _: object) -> None:
        self._over = True
        self._subscription.stop()
        if self._alive is not None and self._alive.active():
            self._alive.cancel()
        self._done()


def gap_lines(log: EventLog, gap: Gap, cursor: str | None) -> bytes:
    """The event that tells a client that some are missing, with where it goes on."""
    told = {"first": log.cursor(gap.first), "last": log.cursor(log.last_seq), "cursor": cursor}
    goes_on = log.cursor(max(gap.first - 1, 0)).encode()
    return b"id: %s\nevent: gap\ndata: %s\n\n" % (goes_on, encode(told))


class EventRoutes:
    """``GET /api/events``."""

    def __init__(self, hub: Hub, clock: IReactorTime) -> None:
        self._hub = hub
        self._clock = clock
        self._streams: dict[Stream, Token | None] = {}
        hub.revocation.listen(self._revoked)

    def routes(self) -> list[Route]:
        """What is served, and what it needs."""
        return [
            Route(
                method="GET", path="/api/events", name="events", scope=SUBMIT, handler=self.stream
            )
        ]

    def stop(self) -> None:
        """End all streams: the hub is stopping."""
        for stream in list(self._streams):
            stream.finish()

    def _revoked(self, token: Token) -> None:
        for stream, opened_with in list(self._streams.items()):
            if opened_with is not None and opened_with.hash == token.hash:
                stream.finish()

    async def stream(self, call: Call) -> Page | Streamed:
        """Stream events from the client's cursor on."""
        request = call.request
        topics = frozenset((call.query("topics") or ",".join(TOPICS)).split(","))
        if not topics <= set(TOPICS):
            raise invalid_query("topics", "must be of " + ", ".join(TOPICS))
        resumed = request.getHeader(b"last-event-id") or b""
        cursor = resumed.decode("latin-1") or call.query("after") or None
        if request.method == b"HEAD":
            return Page(200, b"", EVENT_STREAM)
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        start = await self._hub.events.start(cursor)
        if gone:
            return Streamed()
        if call.token is None or not self._hub.auth.still_good(call.token):
            raise Unauthorized
        request.setHeader(b"content-type", EVENT_STREAM)
        request.setHeader(b"cache-control", b"no-store")
        log = self._hub.events
        if isinstance(start, Gap):
            request.write(gap_lines(log, start, cursor))
            start = max(start.first - 1, 0)
        else:
            # A client that is cut before the first event must know where it stood.
            request.write(b"id: %s\n\n" % log.cursor(start).encode())
        stream: Stream
        stream = Stream(
            request,
            self._hub.events,
            self._clock,
            start,
            topics,
            lambda: self._streams.pop(stream, None),
        )
        self._streams[stream] = call.token
        stream.start()
        return Streamed()
