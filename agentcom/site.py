"""The site: one port for WebSocket and HTTP, and bodies with a limit.

Twisted takes in a whole body before a resource hears of the request, so a
body is refused here: by its ``Content-Length`` before it comes, and while it
arrives (PROTOCOL.md section 4).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from agentcom import errors
from agentcom.door import Door, Handshake
from agentcom.http.origin import Origins
from agentcom.http.overload import Overload, Passing
from agentcom.http.route import MAX_BODY, Route
from agentcom.http.routing import Api, refusal, respond
from agentcom.httpchannel import bare
from agentcom.pipelines import Pipelines
from agentcom.shedding import SheddingChannel
from agentcom.shortcuts.endpoints import Endpoints
from agentcom.shortcuts.heads import Plain
from agentcom.shortcuts.requests import Dates, QuickRequest
from agentcom.wire.codec import is_utf8
from agentcom.ws.factory import AgentFactory
from agentcom.ws.unfinished import Unfinished

LINGER_S = 1.0
"""Seconds in which a refused body is still read, so that the answer arrives."""

IDLE_S = 60
"""Seconds that an HTTP connection may stay silent between requests."""


SMALL_BODY = 64 * 1024
"""Bytes of a body that anybody may send; a longer one needs a route and its token first."""

HANDSHAKE = b"/ws"

_SECRET = re.compile(rb"[0-9A-Fa-f]{64}\Z")
"""What a token looks like."""

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(:\d{0,5})?\Z")


class BoundedRequest(Passing, QuickRequest):
    """A request whose body is refused when it is over its route's limit.

    :ivar taken: bytes of the body that have come.
    :ivar target: what it is about, where the path does not say so; for the audit log.
    """

    api: Api
    overload: Overload
    taken = 0
    target: dict[str, object] | None = None
    _limit = MAX_BODY
    _route: Route | None = None
    _refused = _unwanted = False

    def gotLength(self, length: int | None) -> None:
        told = self.getHeader(b"x-request-id")
        if told is not None and _SECRET.match(told):
            # It would be written down.
            self.requestHeaders.removeHeader(b"x-request-id")
        if length is None or length > SMALL_BODY:
            error = self._judge(length or 0)
            if error is not None:
                self._refuse(error)
            if self._refused or self._unwanted:
                length = 0
        super().gotLength(length)  # type: ignore[no-untyped-call]  # untyped in Twisted

    def handleContentChunk(self, data: bytes) -> None:
        if self._refused:
            return
        self.taken += len(data)
        if self.taken > self._limit:
            self._refuse(errors.BodyTooLarge(self._limit))
            return
        if self._unwanted:
            return
        super().handleContentChunk(data)  # type: ignore[no-untyped-call]  # untyped in Twisted

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._refused:
            self.channel.loseConnection()
            return
        super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]  # untyped in Twisted

    def process(self) -> None:
        # Klein would log a traceback for either.
        wrong: errors.AgentComError | None = None
        hosts = self.requestHeaders.getRawHeaders(b"host", (b"",))
        if len(hosts) != 1 or not _HOST.match(hosts[0].strip()):
            wrong = errors.InvalidHost("send one Host, the name of the hub")
        elif not is_utf8(unquote_to_bytes(self.uri.partition(b"?")[0])):
            wrong = errors.NotFound("the path is not UTF-8")
        if wrong is not None:
            body = respond(self, refusal(wrong))
            self.write(body)
            self.finish()  # type: ignore[no-untyped-call]  # untyped in Twisted
            return
        turned_away = self._turned_away()
        if turned_away is not None:
            self.write(turned_away)
            self.finish()  # type: ignore[no-untyped-call]  # untyped in Twisted
            return
        super().process()  # type: ignore[no-untyped-call]  # untyped in Twisted

    def take(self, plain: Plain) -> None:
        super().take(plain)
        self.taken = len(plain.body)

    def refusal(self) -> bytes | None:
        return self._turned_away()

    def getRequestHostname(self) -> bytes:
        """What Klein is told, which no route depends on: it fails at some hosts' names."""
        return b"localhost"

    def _turned_away(self) -> bytes | None:
        """The body for one that is refused because there is too much to do, if it is."""
        channel: Any = self.channel
        self.passed, channel.passed = channel.passed, False
        return self.overload.refused(self)

    def _judge(self, length: int) -> errors.AgentComError | None:
        """What is wrong with a large body, before it comes and takes room.

        Finds the route before the request knows its own path; most requests
        are small, and routed once.
        """
        channel: HTTPChannel = self.channel
        self.method, self.uri, self.args = channel._command, channel._path, {}
        path = unquote(self.uri.partition(b"?")[0].decode("latin-1"))
        self._route = route = self.api.find(self.method.decode("latin-1"), path)
        if route is not None:
            try:
                self.api.authorize(route, self)
            except errors.AgentComError as e:
                return e
            self._limit = route.max_body
        self._unwanted = route is None or route.body is None
        return errors.BodyTooLarge(self._limit) if length > self._limit else None

    def _refuse(self, error: errors.AgentComError) -> None:
        """Answer at once, on the bare connection, and close it soon."""
        self._refused = True
        # The channel would tell the client to go on sending.
        self.requestHeaders.removeHeader(b"expect")
        answer = refusal(error)
        self.setResponseCode(answer.status)
        headers = list(answer.headers)
        if self._route is not None:
            self.api.refused(self, self._route, answer.status)
            ids = self.responseHeaders.getRawHeaders(b"x-request-id", ())
            headers += [(b"x-request-id", id) for id in ids]
        channel: Any = self.channel
        channel.transport.write(bare(error, headers=headers))
        channel.linger(LINGER_S)


class HubChannel(SheddingChannel):
    """A connection to the hub, until it becomes a WebSocket."""

    def is_usual(self, plain: Plain) -> bool:
        # A long body is judged before it comes, and a handshake is no endpoint's.
        return (
            len(plain.body) + plain.missing <= SMALL_BODY
            and plain.path != HANDSHAKE
            and not _SECRET.match(plain.headers.get(b"x-request-id", b""))
        )


class Root(Resource):
    """Sends ``/ws`` to the handshake and everything else to the API."""

    def __init__(self, api: Api, factory: AgentFactory, origins: Origins) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self._handshake = Handshake(factory, origins)
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


def make_site(
    api: Api,
    factory: AgentFactory,
    clock: IReactorTime,
    overload: Overload,
    origins: Origins,
    *,
    quick: bool = True,
) -> AgentComSite:
    """Bundle the WebSocket factory and the API into one site.

    :param quick: plain requests go by :mod:`.shortcuts.requests`.
    """

    class OurRequest(BoundedRequest):
        pass

    class OurChannel(HubChannel):
        pass

    OurRequest.api = api
    OurRequest.overload = OurChannel.overload = overload
    overload.watch(api)
    OurChannel.admission = factory.admission
    OurChannel.clock = clock
    OurChannel.pipelines = Pipelines(clock)
    OurChannel.dates = Dates()
    OurChannel.endpoints = Endpoints(api.app) if quick else None
    site = AgentComSite(  # type: ignore[no-untyped-call]  # untyped in Twisted
        Root(api, factory, origins),
        requestFactory=OurRequest,
        reactor=clock,
        timeout=IDLE_S,
        parsePOSTFormSubmission=False,
    )
    site.protocol = OurChannel  # type: ignore[method-assign, assignment]  # a factory, to mypy
    site.door = Door(factory, clock, lambda: Site.buildProtocol(site, None))
    OurChannel.everybody = site.door.channels
    factory.hub.agenda.every_tick(site.door.sweep)
    factory.hub.agenda.every_tick(Unfinished(factory).sweep)
    return site
