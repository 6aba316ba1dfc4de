"""Connections are taken from the kernel far ahead of being served.

The kernel hands connections over in the order in which they came, and Twisted builds a
transport and a protocol for each, a tenth of a millisecond, before it takes the next: an API
call that comes behind five thousand agents waits for all of them.  Here a port takes what
there is, at some microseconds each, and looks at the first bytes without taking them.  Who
begins as agents do waits for a turn, who comes in a crowd and says nothing until he speaks
(:mod:`agentcom.shortcuts.silence`); everybody else is served at once.

Needless if Twisted's ``Port`` could be told to accept ahead, and to whom to give what it
has accepted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from socket import (
    MSG_DONTWAIT,
    MSG_PEEK,
    NI_NUMERICHOST,
    NI_NUMERICSERV,
    getnameinfo,
    socket,
)
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.shortcuts.polls import STRANGERS, Polls
from agentcom.shortcuts.silence import Silence

TO_AGENTS = b"GET /ws "
"""How an agent begins."""

TAKE_S = 0.004
"""Seconds of one turn in which connections are taken."""

SERVE_S = 0.002
"""Seconds of one turn in which agents' connections are given a transport and a protocol."""

ALONE = 8
"""Connections of one turn that need not say anything to be served at once."""

MOST = 8_192
"""Connections that wait here; further ones wait in the kernel."""

LEAST = 64
"""The same where there is no room for more connections: they are told so."""

IPV4_PARTS = 2
"""Parts of an IPv4 address; an IPv6 one has four."""

Taken = tuple[socket, Any]


class Accepts:
    """Takes in the connections of one TCP port.

    :param port: Twisted's, which listens.
    :param room: how many connections there may be beside those that are served.
    """

    log = Logger()

    def __init__(
        self, port: Any, polls: Polls, clock: IReactorTime, room: Callable[[], int]
    ) -> None:
        self._port = port
        self._polls = polls
        self._clock = clock
        self._room = room
        self._agents: deque[Taken] = deque()
        self._silent = Silence(port.reactor, clock, self._sort, self._open)
        self._usual: Callable[[], None] = port.doRead
        self._ended: Callable[[Failure], None] = port.connectionLost
        self._planned = self._more = False
        self._alone = 0
        port.doRead = self.take
        port.connectionLost = self._end

    @property
    def waiting(self) -> int:
        """Connections that were taken and are not served yet."""
        return len(self._agents) + len(self._silent)

    def take(self) -> None:
        """Something came in: take what there is."""
        try:
            self._take()
        except Exception:
            # The reactor would drop the port.
            self.log.failure("while taking connections")

    def _take(self) -> None:
        port, seconds = self._port, self._clock.seconds
        until = seconds() + TAKE_S
        most = min(MOST, max(LEAST, self._room()))
        self._alone = ALONE
        while not port.disconnecting:
            if self.waiting >= most and not self._silent.let_in():
                break
            try:
                taken = port.socket.accept()
            except BlockingIOError:
                break
            except OSError:
                # What that means, and what to do with no descriptors left, Twisted knows.
                self._usual()
                break
            if not self._sort(taken):
                self._alone -= 1
                if self.waiting or self._alone < 0:
                    self._silent.add(taken)
                else:
                    self._open(taken)
            if seconds() >= until:
                # There is more: until the kernel's queue is empty, nobody knows who is in it.
                self._more = True
                break

    def _sort(self, taken: Taken) -> bool:
        """Serve it at once, or let it wait among agents; ``False`` if it has said nothing."""
        said = _begins(taken)
        if said is None:
            return False
        if said == TO_AGENTS:
            self._agents.append(taken)
            self._plan()
        else:
            self._open(taken)
        return True

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        """Serve some agents, if the kernel's queue is empty; the rest has a later turn."""
        self._planned = False
        more, self._more = self._more, False
        until = self._clock.seconds() + SERVE_S
        while self._agents and not more:
            self._open(self._agents.popleft(), agent=True)
            if self._clock.seconds() >= until:
                break
        if self._agents:
            self._plan()

    def _open(self, taken: Taken, *, agent: bool = False) -> None:
        """What Twisted does with a connection that it has accepted."""
        port = self._port
        client, address = taken
        transport: Any = None
        try:
            if len(address) > IPV4_PARTS:
                # IPv6: with its zone, where it has one.
                numeric = getnameinfo(address, NI_NUMERICHOST | NI_NUMERICSERV)
                address = (numeric[0], *address[1:])
            protocol = port.factory.buildProtocol(port._buildAddr(address))
            if protocol is None:
                client.close()
                return
            number = port.sessionno
            port.sessionno = number + 1
            transport = port.transport(client, protocol, address, port, number, port.reactor)
            protocol.makeConnection(transport)
            if agent:
                self._polls.place(client.fileno(), STRANGERS)
        except Exception:
            self.log.failure("while taking in a connection")
            if transport is None:
                client.close()
            else:
                # The reactor looks at it: it must not meet another one under its number.
                transport.abortConnection()

    def _end(self, reason: Failure) -> None:
        """The port is closed: so is what waits."""
        for client, _ in self._agents:
            client.close()
        self._agents.clear()
        self._silent.end()
        self._ended(reason)


def _begins(taken: Taken) -> bytes | None:
    """The first bytes, as many as tell an agent's; ``None`` where there are none yet."""
    try:
        return taken[0].recv(len(TO_AGENTS), MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        # Whoever reads will be told the same.
        return b""
