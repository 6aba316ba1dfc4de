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
from collections.abc import Iterable
from typing import Any

from twisted.internet import tcp
from twisted.python import log

EPOLLIN: int = getattr(select, "EPOLLIN", 0)

IDLE, QUEUED, WATCHED = range(3)
"""Nothing to send; waits for the end of the part of the turn; epoll says when there is room."""


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
            super().stopWriting()
        self._state = IDLE

    def flush(self) -> None:
        """Send what the kernel takes, and let epoll say when it takes the rest.

        As in the reactor's own loop: what is raised ends the line, and is logged.
        """
        if self._state != QUEUED:
            return
        try:
            why = self.doWrite()
        except BaseException as e:
            why = e
            log.callWithLogger(self, log.err)
        if why:
            self.reactor._disconnectSelectable(self, why, False)
        elif self._state == QUEUED:
            self.watch()

    def pass_on(self) -> None:
        """Leave it to epoll, if it waits."""
        if self._state == QUEUED:
            self.watch()

    def watch(self) -> None:
        """Let epoll say when there is room."""
        self._state = WATCHED
        super().startWriting()

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
        self.transport = type("Line", (Line,), {"lines": self})
        self._ended = False
        reactor.doIteration = self._iterate

    def wait(self, line: Line) -> None:
        """Flush a line at the end of this part of the turn."""
        if self._ended:
            line.watch()
        else:
            self._waiting.append(line)

    def flush(self) -> None:
        """Send for all lines that wait, once each."""
        waiting, self._waiting = self._waiting, []
        for line in waiting:
            line.flush()

    def end(self) -> None:
        """From now on all is done in Twisted's way, also for the lines that are there."""
        self._ended = True
        for line in self._waiting:
            line.pass_on()
        self._waiting.clear()
        if self._reactor.__dict__.get("doIteration") == self._iterate:
            del self._reactor.doIteration

    def _iterate(self, timeout: float | None) -> None:
        """One look of the reactor at its sockets, in the place of its ``doIteration``."""
        if self._waiting:
            self.flush()
            # What a line's producer or its end had put off may be due sooner.
            if timeout != 0:
                timeout = 0 if self._waiting else self._reactor.timeout()
        self._poll(timeout)
        self.flush()

    def _poll(self, timeout: float | None) -> None:
        reactor, ours = self._reactor, self.transport
        selectables = reactor._selectables
        # Asked for each time: somebody may stand between.
        found = reactor._poller.poll(-1 if timeout is None else timeout, len(selectables))
        for fd, event in found:
            line = selectables.get(fd)
            if event == EPOLLIN and line.__class__ is ours:
                try:
                    why = line.doRead()
                except BaseException as e:
                    why = e
                    log.callWithLogger(line, log.err)
                if why:
                    reactor._disconnectSelectable(line, why, True)
            elif line is not None:
                log.callWithLogger(line, reactor._doReadOrWrite, line, fd, event)


def quick_writes(reactor: Any, ports: Iterable[Any]) -> Lines | None:
    """Use these lines for what ports accept from now on.

    :param ports: what listens; those that do not make TCP connections stay as they are.
    :returns: to be ended before the reactor stops; ``None`` where the reactor is not the
        one with epoll: nothing is changed then.
    """
    try:
        from twisted.internet.epollreactor import EPollReactor
    except ImportError:
        return None
    if not isinstance(reactor, EPollReactor):
        return None
    lines = Lines(reactor)
    for port in ports:
        if getattr(port, "transport", None) is tcp.Server:
            port.transport = lines.transport
    return lines
