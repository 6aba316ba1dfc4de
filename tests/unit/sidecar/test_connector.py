"""Reconnecting: how long, how often, and when not.  Time is a ``Clock``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.backoff import Backoff
from agentcom.client.errors import HubError, HubUnreachable
from agentcom.sidecar.connector import Again, Connector, GiveUp, judge
from agentcom.sidecar.session import Ending


def ending(**fields: Any) -> Ending:
    """How a session ended that was fine while it lasted."""
    told: dict[str, Any] = {
        "code": 1001,
        "reason": "",
        "identified": True,
        "stable": True,
        "refused": None,
        "retry_after_s": None,
    }
    return Ending(**{**told, **fields})


class JudgeTests(SynchronousTestCase):
    def judge(self, first: bool = False, renewable: bool = False, **fields: Any) -> Again:
        return judge("bot", ending(**fields), first=first, renewable=renewable)

    def test_lost(self) -> None:
        """A lost line is tried again, with the hub's wish as the least wait."""
        self.assertEqual(self.judge(reason="gone").why, "the line to the hub is lost (gone)")
        self.assertEqual(self.judge(code=None).why, "the line to the hub is lost")
        self.assertEqual(self.judge(retry_after_s=7.0).at_least_s, 7.0)
        never = self.judge(identified=False, reason="404")
        self.assertEqual(never.why, "the hub took no line (404)")

    def test_replaced(self) -> None:
        """Two agents of one name do not fight: the older waits long."""
        self.assertEqual(self.judge(code=4001).at_least_s, 30.0)
        self.assertEqual(self.judge(code=4001, retry_after_s=60.0).at_least_s, 60.0)

    def test_winner_has_gone(self) -> None:
        """The hub says that it may come back: a wish of the hub's is obeyed, a short one too."""
        self.assertEqual(self.judge(code=4001, retry_after_s=0.0).at_least_s, 0.0)

    def test_identify_refused(self) -> None:
        """What the hub refuses of the agent itself is told, and no more is tried."""
        for refused, told in (
            ("validation_failed", "says of itself: validation_failed: labels"),
            ("forbidden", "lacks the scope `agent`"),
        ):
            with self.assertRaises(GiveUp) as caught:
                self.judge(refused=refused, problem="validation_failed: labels: too long")
            self.assertIn(told, str(caught.exception))

    def test_revoked(self) -> None:
        """A revoked token ends the agent, even if it could make another."""
        with self.assertRaises(GiveUp) as caught:
            self.judge(code=4003, renewable=True)
        self.assertIn("agentcom token create bot", str(caught.exception))

    def test_expired(self) -> None:
        """A token that expires on an open line is made anew, or asked for until it is good."""
        self.assertTrue(self.judge(code=4003, reason="token expired", renewable=True).renew)
        later = self.judge(code=4003, reason="token expired", retry_after_s=7.0)
        self.assertEqual((later.why, later.at_least_s), ("the token of bot has expired", 7.0))

    def test_refused_at_first(self) -> None:
        """A token that was never good is told, and no more is tried."""
        for code, told in (
            ("invalid_token", "does not know the token"),
            ("token_agent_mismatch", "belongs to another agent"),
        ):
            with self.assertRaises(GiveUp) as caught:
                self.judge(first=True, refused=code)
            self.assertIn(told, str(caught.exception))

    def test_refused_later(self) -> None:
        """A token that was good may be good again."""
        self.assertFalse(self.judge(refused="invalid_token").renew)

    def test_renewable(self) -> None:
        """Who can make a new token does."""
        self.assertTrue(self.judge(first=True, renewable=True, refused="invalid_token").renew)


class FakeSession:
    """A session that ends as the test says."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.ended: Deferred[Ending] = Deferred()
        self.hung_up = False

    def hang_up(self, reason: str) -> None:
        self.hung_up = True
        self.ended.callback(ending())

    def drop(self) -> None:
        self.ended.callback(ending())

    def closed(self, code: int | None, reason: str) -> None:
        self.ended.callback(ending(code=code, reason=reason, identified=False, stable=False))


class ConnectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions: list[FakeSession] = []
        self.asked: list[bool] = []
        self.line: Deferred[Any] = succeed(None)
        self.token_error: Exception | None = None
        self.warnings: list[str] = []
        self.patch(Connector, "log", self)

    def warn(self, text: str, why: str, delay: float) -> None:
        self.warnings.append(why)

    def begin(self, renewable: bool = False) -> Deferred[Any]:
        def new_session(token: str) -> Any:
            self.sessions.append(FakeSession(token))
            return self.sessions[-1]

        async def tokens(renew: bool) -> str:
            self.asked.append(renew)
            if self.token_error is not None:
                raise self.token_error
            return f"token{len(self.asked)}"

        self.connector = Connector(
            "bot",
            new_session,
            lambda session: self.line,
            tokens,
            renewable,
            Backoff(lambda: 1.0),
        )
        return Deferred.fromCoroutine(self.connector.run(self.clock))

    def end(self, **fields: Any) -> None:
        self.sessions[-1].ended.callback(ending(**fields))

    def refuse(self) -> None:
        self.end(identified=False, stable=False, refused="invalid_token")

    def test_waits_longer_and_longer(self) -> None:
        """A hub that is away is tried for ever, ever more rarely."""
        self.line = fail(HubUnreachable("no hub answers"))
        running = self.begin()
        tried = []
        for _ in range(9):
            self.line = fail(HubUnreachable("no hub answers"))
            call = self.clock.getDelayedCalls()[0]
            tried.append(call.getTime() - self.clock.seconds())
            self.clock.advance(tried[-1])
        self.assertEqual(tried, [1, 2, 4, 8, 16, 32, 60, 60, 60])
        self.assertEqual(self.warnings[0], "no hub answers")
        self.assertNoResult(running)

    def test_stable_session_resets(self) -> None:
        """After a session that lasted the next try comes soon."""
        self.begin()
        for delay in (1, 2, 4):
            self.end(stable=False)
            self.assertEqual(
                self.clock.getDelayedCalls()[0].getTime(), self.clock.seconds() + delay
            )
            self.clock.advance(delay)
        self.end()
        self.clock.advance(1)
        self.assertEqual(len(self.sessions), 5)

    def test_bad_token(self) -> None:
        """A token that was never good ends the agent."""
        running = self.begin()
        self.refuse()
        self.failureResultOf(running, GiveUp)

    def test_bad_token_later(self) -> None:
        """A token that was good is tried on."""
        running = self.begin()
        self.end()
        self.clock.advance(1)
        self.refuse()
        self.clock.advance(60)
        self.assertEqual((len(self.sessions), self.asked), (3, [False, False, False]))
        self.assertNoResult(running)

    def test_renews_once(self) -> None:
        """A new token is tried at once; if it is bad too, that is the end."""
        running = self.begin(renewable=True)
        self.refuse()
        self.clock.advance(0)
        self.assertEqual((self.asked, self.sessions[-1].token), ([False, True], "token2"))
        self.refuse()
        self.failureResultOf(running, GiveUp)

    def test_renews_again_after_success(self) -> None:
        """A new token that was good can be renewed again."""
        self.begin(renewable=True)
        self.refuse()
        self.clock.advance(0)
        self.end()
        self.clock.advance(1)
        self.refuse()
        self.clock.advance(0)
        self.assertEqual(self.asked, [False, True, False, True])

    def test_no_token_to_be_had_now(self) -> None:
        """While the hub cannot make a token, that is tried like a connection."""
        for error in (HubUnreachable("away"), HubError(503, "stopping", {})):
            self.token_error = error
            running = self.begin(renewable=True)
            self.assertNoResult(running)
            self.token_error = None
            self.clock.advance(1)
            self.assertEqual(len(self.sessions), 1)
            self.sessions.clear()

    def test_no_token_to_be_had(self) -> None:
        """A hub that will make none ends the agent."""
        self.token_error = HubError(401, "unauthorized", {})
        self.failureResultOf(self.begin(renewable=True), HubError)

    def test_no_token_to_be_had_later(self) -> None:
        """A hub that refuses token and new token of an agent which it knew does not end it."""
        running = self.begin(renewable=True)
        self.end()
        self.clock.advance(1)
        self.refuse()
        self.token_error = HubError(401, "unauthorized", {})
        self.clock.advance(0)
        self.assertNoResult(running)
        self.token_error = None
        self.clock.advance(60)
        self.assertNoResult(running)
        self.assertEqual((self.asked[-1], len(self.sessions)), (True, 3))

    def test_asks_for_a_new_token_with_pauses(self) -> None:
        """While no new token can be had, it is asked for ever less often."""
        running = self.begin(renewable=True)
        self.refuse()
        self.token_error = HubUnreachable("away")
        for _ in range(20):
            self.clock.advance(0)
        self.assertEqual(self.asked, [False, True])
        self.assertNoResult(running)

    def test_stop_in_a_session(self) -> None:
        """Stopping hangs up and ends."""
        running = self.begin()
        self.connector.stop()
        self.assertTrue(self.sessions[0].hung_up)
        self.successResultOf(running)

    def test_stop_in_a_pause(self) -> None:
        """Stopping does not wait for the next try."""
        running = self.begin()
        self.end()
        self.connector.stop()
        self.successResultOf(running)
        self.assertEqual((len(self.sessions), self.clock.getDelayedCalls()), (1, []))

    def test_stop_while_asking_for_a_token(self) -> None:
        """A token that comes too late connects nothing."""
        token: Deferred[str] = Deferred()

        async def slow(renew: bool) -> str:
            return await token

        self.begin()
        self.connector.stop()
        self.sessions.clear()
        connector = Connector(
            "bot",
            self.connector._new_session,
            lambda session: self.fail("a line was opened"),
            slow,
            False,
            Backoff(lambda: 1.0),
        )
        running = Deferred.fromCoroutine(connector.run(self.clock))
        connector.stop()
        token.callback("late")
        self.successResultOf(running)
