"""Connections are taken from the kernel far ahead of being served.

The kernel hands connections over in the order in which they came, and Twisted builds a
transport and a protocol for each, a tenth of a millisecond, before it takes the next: an API
call that comes behind five thousand agents waits for all of them.  Here a port takes what
there is, at some microseconds each, and looks at the first bytes without taking them.  Who
begins as agents do waits for a turn; everybody else is served at once.

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

from agentcom.shortcuts.polls import STRANGERS, Polls

TO_AGENTS = b"GET /ws "
"""How an agent begins."""

TAKE_S = 0.008
"""Seconds of one turn in which connections are taken."""

SERVE_S = 0.004
"""Seconds of one turn in which agents' connections are given a transport and a protocol."""

ALONE = 8
"""Connections of one turn that need not say anything to be served at once."""

LOOKS = 512
"""Connections that have said nothing at which is looked again in one turn."""

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
        self._silent: deque[Taken] = deque()
        self._usual: Callable[[], None] = port.doRead
        self._planned = self._more = False
        self._alone = 0
        port.doRead = self.take

    @property
    def waiting(self) -> int:
        """Connections that were taken and are not served yet."""
        return len(self._agents) + len(self._silent)

    def take(self) -> None:
        """Something came in: take what there is."""
        port, seconds = self._port, self._clock.seconds
        until = seconds() + TAKE_S
        most = min(MOST, max(LEAST, self._room()))
        self._alone = ALONE
        while self.waiting < most and not port.disconnecting:
            try:
                taken = port.socket.accept()
            except BlockingIOError:
                break
            except OSError:
                # What that means, and what to do with no descriptors left, Twisted knows.
                self._usual()
                break
            self._sort(taken)
            if seconds() >= until:
                # There is more: until the kernel's queue is empty, nobody knows who is in it.
                self._more = True
                break
        if not self._planned:
            self._go_on()

    def _sort(self, taken: Taken) -> None:
        """Serve it at once, or let it wait among those who are like it."""
        said = _begins(taken)
        if said == TO_AGENTS:
            self._agents.append(taken)
        elif said is None and self._in_crowd():
            self._silent.append(taken)
        else:
            self._open(taken)

    def _in_crowd(self) -> bool:
        """Whether one of whom nothing is known has come with many."""
        self._alone -= 1
        return self.waiting > 0 or self._alone < 0

    def _turn(self) -> None:
        self._planned = False
        if self._port.disconnecting or not self._port.connected:
            self._drop()
            return
        for _ in range(min(LOOKS, len(self._silent))):
            taken = self._silent.popleft()
            said = _begins(taken)
            if said is None:
                self._silent.append(taken)
            elif said == TO_AGENTS:
                self._agents.append(taken)
            else:
                self._open(taken)
        self._go_on()

    def _go_on(self) -> None:
        """Serve some agents, if the kernel's queue is empty; the rest has a later turn."""
        more, self._more = self._more, False
        until = self._clock.seconds() + SERVE_S
        while self.waiting and not more:
            # Who is silent may be anybody, and is the last: a call says soon that it is one.
            if self._agents:
                self._open(self._agents.popleft(), agent=True)
            else:
                self._open(self._silent.popleft())
            if self._clock.seconds() >= until:
                break
        if self.waiting:
            self._planned = True
            self._clock.callLater(0, self._turn)

    def _open(self, taken: Taken, *, agent: bool = False) -> None:
        """What Twisted does with a connection that it has accepted."""
        port = self._port
        client, address = taken
        if len(address) > IPV4_PARTS:
            # IPv6: with its zone, where it has one.
            numeric = getnameinfo(address, NI_NUMERICHOST | NI_NUMERICSERV)
            address = (numeric[0], *address[1:])
        transport: Any = None
        try:
            if agent:
                self._polls.place(client.fileno(), STRANGERS)
            else:
                self._polls.first(client.fileno())
            protocol = port.factory.buildProtocol(port._buildAddr(address))
            if protocol is None:
                client.close()
                return
            number = port.sessionno
            port.sessionno = number + 1
            transport = port.transport(client, protocol, address, port, number, port.reactor)
            protocol.makeConnection(transport)
        except Exception:
            self.log.failure("while taking in a connection")
            if transport is None:
                client.close()
            else:
                # The reactor looks at it: it must not meet another one under its number.
                transport.abortConnection()

    def _drop(self) -> None:
        for client, _ in [*self._agents, *self._silent]:
            client.close()
        self._agents.clear()
        self._silent.clear()


def _begins(taken: Taken) -> bytes | None:
    """The first bytes, as many as tell an agent's; ``None`` where there are none yet."""
    try:
        return taken[0].recv(len(TO_AGENTS), MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        # Whoever reads will be told the same.
        return b""
