"""Tokens: who somebody is, and what that allows (PROTOCOL.md section 2).

All tokens are in memory, by hash, so checking one touches no disk.  Changes
are answered after their commit like everything else.  What ends with a token
is told to :class:`.revocation.Revocation`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from agentcom.core.ids import Ids, hash_token
from agentcom.core.session import BrowserSession, SessionToken
from agentcom.core.tokens import ANY, Token, mint
from agentcom.errors import Forbidden, TokenNotFound, Unauthorized
from agentcom.hub.revocation import SESSION_ENDED, TOKEN_EXPIRED, TOKEN_REVOKED, Ended
from agentcom.hub.sessions import Sessions
from agentcom.store.interface import Store, Unit

UNSEEN_MS = 10_000
"""Milliseconds that may pass before it is seen that the clock was set back."""


class Auth:
    """The tokens that are good.

    :param now: Unix milliseconds.
    :param ended: told of what is not good any more, after the commit.
    :ivar sessions: the browsers that signed in.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        tokens: Iterable[Token],
        sessions: Sequence[BrowserSession],
        ids: Ids,
        now: Callable[[], int],
        ended: Callable[[Ended], None],
    ) -> None:
        self._store = store
        self._ids = ids
        self._now = now
        self._ended = ended
        self._by_hash: dict[str, Token] = {}
        self._by_agent: dict[str, dict[str, Token]] = {}
        # When tokens expire that have not, soonest first.
        self._expiring: list[tuple[int, str]] = []
        # By which clock others were left out.
        self._left_out_at = 0
        for token in tokens:
            self._remember(token)
        self.sessions = Sessions(store, sessions, ids, self._get, now, self._sessions_over)

    def verify(self, secret: str | None) -> Token | None:
        """The token, if it is good now."""
        if not secret:
            return None
        return self._get(hash_token(secret))

    def require(self, secret: str | None, scope: str | None) -> Token | None:
        """The caller's token.

        :param scope: what the route needs; ``ANY`` for some good token, ``None``
            for nothing.
        :raises Unauthorized: no good token, and the route needs one.
        :raises Forbidden: the token lacks the scope.
        """
        token = self.verify(secret)
        if token is None and scope is not None:
            raise Unauthorized
        return check_scope(token, scope)

    def still_good(self, token: Token) -> bool:
        """Whether a token that was verified before can be used now, and its session too
        where it came by one."""
        if isinstance(token, SessionToken) and self.sessions.get(token.session) is None:
            return False
        return self._get(token.hash) is not None

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
            alone = None if self.good_tokens(agent_id) else agent_id
            done.callback(len(gone))
            self._over(Ended(TOKEN_REVOKED, frozenset(t.hash for t in gone), agent_id=alone))

        self._store.commit(Unit(tokens=gone, then=revoked))
        return done

    def tick(self) -> None:
        """End what has expired, and look for new tokens; about once a second."""
        self._expire()
        self.sessions.tick()
        self.reload()

    def reload(self) -> None:
        """Take in tokens that another process wrote (the local command line)."""

        def found(tokens: list[Token]) -> None:
            # Only what is unknown: a token may have been revoked since the look.
            for token in tokens:
                if token.hash not in self._by_hash:
                    self._remember(token)

        looked = self._store.tokens_beyond(len(self._by_hash)).addCallback(found)
        looked.addErrback(lambda f: self.log.failure("while looking for new tokens", f))

    def _expire(self) -> None:
        now = self._now()
        if now < self._left_out_at:
            # The clock was set back: what had expired may be good again, or have
            # been good, and used, until just now.
            self._expiring = [
                (token.expires_at, token.hash)
                for token in self._by_hash.values()
                if token.expires_at is not None and token.good(now - UNSEEN_MS)
            ]
            heapq.heapify(self._expiring)
        self._left_out_at = now
        expired: set[str] = set()
        while self._expiring and self._expiring[0][0] <= now:
            token = self._by_hash[heapq.heappop(self._expiring)[1]]
            if token.revoked_at is None:
                expired.add(token.hash)
        if expired:
            self._over(Ended(TOKEN_EXPIRED, frozenset(expired)))

    def _over(self, what: Ended) -> None:
        # The tokens first: their word is the reason why sessions end, too.
        self._ended(what)
        self.sessions.end_of(what.tokens)

    def _sessions_over(self, sessions: frozenset[str]) -> None:
        self._ended(Ended(SESSION_ENDED, sessions=sessions))

    def _get(self, name: str) -> Token | None:
        token = self._by_hash.get(name)
        return token if token is not None and self._good(token) else None

    def _good(self, token: Token) -> bool:
        return token.good(self._now())

    def _remember(self, token: Token) -> None:
        at, now = token.expires_at, self._now()
        if at is not None and token.good(now) and token.hash not in self._by_hash:
            heapq.heappush(self._expiring, (at, token.hash))
        self._left_out_at = max(self._left_out_at, now)
        self._by_hash[token.hash] = token
        self._by_agent.setdefault(token.agent_id, {})[token.hash] = token


def check_scope(token: Token | None, scope: str | None) -> Token | None:
    """The token, if it has what a route needs, or the route needs nothing.

    :raises Forbidden: it lacks the scope.
    """
    if token is not None and scope not in (None, ANY) and not token.allows(scope):
        raise Forbidden(scope)
    return token
