"""The sessions of browsers: who signed in, with which token, until when.

All of them are in memory, by the hash of their secret, so that a request
touches no disk; they are stored as well, so that a restart of the hub signs
nobody out.  A session gives what its token gives, and only while that is good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from twisted.internet.defer import Deferred

from agentcom.core.ids import Ids, hash_token
from agentcom.core.session import BrowserSession, SessionToken, through
from agentcom.core.tokens import Token
from agentcom.store.interface import Store, Unit

LASTS_MS = 12 * 3_600 * 1000
"""Milliseconds that a session is good for at the most."""

OF_A_TOKEN = 100
IN_ALL = 10_000
"""Sessions that there may be; the oldest goes."""


class Begun(msgspec.Struct, frozen=True):
    """A session that has just begun; its secret is told this once."""

    secret: str
    session: BrowserSession


class Sessions:
    """The sessions that there are.

    :param stored: those of the store, oldest first.
    :param good: the token of a hash, if it can be used now.
    :param now: Unix milliseconds.
    :param over: told of the hashes of sessions that have just ended.
    """

    def __init__(
        self,
        store: Store,
        stored: Iterable[BrowserSession],
        ids: Ids,
        good: Callable[[str], Token | None],
        now: Callable[[], int],
        over: Callable[[frozenset[str]], None],
    ) -> None:
        self._store = store
        self._ids = ids
        self._good = good
        self._now = now
        self._over = over
        # Both in the order in which they began.
        self._by_hash: dict[str, BrowserSession] = {}
        self._by_token: dict[str, dict[str, None]] = {}
        # Their tokens ended while no hub ran, or just before one ended.
        self._stale: list[str] = []
        for session in stored:
            if good(session.token_hash) is None:
                self._stale.append(session.hash)
            else:
                self._remember(session)

    def __len__(self) -> int:
        return len(self._by_hash)

    def begin(self, token: Token) -> Deferred[Begun]:
        """Sign in.  Fires after the commit."""
        now = self._now()
        secret = self._ids.token()
        expires_at = now + LASTS_MS
        if token.expires_at is not None:
            expires_at = min(expires_at, token.expires_at)
        session = BrowserSession(hash_token(secret), token.hash, now, expires_at)
        done: Deferred[Begun] = Deferred()

        def begun() -> None:
            self._remember(session)
            done.callback(Begun(secret, session))
            self._make_room(token.hash)

        self._store.commit(Unit(sessions={session.hash: session}, then=begun))
        return done

    def find(self, secret: str) -> SessionToken | None:
        """The token of a session, if both are good now."""
        session = self.get(hash_token(secret))
        token = None if session is None else self._good(session.token_hash)
        return None if session is None or token is None else through(session, token)

    def get(self, name: str) -> BrowserSession | None:
        """A session by its hash, if its time is not over; nothing is said of its token."""
        session = self._by_hash.get(name)
        return session if session is not None and session.expires_at > self._now() else None

    def end(self, name: str) -> Deferred[None]:
        """Sign out: it is over at once.  Fires after the commit."""
        done: Deferred[None] = Deferred()
        self._forget([name], lambda: done.callback(None))
        return done

    def end_of(self, tokens: Iterable[str]) -> None:
        """Forget the sessions of tokens that are not good any more, by the tokens' hashes."""
        self._forget([name for token in tokens for name in self._by_token.get(token, ())])

    def tick(self) -> None:
        """Forget those whose time is over; about once a second."""
        if self._stale:
            self._store.commit(Unit(sessions=dict.fromkeys(self._stale)))
            self._stale = []
        now = self._now()
        # All are looked at: one that began while the clock ran ahead may stand
        # before others.  One of a token that ends sooner ends with that.
        late = [s.hash for s in self._by_hash.values() if s.created_at + LASTS_MS <= now]
        if late:
            self._forget(late)

    def _make_room(self, token_hash: str) -> None:
        own = self._by_token.get(token_hash, {})
        surplus = [*own][: max(0, len(own) - OF_A_TOKEN)]
        if not surplus and len(self._by_hash) > IN_ALL:
            surplus = [next(iter(self._by_hash))]
        if surplus:
            self._forget(surplus)

    def _forget(self, names: list[str], then: Callable[[], None] | None = None) -> None:
        gone = [name for name in names if name in self._by_hash]
        for name in gone:
            token_hash = self._by_hash.pop(name).token_hash
            own = self._by_token[token_hash]
            del own[name]
            if not own:
                del self._by_token[token_hash]
        if gone or then is not None:
            self._store.commit(Unit(sessions=dict.fromkeys(gone), then=then))
        if gone:
            self._over(frozenset(gone))

    def _remember(self, session: BrowserSession) -> None:
        self._by_hash[session.hash] = session
        self._by_token.setdefault(session.token_hash, {})[session.hash] = None
