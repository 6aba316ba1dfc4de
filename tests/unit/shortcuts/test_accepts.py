"""Connections that are taken ahead, on a port that hands out one end of socket pairs."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.shortcuts import accepts
from agentcom.shortcuts.accepts import ALONE, LEAST, Accepts
from agentcom.shortcuts.polls import STRANGERS

AGENT = b"GET /ws HTTP/1.1\r\n"
CALL = b"GET /health HTTP/1.1\r\n"


ONE_S = 0.001


class Turns(Clock):
    """What is to be called at once is called in the next turn, as by a reactor."""

    def callLater(self, delay: float, callable: Any, *args: Any, **kw: Any) -> IDelayedCall:
        return super().callLater(max(delay, ONE_S), callable, *args, **kw)

    def one(self) -> None:
        """Let one turn pass."""
        self.advance(ONE_S)


class Kernel:
    """The listening socket: connections in the order in which they came."""

    def __init__(self) -> None:
        self.waiting: deque[socket.socket | OSError] = deque()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if not self.waiting:
            raise BlockingIOError
        found = self.waiting.popleft()
        if isinstance(found, OSError):
            raise found
        return found, ("192.0.2.1", 4711)


class Made:
    """A protocol, and the port's factory that makes it."""

    def __init__(self, made: list[socket.socket]) -> None:
        self.made = made

    def buildProtocol(self, address: object) -> Made | None:
        return self

    def makeConnection(self, transport: socket.socket) -> None:
        self.made.append(transport)


class Port:
    """What of Twisted's port is used."""

    reactor = None

    def __init__(self, made: list[socket.socket]) -> None:
        self.socket = Kernel()
        self.factory = Made(made)
        self.connected, self.disconnecting = True, False
        self.sessionno = 0
        self.left_to_twisted = 0

    def _buildAddr(self, address: tuple[str, int]) -> str:
        return address[0]

    def transport(self, client: socket.socket, *more: object) -> socket.socket:
        return client

    def doRead(self) -> None:
        self.left_to_twisted += 1


class Classes:
    """Remembers who was put where."""

    def __init__(self) -> None:
        self.of: dict[int, int | None] = {}

    def place(self, fd: int, place: int) -> None:
        self.of[fd] = place

    def first(self, fd: int) -> None:
        self.of[fd] = None


def cut(peer: socket.socket) -> bool:
    """Whether its other end is closed, in whatever way it is told so."""
    try:
        return peer.recv(1, socket.MSG_DONTWAIT) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


class AcceptsTests(SynchronousTestCase):
    """One port; time passes only where a test says so."""

    def setUp(self) -> None:
        self.clock = Turns()
        self.made: list[socket.socket] = []
        self.port: Any = Port(self.made)
        self.classes: Any = Classes()
        self.room = 10_000
        self.accepts = Accepts(self.port, self.classes, self.clock, lambda: self.room)

    def come(self, *said: bytes) -> list[socket.socket]:
        """Connections come, each with its first bytes; the peers' ends."""
        peers = []
        for data in said:
            ours, theirs = socket.socketpair()
            self.addCleanup(ours.close)
            self.addCleanup(theirs.close)
            theirs.send(data)
            self.port.socket.waiting.append(ours)
            peers.append(theirs)
        return peers

    def said(self) -> list[bytes]:
        """What those have said who were served, in order; it is still theirs to read."""
        found = []
        for made in self.made:
            with contextlib.suppress(BlockingIOError):
                found.append(made.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        return found

    def slow(self, seconds: float) -> None:
        """From now on it takes so long to serve a connection."""

        def build(address: object) -> Made:
            self.clock.rightNow += seconds
            return factory

        factory = self.port.factory
        self.patch(factory, "buildProtocol", build)

    def test_a_call_overtakes_agents(self) -> None:
        """Who does not begin as agents do is served at once, however many agents came before."""
        self.slow(accepts.SERVE_S)
        self.come(*[AGENT] * 100, CALL)
        self.port.doRead()
        self.assertEqual(self.said(), [CALL, AGENT])
        self.clock.one()
        self.assertEqual(self.said(), [CALL, AGENT, AGENT])

    def test_agents_have_their_turns(self) -> None:
        """Some agents are served in each turn, in the order in which they came, until all are."""
        self.slow(accepts.SERVE_S / 2)
        peers = self.come(*[AGENT] * 5)
        self.port.doRead()
        for served in (2, 4, 5):
            self.assertEqual(len(self.made), served)
            self.clock.one()
        self.assertEqual([made.fileno() for made in self.made], [*self.classes.of])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(peers), 5)

    def test_classes(self) -> None:
        """Agents are looked at behind all others from the start."""
        self.come(AGENT, CALL)
        self.port.doRead()
        self.assertEqual([*self.classes.of.values()], [None, STRANGERS])

    def test_alone(self) -> None:
        """Who says nothing yet and comes with few others is served at once."""
        self.come(*[b""] * ALONE)
        self.port.doRead()
        self.assertEqual(len(self.made), ALONE)

    def test_in_a_crowd(self) -> None:
        """Who says nothing yet and comes with many waits behind agents, until it is a call."""
        self.slow(accepts.SERVE_S)
        self.come(*[AGENT] * 3)
        call, silent = self.come(b"", b"")
        self.port.doRead()
        self.assertEqual((self.said(), self.accepts.waiting), ([AGENT], 4))
        call.send(CALL)
        self.clock.one()
        self.assertEqual(self.said(), [AGENT, CALL, AGENT])
        self.clock.one()
        self.clock.one()
        self.assertEqual((len(self.made), self.accepts.waiting), (5, 0))
        self.assertIsNone(self.classes.of[self.made[-1].fileno()])
        self.assertTrue(silent)

    def test_many_that_say_nothing(self) -> None:
        """They are served some in a turn as well, and sorted as soon as they speak."""
        self.patch(accepts, "TAKE_S", 1.0)
        self.slow(accepts.SERVE_S)
        peers = self.come(*[b""] * (ALONE + 4))
        self.port.doRead()
        self.assertEqual((len(self.made), self.accepts.waiting), (ALONE + 1, 3))
        peers[-1].send(AGENT)
        self.clock.one()
        self.assertEqual((len(self.made), self.accepts.waiting), (ALONE + 2, 2))
        self.assertEqual([*self.classes.of.values()][-1], STRANGERS)

    def test_the_kernel_first(self) -> None:
        """Nobody is served while there may be a call behind those who were taken."""
        self.patch(accepts, "TAKE_S", 0.0)
        self.come(AGENT, AGENT)
        self.port.doRead()
        self.assertEqual((self.made, self.accepts.waiting), ([], 1))
        self.port.doRead()
        self.assertEqual((self.made, self.accepts.waiting), ([], 2))
        # The kernel has no more, so the port is not read from in the next turn.
        self.clock.one()
        self.clock.one()
        self.assertEqual(len(self.made), 2)

    def test_bounded(self) -> None:
        """No more wait here than there is room for; the others stay with the kernel."""
        self.room = 0
        self.slow(accepts.SERVE_S)
        self.come(*[AGENT] * (LEAST + 10))
        self.port.doRead()
        self.assertEqual(len(self.port.socket.waiting), 10)
        self.port.doRead()
        self.assertEqual(len(self.port.socket.waiting), 9)

    def test_errors_are_left_to_twisted(self) -> None:
        """An accept that fails, for want of descriptors for one, is Twisted's to judge."""
        self.port.socket.waiting.append(OSError(24, "Too many open files"))
        self.port.doRead()
        self.assertEqual(self.port.left_to_twisted, 1)

    def test_one_that_fails(self) -> None:
        """A connection that cannot be served is closed and logged; the next is served."""

        def build(address: object) -> Made:
            self.patch(self.port.factory, "buildProtocol", built)
            raise ValueError

        built = self.port.factory.buildProtocol
        self.patch(self.port.factory, "buildProtocol", build)
        peer, _ = self.come(AGENT, AGENT)
        self.port.doRead()
        self.assertEqual(len(self.made), 1)
        self.assertTrue(cut(peer))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_that_fails_later(self) -> None:
        """What the reactor looks at already is ended by its transport, which tells the reactor."""

        class Line:
            aborted = 0

            def abortConnection(self) -> None:
                self.aborted += 1

        line = Line()
        self.patch(self.port, "transport", lambda *taken: line)
        self.patch(self.port.factory, "makeConnection", lambda transport: 1 // 0)
        (peer,) = self.come(CALL)
        self.port.doRead()
        self.assertEqual((line.aborted, cut(peer)), (1, False))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_refused_by_the_factory(self) -> None:
        """A connection for which there is no protocol is closed."""
        self.patch(self.port.factory, "buildProtocol", lambda address: None)
        (peer,) = self.come(CALL)
        self.port.doRead()
        self.assertTrue(cut(peer))

    def test_port_is_closed(self) -> None:
        """Who waits while the port is closed is cut, and nothing more is planned."""
        self.slow(accepts.SERVE_S)
        _, peer = self.come(AGENT, AGENT)
        self.port.doRead()
        self.port.disconnecting = True
        self.clock.one()
        self.assertTrue(cut(peer))
        self.assertEqual((self.accepts.waiting, self.clock.getDelayedCalls()), (0, []))
