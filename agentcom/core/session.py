"""A browser's session as a value: what is kept of one, and what is derived of its secret.

The secret is 256 random bits in a cookie.  Only its hash is stored; the
token that goes with unsafe requests is derived from it and never stored.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from agentcom.core.tokens import Token

_PURPOSE = b"agentcom csrf"


class BrowserSession(msgspec.Struct, frozen=True):
    """A session as it is stored; times are Unix milliseconds.

    :ivar hash: of its secret.
    :ivar token_hash: of the token that it was opened with.
    """

    hash: str
    token_hash: str
    created_at: int
    expires_at: int


class SessionToken(Token, frozen=True, kw_only=True):
    """A token that is used through a browser's session, and never allows more.

    :ivar session: hash of the session's secret.
    """

    session: str


def through(session: BrowserSession, token: Token) -> SessionToken:
    """A session's token, as those see it whom the browser calls."""
    return SessionToken(**msgspec.structs.asdict(token), session=session.hash)


def csrf_of(secret: str) -> str:
    """What unsafe requests of a session must carry, 64 hex digits."""
    return hmac.new(secret.encode(), _PURPOSE, hashlib.sha256).hexdigest()
