"""Live events that survive the hub's restarts: :class:`EventStream`.

The cursor of the last event that was handed on is kept, the next connection
resumes after it, and what is said twice is dropped by its number; so nothing
is repeated, and nothing is lost that the hub still has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as Interface

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse

from agentcom.client.backoff import Backoff
from agentcom.client.errors import ClientError, HubError, HubUnreachable
from agentcom.client.replies import EventReply, Gap, checked
from agentcom.client.sse import EventParser, ServerEvent
from agentcom.errors import InvalidJSON
from agentcom.wire.codec import decode_object

# The hub says something at least every 3 s, if only a comment.
SILENCE_LIMIT_S = 15.0

_FINAL = {
    "token_revoked": "the token was revoked",
    "token_expired": "the token has expired",
    "session_ended": "the session has ended",
}
"""Why the hub may end a stream for good."""

_SLOW = "slow"
_PASSING = {
    _SLOW: "the hub cut the stream because it was not read for too long",
    "hub_stopping": "the hub is stopping",
}


class Watcher(Interface):
    """Who wants the events.  What a method raises ends the stream."""

    def opened(self) -> None:
        """The stream is open, for the first time or again."""

    def lost(self, why: str) -> None:
        """It is not, and is tried again until it is; said once for each time."""

    def event(self, cursor: str | None, event: EventReply) -> None:
        """The next event; what is not in the log has no cursor."""

    def gap(self, gap: Gap) -> None:
        """Events are missing here that the hub no longer has."""


class EventStream:
    """Events one by one, over as many connections as it takes.

    :param open_stream: asks the hub for events after a cursor.
    """

    def __init__(
        self,
        open_stream: Callable[[str | None], Deferred[IResponse]],
        clock: IReactorTime,
        backoff: Backoff,
        watcher: Watcher,
        after: str | None = None,
    ) -> None:
        self._open_stream = open_stream
        self._clock = clock
        self._backoff = backoff
        self._watcher = watcher
        self.cursor = after
        self._lost = False
        self._stopped = False
        self._closed: str | None = None
        self._body: _Body | None = None
        self._pause: tuple[Deferred[None], IDelayedCall] | None = None

    async def run(self) -> None:
        """Stream until :meth:`stop`.

        :raises ClientError: the hub refuses the stream, ends it for good or sends
            no events: trying on is no use.
        """
        while not self._stopped:
            try:
                response = await self._open_stream(self.cursor)
            except HubError as e:
                if not e.passing:
                    raise
                await self._rest(str(e))
            except ClientError as e:
                await self._rest(str(e))
            else:
                await self._read(response)
                if not self._stopped:
                    await self._after_cut()

    def stop(self) -> None:
        """End the stream; ``run`` returns soon after."""
        self._stopped = True
        if self._body is not None:
            self._body.close()
        if self._pause is not None:
            pause, timer = self._pause
            self._pause = None
            timer.cancel()
            pause.callback(None)

    async def _read(self, response: IResponse) -> None:
        self._lost = False
        self._body = _Body(self._clock, self._receive)
        deliver: Any = response.deliverBody
        deliver(self._body)
        if self._stopped:
            self._body.close()
        else:
            self._watcher.opened()
        await self._body.ended
        self._body = None

    async def _after_cut(self) -> None:
        reason, self._closed = self._closed, None
        if reason in _FINAL:
            why = f"the hub ended the stream: {_FINAL[reason]}"
            raise ClientError(f"{why}; give a good one with --token or $AGENTCOM_TOKEN")
        if reason == _SLOW:
            self._tell_lost(_PASSING[_SLOW])
            return
        told = _PASSING.get(reason, f"the hub ended the stream ({reason})") if reason else None
        await self._rest(told or "the line to the hub is lost")

    def _tell_lost(self, why: str) -> None:
        if not self._lost:
            self._lost = True
            self._watcher.lost(why)

    async def _rest(self, why: str) -> None:
        if self._stopped:
            return
        delay = self._backoff.next_delay()
        self._tell_lost(why)
        pause: Deferred[None] = Deferred()
        self._pause = pause, self._clock.callLater(delay, self._go_on)
        await pause

    def _go_on(self) -> None:
        if self._pause is not None:
            pause, _ = self._pause
            self._pause = None
            pause.callback(None)

    def _receive(self, event: ServerEvent) -> None:
        self._backoff.reset()
        if not event.data:
            self._advance(event.id)
            return
        try:
            value = decode_object(event.data.encode("utf-8", "replace"))
            if event.event == "gap":
                gap = checked(value, Gap)
                self._advance(event.id)
                self._watcher.gap(gap)
                return
            if event.event == "closed":
                self._advance(event.id)
                self._closed = str(value.get("reason"))
                if self._body is not None:
                    self._body.close()
                return
            told = checked(value, EventReply)
        except (InvalidJSON, msgspec.ValidationError) as e:
            raise HubUnreachable(f"the hub sent an event that cannot be read: {e}") from None
        if told["seq"] is None:
            self._watcher.event(None, told)
        elif not _said_before(event.id, self.cursor):
            self._advance(event.id)
            self._watcher.event(event.id, told)

    def _advance(self, cursor: str | None) -> None:
        if cursor is not None:
            self.cursor = cursor


class _Body(Protocol):
    """Reads one response; ``ended`` fires when nothing more comes of it."""

    def __init__(self, clock: IReactorTime, receive: Callable[[ServerEvent], None]) -> None:
        self.ended: Deferred[None] = Deferred()
        self._clock = clock
        self._receive = receive
        self._parser = EventParser()
        self._over = False
        self._silence: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._silence = self._clock.callLater(SILENCE_LIMIT_S, self.close)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        if self._silence is not None:
            self._silence.reset(SILENCE_LIMIT_S)
        try:
            events = self._parser.feed(data)
        except ValueError:
            self.close()
            return
        for event in events:
            self._deliver(event)

    def _deliver(self, event: ServerEvent) -> None:
        # The receiver may have stopped the stream at the event before.
        if self._over:
            return
        try:
            self._receive(event)
        except Exception as e:
            self.close(e)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()

    def close(self, error: Exception | None = None) -> None:
        """Stop reading now; the connection may take its time to close."""
        if not self._over and self.transport is not None:
            self.transport.loseConnection()
        self._end(error)

    def _end(self, error: Exception | None = None) -> None:
        if self._over:
            return
        self._over = True
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        if error is None:
            self.ended.callback(None)
        else:
            self.ended.errback(error)


def _said_before(cursor: str | None, last: str | None) -> bool:
    """Whether ``cursor`` is not after ``last`` in the same epoch."""
    now, before = _split(cursor), _split(last)
    return now is not None and before is not None and now[0] == before[0] and now[1] <= before[1]


def _split(cursor: str | None) -> tuple[str, int] | None:
    epoch, colon, seq = (cursor or "").rpartition(":")
    return (epoch, int(seq)) if colon and seq.isdecimal() else None
