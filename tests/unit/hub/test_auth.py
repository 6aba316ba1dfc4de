"""Tokens in the hub: good ones, and how they stop being good."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.ids import Ids
from agentcom.core.tokens import ADMIN, DEFAULT_SCOPES, ENROLL, SCOPES, Token, mint
from agentcom.errors import Forbidden, TokenNotFound, Unauthorized
from agentcom.hub.auth import Auth
from agentcom.store.interface import Unit
from tests.unit.store.support import Held, make_clock, memory_store


class Late:
    """Reads at once, and tells what it read when the test says so."""

    def __init__(self) -> None:
        self.late = False
        self.waiting: list[tuple[Deferred[Any], Any]] = []

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        if not self.late:
            return maybeDeferred(work)
        told: Deferred[Any] = Deferred()
        self.waiting.append((told, work()))
        return told

    def release(self) -> None:
        self.late = False
        for told, result in self.waiting:
            told.callback(result)
        self.waiting.clear()


class AuthTests(SynchronousTestCase):
    """Over the real store in memory."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.commits = Held()
        self.reads = Late()
        self.store = memory_store(self.clock, commits=self.commits, reads=self.reads)
        self.addCleanup(self.store.close)
        self.ids = Ids(random.Random(3).randbytes)
        self.revoked: list[tuple[str, bool]] = []
        self.auth = Auth(
            self.store,
            [],
            self.ids,
            lambda: int(self.clock.seconds() * 1000),
            lambda token, last: self.revoked.append((token.agent_id, last)),
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
        self.assertEqual(self.revoked, [("w", True)] * 2)
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

    def test_restart(self) -> None:
        """After a restart good tokens are good and revoked ones are not."""
        good, bad = self.create("good"), self.create("bad")
        self.auth.revoke("bad")
        self.settle()
        tokens = self.store.load().tokens
        again = Auth(self.store, tokens, self.ids, lambda: 0, lambda token, last: None)
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
        auth = Auth(broken, [], self.ids, lambda: 0, lambda token, last: None)
        auth.reload()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.auth.reload()
        self.assertIsNotNone(self.auth.verify(secret))
