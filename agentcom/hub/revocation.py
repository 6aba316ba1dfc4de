"""What ends with a token or a browser's session: what was opened with it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.logger import Logger

from agentcom.core.session import SessionToken
from agentcom.core.tokens import Token
from agentcom.hub.link import Link
from agentcom.hub.returning import Returning

REVOKED = 4003
"""Closes the connection of a token that is not good any more."""

TOKEN_REVOKED = "token_revoked"
TOKEN_EXPIRED = "token_expired"
SESSION_ENDED = "session_ended"

_WORDS = {TOKEN_REVOKED: "token revoked", TOKEN_EXPIRED: "token expired"}


class Ended(msgspec.Struct, frozen=True):
    """Tokens, or sessions, that are not good from now on.

    :ivar reason: one of the three above.
    :ivar tokens: hashes of the tokens.
    :ivar sessions: hashes of the sessions.
    :ivar agent_id: of the agent that was left without a good token by a
        revocation.
    """

    reason: str
    tokens: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    agent_id: str | None = None

    def ends(self, token: Token) -> bool:
        """Whether it ends what was opened with this token."""
        if token.hash in self.tokens:
            return True
        return isinstance(token, SessionToken) and token.session in self.sessions


class Revocation:
    """Ends what was opened with a token that is not good any more (PROTOCOL.md section 2).

    The tasks of a revoked agent go back at once: somebody decided that it shall
    not have them.  Those of a token that expired are held as for any lost line:
    time passed, and its agent comes back with a new one.
    """

    log = Logger()

    def __init__(self, returning: Returning) -> None:
        self._returning = returning
        # By the hash of the token: one of them may end beside ten thousand others.
        self._lines: dict[str, set[Link]] = {}
        # Kept, for a line may identify again by another token.
        self._opened_by: dict[Link, str] = {}
        self._listeners: list[Callable[[Ended], None]] = []

    def opened(self, link: Link) -> None:
        """An identified connection; a replaced one counts until its line is down."""
        self.closed(link)
        name = self._opened_by[link] = link.token.hash
        self._lines.setdefault(name, set()).add(link)

    def closed(self, link: Link) -> None:
        """Its line is down."""
        name = self._opened_by.pop(link, None)
        if name is not None:
            lines = self._lines[name]
            lines.discard(link)
            if not lines:
                del self._lines[name]

    def listen(self, listener: Callable[[Ended], None]) -> None:
        """Hear of what has ended, to end what else was opened with it."""
        self._listeners.append(listener)

    def ended(self, what: Ended) -> None:
        """Tokens, or sessions, have ended."""
        for listener in self._listeners:
            try:
                listener(what)
            except Exception:
                self.log.failure("while telling that {reason}", reason=what.reason)
        for name in what.tokens:
            # A copy: to close a line takes it out.
            for link in list(self._lines.get(name, ())):
                link.close(REVOKED, _WORDS[what.reason])
        if what.agent_id is not None:
            self._returning.give_back(what.agent_id, TOKEN_REVOKED)
