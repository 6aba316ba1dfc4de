"""A kernel in memory: sockets with as much room as the test says, and epoll's answers for them.

The reactor is Twisted's own ``EPollReactor`` on top of that; time stands still unless a test
moves it.
"""

from __future__ import annotations

import errno
import select
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.posixbase import _ContinuousPolling
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from zope.interface import implementer

ROOMY = 1 << 30
TURNS = 200
"""Turns after which something that goes on was meant to have ended."""


class Socket:
    """One end of a connection; the other one is the test.

    :ivar room: bytes that the kernel takes.
    :ivar said: what happened to it, in order.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.room = ROOMY
        self.sent = b""
        self.sends: list[int] = []
        self.inbox = b""
        self.at_end = self.broken = self.closed = False
        self.said: list[str] = []
        self.asked = 0

    def fileno(self) -> int:
        return -1 if self.closed else self._number

    def setblocking(self, blocks: bool) -> None:
        assert not blocks

    def send(self, data: Any) -> int:
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if len(data) and not self.room:
            raise BlockingIOError(errno.EWOULDBLOCK, "full")
        taken = bytes(data)[: self.room]
        self.room -= len(taken)
        self.sent += taken
        self.sends.append(len(taken))
        return len(taken)

    def recv(self, most: int) -> bytes:
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if not self.inbox and not self.at_end:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing")
        data, self.inbox = self.inbox[:most], self.inbox[most:]
        return data

    def getsockname(self) -> tuple[str, int]:
        self.asked += 1
        return ("192.0.2.1", 4000)

    def setsockopt(self, *option: object) -> None:
        self.said.append("reset" if option[2] == b"\x01\0\0\0\0\0\0\0" else "option")

    def shutdown(self, how: int) -> None:
        self.said.append(f"shutdown {how}")

    def close(self) -> None:
        self.said.append("close")
        self.closed = True

    def ready(self) -> int:
        """What epoll would say of it."""
        found = 0
        if self.inbox or self.at_end or self.broken:
            found |= select.EPOLLIN
        if self.room or self.broken:
            found |= select.EPOLLOUT
        return found | (select.EPOLLHUP if self.broken else 0)


class Poller:
    """epoll, as far as reactors use it; counts the calls that change what it looks at."""

    def __init__(self) -> None:
        self.sockets: dict[int, Socket] = {}
        self._masks: dict[int, int] = {}
        self.changes = 0
        self.timeouts: list[float] = []

    def register(self, number: int, mask: int) -> None:
        assert number not in self._masks
        self.changes += 1
        self._masks[number] = mask

    def modify(self, number: int, mask: int) -> None:
        assert number in self._masks
        self.changes += 1
        self._masks[number] = mask

    def unregister(self, number: int) -> None:
        self.changes += 1
        del self._masks[number]

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        always = select.EPOLLHUP
        found = [(n, self.sockets[n].ready() & (m | always)) for n, m in self._masks.items()]
        return [(number, event) for number, event in found if event][: max(1, most)]


class Reactor(EPollReactor):
    """Twisted's reactor over :class:`Poller`, with a clock that the test moves."""

    def __init__(self) -> None:
        # Not the original's: it opens a real epoll, and a pipe to wake it.
        self._poller = Poller()
        self._reads: set[int] = set()
        self._writes: set[int] = set()
        self._selectables: dict[int, Any] = {}
        self._continuousPolling = _ContinuousPolling(self)
        self.clock = Clock()
        self.running = True

    @property
    def poller(self) -> Poller:
        poller: Poller = self._poller
        return poller

    def callLater(self, delay: float, f: Any, *args: Any, **kwargs: Any) -> Any:
        return self.clock.callLater(delay, f, *args, **kwargs)

    def seconds(self) -> float:
        return self.clock.seconds()

    def timeout(self) -> float | None:
        calls = self.clock.getDelayedCalls()
        return max(0.0, min(c.getTime() for c in calls) - self.seconds()) if calls else None

    def turn(self) -> None:
        """As the main loop's."""
        self.clock.advance(0)
        self.doIteration(self.timeout())

    def settle(self) -> None:
        """Turns until nothing happens any more."""
        for _ in range(3):
            self.turn()
        for _ in range(TURNS):
            if not self._busy():
                return
            self.turn()
        raise AssertionError("this goes on and on")

    def _busy(self) -> bool:
        return bool(self.poller.poll(0, 100) or self.timeout() == 0)


@implementer(IPushProducer)
class PushProducer:
    """Writes so much whenever it is resumed, a few times; notes what it is told."""

    streaming = True

    def __init__(self, line: Any, said: list[str], sizes: list[int]) -> None:
        self._line, self._said, self._sizes = line, said, list(sizes)

    def resumeProducing(self) -> None:
        self._said.append("resume")
        if self._sizes:
            self._line.write(b"p" * self._sizes.pop(0))
        else:
            self._line.unregisterProducer()

    def pauseProducing(self) -> None:
        self._said.append("pause")

    def stopProducing(self) -> None:
        self._said.append("stop")


@implementer(IPullProducer)
class PullProducer(PushProducer):
    """The same, asked each time that all is sent."""

    streaming = False


class Peer(Protocol):
    """Notes what it is told, and does what it is told to do at that moment."""

    def __init__(self, said: list[str]) -> None:
        self._said = said
        self.on_data: Any = lambda data: None
        self.on_lost: Any = lambda: None

    def dataReceived(self, data: bytes) -> None:
        self._said.append(f"data {data!r}")
        self.on_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._said.append(f"lost {reason.type.__name__}")
        self.on_lost()


class Bench:
    """A reactor and one line of a class, with all that was said of it in order."""

    def __init__(self, reactor: Reactor, transport: type[Server], number: int = 10) -> None:
        self.reactor = reactor
        self.socket = Socket(number)
        reactor.poller.sockets[number] = self.socket
        self.said = self.socket.said
        self.peer = Peer(self.said)
        self.line: Any = transport(
            self.socket,  # type: ignore[arg-type]  # as far as it is used
            self.peer,
            ("192.0.2.2", 5000),
            None,  # type: ignore[arg-type]  # as for an adopted socket
            number,
            reactor,
        )
        self.line.repstr = f"<line {number}>"
        self.peer.makeConnection(self.line)
