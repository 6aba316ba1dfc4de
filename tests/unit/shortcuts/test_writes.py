"""Quick lines do what Twisted's do, with fewer calls to the kernel.

Every promise of :class:`Promises` is checked on Twisted's own connections and on ours, over
the same reactor and the same sockets in memory, and random stories must be told alike.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.trial.unittest import SynchronousTestCase

from agentcom.shortcuts.writes import FLUSH_S, Lines, quick_writes
from tests.unit.shortcuts.sockets import Bench, PullProducer, PushProducer, Reactor

BUFFER = 65_536
"""Bytes that may wait before a producer is paused."""


class Promises:
    """What a connection does, whoever made it."""

    def transport(self, reactor: Reactor) -> type[Server]:
        raise NotImplementedError

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.bench = Bench(self.reactor, self.transport(self.reactor))
        self.line, self.socket, self.said = self.bench.line, self.bench.socket, self.bench.said

    def test_order(self: Any) -> None:
        """What is written leaves in order, and nothing of it within the write."""
        self.line.write(b"one ")
        self.line.writeSequence([b"two ", b"three "])
        self.line.write(b"four")
        self.assertEqual(self.socket.sent, b"")
        self.reactor.turn()
        self.assertEqual(self.socket.sent, b"one two three four")
        self.assertEqual(self.socket.sends, [18])

    def test_no_room(self: Any) -> None:
        """What the kernel does not take waits for room, and what comes after it waits behind."""
        self.socket.room = 3
        self.line.write(b"abcdef")
        self.reactor.settle()
        self.line.write(b"ghi")
        self.reactor.settle()
        self.assertEqual(self.socket.sent, b"abc")
        self.socket.room = 4
        self.reactor.settle()
        self.assertEqual(self.socket.sent, b"abcdefg")
        self.socket.room = 100
        self.reactor.settle()
        self.assertEqual(self.socket.sent, b"abcdefghi")

    def test_nothing_but_bytes(self: Any) -> None:
        """Text is refused in the call, and nothing of it is sent."""
        self.assertRaises(TypeError, self.line.write, "text")
        self.assertRaises(TypeError, self.line.writeSequence, [b"a", "b"])
        self.reactor.settle()
        self.assertEqual(self.socket.sent, b"")

    def test_a_push_producer(self: Any) -> None:
        """It is paused in the write that is too much, and resumed once all is sent."""
        self.socket.room = 0
        self.line.registerProducer(PushProducer(self.line, self.said, [5]), True)
        self.line.write(b"x" * BUFFER)
        self.assertEqual(self.said, [])
        self.line.write(b"y")
        self.assertEqual(self.said, ["pause"])
        self.socket.room = BUFFER
        self.reactor.settle()
        self.assertEqual(self.said, ["pause"])
        self.socket.room = 100
        self.reactor.settle()
        self.assertEqual(self.said, ["pause", "resume"])
        self.assertEqual(self.socket.sent[BUFFER:], b"yppppp")

    def test_a_pull_producer(self: Any) -> None:
        """It is asked again each time that all is sent, and a goodbye waits for its end."""
        self.line.registerProducer(PullProducer(self.line, self.said, [7, 200_000, 9]), False)
        self.line.loseConnection()
        self.reactor.settle()
        self.assertEqual(len(self.socket.sent), 200_016)
        self.assertEqual(self.said, ["resume"] * 4 + ["shutdown 2", "close", "lost ConnectionDone"])

    def test_a_goodbye(self: Any) -> None:
        """A line ends in a later turn, when all is sent; what is written then is sent as well."""
        self.socket.room = 2
        self.line.write(b"abc")
        self.line.loseConnection()
        self.line.write(b"de")
        self.assertEqual(self.said, [])
        self.reactor.settle()
        self.assertEqual(self.said, [])
        self.socket.room = 100
        self.reactor.settle()
        self.assertEqual(self.socket.sent, b"abcde")
        self.assertEqual(self.said, ["shutdown 2", "close", "lost ConnectionDone"])

    def test_a_goodbye_without_a_word(self: Any) -> None:
        """A line with nothing to send ends too, and hears nothing meanwhile."""
        self.line.loseConnection()
        self.socket.inbox = b"late"
        self.assertEqual(self.said, [])
        self.reactor.settle()
        self.assertEqual(self.said, ["shutdown 2", "close", "lost ConnectionDone"])

    def test_half_a_goodbye(self: Any) -> None:
        """All is sent, then only this direction ends; what comes is still heard."""
        self.socket.room = 1
        self.line.write(b"ab")
        self.line.loseWriteConnection()
        self.reactor.settle()
        self.assertEqual(self.said, [])
        self.socket.room = 100
        self.reactor.settle()
        self.socket.inbox = b"more"
        self.reactor.settle()
        self.assertEqual(self.said, ["shutdown 1", "data b'more'"])

    def test_an_abort(self: Any) -> None:
        """Nothing more is sent, and the line ends in a later turn."""
        self.line.write(b"abc")
        self.line.abortConnection()
        self.assertEqual(self.said, [])
        self.reactor.settle()
        self.assertEqual(self.socket.sent, b"")
        self.assertEqual(self.said, ["reset", "close", f"lost {ConnectionAborted.__name__}"])

    def test_a_peer_that_is_gone(self: Any) -> None:
        """A fault in sending ends the line, in a later turn, once."""
        self.line.write(b"abc")
        self.line.pauseProducing()
        self.socket.broken = True
        self.assertEqual(self.said, [])
        self.reactor.settle()
        self.assertEqual(self.said, ["shutdown 2", "close", "lost ConnectionLost"])
        self.line.write(b"d")
        self.line.loseConnection()
        self.line.abortConnection()
        self.reactor.settle()
        self.assertEqual(len(self.said), 3)

    def test_a_fault_in_reading(self: Any) -> None:
        """What a protocol raises is logged and ends its line, and others are served."""
        other = Bench(self.reactor, type(self.line), 11)
        self.bench.peer.on_data = lambda data: 1 / 0
        self.socket.inbox = other.socket.inbox = b"x"
        self.reactor.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.said[-1], "lost ZeroDivisionError")
        self.assertEqual(other.said, ["data b'x'"])

    def test_a_fault_in_a_producer(self: Any) -> None:
        """What a producer raises is logged and ends its line."""
        self.line.registerProducer(PushProducer(None, self.said, [1]), True)
        self.line.write(b"x" * (BUFFER + 1))
        self.reactor.settle()
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertEqual(self.said[-1], "lost AttributeError")

    def test_a_fault_in_the_end(self: Any) -> None:
        """What a protocol raises when its line is down is logged, and others are served."""
        other = Bench(self.reactor, type(self.line), 11)
        for bench in (self.bench, other):
            bench.line.write(b"bye")
            bench.line.loseConnection()
        self.bench.peer.on_lost = lambda: 1 / 0
        self.reactor.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(other.said[-1], "lost ConnectionDone")

    def test_the_end_of_the_peer(self: Any) -> None:
        """What came before is heard, then the line is down."""
        self.socket.inbox, self.socket.at_end = b"bye", True
        self.reactor.settle()
        self.assertEqual(self.said, ["data b'bye'", "shutdown 2", "close", "lost ConnectionDone"])

    def test_answers(self: Any) -> None:
        """What is written while something is heard leaves as well."""
        self.bench.peer.on_data = self.line.write
        self.socket.inbox = b"echo"
        self.reactor.settle()
        self.assertEqual(self.socket.sent, b"echo")

    def test_addresses(self: Any) -> None:
        """A line tells both ends."""
        for _ in range(2):
            self.assertEqual(
                (self.line.getHost().host, self.line.getHost().port), ("192.0.2.1", 4000)
            )
            self.assertEqual(
                (self.line.getPeer().host, self.line.getPeer().port), ("192.0.2.2", 5000)
            )


class TwistedTests(Promises, SynchronousTestCase):
    """The promises are Twisted's."""

    def transport(self, reactor: Reactor) -> type[Server]:
        return Server


class QuickTests(Promises, SynchronousTestCase):
    """Quick lines keep them."""

    def transport(self, reactor: Reactor) -> type[Server]:
        self.lines = Lines(reactor)
        return self.lines.transport

    def test_calls(self) -> None:
        """An answer costs one call to the kernel beside the one that reads, in the same turn."""
        self.reactor.poller.changes = 0
        self.bench.peer.on_data = lambda data: [self.line.write(b"a") for _ in range(3)]
        self.socket.inbox = b"question"
        self.reactor.turn()
        self.assertEqual((self.socket.sends, self.reactor.poller.changes), ([3], 0))

    def test_timers(self) -> None:
        """What a timer writes leaves before the reactor waits."""
        self.reactor.clock.callLater(1, self.line.write, b"late")
        self.reactor.clock.advance(1)
        self.reactor.turn()
        self.assertEqual(self.socket.sends, [4])
        self.assertEqual(self.reactor.poller.timeouts, [-1])

    def test_a_timer_that_is_set_meanwhile(self) -> None:
        """The reactor does not sleep over what a line's end has put off."""
        self.bench.peer.on_lost = lambda: self.reactor.callLater(0.5, self.said.append, "on")
        self.line.loseConnection()
        self.reactor.turn()
        self.assertEqual(self.reactor.poller.timeouts, [0.5])

    def many(self) -> list[Bench]:
        """Lines that have something to send, each of which takes a third of the time there is."""

        def slowly(send: Any, data: Any) -> int:
            self.reactor.clock.rightNow += FLUSH_S / 2.5
            sent: int = send(data)
            return sent

        benches = [Bench(self.reactor, self.lines.transport, 100 + n) for n in range(9)]
        for bench in benches:
            self.patch(bench.socket, "send", partial(slowly, bench.socket.send))
            bench.line.write(b"x")
        return benches

    def test_many(self) -> None:
        """Lines are sent to for so long; the rest is next, in order, without a wait."""
        benches = self.many()
        self.reactor.turn()
        sent = [bench.socket.sends for bench in benches]
        # At the beginning of a turn, and at its end.
        self.assertEqual(sent, [[1]] * 6 + [[]] * 3)
        self.assertEqual(self.reactor.poller.timeouts, [0])
        benches[0].line.write(b"y")
        benches[8].socket.room = 0
        self.reactor.turn()
        self.assertEqual([bench.socket.sends for bench in benches], [[1, 1]] + [[1]] * 7 + [[]])

    def test_end_while_there_are_many(self) -> None:
        """Where it all ends in the middle of that nobody is forgotten."""
        benches = self.many()
        benches[3].line.loseConnection()
        benches[3].peer.on_lost = self.lines.end
        self.reactor.settle()
        self.assertEqual([bench.socket.sends for bench in benches], [[1]] * len(benches))

    def test_room_again(self) -> None:
        """A line that had to wait is quick again afterwards."""
        self.socket.room = 0
        self.line.write(b"a")
        self.reactor.turn()
        self.socket.room = 100
        self.reactor.settle()
        self.reactor.poller.changes = 0
        self.line.write(b"b")
        self.reactor.turn()
        self.assertEqual((self.socket.sent, self.reactor.poller.changes), (b"ab", 0))

    def test_addresses_are_asked_for_once(self) -> None:
        """The kernel is asked for the own address once, and not at all before."""
        self.assertEqual(self.socket.asked, 0)
        for _ in range(3):
            self.line.getHost()
            self.line.getPeer()
        self.assertEqual(self.socket.asked, 1)

    def test_the_end_of_it(self) -> None:
        """Switched off, what waits leaves, and reactor and lines are Twisted's."""
        self.line.write(b"a")
        self.lines.end()
        self.assertNotIn("doIteration", vars(self.reactor))
        self.reactor.turn()
        self.line.write(b"b")
        self.line.loseConnection()
        self.reactor.settle()
        self.assertEqual(self.socket.sent, b"ab")
        self.assertEqual(self.said[-1], "lost ConnectionDone")

    def test_two_on_one_reactor(self) -> None:
        """Two hubs of one process do not know of each other, whoever ends first."""
        for first, second in ((0, 1), (1, 0)):
            reactor = Reactor()
            both = [Lines(reactor), Lines(reactor)]
            benches = [Bench(reactor, lines.transport, n) for n, lines in enumerate(both)]
            for step in (None, first, second):
                if step is not None:
                    both[step].end()
                for bench in benches:
                    bench.line.write(b"x")
                reactor.settle()
            self.assertEqual([bench.socket.sent for bench in benches], [b"xxx", b"xxx"])

    def test_which_ports(self) -> None:
        """Ports with Twisted's own TCP connections are changed, others are not, nor is any of
        another reactor."""

        class Port:
            def __init__(self, transport: object) -> None:
                self.transport = transport

        usual, other, none = Port(Server), Port(object), object()
        self.assertIsNone(quick_writes(Clock(), [usual]))
        self.assertIs(usual.transport, Server)
        lines = quick_writes(self.reactor, [usual, other, none])
        assert lines is not None
        self.assertIs(usual.transport, lines.transport)
        self.assertIs(other.transport, object)


STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([0, 1, 50, BUFFER, BUFFER + 1, 300_000])),
    st.tuples(st.just("many"), st.sampled_from([1, 5, 40_000])),
    st.tuples(st.just("room"), st.sampled_from([1, 60, 70_000, 1 << 30])),
    # In one read: Twisted may read again before it sends what was said to the first.
    st.tuples(st.just("come"), st.sampled_from([1, 30_000])),
    st.tuples(st.just("push"), st.sampled_from([1, 70_000])),
    st.tuples(st.just("pull"), st.sampled_from([1, 70_000])),
    st.tuples(
        st.sampled_from(
            ["echo", "part", "lose", "half", "abort", "eof", "break", "hold", "read", "settle"]
        ),
        st.just(0),
    ),
)
LATER = ("room", "come", "eof", "break", "settle")
"""What the peer or the kernel does: not in the midst of what is said in one turn."""


def tell(transport: Any, story: list[tuple[str, int]]) -> tuple[int, int, list[str], bool]:
    """Everything that one story comes to: the bytes, by number and checksum, what was said,
    whether it is connected."""
    reactor = Reactor()
    bench = Bench(reactor, transport(reactor))
    line, socket = bench.line, bench.socket
    written = 0
    for what, size in story:
        if what in LATER:
            reactor.settle()
        if what == "write":
            line.write(bytes([written % 256]) * size)
            written += 1
        elif what == "many":
            line.writeSequence([b"m" * size, b"", b"n" * size])
        elif what == "room":
            socket.room = size
        elif what == "come":
            socket.inbox += b"c" * size
        elif what in ("push", "pull") and line.producer is None:
            kind = PushProducer if what == "push" else PullProducer
            line.registerProducer(kind(line, bench.said, [size, 1]), kind.streaming)
        elif what == "part":
            line.unregisterProducer()
        elif what == "echo":
            bench.peer.on_data = line.write
        elif what == "eof":
            socket.at_end = True
        elif what == "break":
            socket.broken = True
        elif what in ENDS and line.connected:
            # Where there is no room, Twisted waits for some even with nothing left to send.
            socket.room = socket.room or 1
            getattr(line, ENDS[what])()
        if what in LATER:
            reactor.settle()
    reactor.settle()
    said = [one if len(one) < 40 else one[:10] + str(len(one)) for one in bench.said]
    # In one turn, who comes first of what is read and what is sent is nobody's promise.
    said.sort(key=lambda one: not one.startswith("data"))
    return len(socket.sent), crc32(socket.sent), said, bool(line.connected)


ENDS = {
    "lose": "loseConnection",
    "half": "loseWriteConnection",
    "abort": "abortConnection",
    "hold": "pauseProducing",
    "read": "resumeProducing",
}


class StoryTests(SynchronousTestCase):
    """Random stories, told by both."""

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.lists(STEPS, max_size=14))
    def test_alike(self, story: list[tuple[str, int]]) -> None:
        """Bytes, ends, faults and what producers hear are the same, in the same order."""
        twisted = tell(lambda reactor: Server, story)
        quick = tell(lambda reactor: Lines(reactor).transport, story)
        self.assertEqual(twisted, quick)
