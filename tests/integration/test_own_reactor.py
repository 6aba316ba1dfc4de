"""The shortcuts of sockets on Twisted's own reactor with epoll, and a port of its own making.

They reach into both, so a new Twisted may put something else where they look: here that would
be seen.  The reactor is this test's, and turns when the test says so.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from agentcom.hub.turnlength import TurnLength
from agentcom.shortcuts.accepts import Accepts
from agentcom.shortcuts.polls import AGENTS, FIRST, STRANGERS, observe, release
from agentcom.shortcuts.writes import Line, quick_writes

TURNS = 500
AGENT = b"GET /ws HTTP/1.1\r\n"


class Echo(Protocol):
    """Says what it hears."""

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)


class OwnReactorTests(SynchronousTestCase):
    """One port, its connections and all three shortcuts."""

    def setUp(self) -> None:
        try:
            from twisted.internet.epollreactor import EPollReactor
        except ImportError:
            raise SkipTest("needs epoll") from None
        self.reactor: Any = EPollReactor()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self.addCleanup(self.end)
        self.made: list[Echo] = []
        factory = Factory.forProtocol(self.make)
        factory.noisy = False
        self.port = self.reactor.listenTCP(0, factory, backlog=100, interface="127.0.0.1")
        self.callers: list[socket.socket] = []

    def make(self) -> Echo:
        self.made.append(Echo())
        return self.made[-1]

    def end(self) -> None:
        for caller in self.callers:
            caller.close()
        self.turn()
        for one in self.reactor.removeAll():
            with contextlib.suppress(Exception):
                one.connectionLost(Failure(connectionDone.value))
        self.reactor._poller.close()

    def turn(self) -> None:
        self.reactor.runUntilCurrent()
        self.reactor.doIteration(0.01)

    def call(self) -> socket.socket:
        caller = socket.create_connection(("127.0.0.1", self.port.getHost().port))
        self.callers.append(caller)
        caller.setblocking(False)
        return caller

    def say(self, caller: socket.socket, data: bytes) -> None:
        """Say something, and hear it."""
        caller.send(data)
        heard = b""
        for _ in range(TURNS):
            self.turn()
            with contextlib.suppress(BlockingIOError):
                heard += caller.recv(100)
            if heard == data:
                return
        self.fail(f"heard {heard!r}")

    def test_all_are_used(self) -> None:
        """Each takes its place, serves agents and callers, and gives it back."""
        usual = self.reactor._poller
        polls = observe(self.reactor, TurnLength(self.reactor.seconds))
        lines = quick_writes(self.reactor, [self.port])
        assert polls is not None
        assert lines is not None
        accepts = Accepts(self.port, polls, self.reactor, lambda: 100)
        self.assertIs(self.reactor._poller, polls)
        self.assertEqual(self.port.doRead, accepts.take)
        caller = self.call()
        self.say(caller, b"GET / HTTP/1.1\r\n")
        agent = self.call()
        self.say(agent, AGENT)
        self.say(caller, b"more")
        self.say(agent, b"more")
        for made in self.made:
            self.assertIsInstance(made.transport, Line)
        places = [polls._class.get(made.transport.fileno(), FIRST) for made in self.made]  # type: ignore[union-attr]
        self.assertEqual(places, [FIRST, STRANGERS])
        polls.place(self.made[1].transport.fileno(), AGENTS)  # type: ignore[union-attr]
        self.say(agent, b"and more")
        lines.end()
        release(self.reactor, polls)
        self.assertIs(self.reactor._poller, usual)
        self.say(agent, b"as before")
        self.say(caller, b"as before")

    def test_a_crowd(self) -> None:
        """Many who say nothing at first are all heard when they speak."""
        polls = observe(self.reactor, TurnLength(self.reactor.seconds))
        assert polls is not None
        accepts = Accepts(self.port, polls, self.reactor, lambda: 100)
        crowd = [self.call() for _ in range(60)]
        for _ in range(TURNS):
            self.turn()
            if len(self.made) + accepts.waiting == len(crowd):
                break
        self.assertGreater(accepts.waiting, 0)
        for number, one in enumerate(crowd):
            self.say(one, AGENT if number % 2 else b"GET / HTTP/1.1\r\n")
        self.assertEqual(accepts.waiting, 0)
        release(self.reactor, polls)
