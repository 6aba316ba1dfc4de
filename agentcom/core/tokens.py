"""Tokens as values: what is kept of one, and how one is made.

A token belongs to one agent id and carries scopes (PROTOCOL.md section 2).
"""

from __future__ import annotations

import msgspec

from agentcom.core.ids import Ids, hash_token

AGENT = "agent"
SUBMIT = "submit"
ADMIN = "admin"
ENROLL = "enroll"
SCOPES = (AGENT, SUBMIT, ADMIN, ENROLL)
ANY = "any"
"""What a route needs that looks itself whose token it is: some good one."""

DEFAULT_SCOPES = (AGENT, SUBMIT)

PREFIX_SHOWN = 8
"""Characters of a token that lists show, to tell tokens apart."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is stored: never itself, only its hash.

    Times are Unix milliseconds.  A revoked token stays, so that its agent
    id remains known.
    """

    hash: str
    agent_id: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    def good(self, now: int) -> bool:
        """Whether it can be used; ``now`` is in Unix milliseconds."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def allows(self, scope: str) -> bool:
        """Whether it carries a scope; ``admin`` carries all."""
        return scope in self.scopes or ADMIN in self.scopes


def mint(
    ids: Ids, agent_id: str, scopes: tuple[str, ...], now: int, expires_at: int | None = None
) -> tuple[str, Token]:
    """A new token, and what is stored of it.  The secret is shown once."""
    secret = ids.token()
    return secret, Token(
        hash=hash_token(secret),
        agent_id=agent_id,
        prefix=secret[:PREFIX_SHOWN],
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
    )
