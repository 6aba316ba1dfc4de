"""The cookie of a browser's session: read from hostile input, and written."""

from __future__ import annotations

import re

from twisted.web.server import Request

NAME = "agentcom_session"

MOST_COOKIE = 16 * 1024
"""Bytes of cookies that are looked at."""

_SECRET = re.compile(rb"[0-9a-f]{64}\Z")


def secret_of(request: Request) -> str | None:
    """The secret in the cookie; ``None`` where there is none, or more than one.

    Whoever serves a page on a neighbouring host can add a cookie of this name
    but not take the first one away, so of two that differ neither is believed.
    """
    found: set[bytes] = set()
    for value in request.requestHeaders.getRawHeaders(b"cookie") or ():
        if len(value) > MOST_COOKIE:
            return None
        for part in value.split(b";"):
            name, equals, secret = part.strip(b" \t").partition(b"=")
            if equals and name == NAME.encode():
                found.add(secret)
    if len(found) != 1:
        return None
    (secret,) = found
    return secret.decode() if _SECRET.match(secret) else None


def set_cookie(secret: str, lasts_s: int, secure: bool) -> tuple[bytes, bytes]:
    """The header that gives a browser its cookie; for 0 seconds it takes it away."""
    value = f"{NAME}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lasts_s}"
    return b"set-cookie", (value + ("; Secure" if secure else "")).encode()
