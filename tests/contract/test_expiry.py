"""Limits of what waits: ``queue_timeout_s`` and ``deadline``.  Section 4, "Time limits"."""

from __future__ import annotations

from tests.contract.queueing import QueueTests, later


class QueueTimeoutTests(QueueTests):
    """``queue_timeout_s``: how long it may wait, each time that it may begin."""

    def assert_expired(self, task_id: str, reason: str = "queue_timeout") -> None:
        """The task has expired, for this reason, and the log says so."""
        self.assert_task(task_id, status="expired", expires_at=None, ready_at=None)
        self.assertEqual(self.hub.events_of(task_id)[-1], "task_expired")
        self.assertEqual(self.last_payload(task_id, "task_expired"), {"reason": reason})

    def test_over(self) -> None:
        """A task that nobody took in time has expired, and is offered to nobody any more."""
        task_id = self.submit(queue_timeout_s=10)
        self.hub.advance(9.75)
        self.assert_task(task_id, status="queued")
        self.hub.advance(0.5)
        self.assert_expired(task_id)
        self.assertEqual(self.assigned(self.hub.agent("a")), [])

    def test_not_while_it_runs(self) -> None:
        """It does not count while an agent has the task."""
        agent = self.hub.agent("a")
        task_id = self.submit(queue_timeout_s=10)
        agent.say("task_accepted", task_id=task_id)
        self.hub.advance(100, step=1)
        self.assert_task(task_id, status="working", expires_at=None)

    def test_anew_each_time(self) -> None:
        """What comes back to the queue has the whole time again."""
        agent = self.hub.agent("a")
        task_id = self.submit(queue_timeout_s=10, hold_s=5)
        self.hub.advance(8)
        agent.vanish()
        self.hub.advance(5)
        self.assert_task(task_id, status="queued", expires_at=later(self.hub, 10))
        self.hub.advance(9.75)
        self.assert_task(task_id, status="queued")
        self.hub.advance(0.5)
        self.assert_expired(task_id)

    def test_not_while_it_may_not_begin(self) -> None:
        """It counts from when the task may begin: after ``not_before``, and after the backoff."""
        task_id = self.submit(queue_timeout_s=10, not_before=later(self.hub, 60))
        self.hub.advance(69.75, step=0.5)
        self.assert_task(task_id, status="queued")
        self.hub.advance(0.5)
        self.assert_expired(task_id)
        agent = self.hub.agent("a")
        task_id = self.submit(queue_timeout_s=10, backoff={"initial_s": 60})
        agent.say("task_failed", task_id=task_id)
        agent.vanish()
        task = self.hub.task(task_id)
        self.assertEqual(task["expires_at"], task["ready_at"] + 10_000)
        self.hub.advance((task["expires_at"] - self.hub.hub.now()) / 1000 - 0.25)
        self.assert_task(task_id, status="queued")
        self.hub.advance(1.25)
        self.assert_expired(task_id)

    def test_restart(self) -> None:
        """A restart changes nothing; what ran out meanwhile has expired when a hub is there."""
        early = self.submit(queue_timeout_s=10)
        late = self.submit(queue_timeout_s=100)
        self.restart()
        self.hub.advance(9.75)
        self.assert_task(early, status="queued")
        self.hub.advance(0.5)
        self.assert_expired(early)
        for call in self.hub.clock.getDelayedCalls():
            call.cancel()
        self.hub.clock.advance(1000)
        self.restart()
        self.hub.advance(1)
        self.assert_expired(late)

    def test_deadline_is_earlier(self) -> None:
        """Of both limits the earlier one counts."""
        early = self.submit(queue_timeout_s=10, deadline=later(self.hub, 5))
        late = self.submit(queue_timeout_s=5, deadline=later(self.hub, 10))
        self.hub.advance(6)
        self.assert_expired(early, "deadline")
        self.assert_expired(late)


class DeadlineTests(QueueTests):
    """``deadline``: after it the task is of no use, whoever has it."""

    def test_queued(self) -> None:
        """A task that waits expires at its deadline."""
        task_id = self.submit(deadline=later(self.hub, 10))
        self.hub.advance(9.75)
        self.assert_task(task_id, status="queued")
        self.hub.advance(0.5)
        self.assert_task(task_id, status="expired")
        self.assertEqual(self.last_payload(task_id, "task_expired"), {"reason": "deadline"})

    def test_working(self) -> None:
        """An agent that works on it is told, and has room for the next one."""
        agent = self.hub.agent("a")
        task_id = self.submit(deadline=later(self.hub, 10))
        agent.say("task_accepted", task_id=task_id)
        following = self.submit()
        self.hub.advance(10.25)
        self.assert_task(task_id, status="expired", agent_id="a", generation=1)
        self.assertEqual(self.told_off(agent), [(task_id, 1, "deadline")])
        self.assertEqual(self.assigned(agent), [task_id, following])
        heard = [frame["type"] for frame in agent.frames[-2:]]
        self.assertEqual(heard, ["task_cancelled", "task_assign"])

    def test_late_result(self) -> None:
        """A result that comes after it is refused, with what became of the task."""
        agent = self.hub.agent("a")
        task_id = self.submit(deadline=later(self.hub, 10))
        self.hub.advance(11)
        for type in ("task_complete", "task_failed", "task_progress"):
            answers = agent.say(type, task_id=task_id, generation=1)
            self.assert_error(
                answers, "invalid_state", task_id=task_id, status="expired", message_type=type
            )
        self.assert_answer(
            agent.say("state_report", task_id=task_id), "state_report_ack", action="abort"
        )

    def test_held_for_an_agent_that_is_away(self) -> None:
        """A task that is kept for its agent expires too; the agent hears of it when it is back."""
        agent = self.hub.agent("a")
        task_id = self.submit(deadline=later(self.hub, 10), on_disconnect="keep")
        agent.say("task_accepted", task_id=task_id)
        agent.vanish()
        self.hub.advance(11)
        self.assert_task(task_id, status="expired")
        back = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        (identified,) = back.of("identified")
        self.assertEqual(identified["tasks"], [{"task_id": task_id, "action": "abort"}])

    def test_between_attempts(self) -> None:
        """It passes also while the task waits for its next attempt."""
        agent = self.hub.agent("a")
        task_id = self.submit(deadline=later(self.hub, 10), backoff={"initial_s": 60})
        agent.say("task_failed", task_id=task_id)
        self.hub.advance(11)
        self.assert_task(task_id, status="expired", attempts=1)

    def test_before_it_may_begin(self) -> None:
        """A task whose deadline comes before ``not_before`` never begins."""
        agent = self.hub.agent("a")
        task_id = self.submit(deadline=later(self.hub, 10), not_before=later(self.hub, 20))
        self.hub.advance(30)
        self.assert_task(task_id, status="expired", generation=0)
        self.assertEqual(self.assigned(agent), [])

    def test_nobody_is_given_it_afterwards(self) -> None:
        """An agent that comes a moment after the deadline is not given it."""
        self.hub.advance(0.1, step=0.1)
        task_id = self.submit(deadline=later(self.hub, 10.05))
        self.hub.advance(10, step=0.5)
        self.hub.clock.advance(0.06)
        agent = self.hub.agent("a")
        self.hub.advance(2)
        self.assertEqual(self.assigned(agent), [])
        self.assert_task(task_id, status="expired", generation=0)

    def test_restart(self) -> None:
        """A restart changes nothing, for what waits and for what runs."""
        agent = self.hub.agent("a")
        running = self.submit(deadline=later(self.hub, 10))
        agent.say("task_accepted", task_id=running)
        waiting = self.submit(deadline=later(self.hub, 10))
        self.hub.advance(3)
        self.restart()
        agent = self.hub.agent("a", tasks=[{"task_id": running, "generation": 1}])
        self.hub.advance(6.75)
        self.assert_task(running, status="working")
        self.assert_task(waiting, status="queued")
        self.hub.advance(0.5)
        self.assert_task(running, status="expired")
        self.assert_task(waiting, status="expired")
        self.assertEqual(self.told_off(agent), [(running, 1, "deadline")])

    def test_many_at_once(self) -> None:
        """However many are over at once, all expire, each once."""
        tasks = self.submit_all([{"deadline": later(self.hub, 10)} for _ in range(350)])
        kept = self.submit(deadline=later(self.hub, 100))
        self.hub.advance(12)
        stats = self.hub.request("GET", "/api/tasks/stats").body["by_status"]
        self.assertEqual((stats["expired"], stats["queued"]), (350, 1))
        for task_id in tasks[::50]:
            self.assertEqual(self.hub.events_of(task_id), ["task_submitted", "task_expired"])
        self.assert_task(kept, status="queued")

    def test_a_retry_drops_it(self) -> None:
        """A dead letter that is retried by hand has no deadline any more."""
        agent = self.hub.agent("a", slots=2)
        task_id = self.submit(deadline=later(self.hub, 10))
        agent.say("task_failed", task_id=task_id, retryable=False)
        self.post(f"/api/tasks/{task_id}/retry")
        self.hub.advance(20)
        self.assert_task(task_id, status="assigned", expires_at=None)
        self.assertNotIn("deadline", agent.of("task_assign")[-1])
