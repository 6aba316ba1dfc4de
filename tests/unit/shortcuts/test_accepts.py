"""Connections that are taken ahead, on a port that hands out one end of socket pairs."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.shortcuts import accepts, silence
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


class Readers:
    """What of a reactor is used: it looks at whoever waits for people to speak."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.all.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.all.remove(reader)


class Port:
    """What of Twisted's port is used."""

    def __init__(self, made: list[socket.socket]) -> None:
        self.reactor = Readers()
        self.ended: list[object] = []
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

    def connectionLost(self, reason: object) -> None:
        self.ended.append(reason)


class Classes:
    """Remembers who was put where."""

    def __init__(self) -> None:
        self.of: dict[int, int] = {}

    def place(self, fd: int, place: int) -> None:
        self.of[fd] = place


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

    def turn(self) -> None:
        """One turn of the reactor: first its timers, then who speaks."""
        self.clock.one()
        for reader in self.port.reactor.all:
            reader.doRead()

    def test_a_call_overtakes_agents(self) -> None:
        """Who does not begin as agents do is served at once, however many agents came before."""
        self.slow(accepts.SERVE_S)
        self.come(*[AGENT] * 100, CALL)
        self.port.doRead()
        self.assertEqual(self.said(), [CALL])
        for agents in (1, 2):
            self.turn()
            self.assertEqual(self.said(), [CALL, *[AGENT] * agents])

    def test_agents_have_their_turns(self) -> None:
        """Some agents are served in each turn, in the order in which they came, until all are."""
        self.slow(accepts.SERVE_S / 2)
        peers = self.come(*[AGENT] * 5)
        self.port.doRead()
        for served in (0, 2, 4, 5):
            self.assertEqual(len(self.made), served)
            self.turn()
        self.assertEqual([made.fileno() for made in self.made], [*self.classes.of])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(peers), 5)

    def test_classes(self) -> None:
        """Agents are looked at behind all others from the start."""
        self.come(CALL, AGENT)
        self.port.doRead()
        self.turn()
        call, agent = self.made
        self.assertEqual(self.classes.of, {agent.fileno(): STRANGERS})
        self.assertNotEqual(call, agent)

    def test_alone(self) -> None:
        """Who says nothing yet and comes with few others is served at once."""
        self.come(*[b""] * ALONE)
        self.port.doRead()
        self.assertEqual(len(self.made), ALONE)

    def test_in_a_crowd(self) -> None:
        """Who says nothing yet and comes with many waits until he speaks, and is what he says."""
        call, agent, silent = self.come(*[b""] * (ALONE + 3))[ALONE:]
        self.port.doRead()
        self.assertEqual((len(self.made), self.accepts.waiting), (ALONE, 3))
        self.turn()
        self.assertEqual(self.accepts.waiting, 3)
        call.send(CALL)
        agent.send(AGENT)
        self.turn()
        self.assertEqual((self.said(), self.accepts.waiting), ([CALL], 2))
        self.turn()
        self.assertEqual((self.said(), self.accepts.waiting), ([CALL, AGENT], 1))
        self.assertEqual(self.classes.of, {self.made[-1].fileno(): STRANGERS})
        self.assertFalse(cut(silent))

    def test_a_crowd_speaks(self) -> None:
        """All who speak are looked at in one turn, as long as there is time."""
        crowd = self.come(*[b""] * (ALONE + 3 * silence.AT_A_TIME))[ALONE:]
        self.port.doRead()
        for peer in crowd:
            peer.send(CALL)
        self.patch(silence, "SORT_S", 0.0)
        self.turn()
        self.assertEqual(self.accepts.waiting, 2 * silence.AT_A_TIME)
        self.patch(silence, "SORT_S", 1.0)
        self.turn()
        self.assertEqual(self.accepts.waiting, 0)

    def test_behind_agents(self) -> None:
        """Who says nothing yet and comes while others wait is one of a crowd, too."""
        self.come(AGENT, b"")
        self.port.doRead()
        self.assertEqual((self.made, self.accepts.waiting), ([], 2))

    def test_who_leaves_a_crowd(self) -> None:
        """Who goes without a word is let in, so that all the rest of it is as ever."""
        peer = self.come(*[b""] * (ALONE + 1))[-1]
        self.port.doRead()
        peer.close()
        self.turn()
        self.assertEqual((len(self.made), self.accepts.waiting), (ALONE + 1, 0))

    def test_silence_for_long(self) -> None:
        """Who says nothing is let in after a second, some in a turn, and told apart by the hub."""
        self.come(*[b""] * (ALONE + silence.AT_A_TIME + 1))
        self.port.doRead()
        self.clock.advance(silence.WAIT_S - 0.5 * ONE_S)
        self.assertEqual(len(self.made), ALONE)
        for more in (silence.AT_A_TIME, 1):
            before = len(self.made)
            self.turn()
            self.assertEqual(len(self.made) - before, more)
        self.assertEqual((self.accepts.waiting, self.clock.getDelayedCalls()), (0, []))

    def test_one_is_silent_for_longer(self) -> None:
        """Each has its own second."""
        self.come(*[b""] * (ALONE + 1))
        self.port.doRead()
        self.clock.advance(silence.WAIT_S / 2)
        self.come(AGENT, b"")
        self.port.doRead()
        self.clock.advance(silence.WAIT_S / 2)
        self.assertEqual(self.accepts.waiting, 1)
        self.clock.advance(silence.WAIT_S / 2)
        self.assertEqual(self.accepts.waiting, 0)

    def test_the_kernel_first(self) -> None:
        """Nobody is served while there may be a call behind those who were taken."""
        self.patch(accepts, "TAKE_S", 0.0)
        self.come(AGENT, AGENT)
        for waiting in (1, 2):
            self.port.doRead()
            self.clock.one()
            self.assertEqual((self.made, self.accepts.waiting), ([], waiting))
        # The kernel has no more, so the port is not read from in the next turn.
        self.clock.one()
        self.assertEqual(len(self.made), 2)

    def test_bounded(self) -> None:
        """No more wait here than there is room for; the others stay with the kernel."""
        self.room = 0
        self.slow(accepts.SERVE_S)
        self.come(*[AGENT] * (LEAST + 10))
        self.port.doRead()
        self.port.doRead()
        self.assertEqual(len(self.port.socket.waiting), 10)
        self.clock.one()
        self.port.doRead()
        self.assertEqual(len(self.port.socket.waiting), 9)

    def test_nobody_waits_for_the_silent(self) -> None:
        """Where no more may wait, those who were silent for longest are let in."""
        self.room = 0
        self.come(*[b""] * (ALONE + LEAST), CALL, AGENT, b"")
        self.port.doRead()
        # One more each time that the kernel is asked, and the last time it has nobody.
        self.assertEqual(len(self.made), ALONE + 1 + 3)
        self.assertEqual((self.said(), self.accepts.waiting), ([CALL], LEAST - 1))

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
        peer, _ = self.come(CALL, CALL)
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

    def test_an_address_that_fails(self) -> None:
        """What cannot be told of a peer's address costs that peer its line, not the port."""

        def accept() -> tuple[socket.socket, tuple[str, ...]]:
            client, _ = usual()
            return client, ("no address",) * 4

        usual = self.port.socket.accept
        self.patch(self.port.socket, "accept", accept)
        (peer,) = self.come(CALL)
        self.port.doRead()
        self.assertTrue(cut(peer))
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_a_port_that_fails(self) -> None:
        """Whatever is raised while connections are taken is logged: the port stays."""
        self.patch(self.port.socket, "accept", lambda: 1 // 0)
        self.port.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_port_is_closed(self) -> None:
        """Who waits while the port is closed is cut, and nothing more is planned."""
        agent, silent = self.come(AGENT, b"")
        self.port.doRead()
        self.port.connectionLost("closed")
        self.clock.one()
        self.assertEqual((cut(agent), cut(silent)), (True, True))
        self.assertEqual((self.accepts.waiting, self.clock.getDelayedCalls()), (0, []))
        self.assertEqual((self.port.ended, self.port.reactor.all), (["closed"], []))
