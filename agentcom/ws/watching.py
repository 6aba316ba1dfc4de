"""Events on a connection: ``watch`` and ``unwatch``; :mod:`.session` takes its steps from here.

What an agent is told of its tasks must not wait behind events, and its line
must not be lost because of them: events are sent only while the line takes
everything at once, a page at a time, and a watch ends long before its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.tokens import SUBMIT
from agentcom.errors import AgentComError, Forbidden
from agentcom.hub.eventlog import Gap, Page
from agentcom.hub.link import Link, SharedFrame
from agentcom.hub.watching import SLOW, Wanted, Watch, Watchers
from agentcom.wire import frames, watching
from agentcom.wire.codec import encode
from agentcom.wire.frames import ref_of
from agentcom.ws.outbound import Outbound

FRAMES = "frames"
"""The form of a page."""

SLOW_S = 20.0
"""Seconds that a line may be full; less than it may be silent."""

TELL_S = 30.0
"""Seconds after which a watch that had nothing to send tells its cursor."""


class Watching:
    """What one connection follows: one watch at a time."""

    __slots__ = ("_asked", "_room", "_told_at", "_watch", "_watchers")
    log = Logger()

    def __init__(self, watchers: Watchers, room: Outbound | None) -> None:
        self._watchers = watchers
        self._room = room
        self._watch: Watch | None = None
        # Counts what was asked: an answer that comes late is for nobody.
        self._asked = 0
        self._told_at = 0.0

    def begin(self, line: Link, frame: frames.Watch) -> None:
        """Follow the events from a cursor on, in place of the watch before.

        :raises Forbidden: the token does not allow it.
        :raises TooManyWatchers: there is no room.
        """
        token = line.token
        if not token.allows(SUBMIT):
            raise Forbidden(SUBMIT)
        self.stop()
        self._watchers.check(token)
        asked = self._asked
        wanted = Wanted(task_id=frame.task_id)
        if frame.topics is not None:
            wanted = Wanted(frozenset(topic.value for topic in frame.topics), frame.task_id)

        def found(start: int | Gap) -> None:
            room = self._room
            if self._asked != asked or room is None or room.closing:
                return
            seq = max(start.first - 1, 0) if isinstance(start, Gap) else start
            watch = self._watchers.open("ws", self, wanted, seq, token, SLOW_S)
            self._watch = watch
            self._told_at = self._watchers.clock.seconds()
            line.send(encode(watching.Watching(cursor=watch.cursor, ref=ref_of(frame))))
            if isinstance(start, Gap):
                self.skip(start)
            room.follow(self)
            watch.wake()

        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, AgentComError):
                self.log.failure("while beginning to watch", failure)
                error = AgentComError()
            if self._asked == asked:
                ref = {"ref": frame.ref} if bytes(frame.ref) else {}
                line.send(encode({"type": "error", **error.body(), **ref}))

        start = self._watchers.events.start(frame.after or None)
        Deferred.fromCoroutine(start).addCallback(found).addErrback(failed)

    def end(self) -> str | None:
        """Follow no more; the cursor up to which it did."""
        cursor = None if self._watch is None else self._watch.cursor
        self.stop()
        return cursor

    # -- what the watch says ------------------------------------------------

    def take(self, page: Page, wanted: Wanted) -> None:
        """Events of the log."""
        frame = page.form((FRAMES, wanted), self._frame_of(wanted))
        now = self._watchers.clock.seconds()
        if not frame:
            # A peer whose line is lost would go on from far behind.
            if now - self._told_at < TELL_S:
                return
            frame = self._frame((), page.seq)
        self._told_at = now
        self._send(frame)

    def show(self, page: Page, wanted: Wanted) -> None:
        """Events that are in no log."""
        if self._watch is not None:
            seq = self._watch.seq
            frame = page.form((FRAMES, wanted, seq), self._frame_of(wanted, seq))
            if frame:
                self._send(frame)

    def skip(self, gap: Gap) -> None:
        """Events were forgotten before they were sent."""
        log = self._watchers.events
        told = watching.EventsGap(
            first=log.cursor(gap.first),
            last=log.cursor(log.last_seq),
            cursor=log.cursor(max(gap.first - 1, 0)),
        )
        self._send(encode(told))

    def cut(self, reason: str) -> None:
        """The hub has ended the watch; the line goes on."""
        cursor = "" if self._watch is None else self._watch.cursor
        self.stop()
        self._send(encode(watching.WatchEnded(reason=reason, cursor=cursor)))

    # -- what the line says -------------------------------------------------

    def pause(self) -> None:
        """The peer takes no more now."""
        if self._watch is not None:
            self._watch.pause()

    def resume(self) -> None:
        """It has taken everything."""
        if self._watch is not None:
            self._watch.resume()

    def crowded(self) -> None:
        """What waits for the peer may soon cost it its line."""
        if self._watch is not None:
            self._watch.end(SLOW)

    def stop(self) -> None:
        """Follow no more; also what was asked for and has not begun."""
        self._asked += 1
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
        if self._room is not None:
            self._room.follow(None)

    def _send(self, frame: bytes) -> None:
        if self._room is not None:
            self._room.send(frame)

    def _frame_of(self, wanted: Wanted, seq: int | None = None) -> Callable[[Page], SharedFrame]:
        def make(page: Page) -> SharedFrame:
            events = wanted.of(page)
            if not events:
                return SharedFrame()
            return self._frame(map(encode, events), page.seq if seq is None else seq)

        return make

    def _frame(self, events: Iterable[bytes], seq: int) -> SharedFrame:
        cursor = self._watchers.events.cursor(seq).encode()
        return SharedFrame(
            b'{"type":"events","events":[%s],"cursor":"%s"}' % (b",".join(events), cursor)
        )


class Watcher(Protocol):
    """A session, as far as watching needs it."""

    @property
    def line(self) -> Link:
        """Its connection."""

    @property
    def watching(self) -> Watching | None:
        """What it follows."""


def _watch(session: Watcher, frame: frames.Watch, _: bytes) -> None:
    if session.watching is not None:
        session.watching.begin(session.line, frame)


def _unwatch(session: Watcher, frame: frames.Unwatch, _: bytes) -> None:
    cursor = None if session.watching is None else session.watching.end()
    session.line.send(encode(watching.Unwatched(cursor=cursor, ref=ref_of(frame))))


STEPS: dict[type, Callable[[Any, Any, bytes], None]] = {
    frames.Watch: _watch,
    frames.Unwatch: _unwatch,
}
"""What is done with each frame of watching."""
