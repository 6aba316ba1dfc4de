"""The door of a port: which connections are let in, and which become WebSockets.

Refusals are answered, with the time at which to come again, before anything
is spent on the stranger.  :mod:`agentcom.ws.admission` decides, this module
speaks HTTP.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from autobahn.twisted.resource import WebSocketResource
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request

from agentcom.errors import (
    AgentComError,
    HubStopping,
    OriginNotAllowed,
    RequestTimeout,
    TooManyConnections,
)
from agentcom.http.origin import Origins
from agentcom.http.route import Answer
from agentcom.http.routing import refusal, respond
from agentcom.httpchannel import HEAD_WITHIN_S, LOOK_EVERY_S, Channel, bare
from agentcom.hub.pacing import told
from agentcom.shortcuts.accepts import Accepts
from agentcom.shortcuts.heads import plain_head
from agentcom.shortcuts.polls import AGENTS, FIRST, STRANGERS, Polls
from agentcom.ws.admission import CONNECTIONS, STOPPING
from agentcom.ws.factory import AgentFactory
from agentcom.ws.outbound import ABORT_AFTER_S

UNAVAILABLE = "Service Unavailable"

TO_AGENTS = b"GET /ws "
"""How nearly every agent begins."""

END = b"\r\n\r\n"
MOST_HEAD = 16 * 1024
"""Bytes of a head that is looked at here; HTTP's own limits judge a longer one."""

ACCEPTS = 300
"""Connections that are accepted in one turn of the reactor, if so many wait: enough that
those behind a crowd do not wait long, and few enough for the others in that turn."""

MOST_WAITING = 64 * 1024
"""Bytes that may come while a handshake waits for its turn."""

SPEAK_WITHIN_S = 60.0
"""Seconds in which a connection must say what it wants."""

MOST_REFUSED = 256
"""Connections that are told no at a time; more are dropped without a word."""

UNUSUAL = frozenset((b"content-length", b"transfer-encoding", b"origin", b"x-forwarded-for"))
"""Headers that are for HTTP's part to judge."""

_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==\Z")

log = Logger()


class Newcomer(Protocol):
    """A connection of which it is not known yet what it speaks.

    Costs next to nothing, because a storm of agents must not hold up the API:
    a WebSocket's handshake waits here for its turn, everything else goes on at
    once.
    """

    door: Door

    def __init__(self) -> None:
        self._data = b""
        self._waits = self._gone = False
        self._abort: IDelayedCall | None = None

    def connectionMade(self) -> None:
        door = self.door
        door.newcomer_came(self.transport)
        has_room = door.admission.has_room()
        door.admission.http += 1
        door.newcomers[self] = door.clock.seconds()
        if not has_room:
            self._refuse(CONNECTIONS)

    def dataReceived(self, data: bytes) -> None:
        if self._gone or self._abort is not None:
            return
        self._data += data
        if self._waits:
            if len(self._data) > MOST_WAITING:
                self.abort()
        elif not self._data.startswith(TO_AGENTS[: len(self._data)]):
            self._speak_http()
        elif END in self._data:
            self._knock()
        elif len(self._data) > MOST_HEAD:
            self._speak_http()
        else:
            self.door.heads.setdefault(self, self.door.clock.seconds())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._gone:
            self._leave()
        if self._abort is not None:
            self.door.refused -= 1
            if self._abort.active():
                self._abort.cancel()

    def abort(self) -> None:
        """Drop the line: it says nothing, or too much."""
        transport: Any = self.transport
        transport.abortConnection()

    def too_slow(self) -> None:
        """It has begun a head and does not come to its end."""
        if self._abort is None:
            self._say_no(bare(RequestTimeout("the head of the request did not come in time")))

    def _knock(self) -> None:
        self.door.heads.pop(self, None)
        limit = self.door.admission.refusal()
        if limit is None:
            self._waits = True
            self.door.stranger(self.transport)
            self.door.admission.in_turn(self._enter)
        else:
            self._refuse(limit)

    def _enter(self) -> None:
        """Its turn has come."""
        if self._gone:
            return
        if self.door.admission.stopping:
            self._refuse(STOPPING)
            return
        try:
            if is_plain_handshake(self._data):
                self._become(self.door.factory.buildProtocol(None))
            else:
                self._speak_http()
        except Exception:
            # Nobody above answers for what happens in a later turn.
            log.failure("while letting in a connection")
            self.abort()

    def _speak_http(self) -> None:
        admission = self.door.admission
        channel = self.door.speak_http()
        admission.http += 1
        begun = self.door.heads.get(self)
        if begun is not None:
            channel.began(begun)
        self._become(channel)

    def _become(self, protocol: Any) -> None:
        """Give the transport to another protocol, with all that was said so far."""
        self._leave()
        transport: Any = self.transport
        wrapper = transport if isinstance(transport, ProtocolWrapper) else transport.protocol
        if isinstance(wrapper, ProtocolWrapper):
            wrapper.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(self._data)

    def _leave(self) -> None:
        self._gone = True
        self.door.admission.http -= 1
        self.door.newcomers.pop(self, None)
        self.door.heads.pop(self, None)

    def _refuse(self, limit: str) -> None:
        """Say that there is no room."""
        error, reason = _no_room(limit, self.door.pacing.refused_ms())
        self._say_no(bare(error, reason, refusal(error).headers))

    def _say_no(self, answer: bytes) -> None:
        """Answer, and see that it ends: over TLS a goodbye waits for the peer's."""
        if self.door.refused >= MOST_REFUSED:
            self.abort()
            return
        self.door.refused += 1
        self._abort = self.door.clock.callLater(ABORT_AFTER_S, self.abort)
        transport: Any = self.transport
        transport.write(answer)
        transport.loseConnection()


class Door:
    """Everything that newcomers of one site need.

    :param speak_http: makes a channel of the site.
    :ivar newcomers: those who have said too little so far, and since when.
    :ivar heads: those of them who have begun a handshake's head, and since when.
    :ivar channels: connections that speak HTTP.
    :ivar ports: what listens for this site.
    :ivar refused: those who were told no and are not gone yet.
    """

    def __init__(
        self, factory: AgentFactory, clock: IReactorTime, speak_http: Callable[[], Any]
    ) -> None:
        self.factory = factory
        self.admission = factory.admission
        self.pacing = factory.hub.pacing
        self.clock = clock
        self.speak_http = speak_http
        self.newcomers: dict[Newcomer, float] = {}
        self.heads: dict[Newcomer, float] = {}
        self.channels: set[Channel] = set()
        self._look_at = 0.0
        self.newcomer = type("Newcomer", (Newcomer,), {"door": self})
        self.ports: list[Any] = []
        self.refused = 0
        self._opening = False
        self._polls: Polls | None = None

    def accept_ahead(self, polls: Polls) -> None:
        """Take connections in ahead of serving them, and agents' lines behind all others."""
        self._polls = polls
        self.factory.identified = self.agent
        for port in self.ports:
            if type(port) is Port:
                Accepts(port, polls, self.clock, lambda: self.admission.most - self.admission.open)

    def stranger(self, transport: Any) -> None:
        """Whoever is there wants a WebSocket: others go first."""
        if self._polls is not None:
            self._polls.place(transport.fileno(), STRANGERS)

    def agent(self, transport: Any) -> None:
        """It has said who it is."""
        if self._polls is not None:
            self._polls.place(transport.fileno(), AGENTS)

    def newcomer_came(self, transport: Any) -> None:
        """Somebody came: take in many in the next turn.

        Twisted learns from quiet times to accept one in a turn and forgets it
        by 20 a turn, so those behind a crowd of agents would wait for long.
        """
        if self._polls is not None:
            # The number of its descriptor may have been an agent's.
            self._polls.place(transport.fileno(), FIRST)
        if not self._opening:
            self._opening = True
            self.clock.callLater(0, self._open_wide)

    def _open_wide(self) -> None:
        self._opening = False
        for port in self.ports:
            port.numberAccepts = max(ACCEPTS, getattr(port, "numberAccepts", 0))

    def sweep(self) -> None:
        """End those who take too long over what they say, or have said nothing for long."""
        now = self.clock.seconds()
        for newcomer, since in list(self.heads.items()):
            # Oldest first, here and below.
            if since > now - HEAD_WITHIN_S:
                break
            newcomer.too_slow()
        for newcomer, since in list(self.newcomers.items()):
            if since > now - SPEAK_WITHIN_S:
                break
            newcomer.abort()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            for channel in list(self.channels):
                channel.look(now)


class Handshake(Resource):
    """``/ws`` on a connection that speaks HTTP already, or not as agents do."""

    isLeaf = True

    def __init__(self, factory: AgentFactory, origins: Origins) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self._origins = origins
        self._websocket = WebSocketResource(factory)
        self._admission = factory.admission
        self._pacing = factory.hub.pacing

    def render(self, request: Request) -> bytes | int:
        answered = self._answer(request)
        # Twisted would log that it was given a body.
        return b"" if request.method == b"HEAD" else answered

    def _answer(self, request: Request) -> bytes | int:
        wrong = _handshake_error(request)
        if wrong is not None:
            request.setHeader(b"upgrade", b"websocket")
            request.setHeader(b"connection", b"Upgrade")
            request.setHeader(b"sec-websocket-version", b"13")
            body = respond(request, Answer(426, {"error": "upgrade_required", "detail": wrong}))
            request.setResponseCode(426, b"Upgrade Required")
            return body
        try:
            self._origins.check(request)
        except OriginNotAllowed as e:
            return respond(request, refusal(e))
        limit = self._admission.refusal()
        if limit is not None:
            error, reason = _no_room(limit, self._pacing.refused_ms())
            body = respond(request, refusal(error))
            request.setResponseCode(503, reason.encode())
            return body
        channel: Any = request.channel
        channel.leave()
        answered: bytes | int = self._websocket.render(request)
        return answered


def is_plain_handshake(data: bytes) -> bool:
    """Whether the head of a request is a WebSocket handshake without anything unusual.

    The common case, taken to Autobahn without a way through the whole of
    HTTP; what is unusual goes that way, where every fault has its answer.
    """
    found = plain_head(data)
    if found is None or found[:2] != (b"GET", b"/ws"):
        return False
    headers = found[2]
    return (
        headers.get(b"upgrade", b"").lower() == b"websocket"
        and headers.get(b"connection", b"").lower() == b"upgrade"
        and headers.get(b"sec-websocket-version") == b"13"
        and _KEY.match(headers.get(b"sec-websocket-key", b"")) is not None
        and not headers.keys() & UNUSUAL
    )


def _no_room(limit: str, retry_after_ms: int) -> tuple[AgentComError, str]:
    """The refusal of a connection, and its reason phrase.

    A WebSocket client shows its user, and its own code, no more than the phrase.
    """
    error: AgentComError
    if limit == STOPPING:
        error = HubStopping("the hub is stopping", retry_after_ms=retry_after_ms)
    else:
        error = TooManyConnections(
            "the hub has as many connections as it may: try again later, or raise "
            f"--max-{limit} of the hub",
            retry_after_ms=retry_after_ms,
        )
    return error, told(UNAVAILABLE, retry_after_ms)


def _handshake_error(request: Request) -> str | None:
    """What makes a request no WebSocket handshake, ``None`` for a good one."""
    if request.method != b"GET":
        return "open a WebSocket with GET"
    if _tokens(request, b"upgrade") != ["websocket"] or "upgrade" not in _tokens(
        request, b"connection"
    ):
        return "this is a WebSocket endpoint"
    if _tokens(request, b"sec-websocket-version") != ["13"]:
        return "speak WebSocket version 13"
    keys = request.requestHeaders.getRawHeaders(b"sec-websocket-key") or []
    try:
        good = len(keys) == 1 and len(base64.b64decode(keys[0].strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        good = False
    return None if good else "Sec-WebSocket-Key is missing or malformed"


def _tokens(request: Request, name: bytes) -> list[str]:
    values = request.requestHeaders.getRawHeaders(name) or []
    return [
        part.strip().lower()
        for value in values
        for part in value.decode("latin-1").split(",")
        if part.strip()
    ]
