"""The site: one port for WebSocket and HTTP, and bodies with a limit.

Twisted takes in a whole body before a resource hears of the request, so a
body is refused here: by its ``Content-Length`` before it comes, and while it
arrives (PROTOCOL.md section 4).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import RESPONSES, HTTPChannel
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from agentcom import errors
from agentcom.door import Channel, Door, Handshake
from agentcom.http.errors import status_of
from agentcom.http.route import MAX_BODY, Answer, Route
from agentcom.http.routing import Api, respond
from agentcom.wire.codec import encode, is_utf8
from agentcom.ws.factory import AgentFactory

LINGER_S = 1.0
"""Seconds in which a refused body is still read, so that the answer arrives."""

IDLE_S = 60
"""Seconds that an HTTP connection may stay silent between requests."""


class BoundedRequest(Request):
    """A request whose body is refused when it is over its route's limit."""

    api: Api
    clock: IReactorTime
    _limit = MAX_BODY
    _route: Route | None = None
    _taken = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        if length is None or length > MAX_BODY:
            self._look_up()
        if length is not None and length > self._limit:
            self._refuse()
            length = 0
        super().gotLength(length)  # type: ignore[no-untyped-call]  # untyped in Twisted

    def handleContentChunk(self, data: bytes) -> None:
        if self._refused:
            return
        self._taken += len(data)
        if self._taken > self._limit:
            self._refuse()
            return
        super().handleContentChunk(data)  # type: ignore[no-untyped-call]  # untyped in Twisted

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._refused:
            self.channel.loseConnection()
            return
        super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]  # untyped in Twisted

    def process(self) -> None:
        # Klein would log a traceback for either.
        wrong: Answer | None = None
        if not is_utf8(unquote_to_bytes(self.uri.partition(b"?")[0])):
            wrong = Answer(404, errors.NotFound("the path is not UTF-8").body())
        elif not is_utf8(self.getHeader(b"host") or b""):
            wrong = Answer(400, {"error": "invalid_host", "detail": "the Host is not UTF-8"})
        if wrong is not None:
            body = respond(self, wrong)
            self.write(body)  # type: ignore[no-untyped-call]  # untyped in Twisted
            self.finish()  # type: ignore[no-untyped-call]  # untyped in Twisted
            return
        super().process()  # type: ignore[no-untyped-call]  # untyped in Twisted

    def _look_up(self) -> None:
        """Find the route before the request knows its own path.

        Only for bodies that may be too large: most requests are routed once.
        """
        channel: HTTPChannel = self.channel
        path = unquote(channel._path.partition(b"?")[0].decode("latin-1"))
        self._route = self.api.find(channel._command.decode("latin-1"), path)
        if self._route is not None:
            self._limit = self._route.max_body

    def _refuse(self) -> None:
        """Answer at once, on the bare connection, and close it soon."""
        self._refused = True
        # The channel would tell the client to go on sending.
        self.requestHeaders.removeHeader(b"expect")
        error: errors.AgentComError = errors.BodyTooLarge(self._limit)
        if self._route is not None:
            try:
                self.api.authorize(self._route, self)
            except errors.AgentComError as e:
                error = e
        body = encode(error.body())
        status = status_of(error)
        transport: Any = self.channel.transport
        transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n"
            % (status, RESPONSES.get(status, b"Refused"), len(body))
            + body
        )
        self.clock.callLater(LINGER_S, self.channel.loseConnection)


class Root(Resource):
    """Sends ``/ws`` to the handshake and everything else to the API."""

    def __init__(self, api: Api, factory: AgentFactory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self._handshake = Handshake(factory)
        self._api = api.app.resource()

    def getChild(self, path: bytes, request: Request) -> IResource:
        if path == b"ws" and not request.postpath:
            return self._handshake
        prepath: Any = request.prepath
        postpath: Any = request.postpath
        prepath.pop()
        postpath.insert(0, path)
        return self._api


class AgentComSite(Site):
    """The site of one port, without an access log: URLs may carry tokens."""

    noisy = False
    door: Door

    def buildProtocol(self, addr: object) -> Any:
        """What takes in a connection, until it is known what it speaks."""
        return self.door.newcomer()

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on: a WebSocket cannot come out of HTTP/2."""
        return [b"http/1.1"]

    def log(self, request: object) -> None:
        """Nothing: see the class."""


def make_site(api: Api, factory: AgentFactory, clock: IReactorTime) -> AgentComSite:
    """Bundle the WebSocket factory and the API into one site."""

    class HubRequest(BoundedRequest):
        pass

    class HubChannel(Channel):
        pass

    HubRequest.api = api
    HubRequest.clock = clock
    HubChannel.admission = factory.admission
    HubChannel.clock = clock
    site = AgentComSite(  # type: ignore[no-untyped-call]  # untyped in Twisted
        Root(api, factory),
        requestFactory=HubRequest,
        reactor=clock,
        timeout=IDLE_S,
        parsePOSTFormSubmission=False,
    )
    site.protocol = HubChannel  # type: ignore[method-assign, assignment]  # a factory, to mypy
    site.door = Door(factory, clock, lambda: Site.buildProtocol(site, None))
    factory.hub.agenda.every_tick(site.door.sweep)
    return site
