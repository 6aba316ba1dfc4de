"""A route says what it needs as data; one wrapper sees to it.

Authorisation, the size and the schema of the body, errors as JSON, and work
that goes on when its client leaves are here and nowhere else.  The order of
the checks is PROTOCOL.md section 4: 401, 403, 413, 400, 422, then the route.
What every request must pass before, and who is told of its answer, is handed
in (:data:`Guard`, :data:`Listener`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from agentcom import errors
from agentcom.core.tokens import Token
from agentcom.http.callers import Callers, check_own
from agentcom.http.errors import retry_after_s, status_of
from agentcom.http.route import JSON, Answer, Call, Later, Page, Result, Route, Streamed
from agentcom.hub.hub import Hub
from agentcom.shortcuts.requests import QuickRequest, put
from agentcom.wire.codec import decode, encode
from agentcom.wire.large import LARGE, settled

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}\Z")

Guard = Callable[[Request, Route], None]
"""What a request must pass before anything else is looked at; raises an
:class:`.errors.AgentComError` to refuse it."""


class Asked:
    """One request to a route, as those hear of it who are told of its answer.

    :ivar token: the caller's, once it is known.
    :ivar args: the variable parts of the path.
    :ivar request_id: also in the answer, as ``X-Request-Id``.
    """

    __slots__ = ("args", "request", "request_id", "route", "token")

    def __init__(self, request: Request, route: Route, args: dict[str, str], id: str) -> None:
        self.request = request
        self.route = route
        self.args = args
        self.request_id = id
        self.token: Token | None = None


Listener = Callable[[Asked, int], None]
"""Told of each answer of a route and its status; must not raise."""


class Api:
    """The Klein app of the hub's routes.

    :param callers: finds out who calls.
    :param guards: asked in turn before the caller's token is looked at.
    :param listeners: told of each answer.
    :ivar in_progress: requests whose work has not ended.
    """

    log = Logger()

    def __init__(
        self,
        hub: Hub,
        routes: Sequence[Route],
        callers: Callers,
        guards: Sequence[Guard] = (),
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._hub = hub
        self._callers = callers
        self._guards = guards
        self._listeners = listeners
        self.in_progress = 0
        self.app = Klein()
        self.routes = {route.name: route for route in routes}
        for route in routes:
            serving: Any = self._serving(route)
            self.app.route(route.path, methods=[route.method], endpoint=route.name)(serving)
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

        :raises AgentComError: a guard refuses the request.
        :raises Unauthorized: no token, or no good one, and the route needs one.
        :raises Forbidden: it lacks the route's scope.
        """
        for guard in self._guards:
            guard(request, route)
        return self._callers.of(request, route)

    def refused(self, request: Request, route: Route, status: int) -> None:
        """Tell the listeners of a request that was refused before its body was there."""
        asked = Asked(request, route, {}, self._request_id(request))
        for listener in self._listeners:
            listener(asked, status)

    def _serving(self, route: Route) -> Callable[..., bytes | Deferred[bytes] | int]:
        decoder = None if route.body is None else msgspec.json.Decoder(route.body)

        def serve(request: Request, **args: str) -> bytes | Deferred[bytes] | int:
            request_id = self._request_id(request)
            asked = Asked(request, route, args, request_id)
            try:
                asked.token = token = self.authorize(route, request)
                if route.own is not None and token is not None:
                    check_own(token, args[route.own])
                data = b"" if decoder is None else _data(request, route)
                if decoder is not None and len(data) >= LARGE:
                    return self._going_on(asked, self._large(asked, decoder, data))
                body = None if decoder is None else _decoded(data, route, decoder)
                result = route.handler(Call(request, token, args, body, len(data), request_id))
            except errors.AgentComError as e:
                return self._answered(asked, refusal(e))
            except Exception:
                return self._answered(asked, self._broken(request_id, Failure()))
            if isinstance(result, (Answer, Page)):
                return self._answered(asked, result)
            if not isinstance(result, Later):
                return self._going_on(asked, result)
            if not (isinstance(request, QuickRequest) and request.whole):
                return self._going_on(asked, _given(result))
            self.in_progress += 1
            result.hear(partial(self._write, asked, request))
            return NOT_DONE_YET

        return serve

    async def _large(self, asked: Asked, decoder: msgspec.json.Decoder[Any], data: bytes) -> Result:
        """Look at a large body in several turns, then do what it asks."""
        body: Any = None
        try:
            for found in settled(data, decoder):
                body = found
                await self._hub.turn()
        except errors.ValidationFailed as e:
            raise _refusal(e, asked.route) from None
        if body is None:
            body = _decoded(data, asked.route, decoder)
        # The token may have been revoked meanwhile.
        asked.token = token = self._callers.of(asked.request, asked.route)
        call = Call(asked.request, token, asked.args, body, len(data), asked.request_id)
        result = asked.route.handler(call)
        if isinstance(result, Later):
            return await _given(result)
        return result if isinstance(result, (Answer, Page)) else await result

    def _write(self, asked: Asked, request: QuickRequest, answer: Answer) -> None:
        self.in_progress -= 1
        request.answer(self._answered(asked, answer))

    def _going_on(self, asked: Asked, work: Awaitable[Result]) -> Deferred[bytes]:
        """Wait for the work; it runs to its end whether its client stays or not.

        Klein cancels what it waits for when the client leaves, so it waits
        for a Deferred of its own and never for the work.
        """
        answer: Deferred[bytes] = Deferred(lambda _: None)
        self.in_progress += 1

        def finished(result: Result | Failure) -> None:
            self.in_progress -= 1
            if isinstance(result, Streamed):
                return
            if isinstance(result, Failure):
                if isinstance(result.value, errors.AgentComError):
                    result = refusal(result.value)
                else:
                    result = self._broken(asked.request_id, result)
            body = self._answered(asked, result)
            if not answer.called:
                answer.callback(body)

        Deferred.fromCoroutine(work).addBoth(finished).addErrback(  # type: ignore[arg-type]
            lambda f: self.log.failure("while answering a request", f)
        )
        return answer

    def _answered(self, asked: Asked, answer: Answer | Page) -> bytes:
        for listener in self._listeners:
            listener(asked, answer.status)
        return respond(asked.request, answer)

    def _no_route(self, request: Request, failure: Failure) -> bytes:
        self._request_id(request)
        if isinstance(failure.value, WrongMethod):
            allowed = sorted(failure.value.valid_methods or ())
            request.setHeader(b"allow", ", ".join(allowed).encode())
            return respond(request, refusal(errors.MethodNotAllowed(allowed=allowed)))
        return respond(request, refusal(errors.NotFound()))

    def _failed(self, request: Request, failure: Failure) -> bytes:
        return respond(request, self._broken(self._request_id(request), failure))

    def _broken(self, request_id: str, failure: Failure) -> Answer:
        self.log.failure("request {request_id} failed", failure, request_id=request_id)
        return Answer(500, {"error": "internal_error", "request_id": request_id})

    def _request_id(self, request: Request) -> str:
        """The id of a request: the one that came with it, so that it can be followed
        through a proxy, else a new one.  It goes back with the answer."""
        headers = request.responseHeaders
        given: Sequence[bytes] | None = headers.getRawHeaders(b"x-request-id")
        if given is None:
            told: bytes | None = request.getHeader(b"x-request-id")
            if told is None or not _REQUEST_ID.match(told):
                told = self._hub.ids.message().encode()
            put(headers, b"X-Request-Id", told)
            return told.decode()
        return given[0].decode()


async def _given(later: Later) -> Answer:
    answer: Deferred[Answer] = Deferred()
    later.hear(answer.callback)
    return await answer


def respond(request: Request, answer: Answer | Page) -> bytes:
    """Set status and headers, and give the body."""
    if isinstance(answer, Page):
        body, content_type = answer.body, answer.content_type
    else:
        body, content_type = encode(answer.body), JSON
    request.setResponseCode(answer.status)
    headers = request.responseHeaders
    put(headers, b"Content-Type", content_type)
    put(headers, b"Content-Length", b"%d" % len(body))
    put(headers, b"X-Content-Type-Options", b"nosniff")
    if request.requestHeaders.hasHeader(b"cookie"):
        # What a session sees is not for whoever uses the browser next.
        headers.setRawHeaders(b"cache-control", [b"no-store"])
    for name, value in answer.headers:
        headers.setRawHeaders(name, [value])
    return body


def refusal(error: errors.AgentComError) -> Answer:
    """The answer to a request that is refused."""
    status = status_of(error)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if status in (429, 503):
        headers = ((b"retry-after", b"%d" % retry_after_s(error)),)
    elif status == 401:
        headers = ((b"www-authenticate", b"Bearer"),)
    return Answer(status, error.body(), headers)


def _data(request: Request, route: Route) -> bytes:
    content: Any = request.content
    data: bytes = content.read()
    return b"{}" if not data and route.body_optional else data


def _decoded(data: bytes, route: Route, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        return decode(data, decoder)
    except errors.ValidationFailed as e:
        raise _refusal(e, route) from None


def _refusal(error: errors.ValidationFailed, route: Route) -> errors.AgentComError:
    """What to say of a body that is wrong: as version 1 did, where its fields are missing."""
    told: Any = error.fields["errors"]
    absent = {one["field"] for one in told if one["error"] == "required"}
    if any(name in absent for name in route.required):
        return errors.MissingFields(*route.required)
    return error
