"""``GET /api/tasks/:id/explain`` of tasks that an agent has, and of tasks that have ended."""

from __future__ import annotations

from typing import Any

from agentcom.core.task import MAX_REQUEUES
from tests.contract.helpers import Frame
from tests.contract.queueing import QueueTests, later


class HeldTests(QueueTests):
    """Who has it, what the hub waits for, and until when."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("w", slots=5)

    def assert_held(self, task_id: str, rule: str, summary: str, **fields: Any) -> Frame:
        """The task is with ``w``, under this one rule."""
        told = self.explain(task_id, waiting=False, rule=rule, agent_id="w", **fields)
        self.assertEqual(told["summary"], summary)
        return told

    def begin(self, **fields: Any) -> str:
        """A task that the agent has accepted."""
        task_id = self.submit(**fields)
        answers = self.agent.say("task_accepted", task_id=task_id)
        self.assert_answer(answers, "task_ack", status="accepted")
        return task_id

    def test_not_accepted(self) -> None:
        """It was sent, and the agent has so long to accept it."""
        since = self.hub.hub.now()
        task_id = self.submit(accept_timeout_s=20, max_attempts=2)
        self.hub.advance(5)
        self.assert_held(
            task_id,
            "not_accepted",
            "Agent w was given it and has not accepted it yet (attempt 1 of 2)."
            " It has another 15.0 s to accept it.",
            status="assigned",
            since=since,
            generation=1,
            attempt=1,
            agent_connected=True,
            accept_ends_at=since + 20_000,
        )

    def test_working(self) -> None:
        """The agent works on it; nothing limits that unless it was asked for."""
        task_id = self.begin()
        told = self.assert_held(
            task_id, "working", "Agent w works on it (attempt 1 of 3).", status="working"
        )
        self.assertEqual([name for name in told if name.endswith("_at")], [])

    def test_time_left(self) -> None:
        """An attempt with a limit says what is left of it."""
        ends = later(self.hub, 60)
        task_id = self.begin(attempt_timeout_s=60)
        self.hub.advance(18)
        self.assert_held(
            task_id,
            "working",
            "Agent w works on it (attempt 1 of 3). The attempt fails if it is not over in 42.0 s.",
            attempt_ends_at=ends,
        )

    def test_busy(self) -> None:
        """The agent said that it is busy when it was sent its task again."""
        task_id = self.submit()
        self.agent.vanish()
        self.agent = self.hub.agent("w")
        self.hub.advance(3)
        self.assertEqual(self.assigned(self.agent), [task_id])
        self.agent.say("task_rejected", task_id=task_id)
        self.hub.advance(10)
        self.assert_held(
            task_id,
            "busy",
            "Agent w has it and said that it is busy (attempt 1 of 3);"
            " it is asked again in 50.0 s, or when it has ended another task.",
            asked_again_at=later(self.hub, 50),
        )

    def test_back_and_silent(self) -> None:
        """The agent is back and has not said that it still has it."""
        task_id = self.begin()
        self.agent.vanish()
        self.agent = self.hub.agent("w")
        self.hub.advance(0.5)
        self.assert_held(
            task_id,
            "working",
            "Agent w works on it (attempt 1 of 3). It is just back and has not said whether it"
            " still has it: unless it does, it is sent the task again in 1.5 s.",
        )
        self.agent.say("state_report", task_id=task_id)
        self.assert_held(task_id, "working", "Agent w works on it (attempt 1 of 3).")

    def test_hold(self) -> None:
        """The agent is away, and its task is kept for it for a while."""
        task_id = self.begin(hold_s=90)
        self.agent.vanish()
        ends = later(self.hub, 90)
        self.hub.advance(30)
        self.assert_held(
            task_id,
            "held",
            "Agent w has it and is away."
            " It is kept for w for another 60.0 s, then it goes back to the queue.",
            agent_connected=False,
            hold_ends_at=ends,
        )

    def test_hold_that_fails(self) -> None:
        """With ``on_disconnect: fail`` the attempt fails after it."""
        task_id = self.begin(on_disconnect="fail")
        self.agent.vanish()
        self.assert_held(
            task_id,
            "held",
            "Agent w has it and is away."
            " It is kept for w for another 30.0 s, then this attempt fails.",
        )

    def test_kept(self) -> None:
        """With ``on_disconnect: keep`` there is no end to it, but for the attempt's own."""
        task_id = self.begin(on_disconnect="keep", attempt_timeout_s=600)
        self.agent.vanish()
        self.hub.advance(100, step=1)
        told = self.assert_held(
            task_id,
            "held",
            "Agent w has it and is away. It is kept for w until it is back, however long that"
            " takes. The attempt fails if it is not over in 500.0 s.",
        )
        self.assertNotIn("hold_ends_at", told)

    def test_recovered_without_generation(self) -> None:
        """An old agent that goes on with it is to be heard of within an hour."""
        task_id = self.begin()
        self.agent.vanish()
        self.agent = self.hub.agent("w")
        self.agent.say("task_recovering", task_id=task_id)
        self.explain(task_id, rule="working", silence_ends_at=later(self.hub, 3600))


class EndedTests(QueueTests):
    """Who decided what, and when."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("w")

    def assert_ended(self, task_id: str, decision: str, by: str, summary: str, event: str) -> Frame:
        """The task ended by this decision when it was changed last; also after a restart."""
        fields: dict[str, Any] = {
            "waiting": False,
            "decision": decision,
            "decided_by": by,
            "decided_at": self.hub.task(task_id)["updated_at"],
            "summary": summary,
        }
        told = self.explain(task_id, **fields)
        self.assertEqual((told["event"]["event"], told["event"]["task_id"]), (event, task_id))
        self.assertEqual(told["event"]["timestamp"], told["decided_at"])
        self.restart()
        self.assertEqual(self.explain(task_id), told)
        return told

    def fails(self, task_id: str, error: str = "boom", **fields: Any) -> None:
        self.agent.say("task_failed", task_id=task_id, error=error, **fields)

    def test_completed(self) -> None:
        """Its agent completed it, in which attempt is told where there may be more."""
        task_id = self.submit(backoff={"initial_s": 0})
        self.fails(task_id)
        self.hub.advance(1)
        self.agent.say("task_complete", task_id=task_id)
        told = self.assert_ended(
            task_id,
            "completed",
            "w",
            "It was completed by w in attempt 2 of 3.",
            "task_complete",
        )
        self.assert_fields(told, agent_id="w", attempts=2, max_attempts=3, error="boom")

    def test_completed_push(self) -> None:
        """An order has one attempt, so it is not counted."""
        task_id = self.hub.push("w")
        self.agent.say("task_complete", task_id=task_id)
        self.assert_ended(task_id, "completed", "w", "It was completed by w.", "task_complete")

    def test_attempts_exhausted(self) -> None:
        """Its agent failed the last of its attempts."""
        task_id = self.submit(max_attempts=2, backoff={"initial_s": 0})
        for error in ("first", "second"):
            self.fails(task_id, error)
            self.hub.advance(1)
        self.assert_ended(
            task_id,
            "attempts_exhausted",
            "w",
            "It was given up: w failed its last of 2 attempts: second.",
            "task_dead_letter",
        )

    def test_only_attempt(self) -> None:
        """With one attempt there is no last of them; a long error is cut."""
        task_id = self.submit(max_attempts=1)
        self.fails(task_id, "no " * 200)
        self.assert_ended(
            task_id,
            "attempts_exhausted",
            "w",
            f"It was given up: w failed its only attempt: {('no ' * 200)[:199]}….",
            "task_dead_letter",
        )

    def test_not_retryable(self) -> None:
        """Its agent said that another attempt would be of no use."""
        task_id = self.submit()
        self.fails(task_id, retryable=False)
        self.assert_ended(
            task_id,
            "not_retryable",
            "w",
            "It was given up: w failed it and said that another attempt is no use: boom.",
            "task_dead_letter",
        )

    def test_attempt_timeout(self) -> None:
        """The hub ended its last attempt."""
        task_id = self.submit(max_attempts=1, attempt_timeout_s=10)
        self.agent.say("task_accepted", task_id=task_id)
        self.hub.advance(10)
        told = self.assert_ended(
            task_id,
            "attempts_exhausted",
            "hub",
            "It was given up: its only attempt took longer than it may (attempt_timeout).",
            "task_dead_letter",
        )
        self.assert_fields(told, agent_id="w", error="attempt_timeout")

    def test_agent_lost(self) -> None:
        """Its agent stayed away, and the task was to fail by that."""
        task_id = self.submit(max_attempts=1, on_disconnect="fail")
        self.agent.vanish()
        self.hub.advance(30)
        self.assert_ended(
            task_id,
            "attempts_exhausted",
            "hub",
            "It was given up: its only attempt was lost with its agent, which stayed away"
            " (agent_lost).",
            "task_dead_letter",
        )

    def test_recovery_timeout(self) -> None:
        """An old agent went on with it and was not heard of any more."""
        task_id = self.submit(max_attempts=1)
        self.agent.say("task_recovering", task_id=task_id, last_status="working")
        self.hub.advance(3600, step=5)
        self.assert_ended(
            task_id,
            "attempts_exhausted",
            "hub",
            "It was given up: its only attempt was not heard of for too long (recovery_timeout).",
            "task_dead_letter",
        )

    def test_requeue_limit(self) -> None:
        """It went back to the queue too often at nobody's fault."""
        task_id = self.submit()
        for _ in range(MAX_REQUEUES + 1):
            self.explain(task_id, status="assigned")
            self.agent.say("task_rejected", task_id=task_id)
            self.agent.vanish()
            self.hub.advance(61, step=61)
            self.agent = self.hub.agent("w")
            self.hub.advance(2)
        self.assert_ended(
            task_id,
            "requeue_limit",
            "hub",
            "It was given up: it went back to the queue more than 100 times,"
            " the last time because of rejected.",
            "task_dead_letter",
        )

    def test_cancelled_in_the_queue(self) -> None:
        """Somebody cancelled it and said why, before an agent had it."""
        task_id = self.submit(capabilities=["gpu"])
        self.cancel(task_id, "not needed", self.hub.token("ana"))
        told = self.assert_ended(
            task_id,
            "cancelled",
            "ana",
            "It was cancelled by ana: not needed.",
            "task_cancelled",
        )
        self.assert_fields(told, agent_id=None, attempts=0)

    def test_cancelled_while_it_ran(self) -> None:
        """Somebody cancelled what an agent worked on, without a word; not that agent."""
        task_id = self.submit()
        self.agent.say("task_accepted", task_id=task_id)
        self.cancel(task_id)
        told = self.assert_ended(
            task_id, "cancelled", "admin", "It was cancelled by admin.", "task_cancelled"
        )
        self.assert_fields(told, agent_id="w")

    def test_deadline(self) -> None:
        """Its deadline passed while it waited."""
        task_id = self.submit(capabilities=["gpu"], deadline=later(self.hub, 8))
        self.hub.advance(8)
        self.assert_ended(
            task_id, "deadline", "hub", "It expired: its deadline passed.", "task_expired"
        )

    def test_deadline_while_it_ran(self) -> None:
        """Its deadline passed while an agent worked on it; the hub decided, not the agent."""
        task_id = self.submit(deadline=later(self.hub, 8))
        self.agent.say("task_accepted", task_id=task_id)
        self.hub.advance(8)
        told = self.assert_ended(
            task_id, "deadline", "hub", "It expired: its deadline passed.", "task_expired"
        )
        self.assert_fields(told, agent_id="w", attempts=1)

    def test_queue_timeout(self) -> None:
        """It waited longer than it was to, although an agent had failed it before."""
        task_id = self.submit(queue_timeout_s=4.5, backoff={"initial_s": 0})
        self.agent.say("drain")
        self.fails(task_id)
        self.hub.advance(5)
        told = self.assert_ended(
            task_id,
            "queue_timeout",
            "hub",
            "It expired: it waited for an agent longer than 4.5 s.",
            "task_expired",
        )
        self.assert_fields(told, agent_id="w", attempts=1, error="boom")
