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
from socket import MSG_DONTWAIT, MSG_PEEK, socket
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.shortcuts.polls import Polls

TO_AGENTS = b"GET /ws "
"""How an agent begins."""

TAKE_S = 0.005
"""Seconds of one turn in which connections are taken."""

SERVE_S = 0.004
"""Seconds of one turn in which agents' connections are given a transport and a protocol."""

SILENT_S = 0.02
"""Seconds after which one that says nothing is served like an agent's."""

MOST = 8_192
"""Connections that wait here; further ones wait in the kernel."""

LEAST = 64
"""The same where there is no room for more connections: they are told so."""

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
        self._silent: deque[tuple[float, Taken]] = deque()
        self._usual: Callable[[], None] = port.doRead
        self._planned = False
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
                break
        if not self._planned:
            self._serve()

    def _sort(self, taken: Taken) -> None:
        """Serve it at once, or let it wait among those who are like it."""
        said = _begins(taken)
        if said == TO_AGENTS:
            self._agents.append(taken)
        elif said is None and self._agents:
            self._silent.append((self._clock.seconds() + SILENT_S, taken))
        else:
            self._open(taken, later=said is None)

    def _turn(self) -> None:
        self._planned = False
        if self._port.disconnecting or not self._port.connected:
            self._drop()
            return
        for _ in range(len(self._silent)):
            until, taken = self._silent.popleft()
            said = _begins(taken)
            if said is None and self._clock.seconds() < until:
                self._silent.append((until, taken))
            elif said is None or said == TO_AGENTS:
                self._agents.append(taken)
            else:
                self._open(taken, later=False)
        self._serve()

    def _serve(self) -> None:
        until = self._clock.seconds() + SERVE_S
        while self._agents:
            self._open(self._agents.popleft(), later=True)
            if self._clock.seconds() >= until:
                break
        if self.waiting:
            self._planned = True
            self._clock.callLater(0, self._turn)

    def _open(self, taken: Taken, later: bool) -> None:
        """What Twisted does with a connection that it has accepted."""
        port = self._port
        client, address = taken
        (self._polls.later if later else self._polls.sooner)(client.fileno())
        try:
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
            client.close()

    def _drop(self) -> None:
        for client, _ in [*self._agents, *(taken for _, taken in self._silent)]:
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
