"""A TCP proxy that disturbs what passes through it.

A :class:`Door` is one listening port in front of a server, a :class:`Line`
one connection through it: two ends, and one :class:`Pipe` for each way.  It
knows nothing of what the bytes mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

MAX_WAITING = 1024 * 1024
"""Bytes that wait in one pipe before its source is read no further."""

MAX_LINES = 1_000
"""Lines through one door; further ones are reset at once."""

Reach = Callable[[Protocol], Deferred[Any]]
"""Connects a protocol to the server; fails where there is none."""


class Pipe:
    """What goes one way: at once, later or never.

    :param write: gives bytes to the other end.
    :param finish: tells the other end that nothing more comes.
    :param pace: asks the source to go on, or to pause.
    """

    def __init__(
        self,
        clock: IReactorTime,
        write: Callable[[bytes], None],
        finish: Callable[[], None],
        pace: Callable[[bool], None],
    ) -> None:
        self._clock = clock
        self._write = write
        self._finish = finish
        self._pace = pace
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._held_until = 0.0
        self._slow_until = 0.0
        self._slow_s = 0.0
        self._ended = False
        self._over = False
        self._timer: IDelayedCall | None = None

    def feed(self, data: bytes) -> None:
        """Bytes came from the source."""
        now = self._clock.seconds()
        due = now + self._slow_s if now < self._slow_until else now
        self._waiting.append((due, data))
        self._bytes += len(data)
        if self._bytes > MAX_WAITING:
            self._pace(False)
        self._pump()

    def end(self) -> None:
        """Nothing more comes from the source; what waits is still delivered."""
        self._ended = True
        self._pump()

    def hold(self, for_s: float) -> None:
        """Deliver nothing for so many seconds, then all of it."""
        self._held_until = max(self._held_until, self._clock.seconds() + for_s)
        self._pump()

    def slow(self, for_s: float, delay_s: float) -> None:
        """For so many seconds, deliver everything later by ``delay_s`` seconds."""
        self._slow_until = self._clock.seconds() + for_s
        self._slow_s = delay_s

    def stop(self) -> None:
        """Deliver nothing any more."""
        self._over = True
        self._waiting.clear()
        self._cancel()

    def _pump(self) -> None:
        self._cancel()
        while self._waiting and not self._over:
            due = max(self._waiting[0][0], self._held_until)
            if due > self._clock.seconds():
                self._timer = self._clock.callLater(due - self._clock.seconds(), self._again)
                return
            _, data = self._waiting.popleft()
            full = self._bytes > MAX_WAITING
            self._bytes -= len(data)
            self._write(data)
            if full and self._bytes <= MAX_WAITING:
                self._pace(True)
        if self._ended and not self._over:
            left = self._held_until - self._clock.seconds()
            if left > 0:
                self._timer = self._clock.callLater(left, self._again)
                return
            self._over = True
            self._finish()

    def _again(self) -> None:
        self._timer = None
        self._pump()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class End(Protocol):
    """One end of a line; the hooks of its connection."""

    transport: Any = None

    def __init__(self, line: Line) -> None:
        self._line = line
        self.gone = False

    def connectionMade(self) -> None:
        self._line.made(self)

    def dataReceived(self, data: bytes) -> None:
        self._line.pipe_from(self).feed(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True
        self._line.lost(self)

    def pass_on(self, data: bytes) -> None:
        """Write to the peer, if it is still there."""
        if self.transport is not None and not self.gone:
            self.transport.write(data)

    def pace(self, more: bool) -> None:
        """Read on, or not."""
        if self.transport is not None and not self.gone:
            if more:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def close(self) -> None:
        """Say FIN when all is written, and read nothing more."""
        if self.transport is not None and not self.gone:
            self.transport.loseConnection()

    def half_close(self) -> None:
        """Say FIN, and read on."""
        if self.transport is not None and not self.gone:
            self.transport.loseWriteConnection()

    def abort(self) -> None:
        """Say RST."""
        if self.transport is not None and not self.gone:
            self.transport.abortConnection()


class Line:
    """One connection through the proxy.

    :ivar near: the end at the client.
    :ivar far: the end at the server.
    :param over: called when both ends are gone.
    """

    def __init__(self, clock: IReactorTime, reach: Reach, over: Callable[[Line], None]) -> None:
        self._clock = clock
        self._reach = reach
        self._over = over
        self._timer: IDelayedCall | None = None
        self._ended = False
        self.near = End(self)
        self.far = End(self)
        self._up = Pipe(clock, self.far.pass_on, self.far.close, self.near.pace)
        self._down = Pipe(clock, self.near.pass_on, self.near.close, self.far.pace)

    def close(self) -> None:
        """Close both ways in good order."""
        self._stop()
        self.near.close()
        self.far.close()

    def reset(self) -> None:
        """Break both ways at once."""
        self._stop()
        self.near.abort()
        self.far.abort()

    def half_close(self, end: End) -> None:
        """Let an end believe that its peer has nothing more to say."""
        end.half_close()

    def stall(self, for_s: float) -> None:
        """Hold everything, both ways, for so many seconds."""
        self._up.hold(for_s)
        self._down.hold(for_s)

    def slow(self, for_s: float, delay_s: float) -> None:
        """For so many seconds, deliver everything later by ``delay_s`` seconds."""
        self._up.slow(for_s, delay_s)
        self._down.slow(for_s, delay_s)

    def mute(self, for_s: float) -> None:
        """Deliver nothing more, and break the line after so many seconds."""
        self._stop()
        if self._timer is None:
            self._timer = self._clock.callLater(for_s, self._break)

    def pipe_from(self, end: End) -> Pipe:
        """The pipe that begins at an end."""
        return self._up if end is self.near else self._down

    def made(self, end: End) -> None:
        """An end is connected."""
        if end is self.near:
            # Read nothing before there is somebody to give it to.
            end.pace(False)
            self._reach(self.far).addErrback(self._unreached)
        elif self.near.gone:
            end.abort()
        else:
            self.near.transport.registerProducer(end.transport, True)
            end.transport.registerProducer(self.near.transport, True)
            self.near.pace(True)

    def lost(self, end: End) -> None:
        """An end is gone: the other one follows when it has had everything."""
        other = self.far if end is self.near else self.near
        if other.transport is not None and not other.gone:
            other.transport.unregisterProducer()
        self.pipe_from(other).stop()
        self.pipe_from(end).end()
        if other.gone or other.transport is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            # A server that is reached too late goes after the line has gone.
            if not self._ended:
                self._ended = True
                self._over(self)

    def _unreached(self, failure: Failure) -> None:
        # A machine whose server is down answers with RST, too.
        self.near.abort()

    def _stop(self) -> None:
        self._up.stop()
        self._down.stop()

    def _break(self) -> None:
        self._timer = None
        self.reset()


class Door(Factory):
    """One listening port; makes a line for each connection.

    :ivar lines: those that are up, oldest first.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, reach: Reach) -> None:
        self._clock = clock
        self._reach = reach
        self.lines: list[Line] = []

    def buildProtocol(self, addr: IAddress | None) -> End | None:
        if len(self.lines) >= MAX_LINES:
            return None
        line = Line(self._clock, self._reach, self.lines.remove)
        self.lines.append(line)
        return line.near
