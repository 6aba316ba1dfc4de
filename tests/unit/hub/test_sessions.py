"""Sessions of browsers: how long they last, how many there are, what ends them."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.ids import Ids, hash_token
from agentcom.core.session import BrowserSession, csrf_of
from agentcom.core.tokens import DEFAULT_SCOPES, Token
from agentcom.hub import sessions
from agentcom.hub.auth import Auth
from agentcom.hub.revocation import SESSION_ENDED, TOKEN_EXPIRED, TOKEN_REVOKED, Ended
from agentcom.hub.sessions import LASTS_MS, Begun
from tests.unit.store.support import Held, make_clock, memory_store


class SessionCase(SynchronousTestCase):
    """Over the real tokens and the real store in memory."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.ahead_s = 0
        self.commits = Held()
        self.store = memory_store(self.clock, commits=self.commits)
        self.addCleanup(self.store.close)
        self.ids = Ids(random.Random(3).randbytes)
        self.ended: list[Ended] = []
        self.auth = self.make_auth()

    def now(self) -> int:
        return int((self.clock.seconds() + self.ahead_s) * 1000)

    def make_auth(self) -> Auth:
        loaded = self.store.load()
        return Auth(
            self.store, loaded.tokens, loaded.sessions, self.ids, self.now, self.ended.append
        )

    def settle(self) -> None:
        for _ in range(5):
            self.clock.advance(0)

    def token(self, agent_id: str = "w", expires_at: int | None = None) -> Token:
        made = self.auth.create(agent_id, DEFAULT_SCOPES, expires_at)
        self.settle()
        token: Token = self.successResultOf(made)[1]
        return token

    def begin(self, token: Token) -> Begun:
        begun = self.auth.sessions.begin(token)
        self.settle()
        found: Begun = self.successResultOf(begun)
        return found

    def stored(self) -> list[BrowserSession]:
        self.settle()
        return self.store.load().sessions


class LifeTests(SessionCase):
    """From its begin to its end."""

    def test_begin(self) -> None:
        """A session is its token, with its own name; the store has no secret of it."""
        token = self.token()
        begun = self.begin(token)
        found = self.auth.sessions.find(begun.secret)
        assert found is not None
        self.assertEqual((found.hash, found.session), (token.hash, hash_token(begun.secret)))
        self.assertEqual((found.agent_id, found.scopes), (token.agent_id, token.scopes))
        expected = BrowserSession(
            hash_token(begun.secret), token.hash, self.now(), self.now() + LASTS_MS
        )
        self.assertEqual(self.stored(), [expected])

    def test_not_before_the_commit(self) -> None:
        """It is good, and told, once it is on disk."""
        token = self.token()
        self.commits.holding = True
        begun = self.auth.sessions.begin(token)
        self.settle()
        self.assertNoResult(begun)
        self.assertEqual(len(self.auth.sessions), 0)
        self.commits.release()
        self.successResultOf(begun)
        self.assertEqual(len(self.auth.sessions), 1)

    def test_twelve_hours(self) -> None:
        """It lasts twelve hours, and then its row goes and what it opened ends."""
        begun = self.begin(self.token())
        self.clock.advance(LASTS_MS / 1000 - 1)
        self.auth.tick()
        self.assertIsNotNone(self.auth.sessions.find(begun.secret))
        self.clock.advance(1)
        self.assertIsNone(self.auth.sessions.find(begun.secret))
        self.auth.tick()
        self.assertEqual(self.stored(), [])
        self.assertEqual(
            self.ended, [Ended(SESSION_ENDED, sessions=frozenset({begun.session.hash}))]
        )

    def test_clock_ahead_for_a_while(self) -> None:
        """A session that began while the clock ran ahead keeps no other from its end."""
        token = self.token()
        self.ahead_s = 86_400
        ahead = self.begin(token)
        self.ahead_s = 0
        begun = self.begin(token)
        self.clock.advance(LASTS_MS / 1000)
        self.auth.tick()
        self.assertEqual([s.hash for s in self.stored()], [ahead.session.hash])
        self.assertEqual(
            self.ended, [Ended(SESSION_ENDED, sessions=frozenset({begun.session.hash}))]
        )

    def test_no_longer_than_its_token(self) -> None:
        """With its token it expires, sooner than otherwise; others stay."""
        other = self.begin(self.token("other"))
        token = self.token(expires_at=self.now() + 5_000)
        begun = self.begin(token)
        self.assertEqual(begun.session.expires_at, self.now() + 5_000)
        self.clock.advance(5)
        self.assertIsNone(self.auth.sessions.find(begun.secret))
        self.auth.tick()
        self.assertEqual([s.hash for s in self.stored()], [other.session.hash])
        self.assertEqual([what.reason for what in self.ended], [TOKEN_EXPIRED, SESSION_ENDED])

    def test_revocation(self) -> None:
        """A revoked token ends its sessions at once, and their rows go."""
        token = self.token()
        secrets = [self.begin(token).secret for _ in range(3)]
        other = self.begin(self.token("other"))
        seen = self.auth.sessions.find(secrets[0])
        assert seen is not None
        self.assertTrue(self.auth.still_good(seen))
        self.auth.revoke("w")
        self.settle()
        self.assertEqual([self.auth.sessions.find(secret) for secret in secrets], [None] * 3)
        self.assertFalse(self.auth.still_good(seen))
        self.assertEqual([s.hash for s in self.stored()], [other.session.hash])
        # Whoever hears of it is told of the token first: that is the reason.
        self.assertEqual(self.ended[0].reason, TOKEN_REVOKED)
        self.assertTrue(self.ended[0].ends(seen))

    def test_sign_out(self) -> None:
        """It is over at once and answered after the commit; again does no harm."""
        token = self.token()
        begun, other = self.begin(token), self.begin(token)
        seen, kept = (self.auth.sessions.find(b.secret) for b in (begun, other))
        assert seen is not None and kept is not None
        self.commits.holding = True
        done = self.auth.sessions.end(seen.session)
        self.settle()
        self.assertNoResult(done)
        self.assertIsNone(self.auth.sessions.find(begun.secret))
        self.assertEqual((self.auth.still_good(seen), self.auth.still_good(kept)), (False, True))
        (what,) = self.ended
        self.assertEqual((what.reason, what.ends(seen)), (SESSION_ENDED, True))
        self.assertEqual((what.ends(kept), what.ends(token)), (False, False))
        self.commits.release()
        self.successResultOf(done)
        again = self.auth.sessions.end(seen.session)
        self.settle()
        self.successResultOf(again)
        self.assertEqual([s.hash for s in self.stored()], [other.session.hash])

    def test_restart(self) -> None:
        """A restart of the hub signs nobody out."""
        begun = self.begin(self.token())
        again = self.make_auth()
        self.assertIsNotNone(again.sessions.find(begun.secret))
        self.clock.advance(LASTS_MS / 1000)
        again.tick()
        self.assertEqual(self.stored(), [])

    def test_restart_without_the_token(self) -> None:
        """After a restart, too, a session is nothing without its token."""
        begun = self.begin(self.token())
        self.auth.revoke("w")
        self.settle()
        loaded = self.store.load()
        stored = [begun.session]
        again = Auth(self.store, loaded.tokens, stored, self.ids, self.now, self.ended.append)
        self.assertIsNone(again.sessions.find(begun.secret))

    def test_rows_without_a_token(self) -> None:
        """Rows of sessions whose tokens ended while no hub ran go, and are no news."""
        self.begin(self.token(expires_at=self.now() + 5_000))
        kept = self.begin(self.token("other"))
        self.clock.advance(5)
        again = self.make_auth()
        again.tick()
        self.assertEqual([s.hash for s in self.stored()], [kept.session.hash])
        self.assertEqual(self.ended, [])

    def test_csrf(self) -> None:
        """What unsafe requests carry is another for each session, and always the same."""
        words = {csrf_of(self.ids.token()) for _ in range(10)}
        self.assertEqual(len(words), 10)
        self.assertEqual(csrf_of("a" * 64), csrf_of("a" * 64))


class RoomTests(SessionCase):
    """How many there may be."""

    def test_of_a_token(self) -> None:
        """Past the limit of a token its oldest session goes; those of others stay."""
        self.patch(sessions, "OF_A_TOKEN", 3)
        other = self.begin(self.token("other"))
        token = self.token()
        begun = [self.begin(token) for _ in range(5)]
        good = [self.auth.sessions.find(one.secret) is not None for one in begun]
        self.assertEqual(good, [False, False, True, True, True])
        self.assertIsNotNone(self.auth.sessions.find(other.secret))
        self.assertEqual(len(self.stored()), 4)
        self.assertEqual([what.reason for what in self.ended], [SESSION_ENDED] * 2)

    def test_in_all(self) -> None:
        """Past the limit in all the oldest of anybody goes."""
        self.patch(sessions, "IN_ALL", 3)
        begun = [self.begin(self.token(f"w{n}")) for n in range(5)]
        good = [self.auth.sessions.find(one.secret) is not None for one in begun]
        self.assertEqual(good, [False, False, True, True, True])
        self.assertEqual(len(self.stored()), 3)

    def test_many_at_once(self) -> None:
        """Those that come in one batch are as few in the end."""
        self.patch(sessions, "OF_A_TOKEN", 3)
        token = self.token()
        for _ in range(20):
            self.auth.sessions.begin(token)
        self.settle()
        self.assertEqual((len(self.auth.sessions), len(self.stored())), (3, 3))
