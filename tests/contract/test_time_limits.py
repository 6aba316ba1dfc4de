"""Limits of what runs: the time to accept, and that of an attempt.  Section 4, "Time limits"."""

from __future__ import annotations

from typing import Any

from tests.contract.helpers import history
from tests.contract.queueing import QueueTests, later


class AcceptTests(QueueTests):
    """``accept_timeout_s``."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def test_usual(self) -> None:
        """A task that is not accepted for 60 s goes back, at no cost, and to somebody else."""
        task_id = self.submit()
        other = self.hub.agent("b")
        self.hub.advance(59.75)
        self.assert_task(task_id, status="assigned", agent_id="a")
        self.hub.advance(0.25)
        self.assertEqual(self.told_off(self.agent), [(task_id, 1, "accept_timeout")])
        (frame,) = other.of("task_assign")
        self.assert_fields(frame, task_id=task_id, generation=2, attempt=1)
        self.assert_task(task_id, agent_id="b", attempts=1, requeues=1)
        payload = self.last_payload(task_id, "task_requeued")
        self.assert_fields(payload, reason="accept_timeout", requeues=1)

    def test_own(self) -> None:
        """A task may ask for another time."""
        task_id = self.submit(accept_timeout_s=3)
        self.hub.advance(2.75)
        self.assert_task(task_id, status="assigned")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued", attempts=0)

    def test_any_sign_will_do(self) -> None:
        """Accepting, progress, or saying that it has it: then silence ends nothing."""
        for type, fields in (
            ("task_accepted", {}),
            ("task_progress", {"message": "on it"}),
            ("state_report", {"status": "working"}),
            ("task_recovering", {"generation": 1}),
        ):
            task_id = self.submit(accept_timeout_s=5)
            self.hub.advance(4)
            self.agent.say(type, task_id=task_id, **fields)
            self.hub.advance(600, step=1)
            self.assert_task(task_id, agent_id="a", generation=1, requeues=0)
            self.agent.say("task_complete", task_id=task_id)
            self.assert_task(task_id, status="completed")

    def test_finished_too_late_to_accept(self) -> None:
        """Work that was finished without a word is kept while nobody else has begun."""
        task_id = self.submit(accept_timeout_s=5)
        self.hub.advance(6)
        self.assert_task(task_id, status="queued")
        answers = self.agent.say("task_complete", task_id=task_id, generation=1, result=1)
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(task_id, status="completed", result=1, attempts=1)

    def test_accepted_too_late(self) -> None:
        """Accepting what was taken back is refused: the agent was told to stop."""
        task_id = self.submit(accept_timeout_s=5)
        self.hub.advance(6)
        answers = self.agent.say("task_accepted", task_id=task_id, generation=1)
        self.assert_error(answers, "invalid_state", task_id=task_id, status="queued")

    def test_away(self) -> None:
        """Time away does not count; an agent that is back has the whole time again."""
        task_id = self.submit(accept_timeout_s=10)
        self.hub.advance(9)
        self.agent.vanish()
        self.hub.advance(20)
        self.agent = self.hub.agent("a")
        self.hub.advance(2)
        self.assertEqual(self.assigned(self.agent), [task_id])
        self.hub.advance(9.75)
        self.assert_task(task_id, status="assigned", generation=1)
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued")

    def test_replaced(self) -> None:
        """An agent on a new line is sent the task again before it is blamed."""
        task_id = self.submit(accept_timeout_s=10)
        self.hub.advance(9)
        self.agent = self.hub.agent("a")
        self.hub.advance(2)
        self.assertEqual(self.assigned(self.agent), [task_id])
        self.assert_fields(self.hub.request("GET", "/api/agents/a").body, state="busy")
        self.assert_task(task_id, status="assigned", generation=1)

    def test_restart(self) -> None:
        """After a restart the time begins when the agent is sent the task again."""
        task_id = self.submit(accept_timeout_s=5)
        self.restart()
        self.hub.advance(4)
        self.agent = self.hub.agent("a")
        self.hub.advance(2)
        self.assertEqual(self.assigned(self.agent), [task_id])
        self.hub.advance(4.75)
        self.assert_task(task_id, status="assigned", generation=1)
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued")

    def test_restart_with_nobody(self) -> None:
        """After a restart nobody is blamed for an agent that is still away: it is held."""
        task_id = self.submit(accept_timeout_s=5)
        self.restart()
        self.assertNotIn("accept_ends_at", self.explain(task_id, rule="held"))
        self.hub.advance(29.75)
        self.assert_task(task_id, status="assigned", generation=1)
        self.hub.advance(0.25)
        self.assertEqual(self.last_payload(task_id, "task_requeued")["reason"], "hold_expired")


class AttemptTests(QueueTests):
    """``attempt_timeout_s``."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def begin(self, **fields: Any) -> str:
        """A task that the agent has accepted."""
        task_id = self.submit(**fields)
        self.agent.say("task_accepted", task_id=task_id)
        return task_id

    def test_none(self) -> None:
        """Silent work is normal: nothing ends it, however long it takes."""
        task_id = self.begin()
        self.hub.advance(6 * 3600, step=30)
        self.assert_task(task_id, status="working", generation=1)
        self.assertEqual(self.told_off(self.agent), [])

    def test_over(self) -> None:
        """The attempt fails as ``attempt_timeout``, its agent is told, and it is tried again."""
        task_id = self.begin(attempt_timeout_s=20)
        self.hub.advance(19.75)
        self.assert_task(task_id, status="working")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued", attempts=1, last_error="attempt_timeout")
        self.assertEqual(self.told_off(self.agent), [(task_id, 1, "attempt_timeout")])
        names = self.hub.events_of(task_id)
        self.assertEqual(names[-2:], ["task_failed", "task_requeued"])
        self.assert_fields(
            self.last_payload(task_id, "task_failed"),
            error="attempt_timeout",
            retryable=True,
            attempt=1,
        )
        self.assertEqual(self.last_payload(task_id, "task_requeued")["reason"], "retry")
        self.hub.advance(1)
        self.assert_task(task_id, status="assigned", generation=2, attempts=2)

    def test_each_attempt_has_its_own(self) -> None:
        """Every attempt has the whole time; after the last one it is a dead letter."""
        task_id = self.submit(attempt_timeout_s=20, backoff={"initial_s": 0}, max_attempts=3)
        for attempt in (1, 2, 3):
            self.agent.say("task_accepted", task_id=task_id)
            self.hub.advance(19.75)
            self.assert_task(task_id, status="working", attempts=attempt)
            self.agent.frames.clear()
            self.hub.advance(0.25)
            heard = [frame["type"] for frame in self.agent.frames]
            self.assertEqual(heard, ["task_cancelled"] + ["task_assign"] * (attempt < 3))
        self.assert_task(task_id, status="dead_letter", attempts=3, last_error="attempt_timeout")
        payload = self.last_payload(task_id, "task_dead_letter")
        self.assert_fields(payload, reason="attempts_exhausted", error="attempt_timeout")

    def test_counts_from_the_assignment(self) -> None:
        """The time begins with the assignment; neither accepting nor progress begins it anew."""
        task_id = self.submit(attempt_timeout_s=20)
        for _ in range(7):
            self.hub.advance(2.5)
            self.agent.say("task_progress", task_id=task_id, progress=0.5)
        self.hub.advance(2.25)
        self.assert_task(task_id, status="working")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued")

    def test_shorter_than_the_time_to_accept(self) -> None:
        """It ends an attempt that was never accepted too."""
        task_id = self.submit(attempt_timeout_s=5, accept_timeout_s=50, max_attempts=1)
        self.hub.advance(5)
        self.assert_task(task_id, status="dead_letter", last_error="attempt_timeout")
        self.hub.advance(60)
        self.assertEqual(self.told_off(self.agent), [(task_id, 1, "attempt_timeout")])

    def test_while_the_agent_is_away(self) -> None:
        """It goes on while the task is held for an agent that is away."""
        task_id = self.begin(attempt_timeout_s=20)
        self.hub.advance(10)
        self.agent.vanish()
        self.hub.advance(9.75)
        self.assert_task(task_id, status="working")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued", last_error="attempt_timeout", attempts=1)

    def test_agent_is_told_on_its_newest_line(self) -> None:
        """The agent is told on the line that it has now."""
        task_id = self.begin(attempt_timeout_s=20)
        self.agent.vanish()
        self.agent = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        self.hub.advance(20)
        self.assertEqual(self.told_off(self.agent), [(task_id, 1, "attempt_timeout")])

    def test_finished_late(self) -> None:
        """A result that comes after it is kept while nobody else has begun."""
        self.agent.vanish()
        self.agent = self.hub.agent("a")
        task_id = self.begin(attempt_timeout_s=20, backoff={"initial_s": 60})
        self.hub.advance(20)
        answers = self.agent.say("task_complete", task_id=task_id, generation=1, result="late")
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(task_id, status="completed", result="late", attempts=1)

    def test_finished_too_late(self) -> None:
        """A result of a superseded attempt is refused, and of a dead letter too."""
        task_id = self.begin(attempt_timeout_s=20, backoff={"initial_s": 0}, max_attempts=2)
        self.hub.advance(20)
        self.assert_task(task_id, generation=2, status="assigned")
        answers = self.agent.say("task_complete", task_id=task_id, generation=1)
        self.assert_error(answers, "stale_generation", task_id=task_id)
        self.hub.advance(20)
        answers = self.agent.say("task_complete", task_id=task_id, generation=2)
        self.assert_error(answers, "invalid_state", task_id=task_id, status="dead_letter")

    def test_restart(self) -> None:
        """After a restart the attempt has the rest of its time, accepted or not."""
        for accepted in (True, False):
            task_id = self.submit(attempt_timeout_s=100, hold_s=500)
            if accepted:
                self.agent.say("task_accepted", task_id=task_id)
            self.hub.advance(40)
            self.restart()
            self.hub.advance(59.75)
            self.assert_task(task_id, status="working" if accepted else "assigned")
            self.hub.advance(0.25)
            self.assert_task(task_id, status="queued", last_error="attempt_timeout")
            self.cancel(task_id)
            self.agent = self.hub.agent("a")

    def test_over_while_the_hub_was_down(self) -> None:
        """What ran out while no hub was there has run out when one is."""
        task_id = self.begin(attempt_timeout_s=20)
        self.hub.settle()
        for call in self.hub.clock.getDelayedCalls():
            call.cancel()
        self.hub.clock.advance(100)
        self.restart()
        self.hub.advance(1)
        self.assert_task(task_id, status="queued", last_error="attempt_timeout", attempts=1)

    def test_taken_up_again_from_the_queue(self) -> None:
        """An attempt that is taken up again from the queue has the rest of its time."""
        task_id = self.begin(attempt_timeout_s=100)
        self.agent.vanish()
        self.hub.advance(40)
        self.assert_task(task_id, status="queued")
        self.agent = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        self.assert_task(task_id, status="working", generation=1)
        self.explain(task_id, attempt_ends_at=later(self.hub, 60))
        self.hub.advance(60)
        self.assert_task(task_id, status="queued", last_error="attempt_timeout")

    def test_nothing_is_left_behind(self) -> None:
        """The limit of an attempt that ended does not touch the next one, nor another task."""
        task_id = self.begin(attempt_timeout_s=20, backoff={"initial_s": 0})
        self.hub.advance(15)
        self.agent.say("task_failed", task_id=task_id, error="x")
        self.agent.say("task_accepted", task_id=task_id, generation=2)
        self.hub.advance(19.75)
        self.assert_task(task_id, status="working", generation=2)
        failures = [e for e in history(self.hub, task_id) if e["event"] == "task_failed"]
        self.assertEqual([e["payload"]["error"] for e in failures], ["x"])
