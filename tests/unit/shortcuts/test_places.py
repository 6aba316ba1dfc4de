"""In which class the hub puts a connection, on the poller of a reactor that does not run."""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.turnlength import TurnLength
from agentcom.shortcuts.polls import FIRST, STRANGERS, Polls
from agentcom.testing import MemoryHub
from tests.unit.store.support import make_clock, memory_store

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Transport(StringTransport):
    """A connection with a descriptor."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def unregisterProducer(self) -> None:
        """As Twisted's: also where there is none."""


class PlacesTests(SynchronousTestCase):
    """A hub whose ports leave it to Twisted to accept, as those of unix sockets do."""

    def setUp(self) -> None:
        clock = make_clock()
        store = memory_store(clock)
        self.addCleanup(store.close)
        self.site: Any = MemoryHub(store, clock).parts.site
        poller = select.epoll()
        self.addCleanup(poller.close)
        self.polls = Polls(poller, TurnLength(lambda: 0.0))
        self.addCleanup(self.polls.close)
        self.site.door.accept_ahead(self.polls)
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        self.fd = one.fileno()

    def come(self) -> Any:
        """A connection with the same descriptor each time; the reactor looks at it first."""
        self.polls.register(self.fd, select.EPOLLIN)
        line = self.site.buildProtocol(None)
        transport: Any = Transport(self.fd)
        transport.protocol = line
        line.makeConnection(transport)
        return line

    def place(self) -> int:
        return self.polls._class.get(self.fd, FIRST)

    def test_after_an_agent(self) -> None:
        """Whoever gets the number of an agent's descriptor is not taken for one."""
        agent = self.come()
        self.assertEqual(self.place(), FIRST)
        agent.dataReceived(HANDSHAKE)
        self.assertEqual(self.place(), STRANGERS)
        self.polls.unregister(self.fd)
        self.come()
        self.assertEqual(self.place(), FIRST)
