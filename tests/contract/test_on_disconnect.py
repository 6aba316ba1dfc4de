"""``hold_s`` and ``on_disconnect``: what becomes of a task whose agent stays away.

The holds themselves are in ``test_disconnect``; here stands what follows them.
"""

from __future__ import annotations

from typing import Any

from agentcom.testing import FakeAgent
from tests.contract.queueing import QueueTests


class AwayTests(QueueTests):
    """What the tests of this module share: an agent that has begun."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def begin(self, **fields: Any) -> str:
        """A task that the agent has accepted."""
        task_id = self.submit(**fields)
        answers = self.agent.say("task_accepted", task_id=task_id)
        self.assert_answer(answers, "task_ack", status="accepted")
        return task_id

    def back(self, *mentions: str) -> FakeAgent:
        """The agent is back, and mentions tasks of the first generation."""
        told = [{"task_id": task_id, "generation": 1} for task_id in mentions]
        return self.hub.agent("a", tasks=told)

    def actions(self, agent: FakeAgent) -> list[str]:
        """What the agent was told to do with the tasks that it mentioned."""
        return [told["action"] for told in agent.of("identified")[0]["tasks"]]


class RequeueTests(AwayTests):
    """``requeue``, the usual."""

    def test_somebody_else_gets_it(self) -> None:
        """After the hold anybody who fits gets it, with the attempt that was given back."""
        task_id = self.begin(hold_s=10)
        other = self.hub.agent("b")
        self.agent.vanish()
        self.hub.advance(9.75)
        self.assertEqual(self.assigned(other), [])
        self.hub.advance(0.25)
        (frame,) = other.of("task_assign")
        self.assert_fields(frame, task_id=task_id, generation=2, attempt=1)
        self.assertEqual(self.last_payload(task_id, "task_requeued")["reason"], "hold_expired")

    def test_old_agent_is_fenced_out(self) -> None:
        """What the old agent says once somebody else has it does not count."""
        task_id = self.begin(hold_s=1)
        self.agent.vanish()
        self.hub.advance(1)
        other = self.hub.agent("b")
        agent = self.back(task_id)
        self.assertEqual(self.actions(agent), ["abort"])
        answers = agent.say("task_complete", task_id=task_id, generation=1, result="old")
        self.assert_error(answers, "not_assignee", task_id=task_id)
        other.say("task_complete", task_id=task_id, generation=2, result="new")
        self.assert_task(task_id, status="completed", result="new", agent_id="b", attempts=1)

    def test_finished_while_nobody_had_it(self) -> None:
        """A result is kept while nobody else has begun."""
        task_id = self.begin(hold_s=1)
        self.agent.vanish()
        self.hub.advance(1)
        self.assert_task(task_id, status="queued", attempts=0)
        agent = self.back()
        answers = agent.say("task_complete", task_id=task_id, generation=1, result="kept")
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(task_id, status="completed", result="kept", attempts=1)
        self.hub.advance(5)
        self.assertEqual(self.assigned(agent), [])

    def test_no_hold(self) -> None:
        """With ``hold_s`` 0 it is not held at all."""
        task_id = self.begin(hold_s=0)
        other = self.hub.agent("b")
        self.agent.vanish()
        self.assertEqual(self.assigned(other), [task_id])

    def test_restart(self) -> None:
        """After a restart the whole hold counts from when the hub listens."""
        task_id = self.begin(hold_s=20)
        self.hub.advance(15)
        self.restart()
        other = self.hub.agent("b")
        self.hub.advance(19.75)
        self.assert_task(task_id, status="working", agent_id="a")
        self.hub.advance(0.25)
        self.assertEqual(self.assigned(other), [task_id])


class FailTests(AwayTests):
    """``fail``."""

    def test_attempt_is_spent(self) -> None:
        """After the hold the attempt has failed as ``agent_lost``, and it is tried again."""
        task_id = self.begin(on_disconnect="fail", hold_s=10, backoff={"initial_s": 20})
        other = self.hub.agent("b")
        self.agent.vanish()
        self.hub.advance(9.75)
        self.assert_task(task_id, status="working")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued", attempts=1, last_error="agent_lost", requeues=0)
        names = self.hub.events_of(task_id)
        self.assertEqual(names[-2:], ["task_failed", "task_requeued"])
        self.assert_fields(
            self.last_payload(task_id, "task_failed"), error="agent_lost", retryable=True
        )
        self.assertEqual(self.assigned(other), [])
        self.hub.advance(20)
        (frame,) = other.of("task_assign")
        self.assert_fields(frame, task_id=task_id, generation=2, attempt=2)

    def test_last_attempt(self) -> None:
        """The last attempt makes it a dead letter."""
        task_id = self.begin(on_disconnect="fail", max_attempts=1)
        self.agent.vanish()
        self.hub.advance(30)
        self.assert_task(task_id, status="dead_letter", last_error="agent_lost")
        self.assert_fields(
            self.last_payload(task_id, "task_dead_letter"), reason="attempts_exhausted"
        )

    def test_back_in_time(self) -> None:
        """An agent that is back in time goes on as if nothing had been."""
        task_id = self.begin(on_disconnect="fail", hold_s=10)
        self.agent.vanish()
        self.hub.advance(9)
        agent = self.back(task_id)
        self.assertEqual(self.actions(agent), ["continue"])
        self.hub.advance(60, step=1)
        self.assert_task(task_id, status="working", generation=1, attempts=1)

    def test_not_accepted(self) -> None:
        """It holds for a task that was not accepted too."""
        task_id = self.submit(on_disconnect="fail", max_attempts=1)
        self.agent.vanish()
        self.hub.advance(30)
        self.assert_task(task_id, status="dead_letter", last_error="agent_lost")

    def test_finished_late(self) -> None:
        """A result that comes while nobody else has begun is kept; the attempt counts once."""
        task_id = self.begin(on_disconnect="fail", hold_s=1, backoff={"initial_s": 60})
        self.agent.vanish()
        self.hub.advance(1)
        agent = self.back()
        answers = agent.say("task_complete", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(task_id, status="completed", attempts=1)

    def test_finished_too_late(self) -> None:
        """A dead letter stays one, whatever the lost agent says; it is told so."""
        task_id = self.begin(on_disconnect="fail", max_attempts=1, hold_s=1)
        self.agent.vanish()
        self.hub.advance(1)
        agent = self.back(task_id)
        self.assertEqual(self.actions(agent), ["abort"])
        answers = agent.say("task_complete", task_id=task_id, generation=1)
        self.assert_error(answers, "invalid_state", status="dead_letter")

    def test_restart(self) -> None:
        """After a restart it is just the same."""
        task_id = self.begin(on_disconnect="fail", hold_s=20, max_attempts=1)
        self.restart()
        self.hub.advance(19.75)
        self.assert_task(task_id, status="working")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="dead_letter", last_error="agent_lost")


class KeepTests(AwayTests):
    """``keep``."""

    def test_kept(self) -> None:
        """It is kept for its agent however long that is away, through restarts too."""
        task_id = self.begin(on_disconnect="keep", hold_s=1)
        other = self.hub.agent("b")
        self.agent.vanish()
        self.hub.advance(3600, step=5)
        self.restart()
        self.hub.advance(3600, step=5)
        self.assert_task(task_id, status="working", agent_id="a", generation=1)
        agent = self.back(task_id)
        self.assertEqual(self.actions(agent), ["continue"])
        answers = agent.say("task_complete", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="complete")
        self.assertEqual(self.assigned(other), [])

    def test_sent_again(self) -> None:
        """An agent that is back and has forgotten it is sent it again, as the same attempt."""
        task_id = self.begin(on_disconnect="keep")
        self.agent.vanish()
        self.hub.advance(600, step=5)
        agent = self.back()
        self.hub.advance(2)
        (frame,) = agent.of("task_assign")
        self.assert_fields(frame, task_id=task_id, generation=1, attempt=1)

    def test_other_limits(self) -> None:
        """The limit of the attempt ends it all the same."""
        task_id = self.begin(on_disconnect="keep", attempt_timeout_s=100, max_attempts=1)
        self.agent.vanish()
        self.hub.advance(100, step=1)
        self.assert_task(task_id, status="dead_letter", last_error="attempt_timeout")

    def test_operator(self) -> None:
        """Whoever looks after the hub can take it back, or cancel it."""
        tasks = [self.begin(on_disconnect="keep")]
        self.agent.vanish()
        self.post(f"/api/tasks/{tasks[0]}/requeue")
        self.assertEqual(self.assigned(self.hub.agent("b")), tasks)
        self.agent = self.hub.agent("c")
        task_id = self.begin(on_disconnect="keep")
        self.agent.vanish()
        self.cancel(task_id)
        self.assert_task(task_id, status="cancelled")

    def test_token_revoked(self) -> None:
        """When its agent can never come back it goes back to the queue, whatever was asked for."""
        for on_disconnect in ("keep", "fail", "requeue"):
            task_id = self.begin(on_disconnect=on_disconnect)
            answer = self.hub.request("DELETE", "/admin/tokens/a")
            self.assertEqual(answer.status, 200)
            self.assert_task(task_id, status="queued", attempts=0)
            reason = self.last_payload(task_id, "task_requeued")["reason"]
            self.assertEqual(reason, "token_revoked")
            self.cancel(task_id)
            token = self.post("/admin/tokens", {"agent_id": "a"}, 201)["token"]
            self.agent = self.hub.agent("a", token=token)
