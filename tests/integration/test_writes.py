"""Quick lines over real sockets, plain and with TLS, to a peer that reads slowly.

Server and client share one reactor: the client stops reading until the server has been told
to pause.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet import reactor as untyped
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, DefaultOpenSSLContextFactory, optionsForClientTLS
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from agentcom.shortcuts.writes import Line, quick_writes
from tests.integration.test_endpoints import make_certificate

reactor: Any = untyped
CHUNK = 40_000
CHUNKS = 400


@implementer(IPushProducer)
class Sender(Protocol):
    """Says much, as fast as it may, and then goodbye."""

    def __init__(self, paused: Callable[[], None]) -> None:
        self._paused = paused
        self._number = 0
        self._may = True
        self.sent = sha256()
        self.pauses = 0
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        transport: Any = self.transport
        self._may = True
        while self._may and self._number < CHUNKS:
            data = b"%d." % self._number * (CHUNK // 4)
            self._number += 1
            self.sent.update(data)
            transport.write(data)
        if self._number == CHUNKS:
            self._number += 1
            transport.unregisterProducer()
            transport.loseConnection()

    def pauseProducing(self) -> None:
        self._may = False
        self.pauses += 1
        reactor.callLater(0, self._paused)

    def stopProducing(self) -> None:
        self._may = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


class Reader(Protocol):
    """Reads when it is told to."""

    def __init__(self) -> None:
        self.heard = sha256()
        self.ended: Deferred[type | None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()

    def go_on(self) -> None:
        transport: Any = self.transport
        if self.connected:
            transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        self.heard.update(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.type)


class SlowReaderTests(TestCase):
    """Somebody who reads slowly gets everything, and then the goodbye."""

    timeout = 30

    def setUp(self) -> None:
        self.reader = Reader()
        self.sender = Sender(self.reader.go_on)
        self.server = Factory.forProtocol(lambda: self.sender)

    async def assert_all_arrives(self, port: Any, wrap: Callable[[Any], Any]) -> None:
        self.addCleanup(port.stopListening)
        lines = quick_writes(reactor, [port])
        assert lines is not None, "this is about the reactor with epoll"
        self.addCleanup(lines.end)
        assert issubclass(port.transport, Line)
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
        await connectProtocol(wrap(endpoint), self.reader)
        reason = await self.reader.ended
        await self.sender.ended
        self.assertGreater(self.sender.pauses, 0)
        self.assertEqual(self.reader.heard.digest(), self.sender.sent.digest())
        self.assertEqual(reason, ConnectionDone)

    async def test_plain(self) -> None:
        """Over TCP."""
        port = reactor.listenTCP(0, self.server, interface="127.0.0.1")
        await self.assert_all_arrives(port, lambda endpoint: endpoint)

    async def test_tls(self) -> None:
        """Over TLS."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        key, certificate = make_certificate(folder)
        context = DefaultOpenSSLContextFactory(str(key), str(certificate))  # type: ignore[no-untyped-call]  # Twisted
        port = reactor.listenSSL(0, self.server, context, interface="127.0.0.1")
        known = Certificate.loadPEM(certificate.read_bytes())
        options = optionsForClientTLS("127.0.0.1", known)
        await self.assert_all_arrives(port, lambda endpoint: wrapClientTLS(options, endpoint))
