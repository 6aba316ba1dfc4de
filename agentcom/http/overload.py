"""Requests that are refused while the hub has too much to do.

Refused is what begins something, and what is long to read.  What ends work,
what an operator does, and how the hub is, goes on: cancels, acknowledgements,
routes of the scope ``admin``, health checks, metrics, pages.

Most are refused before HTTP has looked at them.  The caller's token is looked
at all the same: a hash and a look-up cost next to nothing, and who is unknown
learns that first, as ever.
"""

from __future__ import annotations

import re

from twisted.web.server import Request

from agentcom.core.tokens import ADMIN, ANY
from agentcom.http.callers import Callers
from agentcom.http.errors import retry_after_s
from agentcom.http.route import Route
from agentcom.http.routing import Api, refusal, respond
from agentcom.hub.auth import Auth
from agentcom.hub.load import READ, WORK, Load
from agentcom.wire.codec import encode

OF_ANYBODY = frozenset(("list_agents", "register", "sign_in"))
"""Routes that need no token, and are refused all the same."""

GO_ON = frozenset(("cancel_task", "ack_mailbox", "unsubscribe", "session", "sign_out"))
"""Routes that need a token and are not refused, beside those of an administrator."""

UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"origin"))
"""Headers that are for HTTP's part to judge."""

_HEAD = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
_CONTROL = re.compile(rb"[\0\r\n]")
_NAME = re.compile(rb"[!#-'*+.0-9^-z|~-]+\Z")
_TARGET = re.compile(rb"/[!-~]*\Z")
_HOST = re.compile(rb"[A-Za-z0-9._-]+(:\d{1,5})?\Z")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}\Z")


def may_be_refused(route: Route) -> bool:
    """Whether a route is refused while there is too much to do."""
    if route.scope is None or route.name == "register":
        return route.name in OF_ANYBODY
    return route.scope not in (ADMIN, ANY) and route.name not in GO_ON


class Passing(Request):
    """A request that knows whether it was asked about.

    :ivar passed: it is taken, and not asked about again.
    """

    passed = False


class Overload:
    """Refuses requests.

    :param callers: finds out who calls.
    :ivar load: says whether there is too much to do.
    """

    def __init__(self, load: Load, auth: Auth, callers: Callers) -> None:
        self.load = load
        self._auth = auth
        self._callers = callers
        self._early: dict[tuple[bytes, bytes], Route] = {}
        self._refusable: frozenset[str] = frozenset()

    def watch(self, api: Api) -> None:
        """Learn which of the routes can be refused, and which by their path alone."""
        self._refusable = frozenset(r.name for r in api.routes.values() if may_be_refused(r))
        self._early = {
            (route.method.encode(), route.path.encode()): route
            for route in api.routes.values()
            if may_be_refused(route) and "<" not in route.path
        }

    def guard(self, request: Request, route: Route) -> None:
        """Refuse a request, once its route is known.

        :raises Overloaded: there is too much to do.
        """
        if route.name not in self._refusable:
            return
        if getattr(request, "passed", False):
            self.load.taken += 1
            return
        if self.load.full():
            # Its caller first; raises what they are told.
            self._callers.of(request, route)
            raise self.load.refusal(_kind(route))
        self.load.taken += 1

    def refused(self, request: Passing) -> bytes | None:
        """The body for a request that is refused before its route is looked for;
        ``None`` for one that goes on.  Never raises."""
        if not self.load.shedding or request.passed:
            return None
        route = self._early.get((request.method, request.path))
        if route is None:
            return None
        if not self.load.full():
            request.passed = True
            return None
        if not self._knows(request.getHeader(b"authorization") or b"", route):
            # On its way through the routes it hears that, and so do those who listen there.
            return None
        return respond(request, refusal(self.load.refusal(_kind(route))))

    def answer(self, data: bytes) -> bytes | None:
        """The answer to what came between two requests, if it is one plain request that is
        refused; empty for one that is taken, ``None`` for anything else.  Never raises.

        A fifth of what a refusal costs elsewhere: under a flood nothing else counts.  Whatever is
        unusual is left to HTTP, where every fault has its answer.
        """
        found = _plain(data)
        if found is None:
            return None
        method, path, secret, request_id = found
        route = self._early.get((method, path))
        if route is None or not self._knows(secret, route):
            return None
        if not self.load.full():
            return b""
        error = self.load.refusal(_kind(route))
        body = encode(error.body())
        return b"%bretry-after: %d\r\n%bcontent-length: %d\r\n\r\n%b" % (
            _HEAD,
            retry_after_s(error),
            request_id,
            len(body),
            body,
        )

    def _knows(self, authorization: bytes, route: Route) -> bool:
        """Whether a request would be let in by what its header says, if it needs that."""
        if route.scope is None:
            return True
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        token = self._auth.verify(secret.strip().decode("latin-1"))
        return token is not None and token.allows(route.scope)


def _plain(data: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """Method, path, authorization and the line with the id of a request.

    ``None`` for what is not exactly one whole request, or has anything unusual.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    parts = first.split(b" ")
    if not end or len(parts) != 3 or parts[2] != b"HTTP/1.1" or not _TARGET.match(parts[1]):
        return None
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or name in headers or name in UNUSUAL or not _NAME.match(name):
            return None
        if _CONTROL.search(value):
            return None
        headers[name] = value.strip(b" \t")
    length = headers.get(b"content-length", b"0")
    if (
        b"\0" in head
        or b"\n" in head.replace(b"\r\n", b"")
        or not _HOST.match(headers.get(b"host", b""))
    ):
        return None
    if not (length.isdigit() and len(length) < 8 and int(length) == len(body)):
        return None
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    request_id = headers.get(b"x-request-id", b"")
    line = b"x-request-id: %b\r\n" % request_id if _REQUEST_ID.match(request_id) else b""
    return parts[0], parts[1].partition(b"?")[0], headers.get(b"authorization", b""), line


def _kind(route: Route) -> str:
    return READ if route.method == "GET" else WORK
