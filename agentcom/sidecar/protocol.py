"""Autobahn's side of a session: hooks of one line each, and the line back.

Autobahn's own timers are off, they would run on the global reactor; every
limit is the session's.
"""

from __future__ import annotations

from typing import Any

from autobahn.exception import Disconnected
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from agentcom.sidecar.session import Session

MAX_FRAME = 4 * 1024 * 1024


@implementer(IPushProducer)
class AgentLine(WebSocketClientProtocol):
    """One connection; is its own producer, to hear when the hub reads slowly."""

    transport: Any

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._producing = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._session.connected(self)

    def onOpen(self) -> None:
        self.transport.registerProducer(self, True)
        self._producing = True
        self._session.opened()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._session.received(payload)

    def onPing(self, payload: bytes) -> None:
        super().onPing(payload)
        self._session.heard()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._stop_producing()
        self._session.closed(code, reason or "")

    def pauseProducing(self) -> None:
        self._session.writable(False)

    def resumeProducing(self) -> None:
        self._session.writable(True)

    def stopProducing(self) -> None:
        self._producing = False

    def send(self, data: bytes) -> None:
        try:
            self.sendMessage(data, isBinary=False)  # type: ignore[no-untyped-call]  # Autobahn's
        except Disconnected:
            # The session hears of it through onClose.
            return

    def close(self, code: int, reason: str) -> None:
        # A transport with a producer would wait for it before it closes.
        self._stop_producing()
        if self.state == self.STATE_OPEN:
            self.sendClose(code, reason)
        else:
            # Nobody has said hello yet: there is nothing to say goodbye to.
            self.transport.abortConnection()

    def abort(self) -> None:
        self._stop_producing()
        self.transport.abortConnection()

    def _stop_producing(self) -> None:
        if self._producing:
            self._producing = False
            self.transport.unregisterProducer()


class LineFactory(WebSocketClientFactory):
    """Makes the one protocol of one session."""

    noisy = False

    def __init__(self, url: str, session: Session, reactor: Any) -> None:
        super().__init__(url, reactor=reactor)  # type: ignore[no-untyped-call]  # Autobahn's
        self._session = session
        self.setProtocolOptions(  # type: ignore[no-untyped-call]  # Autobahn's
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            autoPingInterval=0,
            maxMessagePayloadSize=MAX_FRAME,
            maxFramePayloadSize=MAX_FRAME,
            failByDrop=False,
        )

    def buildProtocol(self, addr: object) -> AgentLine:
        line = AgentLine(self._session)
        line.factory = self
        return line
