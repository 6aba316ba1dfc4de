"""Who calls: the token of a request, and whether it may do what the route does.

A program says its token with each request (PROTOCOL.md section 2).
"""

from __future__ import annotations

from twisted.web.server import Request

from agentcom.core.tokens import ADMIN, Token
from agentcom.errors import Forbidden
from agentcom.http.route import Route
from agentcom.hub.auth import Auth


class Callers:
    """Finds out who calls."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    def of(self, request: Request, route: Route) -> Token | None:
        """The caller's token; ``None`` only where the route needs none.

        :raises Unauthorized: none, or no good one, and the route needs one.
        :raises Forbidden: it lacks the route's scope.
        """
        return self._auth.require(_secret(request, route.query_token), route.scope)


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
