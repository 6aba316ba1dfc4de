"""Tokens in the hub: good ones, and how they stop being good."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.ids import Ids, hash_token
from agentcom.core.tokens import ADMIN, DEFAULT_SCOPES, ENROLL, SCOPES, Token, mint
from agentcom.errors import Forbidden, TokenNotFound, Unauthorized
from agentcom.hub.auth import Auth
from agentcom.hub.revocation import TOKEN_EXPIRED, TOKEN_REVOKED, Ended
from agentcom.store.interface import Unit
from tests.unit.store.support import Held, make_clock, memory_store


class Late:
    """Reads at once, and tells what it read when the test says so; or, where it is queued,
    reads only then."""

    def __init__(self) -> None:
        self.late = self.queued = False
        self.waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        if not self.late and not self.queued:
            return maybeDeferred(work)
        told: Deferred[Any] = Deferred()
        if self.late:
            found = work()
            self.waiting.append((told, lambda: found))
        else:
            self.waiting.append((told, work))
        return told

    def release(self) -> None:
        self.late = self.queued = False
        waiting, self.waiting = self.waiting, []
        for told, result in waiting:
            told.callback(result())


class AuthTests(SynchronousTestCase):
    """Over the real store in memory."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.ahead_s = 0
        self.commits = Held()
        self.reads = Late()
        self.store = memory_store(self.clock, commits=self.commits, reads=self.reads)
        self.addCleanup(self.store.close)
        self.ids = Ids(random.Random(3).randbytes)
        self.ended: list[Ended] = []
        self.auth = self.make_auth()

    def now(self) -> int:
        return int((self.clock.seconds() + self.ahead_s) * 1000)

    def make_auth(self) -> Auth:
        """What a hub has when it starts on the store."""
        loaded = self.store.load()
        return Auth(
            self.store, loaded.tokens, loaded.sessions, self.ids, self.now, self.ended.append
        )

    def settle(self) -> None:
        for _ in range(5):
            self.clock.advance(0)

    def create(self, agent_id: str = "w", *args: Any) -> str:
        made = self.auth.create(agent_id, *(args or (DEFAULT_SCOPES,)))
        self.settle()
        secret: str = self.successResultOf(made)[0]
        return secret

    def test_scopes(self) -> None:
        """A token opens what its scopes say, ``admin`` everything, and nobody no route."""
        for scope in SCOPES:
            secret = self.create("w", (scope,))
            for needed in SCOPES:
                if needed == scope or scope == ADMIN:
                    self.assertIsNotNone(self.auth.require(secret, needed))
                else:
                    error = self.assertRaises(Forbidden, self.auth.require, secret, needed)
                    self.assertEqual(error.fields, {"required_scope": needed})
            self.assertIsNotNone(self.auth.require(secret, None))
        for wrong in (None, "", "wrong", "\ud800"):
            self.assertRaises(Unauthorized, self.auth.require, wrong, "agent")
            self.assertIsNone(self.auth.require(wrong, None))

    def test_good_after_the_commit(self) -> None:
        """A token is shown, and good, only once it is on disk."""
        self.commits.holding = True
        made = self.auth.create("w", DEFAULT_SCOPES)
        self.settle()
        self.assertNoResult(made)
        self.assertEqual((self.auth.everything(), self.auth.good_tokens("w")), ([], []))
        self.commits.release()
        secret, token = self.successResultOf(made)
        self.assertEqual(self.auth.verify(secret), token)
        self.assertEqual(self.store.load().tokens, [token])

    def test_id_is_taken_at_once(self) -> None:
        """An agent id is known from the moment that its token is asked for."""
        self.assertFalse(self.auth.knows("w"))
        self.auth.create("w", DEFAULT_SCOPES)
        self.assertTrue(self.auth.knows("w"))

    def test_expiry(self) -> None:
        """An expired token opens nothing and is in no list; its agent stays known."""
        now = int(self.clock.seconds() * 1000)
        secret = self.create("w", DEFAULT_SCOPES, now + 1_000)
        self.clock.advance(0.9)
        self.assertIsNotNone(self.auth.verify(secret))
        self.clock.advance(0.1)
        self.assertIsNone(self.auth.verify(secret))
        self.assertEqual((self.auth.everything(), self.auth.good_tokens("w")), ([], []))
        self.assertTrue(self.auth.knows("w"))

    def test_revoke(self) -> None:
        """All of an agent's tokens are revoked, after the commit; others' are not."""
        secrets = [self.create(), self.create()]
        other = self.create("other", (ENROLL,))
        self.commits.holding = True
        gone = self.auth.revoke("w")
        self.settle()
        self.assertNoResult(gone)
        self.assertIsNotNone(self.auth.verify(secrets[0]))
        self.commits.release()
        self.assertEqual(self.successResultOf(gone), 2)
        self.assertEqual([self.auth.verify(s) for s in secrets], [None, None])
        self.assertIsNotNone(self.auth.verify(other))
        hashes = frozenset(map(hash_token, secrets))
        self.assertEqual(self.ended, [Ended(TOKEN_REVOKED, hashes, agent_id="w")])
        self.assertTrue(self.auth.knows("w"))
        self.assertEqual(len([t for t in self.store.load().tokens if t.revoked_at]), 2)

    def test_revoke_nothing(self) -> None:
        """Revoking what is not there, or is revoked already, says so."""
        self.assertRaises(TokenNotFound, self.auth.revoke, "w")
        self.create()
        self.auth.revoke("w")
        self.settle()
        self.assertRaises(TokenNotFound, self.auth.revoke, "w")

    def test_new_token_during_a_revocation(self) -> None:
        """A token made while the others are being revoked is good: it was not the last."""
        self.create()
        self.auth.revoke("w")
        made = self.auth.create("w", DEFAULT_SCOPES)
        self.settle()
        self.assertIsNotNone(self.auth.verify(self.successResultOf(made)[0]))

    def test_expiry_is_told(self) -> None:
        """What expires is told once, in one word for all that expire together, and no revoked
        one among them."""
        now = self.now()
        secrets = [self.create("w", DEFAULT_SCOPES, now + ms) for ms in (1_500, 500, 900, 700)]
        self.create("x")
        revoked = self.create("y", DEFAULT_SCOPES, now + 600)
        self.auth.revoke("y")
        self.settle()
        self.ended.clear()
        self.auth.tick()
        self.assertEqual(self.ended, [])
        self.clock.advance(1)
        self.auth.tick()
        hashes = frozenset(map(hash_token, secrets[1:]))
        self.assertEqual(self.ended, [Ended(TOKEN_EXPIRED, hashes)])
        self.assertNotIn(hash_token(revoked), self.ended[0].tokens)
        self.auth.tick()
        self.assertEqual(len(self.ended), 1)
        self.clock.advance(1)
        self.auth.tick()
        self.assertEqual(
            self.ended[1:], [Ended(TOKEN_EXPIRED, frozenset({hash_token(secrets[0])}))]
        )

    def test_expiry_after_a_restart(self) -> None:
        """A token that expires after a restart is told, too."""
        secret = self.create("w", DEFAULT_SCOPES, self.now() + 5_000)
        again = self.make_auth()
        self.clock.advance(5)
        again.tick()
        self.assertEqual(self.ended, [Ended(TOKEN_EXPIRED, frozenset({hash_token(secret)}))])

    def test_expired_before_a_restart(self) -> None:
        """What had expired before is no news."""
        self.create("w", DEFAULT_SCOPES, self.now() + 5_000)
        self.clock.advance(5)
        again = self.make_auth()
        again.tick()
        self.assertEqual(self.ended, [])

    def test_clock_ahead_for_a_while(self) -> None:
        """What expired by a clock that ran ahead, and is good since that was set back, is told
        again when it expires; once, and without what was revoked meanwhile."""
        expires_at = self.now() + 600_000
        secret = self.create("w", DEFAULT_SCOPES, expires_at)
        self.create("y", DEFAULT_SCOPES, expires_at)
        self.create("old", DEFAULT_SCOPES, self.now() + 1_000)
        # Good again for a moment, which no tick sees: it may be used in that.
        moment = self.create("z", DEFAULT_SCOPES, self.now() + 59_500)
        self.ahead_s = 3_600
        self.auth.tick()
        self.assertEqual([len(ended.tokens) for ended in self.ended], [4])
        self.clock.advance(59)
        self.ahead_s = 0
        self.assertIsNotNone(self.auth.verify(moment))
        self.clock.advance(1)
        self.assertIsNotNone(self.auth.verify(secret))
        self.auth.revoke("y")
        self.settle()
        self.ended.clear()
        self.auth.tick()
        self.auth.tick()
        self.assertEqual(self.ended, [Ended(TOKEN_EXPIRED, frozenset({hash_token(moment)}))])
        self.clock.advance(539)
        self.auth.tick()
        self.assertEqual(len(self.ended), 1)
        self.clock.advance(1)
        self.auth.tick()
        self.auth.tick()
        self.assertEqual(self.ended[1:], [Ended(TOKEN_EXPIRED, frozenset({hash_token(secret)}))])

    def test_started_while_the_clock_was_ahead(self) -> None:
        """The same holds for what had expired by the clock with which the hub started."""
        secret = self.create("w", DEFAULT_SCOPES, self.now() + 600_000)
        self.ahead_s = 3_600
        again = self.make_auth()
        self.ahead_s = 0
        again.tick()
        self.assertEqual(self.ended, [])
        self.clock.advance(600)
        again.tick()
        self.assertEqual(self.ended, [Ended(TOKEN_EXPIRED, frozenset({hash_token(secret)}))])

    def test_restart(self) -> None:
        """After a restart good tokens are good and revoked ones are not."""
        good, bad = self.create("good"), self.create("bad")
        self.auth.revoke("bad")
        self.settle()
        again = self.make_auth()
        self.assertIsNotNone(again.verify(good))
        self.assertIsNone(again.verify(bad))
        self.assertTrue(again.knows("bad"))

    def other_process_writes(self, agent_id: str) -> tuple[str, Token]:
        """A token that the hub's own ``create`` did not make."""
        secret, token = mint(self.ids, agent_id, (ADMIN,), 0)
        self.store.commit(Unit(tokens=[token]))
        self.settle()
        return secret, token

    def test_tokens_of_another_process(self) -> None:
        """Tokens that the local command wrote are taken in at the next look."""
        secret, token = self.other_process_writes("admin")
        self.assertIsNone(self.auth.verify(secret))
        self.auth.reload()
        self.assertEqual(self.auth.verify(secret), token)

    def test_late_look_does_not_undo_a_revocation(self) -> None:
        """A look at the store that began before a revocation does not bring the token back."""
        stolen = self.create("w")
        self.other_process_writes("admin")
        self.reads.late = True
        self.auth.reload()
        self.auth.revoke("w")
        self.settle()
        self.reads.release()
        self.assertIsNone(self.auth.verify(stolen))
        self.auth.reload()
        self.assertIsNone(self.auth.verify(stolen))

    def test_failing_look_is_logged(self) -> None:
        """A look that fails is logged, and the next one works."""
        secret, _ = self.other_process_writes("admin")
        held = Held()
        held.error = OSError("disk")
        broken = memory_store(self.clock, reads=held)
        self.addCleanup(broken.close)
        auth = Auth(broken, [], [], self.ids, lambda: 0, self.ended.append)
        auth.reload()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.auth.reload()
        self.assertIsNotNone(self.auth.verify(secret))
