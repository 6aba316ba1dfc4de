"""Live events as server-sent events: ``GET /api/events``.

A stream is the reader of a :class:`~agentcom.hub.watching.Watch`: it writes
what it is handed, and says when its client takes no more.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from agentcom.core.events import TOPICS, Event
from agentcom.core.tokens import SUBMIT, Token
from agentcom.errors import HubStopping, TooManyWatchers, Unauthorized
from agentcom.http.route import Call, Page, Route, Streamed, invalid_query, text
from agentcom.hub import eventlog
from agentcom.hub.eventlog import EventLog, Gap
from agentcom.hub.hub import Hub
from agentcom.hub.watching import Wanted, Watch, Watchers
from agentcom.wire.codec import encode

EVENT_STREAM = b"text/event-stream"

_TOPICS = "^(tasks|presence)(,(tasks|presence))*$"

ALIVE_S = 2.5
"""Seconds between comment lines; the contract says 3 at the most."""

SLOW_S = 60.0
"""Seconds that a client may take nothing of what was written; then it is cut."""

HANG_UP_S = 5.0
"""Seconds that the last of a stream may take to its client; then the line is dropped."""

TASK_ID = 128
"""Characters of the id of the task that is watched."""


@implementer(IPushProducer)
class Stream:
    """One client's stream of events."""

    def __init__(self, request: Request, events: EventLog, clock: IReactorTime) -> None:
        self._request = request
        self._events = events
        self._clock = clock
        self._alive: IDelayedCall | None = None
        self._watch: Watch | None = None
        # The last cursor that the client was told.
        self._told = 0

    def start(self, watch: Watch) -> None:
        """Send what the client has not seen, and go on."""
        self._watch = watch
        self._told = watch.seq
        self._request.notifyFinish().addBoth(self._closed)
        self._request.registerProducer(self, True)
        self._still_here()
        watch.wake()

    # -- what its watch says ------------------------------------------------

    def take(self, page: eventlog.Page, wanted: Wanted) -> None:
        """Events of the log."""
        lines = page.form((EVENT_STREAM, wanted), lambda page: self._lines(wanted.of(page)))
        if lines:
            self._told = page.seq
            self._request.write(lines)

    def show(self, page: eventlog.Page, wanted: Wanted) -> None:
        """Events that are in no log."""
        lines = page.form((EVENT_STREAM, wanted), lambda page: self._lines(wanted.of(page)))
        if lines:
            self._request.write(lines)

    def skip(self, gap: Gap) -> None:
        """Events were forgotten before they were sent."""
        cursor = None if self._watch is None else self._watch.cursor
        self._request.write(gap_lines(self._events, gap, cursor))

    def cut(self, reason: str) -> None:
        """Say why, and hang up; the client resumes elsewhere, or later."""
        request, watch = self._request, self._watch
        channel: Any = request.channel
        cursor = None if watch is None else watch.cursor
        told = encode({"reason": reason, "cursor": cursor})
        request.write(b"id: %s\nevent: closed\ndata: %s\n\n" % ((cursor or "").encode(), told))
        request.unregisterProducer()
        request.finish()
        if channel is not None:
            channel.loseConnection()
            # One that takes nothing would never take the rest.
            channel.hang_up(HANG_UP_S)

    # -- what its connection says -------------------------------------------

    def pauseProducing(self) -> None:
        """The client reads slower than things happen."""
        if self._watch is not None:
            self._watch.pause()

    def resumeProducing(self) -> None:
        """It has caught up with what was written."""
        if self._watch is not None:
            self._watch.resume()

    def stopProducing(self) -> None:
        """It is gone; ``notifyFinish`` tells too."""

    def _lines(self, events: list[Event]) -> bytes:
        return b"".join(map(self._line, events))

    def _line(self, event: Event) -> bytes:
        told = b"event: %s\ndata: %s\n\n" % (event.event.encode(), encode(event))
        if event.seq is None:
            return told
        return b"id: %s\n%s" % (self._events.cursor(event.seq).encode(), told)

    def _still_here(self) -> None:
        watch = self._watch
        if watch is not None and not watch.paused:
            # Where nothing that happened was for it, the client would resume far behind.
            moved = b""
            if watch.seq > self._told:
                self._told = watch.seq
                moved = b"id: %s\n" % watch.cursor.encode()
            self._request.write(b": alive\n%s\n" % moved)
        self._alive = self._clock.callLater(ALIVE_S, self._still_here)

    def _closed(self, _: object) -> None:
        if self._alive is not None and self._alive.active():
            self._alive.cancel()
        if self._watch is not None:
            self._watch.stop()


def gap_lines(log: EventLog, gap: Gap, cursor: str | None) -> bytes:
    """The event that tells a client that some are missing, with where it goes on."""
    told = {"first": log.cursor(gap.first), "last": log.cursor(log.last_seq), "cursor": cursor}
    goes_on = log.cursor(max(gap.first - 1, 0)).encode()
    return b"id: %s\nevent: gap\ndata: %s\n\n" % (goes_on, encode(told))


class EventRoutes:
    """``GET /api/events``."""

    def __init__(self, hub: Hub, clock: IReactorTime, watchers: Watchers) -> None:
        self._hub = hub
        self._clock = clock
        self._watchers = watchers

    def routes(self) -> list[Route]:
        """What is served, and what it needs."""
        return [
            Route(
                method="GET",
                path="/api/events",
                name="events",
                scope=SUBMIT,
                query=(
                    text("topics", "``tasks``, ``presence``, or both with a comma.", 64, _TOPICS),
                    text("after", "A cursor: go on after that event; ``0``: from the oldest."),
                    text("task_id", "Only events of this task.", TASK_ID),
                ),
                answers={200: "text/event-stream"},
                refuses=(TooManyWatchers, HubStopping),
                handler=self.stream,
            )
        ]

    async def stream(self, call: Call) -> Page | Streamed:
        """Stream events from the client's cursor on."""
        request = call.request
        topics = frozenset((call.query("topics") or ",".join(TOPICS)).split(","))
        if not topics <= set(TOPICS):
            raise invalid_query("topics", "must be of " + ", ".join(TOPICS))
        task_id = call.query("task_id") or None
        if task_id is not None and len(task_id) > TASK_ID:
            raise invalid_query("task_id", f"must be at most {TASK_ID} characters")
        resumed = request.getHeader(b"last-event-id") or b""
        cursor = resumed.decode("latin-1") or call.query("after") or None
        token = self._good(call.token)
        if request.method == b"HEAD":
            return Page(200, b"", EVENT_STREAM)
        self._watchers.check(token)
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        log = self._hub.events
        start = await log.start(cursor)
        if gone:
            return Streamed()
        token = self._good(call.token)
        stream = Stream(request, log, self._clock)
        seq = max(start.first - 1, 0) if isinstance(start, Gap) else start
        wanted = Wanted(topics, task_id)
        watch = self._watchers.open("sse", stream, wanted, seq, token, SLOW_S)
        request.setHeader(b"content-type", EVENT_STREAM)
        request.setHeader(b"cache-control", b"no-store")
        if isinstance(start, Gap):
            request.write(gap_lines(log, start, cursor))
        else:
            # A client that is cut before the first event must know where it stood.
            request.write(b"id: %s\n\n" % log.cursor(seq).encode())
        stream.start(watch)
        return Streamed()

    def _good(self, token: Token | None) -> Token:
        if token is None or not self._hub.auth.still_good(token):
            raise Unauthorized
        return token
