"""What a line that ends, or should have ended, can still do, and what it cannot."""

from twisted.internet.defer import Deferred

from agentcom.testing import Answered, FakeAgent
from tests.contract.helpers import HubTests, enqueue, history, never_closes


class ReplacedLineTests(HubTests):
    """A replaced line may report for some seconds more."""

    def setUp(self) -> None:
        super().setUp()
        self.older = self.hub.agent("a")
        self.task_id = self.accepted(self.older)

    def taken_up_for_nobody(self, report: str) -> None:
        """A replaced line takes a queued task up again after the newer one has gone."""
        self.older.vanish()
        self.hub.advance(40)
        self.assert_task(self.task_id, status="queued")
        self.older = self.hub.agent("a")
        never_closes(self.older)
        self.hub.agent("a").vanish()
        self.older.say(report, task_id=self.task_id, generation=1, last_status="working")
        self.assert_task(self.task_id, status="working")

    def assert_held(self) -> None:
        self.hub.advance(29)
        self.assert_task(self.task_id, status="working")
        self.hub.advance(2)
        self.assert_task(self.task_id, status="queued")
        self.assertEqual(history(self.hub, self.task_id)[-1]["payload"]["reason"], "hold_expired")

    def test_state_report_for_one_that_is_away(self) -> None:
        """A task that ``state_report`` takes up for an absent agent is held, then queued again."""
        self.taken_up_for_nobody("state_report")
        self.assert_held()

    def test_recovering_for_one_that_is_away(self) -> None:
        """A task that ``task_recovering`` takes up for an absent agent is held, then queued."""
        self.taken_up_for_nobody("task_recovering")
        self.assert_held()

    def test_deaf_once_its_token_is_revoked(self) -> None:
        """A replaced line that was opened with a revoked token is not listened to."""
        never_closes(self.older)
        newer = self.hub.agent("a")
        self.assertEqual(self.hub.request("DELETE", "/admin/tokens/a").status, 200)
        self.assertEqual(newer.closed and newer.closed[0], 4003)
        self.assert_task(self.task_id, status="queued")
        for report in ("state_report", "task_recovering", "task_complete"):
            self.assertEqual(self.older.say(report, task_id=self.task_id, generation=1), [])
        self.assert_task(self.task_id, status="queued")


class RevokedMeanwhileTests(HubTests):
    """A token is revoked while what it opens is being opened."""

    def test_stream(self) -> None:
        """A stream whose token is revoked while it is opened is refused."""
        token = self.hub.token("w", ("submit",))
        first: Deferred[int] = Deferred()
        self.patch(self.hub.store, "first_seq", lambda: first)
        stream = self.hub.open_request("GET", "/api/events?after=0", token=token)
        self.assertEqual(self.hub.request("DELETE", "/admin/tokens/w").status, 200)
        self.assertEqual(stream.received, b"")
        first.callback(1)
        self.hub.settle()
        refused = Answered(stream.received)
        self.assertEqual((refused.status, refused.body["error"]), (401, "unauthorized"))


class PauseOutlivesTheLineTests(HubTests):
    """A rejection's pause is not escaped by a new connection."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def reject_and_reconnect(self, task_id: str) -> None:
        answers = self.agent.say("task_rejected", task_id=task_id)
        self.assert_answer(answers, "task_ack", status="rejected")
        self.agent.vanish()
        self.agent = self.hub.agent("a")

    def assert_offered_after(self, seconds: float) -> None:
        self.hub.advance(seconds - 0.25)
        self.assertEqual(self.agent.of("task_assign"), [], f"before {seconds} s")
        self.hub.advance(0.25)
        self.assertEqual(len(self.agent.of("task_assign")), 1, f"at {seconds} s")

    def test_pause(self) -> None:
        """A pause outlasts the line, and still doubles."""
        task_id = self.hub.push("a")
        for seconds in (5, 10, 20):
            self.reject_and_reconnect(task_id)
            self.assert_offered_after(seconds)

    def test_its_length_is_kept(self) -> None:
        """How long the next pause is, is remembered of an agent that has and awaits nothing."""
        task_id = self.hub.push("a")
        self.agent.say("task_rejected", task_id=task_id)
        self.hub.request("POST", f"/api/tasks/{task_id}/cancel")
        self.agent.vanish()
        self.hub.advance(10)
        self.agent = self.hub.agent("a")
        self.reject_and_reconnect(self.hub.push("a"))
        self.assert_offered_after(10)

    def test_others_wait_too(self) -> None:
        """During the pause nothing else is offered on the new line either."""
        self.reject_and_reconnect(self.hub.push("a"))
        enqueue(self.hub, "a")
        self.hub.advance(4.75)
        self.assertEqual(self.agent.of("task_assign"), [])


class RepetitionTests(HubTests):
    """A task is sent again on a new line, and the agent says that it works on it."""

    def setUp(self) -> None:
        super().setUp()
        agent = self.hub.agent("a")
        self.task_id = self.accepted(agent)
        agent.vanish()
        self.agent = self.hub.agent("a")
        self.hub.advance(3)
        self.assertEqual(len(self.agent.of("task_assign")), 1)

    def assert_not_busy(self) -> None:
        answers = self.agent.say("task_rejected", task_id=self.task_id, generation=1)
        self.assert_error(answers, "invalid_state", status="working")
        self.hub.advance(70)
        self.assertEqual(len(self.agent.of("task_assign")), 1)
        self.assert_task(self.task_id, status="working", generation=1)

    def test_after_task_continue(self) -> None:
        """After ``task_continue`` a rejection is ``invalid_state``, and nothing is sent again."""
        report = {"task_id": self.task_id, "generation": 1, "last_status": "working"}
        self.assert_answer(self.agent.say("task_recovering", **report), "task_continue")
        self.assert_not_busy()

    def test_after_state_report(self) -> None:
        """So it is after a ``state_report`` that was told to continue."""
        answers = self.agent.say("state_report", task_id=self.task_id, generation=1)
        self.assert_answer(answers, "state_report_ack", action="continue")
        self.assert_not_busy()


class GoodbyeTests(HubTests):
    """A peer says goodbye, but does not read what its line still holds."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")
        self.other = self.hub.agent("b", presence="events")
        self.dropped: list[bool] = []
        line = self.agent.pump.serverIO
        line.loseConnection = lambda: None
        line.abortConnection = lambda: self.dropped.append(True)
        self.agent.sendCloseFrame(code=1000)
        self.hub.settle()

    def test_gone_at_once(self) -> None:
        """An agent that sends a close frame is gone then, however long its line drains."""
        self.assertEqual(self.hub.request("GET", "/health").body["agents_connected"], 1)
        self.assertEqual([f["agent_id"] for f in self.other.of("agent_left")], ["a"])
        body = {"agent_id": "a", "description": "work"}
        answer = self.hub.request("POST", "/api/admin/push-task", body)
        self.assertEqual((answer.status, answer.body["error"]), (404, "agent_not_connected"))

    def test_dropped_in_time(self) -> None:
        """Its line is dropped when it does not drain in a few seconds."""
        self.hub.advance(4.75)
        self.assertEqual(self.dropped, [])
        self.hub.advance(0.25)
        self.assertEqual(self.dropped, [True])


class PingWithoutReadingTests(HubTests):
    """A peer pings and does not read."""

    def pong_bytes(self, agent: FakeAgent, pings: int) -> int:
        """What the hub writes while so many pings arrive, in bytes."""
        written: list[bytes] = []
        line = agent.pump.serverIO
        write = line.write
        self.patch(line, "write", lambda data: (written.append(data), write(data)))
        for _ in range(pings):
            agent.sendPing(b"x" * 125)
        # Only its side: what the hub writes stays where it is.
        server = line.protocol
        server.dataReceived(agent.pump.clientIO.getOutBuffer())
        return sum(map(len, written))

    def paused(self, agent: FakeAgent) -> FakeAgent:
        """Its buffer at the hub is full."""
        agent.pump.serverIO.producer.pauseProducing()
        return agent

    def test_no_pongs_behind_a_full_buffer(self) -> None:
        """While a peer does not read, its pings make the hub write nothing more."""
        agent = self.paused(self.hub.agent("a"))
        self.assertEqual(self.pong_bytes(agent, 1_000), 0)

    def test_before_identify(self) -> None:
        """So it is with one that has not identified."""
        self.assertEqual(self.pong_bytes(self.paused(self.hub.connect()), 1_000), 0)

    def test_pongs(self) -> None:
        """One that reads is answered."""
        self.assertEqual(self.pong_bytes(self.hub.agent("a"), 3), 3 * (2 + 125))
