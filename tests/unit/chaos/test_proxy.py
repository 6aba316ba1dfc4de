"""The proxy, on a Clock; each end of a line has a transport in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.chaos import proxy
from agentcom.chaos.mischief import disturb
from agentcom.chaos.plan import Step, What
from agentcom.chaos.proxy import Door, End, Line


class Wire(StringTransport):
    """A transport that knows half a close, and what was asked for last."""

    half_closed = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True


class ProxyTestCase(SynchronousTestCase):
    """One door, with a server behind it that may be down."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.up = True
        self.door = Door(self.clock, self.reach)
        self.far = Wire()

    def reach(self, protocol: Protocol) -> Deferred[Any]:
        if not self.up:
            return fail(ConnectionRefusedError())
        self.far = Wire()
        protocol.makeConnection(self.far)
        return succeed(protocol)

    def line(self) -> Line:
        """A line that is up; :attr:`near` and :attr:`far` are its transports."""
        self.near = Wire()
        end = self.door.buildProtocol(None)
        assert end is not None
        end.makeConnection(self.near)
        return self.door.lines[-1] if self.door.lines else end._line

    def gone(self, end: End) -> None:
        """The peer of an end has closed."""
        end.connectionLost(Failure(ConnectionDone()))


class LineTests(ProxyTestCase):
    """What passes when nothing is disturbed."""

    def test_both_ways(self) -> None:
        """Bytes pass both ways at once."""
        line = self.line()
        line.near.dataReceived(b"ask")
        line.far.dataReceived(b"answer")
        self.assertEqual((self.far.value(), self.near.value()), (b"ask", b"answer"))

    def test_not_before_the_server(self) -> None:
        """Nothing is read before there is a server to give it to."""
        waiting: list[Protocol] = []

        def reach(protocol: Protocol) -> Deferred[Any]:
            waiting.append(protocol)
            return Deferred()

        self.door = Door(self.clock, reach)
        self.line()
        self.assertEqual(self.near.producerState, "paused")
        waiting[0].makeConnection(self.far)
        self.assertEqual(self.near.producerState, "producing")

    def test_server_is_down(self) -> None:
        """A client is reset when there is no server."""
        self.up = False
        self.line()
        self.assertTrue(self.near.disconnected)

    def test_close_follows(self) -> None:
        """When one end closes the other is closed, and the line is forgotten."""
        for name in ("near", "far"):
            line = self.line()
            self.gone(getattr(line, name))
            other = self.far if name == "near" else self.near
            self.assertTrue(other.disconnecting, name)
            self.assertEqual(self.door.lines, [line])
            self.gone(line.far if name == "near" else line.near)
            self.assertEqual(self.door.lines, [])

    def test_client_leaves_early(self) -> None:
        """A server that is reached when the client has left is told at once."""
        waiting: list[Protocol] = []

        def reach(protocol: Protocol) -> Deferred[Any]:
            waiting.append(protocol)
            return Deferred()

        self.door = Door(self.clock, reach)
        line = self.line()
        self.gone(line.near)
        self.assertEqual(self.door.lines, [])
        waiting[0].makeConnection(self.far)
        self.assertTrue(self.far.disconnected)
        self.gone(line.far)

    def test_bounded(self) -> None:
        """Too many lines through one door are refused."""
        self.patch(proxy, "MAX_LINES", 2)
        self.line()
        self.line()
        self.assertIsNone(self.door.buildProtocol(None))


class DisturbedTests(ProxyTestCase):
    """What is done to lines."""

    def disturbed(self, what: What, for_s: float = 0.0) -> Line:
        line = self.line()
        disturb(line, Step(0.0, what, "a", for_s))
        return line

    def test_close(self) -> None:
        """Both ends are closed in good order."""
        self.disturbed(What.CLOSE)
        self.assertTrue(self.near.disconnecting and self.far.disconnecting)
        self.assertFalse(self.near.disconnected or self.far.disconnected)

    def test_reset(self) -> None:
        """Both ends are reset."""
        self.disturbed(What.RESET)
        self.assertTrue(self.near.disconnected and self.far.disconnected)

    def test_half_close(self) -> None:
        """One end hears that nothing more comes; the other way goes on."""
        line = self.disturbed(What.HALF_TO_AGENT)
        self.assertEqual((self.near.half_closed, self.far.half_closed), (True, False))
        line.near.dataReceived(b"more")
        self.assertEqual(self.far.value(), b"more")
        self.disturbed(What.HALF_TO_HUB)
        self.assertEqual((self.near.half_closed, self.far.half_closed), (False, True))

    def test_stall(self) -> None:
        """Bytes are held both ways, and come in their order later."""
        line = self.disturbed(What.STALL, 2.0)
        line.near.dataReceived(b"a")
        self.clock.advance(1.9)
        line.near.dataReceived(b"b")
        line.far.dataReceived(b"c")
        self.assertEqual((self.far.value(), self.near.value()), (b"", b""))
        self.clock.advance(0.2)
        self.assertEqual((self.far.value(), self.near.value()), (b"ab", b"c"))
        line.near.dataReceived(b"d")
        self.assertEqual(self.far.value(), b"abd")

    def test_stall_holds_the_end(self) -> None:
        """A close during a stall is held, too, and what was said before comes first."""
        line = self.disturbed(What.STALL, 2.0)
        line.near.dataReceived(b"last words")
        self.gone(line.near)
        self.assertFalse(self.far.disconnecting)
        self.clock.advance(2.1)
        self.assertEqual(self.far.value(), b"last words")
        self.assertTrue(self.far.disconnecting)
        silent = self.disturbed(What.STALL, 2.0)
        self.gone(silent.far)
        self.assertFalse(self.near.disconnecting)
        self.clock.advance(2.1)
        self.assertTrue(self.near.disconnecting)

    def test_slow(self) -> None:
        """Everything comes later for a while, in its order."""
        line = self.disturbed(What.SLOW, 1.0)
        line.near.dataReceived(b"a")
        self.clock.advance(0.2)
        self.assertEqual(self.far.value(), b"")
        self.clock.advance(0.2)
        self.assertEqual(self.far.value(), b"a")
        self.clock.advance(0.5)
        line.near.dataReceived(b"b")
        self.clock.advance(0.2)
        line.near.dataReceived(b"c")
        self.assertEqual(self.far.value(), b"a", "c has overtaken b")
        self.clock.advance(0.2)
        self.assertEqual(self.far.value(), b"abc")

    def test_mute(self) -> None:
        """Nothing passes any more, not even a close; in the end the line is reset."""
        line = self.disturbed(What.MUTE, 3.0)
        line.near.dataReceived(b"a")
        self.gone(line.far)
        self.clock.advance(2.9)
        self.assertFalse(self.near.disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(self.near.disconnected)
        self.assertEqual(self.far.value(), b"")

    def test_mute_leaves_no_timer(self) -> None:
        """When both ends of a silent line have gone nothing is left to be done."""
        line = self.disturbed(What.MUTE, 3.0)
        self.gone(line.near)
        self.gone(line.far)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.door.lines, [])

    def test_held_bytes_are_bounded(self) -> None:
        """A source is read no further while too much waits, and again when it has gone."""
        self.patch(proxy, "MAX_WAITING", 10)
        line = self.disturbed(What.STALL, 2.0)
        line.near.dataReceived(b"x" * 10)
        self.assertEqual(self.near.producerState, "producing")
        line.near.dataReceived(b"x")
        self.assertEqual(self.near.producerState, "paused")
        self.clock.advance(2.1)
        self.assertEqual(self.near.producerState, "producing")
        self.assertEqual(len(self.far.value()), 11)
