"""A route says what it needs as data; one wrapper sees to it.

Authorisation, the size and the schema of the body, errors as JSON, and work
that goes on when its client leaves are here and nowhere else.  The order of
the checks is PROTOCOL.md section 4: 401, 403, 413, 400, 422, then the route.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from agentcom import errors
from agentcom.core.tokens import ADMIN, Token
from agentcom.http.errors import retry_after_s, status_of
from agentcom.hub.hub import Hub
from agentcom.wire.codec import decode, encode

JSON = b"application/json"
MAX_BODY = 1024 * 1024
"""Bytes of a body, unless its route says otherwise."""


class Answer(msgspec.Struct, frozen=True):
    """A JSON answer.  ``headers`` are further ones, in lower case."""

    status: int
    body: object
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Page(msgspec.Struct, frozen=True):
    """An answer that is a file."""

    status: int
    body: bytes
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Streamed:
    """What a handler returns that goes on writing to the request by itself."""


class Call:
    """One request, as a handler sees it.

    :ivar token: the caller's; ``None`` only where the route needs none.
    :ivar args: the variable parts of the path.
    :ivar body: the decoded body, of the Struct that the route declares.
    :ivar size: bytes of the body.
    """

    def __init__(
        self, request: Request, token: Token | None, args: dict[str, str], body: Any, size: int
    ) -> None:
        self.request = request
        self.token = token
        self.args = args
        self.body = body
        self.size = size

    @property
    def caller(self) -> str:
        """The agent id of the caller's token."""
        return self.token.agent_id if self.token is not None else ""

    def query(self, name: str) -> str | None:
        """A parameter of the query string, the first of that name.

        :raises ValidationFailed: it is not UTF-8.
        """
        values = self.request.args.get(name.encode())
        if not values:
            return None
        try:
            return str(values[0].decode("utf-8"))
        except UnicodeDecodeError:
            raise invalid_query(name, "not UTF-8") from None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query string.

        :raises ValidationFailed: it is none, or out of bounds.
        """
        text = self.query(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise invalid_query(name, "not a whole number")
        if not least <= int(text) <= most:
            raise invalid_query(name, f"must be from {least} to {most}")
        return int(text)


Result = Answer | Page | Streamed
Handler = Callable[[Call], Answer | Page | Awaitable[Result]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What a route is and needs.

    :ivar scope: ``None`` for a route that anybody may call, ``ANY`` for one that
        needs some good token.
    :ivar body: the Struct of its JSON body, ``None`` where it takes none.
    :ivar body_optional: an empty body counts as ``{}``.
    :ivar required: fields whose absence is answered as version 1 did, with
        400 and their names.
    :ivar query_token: ``?token=`` is taken too.
    :ivar own: the variable part of the path that must be the caller's agent id;
        an administrator may name anybody.
    :ivar max_body: bytes.
    """

    method: str
    path: str
    name: str
    scope: str | None
    handler: Handler
    body: type[msgspec.Struct] | None = None
    body_optional: bool = False
    required: tuple[str, ...] = ()
    query_token: bool = False
    own: str | None = None
    max_body: int = MAX_BODY


class Api:
    """The Klein app of the hub's routes.

    :ivar in_progress: requests whose work has not ended.
    """

    log = Logger()

    def __init__(self, hub: Hub, routes: Sequence[Route]) -> None:
        self._hub = hub
        self.in_progress = 0
        self.app = Klein()
        self.routes = {route.name: route for route in routes}
        for route in routes:
            self.app.route(route.path, methods=[route.method], endpoint=route.name)(
                self._serving(route)
            )
        # Werkzeug answers with redirects where a slash differs; we say 404.
        self.app.url_map.strict_slashes = False
        self.app.url_map.merge_slashes = False
        no_route: Any = self._no_route
        failed: Any = self._failed
        self.app.handle_errors(HTTPException)(no_route)
        self.app.handle_errors(Exception)(failed)

    def find(self, method: str, path: str) -> Route | None:
        """The route of a request, ``None`` where there is none."""
        mapper = self.app.url_map.bind("", path_info=path, default_method=method)
        try:
            name, _ = mapper.match()
        except HTTPException:
            return None
        return self.routes.get(str(name))

    def authorize(self, route: Route, request: Request) -> Token | None:
        """The caller's token.

        :raises Unauthorized: none, or no good one, and the route needs one.
        :raises Forbidden: it lacks the route's scope.
        """
        return self._hub.auth.require(_secret(request, route.query_token), route.scope)

    def _serving(self, route: Route) -> Callable[..., bytes | Deferred[bytes]]:
        decoder = None if route.body is None else msgspec.json.Decoder(route.body)

        def serve(request: Request, **args: str) -> bytes | Deferred[bytes]:
            try:
                token = self.authorize(route, request)
                if route.own is not None and token is not None:
                    _check_own(token, args[route.own])
                size, body = (0, None) if decoder is None else _body(request, route, decoder)
                result = route.handler(Call(request, token, args, body, size))
            except errors.AgentComError as e:
                return _refusal(request, e)
            if isinstance(result, (Answer, Page)):
                return respond(request, result)
            return self._going_on(request, result)

        return serve

    def _going_on(self, request: Request, work: Awaitable[Result]) -> Deferred[bytes]:
        """Wait for the work; it runs to its end whether its client stays or not.

        Klein cancels what it waits for when the client leaves, so it waits
        for a Deferred of its own and never for the work.
        """
        answer: Deferred[bytes] = Deferred(lambda _: None)
        self.in_progress += 1

        def finished(result: Result | Failure) -> None:
            self.in_progress -= 1
            if answer.called or isinstance(result, Streamed):
                return
            if not isinstance(result, Failure):
                answer.callback(respond(request, result))
            elif isinstance(result.value, errors.AgentComError):
                answer.callback(_refusal(request, result.value))
            else:
                answer.callback(self._failed(request, result))

        Deferred.fromCoroutine(work).addBoth(finished).addErrback(  # type: ignore[arg-type]
            lambda f: self.log.failure("while answering a request", f)
        )
        return answer

    def _no_route(self, request: Request, failure: Failure) -> bytes:
        if isinstance(failure.value, WrongMethod):
            allowed = sorted(failure.value.valid_methods or ())
            request.setHeader(b"allow", ", ".join(allowed).encode())
            return _refusal(request, errors.MethodNotAllowed(allowed=allowed))
        return _refusal(request, errors.NotFound())

    def _failed(self, request: Request, failure: Failure) -> bytes:
        request_id = self._hub.ids.message()
        self.log.failure("request {request_id} failed", failure, request_id=request_id)
        return respond(request, Answer(500, {"error": "internal_error", "request_id": request_id}))


def respond(request: Request, answer: Answer | Page) -> bytes:
    """Set status and headers, and give the body."""
    if isinstance(answer, Page):
        body, content_type = answer.body, answer.content_type
    else:
        body, content_type = encode(answer.body), JSON
    request.setResponseCode(answer.status)
    headers = request.responseHeaders
    headers.setRawHeaders(b"content-type", [content_type])
    headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
    for name, value in answer.headers:
        headers.setRawHeaders(name, [value])
    return body


def invalid_query(name: str, detail: str) -> errors.ValidationFailed:
    """A parameter of the query string that is wrong."""
    return errors.ValidationFailed([{"field": name, "error": "invalid_value", "detail": detail}])


def _refusal(request: Request, error: errors.AgentComError) -> bytes:
    status = status_of(error)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if status in (429, 503):
        headers = ((b"retry-after", b"%d" % retry_after_s(error)),)
    elif status == 401:
        headers = ((b"www-authenticate", b"Bearer"),)
    return respond(request, Answer(status, error.body(), headers))


def _check_own(token: Token, agent_id: str) -> None:
    if token.agent_id != agent_id and not token.allows(ADMIN):
        raise errors.Forbidden(ADMIN)


def _secret(request: Request, query_token: bool) -> str | None:
    header: bytes | None = request.getHeader(b"authorization")
    if header is not None:
        scheme, _, secret = header.partition(b" ")
        if scheme.lower() == b"bearer":
            return secret.strip().decode("latin-1")
    if query_token:
        values = request.args.get(b"token")
        if values:
            return str(values[0].decode("latin-1"))
    return None


def _body(request: Request, route: Route, decoder: msgspec.json.Decoder[Any]) -> tuple[int, Any]:
    content: Any = request.content
    data: bytes = content.read()
    if not data and route.body_optional:
        data = b"{}"
    try:
        return len(data), decode(data, decoder)
    except errors.ValidationFailed as e:
        told: Any = e.fields["errors"]
        absent = {x["field"] for x in told if x["error"] == "required"}
        missing = [name for name in route.required if name in absent]
        if missing:
            raise errors.MissingFields(*route.required) from None
        raise
