"""Sockets with fewer calls to the kernel, for a reactor of epoll's kind.

Twisted asks epoll for each write whether there is room, is told so in its next
turn, sends, and takes the question back: three calls and a way through the
reactor for one that would have done, and for each readable socket it sets up a
prefix for log lines of the old kind, which nobody here writes.  Here what is
written to a line in one part of a turn (what came in, or timers and commits)
leaves in one call at the end of that part, and epoll is asked only where the
kernel does not take it all.  Buffers, their bounds, producers, goodbyes and faults stay
Twisted's: the line only says in its own way that it has something to send.

Needless if Twisted's reactors flushed their writers once before they wait, as
they could; if ``getHost`` kept what the kernel said, and if ``doPoll`` entered a
logging context only where somebody asks for it.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import tcp
from twisted.logger import Logger
from twisted.python import log

EPOLLIN: int = getattr(select, "EPOLLIN", 0)

IDLE, QUEUED, WATCHED = range(3)
"""Nothing to send; waits for the end of the part of the turn; epoll says when there is room."""

FLUSH_S = 0.002
"""Seconds in which lines are sent to in a row; the others are next, before anybody is read from
again."""

told = Logger()


class Line(tcp.Server):
    """A connection that sends at the end of a part of the reactor's turn."""

    lines: Lines
    _state = IDLE
    _host: Any = None
    _peer: Any = None

    def startWriting(self) -> None:
        """There is something to send, or to end."""
        if self._state == IDLE:
            self._state = QUEUED
            self.lines.wait(self)

    def stopWriting(self) -> None:
        """All is sent, or nothing will be any more."""
        if self._state == WATCHED:
            super().stopWriting()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self._state = IDLE

    def flush(self) -> None:
        """Send what the kernel takes, and let epoll say when it takes the rest.

        As in the reactor's own loop: what is raised ends the line, and is logged.
        """
        if self._state != QUEUED:
            return
        why: Any
        try:
            why = self.doWrite()  # type: ignore[no-untyped-call]  # untyped in Twisted
        except BaseException as e:
            why = e
            log.callWithLogger(self, log.err)
        if why:
            self.lines.lose(self, why, False)
        elif self._state == QUEUED:
            self.watch()

    def pass_on(self) -> None:
        """Leave it to epoll, if it waits."""
        if self._state == QUEUED:
            self.watch()

    def watch(self) -> None:
        """Let epoll say when there is room."""
        self._state = WATCHED
        super().startWriting()  # type: ignore[no-untyped-call]  # untyped in Twisted

    def getHost(self) -> Any:
        if self._host is None:
            self._host = super().getHost()  # type: ignore[no-untyped-call]  # untyped in Twisted
        return self._host

    def getPeer(self) -> Any:
        if self._peer is None:
            self._peer = super().getPeer()  # type: ignore[no-untyped-call]  # untyped in Twisted
        return self._peer


class Lines:
    """The lines of a reactor that have something to send.

    :param reactor: Twisted's with epoll.
    :ivar transport: what its ports make of each connection.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._waiting: list[Line] = []
        self._ended = False
        self.transport = type("Line", (Line,), {"lines": self})
        # Another hub of this process may have done the same.
        self._before: Callable[[float | None], None] | None = reactor.__dict__.get("doIteration")
        self._look = self._before or self._serve
        reactor.doIteration = self._iterate

    def wait(self, line: Line) -> None:
        """Flush a line at the end of this part of the turn."""
        if self._ended:
            line.watch()
        else:
            self._waiting.append(line)

    def flush(self) -> None:
        """Send for the lines that wait, once each, as long as there is time."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        seconds = self._reactor.seconds
        until = seconds() + FLUSH_S
        for number, line in enumerate(waiting, start=1):
            line.flush()
            if seconds() >= until and not self._ended:
                # Ahead of those that have something to send since.
                self._waiting[:0] = waiting[number:]
                break

    def lose(self, line: Line, why: BaseException, in_read: bool) -> None:
        """A line is down, as ``doRead`` or ``doWrite`` said."""
        log.callWithLogger(line, self._reactor._disconnectSelectable, line, why, in_read)

    def end(self) -> None:
        """From now on all is done in Twisted's way, for the lines that are there as well."""
        self._ended = True
        for line in self._waiting:
            line.pass_on()
        self._waiting.clear()
        if self._reactor.__dict__.get("doIteration") == self._iterate:
            del self._reactor.doIteration
            if self._before is not None:
                self._reactor.doIteration = self._before

    def _iterate(self, timeout: float | None) -> None:
        """One look of the reactor at its sockets, in the place of its ``doIteration``."""
        if self._waiting:
            self.flush()
            if timeout != 0:
                # Whoever heard that all is sent may have something for a timer.
                timeout = 0 if self._waiting else self._reactor.timeout()
        self._look(timeout)
        self.flush()

    def _serve(self, timeout: float | None) -> None:
        """As ``EPollReactor.doPoll``, with a short way for what comes in on a line."""
        reactor = self._reactor
        selectables = reactor._selectables
        # Asked for each time: somebody may have put his own in its place.
        poll = reactor._poller.poll
        for fd, event in poll(-1 if timeout is None else timeout, len(selectables)):
            one = selectables.get(fd)
            if event == EPOLLIN and isinstance(one, Line):
                why: Any
                try:
                    why = one.doRead()
                except BaseException as e:
                    why = e
                    log.callWithLogger(one, log.err)
                if why:
                    self.lose(one, why, True)
            elif one is not None:
                log.callWithLogger(one, reactor._doReadOrWrite, one, fd, event)


def quick_writes(reactor: Any, ports: Iterable[Any]) -> Lines | None:
    """Use these lines for what ports accept from now on.

    :param ports: what listens; those that do not make TCP connections stay as they are.
    :returns: to be ended before the reactor stops; ``None`` where the reactor is not the
        one with epoll: nothing is changed then.
    """
    if not _has_epoll(reactor):
        told.info("the shortcut writes is not used: {reactor} has no epoll", reactor=reactor)
        return None
    lines = Lines(reactor)
    for port in ports:
        if getattr(port, "transport", None) is tcp.Server:
            port.transport = lines.transport
    return lines


def _has_epoll(reactor: Any) -> bool:
    try:
        from twisted.internet.epollreactor import EPollReactor
    except ImportError:
        return False
    return isinstance(reactor, EPollReactor)
