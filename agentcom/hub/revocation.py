"""What ends with a token: the connections that were opened with it, and more."""

from __future__ import annotations

from collections.abc import Callable

from agentcom.core.tokens import Token
from agentcom.hub.link import Link
from agentcom.hub.returning import Returning

REVOKED = 4003


class Revocation:
    """Ends what was opened with a revoked token (PROTOCOL.md section 2)."""

    def __init__(self, returning: Returning) -> None:
        self._returning = returning
        self._lines: set[Link] = set()
        self._listeners: list[Callable[[Token], None]] = []

    def opened(self, link: Link) -> None:
        """An identified connection; a replaced one counts until its line is down."""
        self._lines.add(link)

    def closed(self, link: Link) -> None:
        """Its line is down."""
        self._lines.discard(link)

    def listen(self, listener: Callable[[Token], None]) -> None:
        """Hear of each revoked token, to end what else was opened with it."""
        self._listeners.append(listener)

    def revoked(self, token: Token, last: bool) -> None:
        """A token was revoked; ``last`` says that its agent has no other."""
        for listener in self._listeners:
            listener(token)
        for link in list(self._lines):
            if link.token.hash == token.hash:
                link.close(REVOKED, "token revoked")
        if last:
            self._returning.give_back(token.agent_id, "token_revoked")
