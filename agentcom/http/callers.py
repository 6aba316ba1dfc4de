"""Who calls: the token of a request, and whether it may do what the route does.

A program says its token with each request (PROTOCOL.md section 2).  A browser
has the cookie of its session (:mod:`.sessions`), which it sends whoever made
it ask; so a request that changes something must carry a second secret, that
only the hub's own pages can read.
"""

from __future__ import annotations

import hmac

from twisted.web.server import Request

from agentcom.core.session import csrf_of
from agentcom.core.tokens import ADMIN, Token
from agentcom.errors import CsrfFailed, Forbidden, OriginNotAllowed, Unauthorized
from agentcom.http.cookies import secret_of
from agentcom.http.origin import is_cross_site
from agentcom.http.route import Route
from agentcom.http.throttle import Throttle
from agentcom.hub.auth import Auth, check_scope

SAFE = (b"GET", b"HEAD")


class Callers:
    """Finds out who calls.

    :param throttle: answers those whose token is bad.
    """

    def __init__(self, auth: Auth, throttle: Throttle) -> None:
        self._auth = auth
        self._throttle = throttle

    def of(self, request: Request, route: Route) -> Token | None:
        """The caller's token; ``None`` only where the route needs none.

        :raises Unauthorized: none, or no good one, and the route needs one.
        :raises TooManyFailures: the same, of an address that has shown too many.
        :raises OriginNotAllowed: a page of another site uses a session.
        :raises CsrfFailed: a session changes something, and does not say its token.
        :raises Forbidden: it lacks the route's scope.
        """
        secret = _secret(request, route.query_token)
        if secret is not None:
            token = self._auth.verify(secret)
            if token is None and route.scope is not None:
                # One that says nothing at all tries nothing.
                raise self._throttle.refusal(request) if secret else Unauthorized
            return check_scope(token, route.scope)
        cookie = secret_of(request)
        if cookie is not None and route.scope is not None:
            return check_scope(self._signed_in(request, cookie), route.scope)
        if route.scope is not None:
            raise Unauthorized
        return None

    def _signed_in(self, request: Request, secret: str) -> Token:
        token = self._auth.sessions.find(secret)
        if token is None:
            # Not counted: a browser goes on with its cookie when a session has ended.
            raise Unauthorized("the session is over: sign in again")
        if is_cross_site(request):
            raise OriginNotAllowed("a page of another site may not use this session")
        if request.method not in SAFE:
            told = request.getHeader(b"x-csrf-token") or b""
            if not hmac.compare_digest(told, csrf_of(secret).encode()):
                raise CsrfFailed
        return token


def check_own(token: Token, agent_id: str) -> None:
    """See that a token is this agent's, or an administrator's.

    :raises Forbidden: it is neither.
    """
    if token.agent_id != agent_id and not token.allows(ADMIN):
        raise Forbidden(ADMIN)


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
