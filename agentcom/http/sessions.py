"""A browser signs in with a token and has a cookie from then on.

``POST /api/session`` takes the token, ``GET`` tells a page who it is, ``DELETE``
signs out.  The cookie is for the browser alone: no script can read it.
"""

from __future__ import annotations

from typing import Any

from agentcom.core.session import SessionToken, csrf_of
from agentcom.core.tokens import ANY, Token
from agentcom.errors import OriginNotAllowed, TooManyFailures, Unauthorized
from agentcom.http.addresses import Addresses
from agentcom.http.cookies import secret_of, set_cookie
from agentcom.http.route import JSON, Answer, Call, Route
from agentcom.http.throttle import SESSION, Throttle
from agentcom.hub.hub import Hub
from agentcom.wire.answers.admin import SessionShown, SignedOut
from agentcom.wire.http import SignIn

NOT_STORED = (b"cache-control", b"no-store")
BAD_TOKEN = "the token is unknown, revoked or expired"


class SessionRoutes:
    """``/api/session``.

    :param addresses: tells whether the cookie is for TLS alone.
    :param throttle: answers those who sign in with a bad token.
    """

    def __init__(self, hub: Hub, addresses: Addresses, throttle: Throttle) -> None:
        self._hub = hub
        self._addresses = addresses
        self._throttle = throttle

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        path = "/api/session"
        return [
            Route(
                method="POST",
                path=path,
                name="sign_in",
                scope=None,
                body=SignIn,
                handler=self.sign_in,
                answers={200: SessionShown},
                refuses=(Unauthorized, OriginNotAllowed, TooManyFailures),
                example={"token": "0123456789abcdef" * 4},
            ),
            Route(
                method="GET",
                path=path,
                name="session",
                scope=ANY,
                answers={200: SessionShown},
                handler=self.show,
            ),
            Route(
                method="DELETE",
                path=path,
                name="sign_out",
                scope=ANY,
                answers={200: SignedOut},
                handler=self.sign_out,
            ),
        ]

    async def sign_in(self, call: Call) -> Answer:
        """Begin a session with a token; a page of another site cannot do it unseen."""
        _check_own_page(call)
        token = self._hub.auth.verify(call.body.token)
        if token is None:
            raise self._throttle.refusal(call.request, SESSION, BAD_TOKEN)
        self._hub.check_running()
        request: Any = call.request
        # For the audit log: the caller has no token of its own yet.
        request.target = {"agent_id": token.agent_id, "token": token.prefix}
        # Whether it is TLS is asked now: the client may be gone by then.
        secure = self._addresses.cookies_secure(call.request)
        begun = await self._hub.auth.sessions.begin(token)
        session = begun.session
        if not self._hub.auth.still_good(token):
            await self._hub.auth.sessions.end(session.hash)
            raise Unauthorized(BAD_TOKEN)
        lasts_s = (session.expires_at - session.created_at) // 1000
        cookie = set_cookie(begun.secret, lasts_s, secure)
        body = _about(token, csrf_of(begun.secret), session.expires_at)
        return Answer(200, body, (cookie, NOT_STORED))

    def show(self, call: Call) -> Answer:
        """Who the caller is; of a program's token there is no ``csrf``."""
        token = call.token
        if token is None:
            raise Unauthorized
        if not isinstance(token, SessionToken):
            return Answer(200, _about(token, None, token.expires_at), (NOT_STORED,))
        session = self._hub.auth.sessions.get(token.session)
        secret = secret_of(call.request)
        if session is None or secret is None:
            raise Unauthorized("the session is over: sign in again")
        body = _about(token, csrf_of(secret), session.expires_at)
        return Answer(200, body, (NOT_STORED,))

    async def sign_out(self, call: Call) -> Answer:
        """End the session; a program's token has none and stays as it is."""
        gone = set_cookie("", 0, self._addresses.cookies_secure(call.request))
        if isinstance(call.token, SessionToken):
            await self._hub.auth.sessions.end(call.token.session)
        return Answer(200, {"status": "signed_out"}, (gone, NOT_STORED))


def _about(token: Token, csrf: str | None, expires_at: int | None) -> dict[str, object]:
    return {
        "agent_id": token.agent_id,
        "scopes": token.scopes,
        "csrf": csrf,
        "expires_at": expires_at,
    }


def _check_own_page(call: Call) -> None:
    """See that no page of others makes a browser sign in, as somebody else than it thinks.

    :raises OriginNotAllowed: one may have done it.
    """
    request = call.request
    site = (request.getHeader(b"sec-fetch-site") or b"").strip().lower()
    if site not in (b"", b"same-origin", b"none"):
        raise OriginNotAllowed("sign in on a page of the hub itself")
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    # An Origin that came this far is a good one; forms of others cannot send JSON.
    if kind != JSON and not site and not request.requestHeaders.hasHeader(b"origin"):
        raise OriginNotAllowed("send it with content-type application/json")
