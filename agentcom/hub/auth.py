"""Tokens: who somebody is, and what that allows (PROTOCOL.md section 2).

All tokens are in memory, by hash, so checking one touches no disk.  Changes
are answered after their commit like everything else.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from agentcom.core.ids import Ids, hash_token
from agentcom.core.tokens import ANY, Token, mint
from agentcom.errors import Forbidden, TokenNotFound, Unauthorized
from agentcom.store.interface import Store, Unit


class Auth:
    """The tokens that are good.

    :param now: Unix milliseconds.
    :param revoked: told of each revoked token after the commit, and whether
        it was its agent's last one.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        tokens: list[Token],
        ids: Ids,
        now: Callable[[], int],
        revoked: Callable[[Token, bool], None],
    ) -> None:
        self._store = store
        self._ids = ids
        self._now = now
        self._revoked = revoked
        self._by_hash: dict[str, Token] = {}
        self._by_agent: dict[str, dict[str, Token]] = {}
        for token in tokens:
            self._remember(token)

    def verify(self, secret: str | None) -> Token | None:
        """The token, if it is good now."""
        if not secret:
            return None
        token = self._by_hash.get(hash_token(secret))
        return token if token is not None and self._good(token) else None

    def require(self, secret: str | None, scope: str | None) -> Token | None:
        """The caller's token.

        :param scope: what the route needs; ``ANY`` for some good token, ``None``
            for nothing.
        :raises Unauthorized: no good token, and the route needs one.
        :raises Forbidden: the token lacks the scope.
        """
        token = self.verify(secret)
        if scope is None:
            return token
        if token is None:
            raise Unauthorized
        if scope != ANY and not token.allows(scope):
            raise Forbidden(scope)
        return token

    def still_good(self, token: Token) -> bool:
        """Whether a token that was verified before can be used now."""
        current = self._by_hash.get(token.hash)
        return current is not None and self._good(current)

    def knows(self, agent_id: str) -> bool:
        """Whether the agent id ever had a token."""
        return agent_id in self._by_agent

    def born(self, agent_id: str) -> int:
        """When the agent id got its first token, Unix milliseconds; now where it has none."""
        made = (token.created_at for token in self._by_agent.get(agent_id, {}).values())
        return min(made, default=self._now())

    def good_tokens(self, agent_id: str) -> list[Token]:
        """The agent's tokens that can be used now."""
        return [t for t in self._by_agent.get(agent_id, {}).values() if self._good(t)]

    def everything(self) -> list[Token]:
        """All tokens that can be used now, oldest first."""
        return [t for t in self._by_hash.values() if self._good(t)]

    def create(
        self, agent_id: str, scopes: tuple[str, ...], expires_at: int | None = None
    ) -> Deferred[tuple[str, Token]]:
        """Make a token.  Fires after the commit, with the secret."""
        secret, token = mint(self._ids, agent_id, scopes, self._now(), expires_at)
        done: Deferred[tuple[str, Token]] = Deferred()

        def good() -> None:
            self._remember(token)
            done.callback((secret, token))

        # The id is taken now, so that two registrations cannot both have it.
        self._by_agent.setdefault(agent_id, {})
        self._store.commit(Unit(tokens=(token,), then=good))
        return done

    def revoke(self, agent_id: str) -> Deferred[int]:
        """Revoke all of an agent's tokens.  Fires after the commit.

        :raises TokenNotFound: it has none.
        """
        now = self._now()
        gone = [
            msgspec.structs.replace(t, revoked_at=now)
            for t in self._by_agent.get(agent_id, {}).values()
            if t.revoked_at is None
        ]
        if not gone:
            raise TokenNotFound(agent_id=agent_id)
        done: Deferred[int] = Deferred()

        def revoked() -> None:
            for token in gone:
                self._remember(token)
            last = not self.good_tokens(agent_id)
            done.callback(len(gone))
            for token in gone:
                self._revoked(token, last)

        self._store.commit(Unit(tokens=gone, then=revoked))
        return done

    def reload(self) -> None:
        """Take in tokens that another process wrote (the local command line)."""

        def found(tokens: list[Token]) -> None:
            # Only what is unknown: a token may have been revoked since the look.
            for token in tokens:
                if token.hash not in self._by_hash:
                    self._remember(token)

        looked = self._store.tokens_beyond(len(self._by_hash)).addCallback(found)
        looked.addErrback(lambda f: self.log.failure("while looking for new tokens", f))

    def _good(self, token: Token) -> bool:
        return token.good(self._now())

    def _remember(self, token: Token) -> None:
        self._by_hash[token.hash] = token
        self._by_agent.setdefault(token.agent_id, {})[token.hash] = token
