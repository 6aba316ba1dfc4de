"""Connections and the classes of their sockets, over random lives.

The reactor, its epoll and the sockets are real (of this machine's own family, so that what is
sent has arrived), the time is not.  Whatever comes, moves between classes, pauses, ends and uses
the numbers of others again: who says something is heard, and answered, some turns later.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.tcp import Server
from twisted.internet.unix import Port
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from agentcom.hub.turnlength import TurnLength
from agentcom.shortcuts.accepts import Accepts
from agentcom.shortcuts.polls import AGENTS, STRANGERS, Polls, observe, release
from agentcom.shortcuts.writes import Lines, quick_writes

AGENT, CALL = b"GET /ws HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\n"
IDENTIFY, WORD = b"I", b"w"
LOOK_S = 0.0002
"""Seconds that pass whenever somebody asks for the time: ten agents are let in in a turn, and
as many callers, half as many agents and some strangers are heard before their time is over."""

EXAMPLES = int(os.environ.get("AGENTCOM_MODEL_EXAMPLES", "150"))

LARGE = 1 << 20
"""Bytes that the kernel does not take at once."""

FEW = 6
"""Turns in which anybody is heard, and one more for so many who may be before him."""
AT_A_TIME = 4

MANY = 200
"""Turns in which what is large is all there."""


class Reactor(EPollReactor):
    """Twisted's, on a time of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self.seconds = self._seconds
        self.running = True

    def _seconds(self) -> float:
        self.now += LOOK_S
        return self.now

    def turn(self) -> None:
        self.runUntilCurrent()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self.doIteration(0)

    def end(self) -> None:
        """Leave no descriptors behind."""
        for one in self.removeAll():
            with contextlib.suppress(Exception):
                one.connectionLost(Failure(connectionDone.value))
        self._poller.close()


class Served(Protocol):
    """The hub's end of a connection: says back how much it has heard."""

    def __init__(self, ends: dict[int, Served], polls: Polls | None) -> None:
        self._ends = ends
        self._polls = polls
        self._begun = b""

    def dataReceived(self, data: bytes) -> None:
        line: Any = self.transport
        if not self._begun:
            self._begun = data
            # What it says first names the test's end.
            self._ends[int(data.rsplit(b"\n", 1)[-1])] = self
            if data.startswith(AGENT) and self._polls is not None:
                self._polls.place(line.fileno(), STRANGERS)
        elif IDENTIFY in data and self._polls is not None:
            self._polls.place(line.fileno(), AGENTS)
        line.write(WORD * len(data))


@implementer(IReadDescriptor)
class Bell:
    """A descriptor that is no connection, and counts how often it was rung."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.rung = self.heard = 0

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)
        self.rung += 1

    def fileno(self) -> int:
        return self.fd

    def logPrefix(self) -> str:
        return "bell"

    def doRead(self) -> None:
        self.heard += os.eventfd_read(self.fd)

    def connectionLost(self, reason: Failure) -> None:
        os.close(self.fd)


class Caller:
    """The test's end of a connection."""

    def __init__(self, number: int, line: socket.socket) -> None:
        self.number = number
        self.line = line
        self.begun = self.paused = self.much = False
        self.said = self.heard = 0

    @property
    def waits(self) -> bool:
        """Whether something is to come that nobody holds back."""
        return not self.paused and self.heard < self.said

    def say(self, data: bytes) -> None:
        self.said += self.line.send(data)

    def begin(self, how: bytes) -> None:
        self.begun = True
        self.say(how + b"%d" % self.number)

    def hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := self.line.recv(1 << 20):
                self.heard += len(data)


class Lives(RuleBasedStateMachine):
    """Everything that can happen to the sockets of a hub; see :meth:`_wait`."""

    quick = True

    @initialize()
    def begin(self) -> None:
        self.reactor: Any = Reactor()
        self.ends: dict[int, Served] = {}
        self.callers: list[Caller] = []
        self.bells: list[Bell] = []
        self.number = self.came = 0
        self.polls: Polls | None = None
        self.accepts: Accepts | None = None
        self.lines: Lines | None = None
        listening = socket.socket(socket.AF_UNIX)
        listening.bind("")
        listening.listen(1_000)
        listening.setblocking(False)
        self.address = listening.getsockname()
        self.port: Any = Port._fromListeningDescriptor(self.reactor, listening.fileno(), None)
        listening.close()
        machine = self

        class Factory(ServerFactory):
            noisy = False

            def buildProtocol(self, address: object) -> Served:
                return Served(machine.ends, machine.polls)

        self.port.backlog = 4_000
        self.port.factory = Factory()
        self.port.startListening()
        self.port._buildAddr = lambda address: None
        if self.quick:
            self.polls = observe(self.reactor, TurnLength(lambda: 0.0), self.reactor.seconds)
            assert self.polls is not None
            self.accepts = Accepts(self.port, self.polls, self.reactor, lambda: 10_000)
            self.lines = quick_writes(self.reactor, [])
            assert self.lines is not None
        make: Callable[..., Server] = Server if self.lines is None else self.lines.transport
        self.made: list[socket.socket] = []

        def transport(client: socket.socket, protocol: Any, *more: Any) -> Server:
            _, _, number, reactor = more
            self.made.append(client)
            return make(client, protocol, ("192.0.2.1", number), None, number, reactor)

        self.port.transport = transport

    def teardown(self) -> None:
        if not hasattr(self, "reactor"):
            return
        try:
            for caller in self.callers:
                if caller.paused:
                    self._end(caller).resumeProducing()
                    caller.paused = False
            self._wait()
        finally:
            self.port.stopListening()
            for _ in range(2):
                # Who was not let in is cut.
                self.reactor.turn()
            if self.lines is not None:
                self.lines.end()
            if self.polls is not None:
                release(self.reactor, self.polls)
            for caller in self.callers:
                caller.line.close()
            self.reactor.end()
            for client in self.made:
                client.close()

    # -- what happens -------------------------------------------------------

    @rule(how=st.sampled_from((AGENT, CALL, b"")), many=st.integers(1, 60))
    def come(self, how: bytes, many: int) -> None:
        for _ in range(many):
            line = socket.socket(socket.AF_UNIX)
            line.setblocking(False)
            line.connect(self.address)
            self.number += 1
            self.came += 1
            caller = Caller(self.number, line)
            self.callers.append(caller)
            if how:
                caller.begin(how)

    @rule(data=st.data(), how=st.sampled_from((AGENT, CALL)))
    @precondition(lambda self: any(not caller.begun for caller in self.callers))
    def begin_late(self, data: st.DataObject, how: bytes) -> None:
        for caller in self._some(data, [c for c in self.callers if not c.begun]):
            caller.begin(how)

    @rule(data=st.data(), what=st.sampled_from((WORD, IDENTIFY, WORD * 1000)))
    @precondition(lambda self: self._served())
    def say(self, data: st.DataObject, what: bytes) -> None:
        for caller in self._some(data, self._served()):
            caller.say(what)

    @rule(data=st.data())
    @precondition(lambda self: self._served())
    def pause(self, data: st.DataObject) -> None:
        for caller in self._some(data, self._served()):
            caller.paused = True
            self._end(caller).pauseProducing()

    @rule(data=st.data())
    @precondition(lambda self: any(caller.paused for caller in self.callers))
    def resume(self, data: st.DataObject) -> None:
        for caller in self._some(data, [c for c in self.callers if c.paused]):
            caller.paused = False
            self._end(caller).resumeProducing()

    @rule(data=st.data())
    @precondition(lambda self: self._served())
    def tell_much(self, data: st.DataObject) -> None:
        (caller, *_) = self._some(data, self._served())
        caller.said += LARGE
        caller.much = True
        self._end(caller).write(WORD * LARGE)

    @rule(data=st.data())
    @precondition(lambda self: self.callers)
    def leave(self, data: st.DataObject) -> None:
        for caller in self._some(data, self.callers):
            self._forget(caller)
            caller.line.close()

    @rule(data=st.data(), how=st.sampled_from(("loseConnection", "abortConnection")))
    @precondition(lambda self: self._served())
    def end(self, data: st.DataObject, how: str) -> None:
        for caller in self._some(data, self._served()):
            getattr(self._end(caller), how)()
            self._forget(caller)
            # The number is free at once for those who come.
            caller.line.close()

    @rule()
    def hang_up_a_bell(self) -> None:
        bell = Bell()
        self.bells.append(bell)
        self.reactor.addReader(bell)

    @rule(data=st.data())
    @precondition(lambda self: self.bells)
    def ring(self, data: st.DataObject) -> None:
        for bell in self._some(data, self.bells):
            bell.ring()

    @rule(data=st.data())
    @precondition(lambda self: self.bells)
    def take_down_a_bell(self, data: st.DataObject) -> None:
        (bell, *_) = self._some(data, self.bells)
        self.bells.remove(bell)
        self.reactor.removeReader(bell)
        os.close(bell.fd)

    @rule(turns=st.integers(1, 4))
    def turns(self, turns: int) -> None:
        for _ in range(turns):
            self.reactor.turn()

    @rule()
    def all_is_heard(self) -> None:
        self._wait()

    # -- what is promised -----------------------------------------------------

    def _wait(self) -> None:
        """Who has said something is heard, and hears the answer, some turns later."""
        few = FEW + (len(self.callers) + len(self.bells) + self.came) // AT_A_TIME
        self.came = 0
        for turn in range(few + MANY):
            # What is large takes as long as it takes to be sent.
            if turn >= few and not any(c.waits and c.much for c in self.callers):
                break
            self.reactor.turn()
            for caller in self.callers:
                caller.hear()
        deaf = [c.number for c in self.callers if c.waits]
        assert not deaf, f"not heard, or not answered: {deaf}"
        assert all(bell.heard == bell.rung for bell in self.bells), "a bell was not heard"
        silent = sum(not caller.begun for caller in self.callers)
        assert self.accepts is None or self.accepts.waiting <= silent, "not let in"

    def _served(self) -> list[Caller]:
        return [c for c in self.callers if c.number in self.ends and not c.paused]

    def _end(self, caller: Caller) -> Any:
        return self.ends[caller.number].transport

    def _forget(self, caller: Caller) -> None:
        self.callers.remove(caller)
        self.ends.pop(caller.number, None)

    def _some(self, data: st.DataObject, of: list[Any]) -> list[Any]:
        """Some in a row, wherever that begins."""
        first = data.draw(st.integers(0, len(of) - 1))
        return of[first : first + data.draw(st.integers(1, 40))]


class Plain(Lives):
    """The same in Twisted's own way: what this asks for is no more than that."""

    quick = False


class LivesTests(SynchronousTestCase):
    """Many lives, the same ones in each run."""

    def _check(self, machine: type[Lives]) -> None:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=30,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

    def test_with_shortcuts(self) -> None:
        """Nobody who says something is forgotten, whatever has happened to the sockets."""
        self._check(Lives)

    def test_without(self) -> None:
        """Neither is anybody by Twisted alone."""
        self._check(Plain)
