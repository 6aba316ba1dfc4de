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
from agentcom.shortcuts.heads import plain
from agentcom.wire.codec import encode

OF_ANYBODY = frozenset(("list_agents", "register", "sign_in"))
"""Routes that need no token, and are refused all the same."""

GO_ON = frozenset(("cancel_task", "ack_mailbox", "unsubscribe", "session", "sign_out"))
"""Routes that need a token and are not refused, beside those of an administrator."""

_HEAD = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
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
        found = plain(data)
        if found is None or found.missing or b"origin" in found.headers:
            return None
        route = self._early.get((found.method, found.path))
        if route is None or not self._knows(found.headers.get(b"authorization", b""), route):
            return None
        if not self.load.full():
            return b""
        error = self.load.refusal(_kind(route))
        body = encode(error.body())
        id = found.headers.get(b"x-request-id", b"")
        request_id = b"x-request-id: %b\r\n" % id if _REQUEST_ID.match(id) else b""
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


def _kind(route: Route) -> str:
    return READ if route.method == "GET" else WORK
