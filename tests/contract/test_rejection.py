"""``task_rejected``: section 3.2, "Rejected"."""

from tests.contract.helpers import HubTests, enqueue, history


class RejectionTests(HubTests):
    """A rejected task goes back to the queue."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def assigned(self, task_id: str) -> int:
        """How often the task was assigned to the agent."""
        return len([f for f in self.agent.of("task_assign") if f["task_id"] == task_id])

    def test_back_to_the_queue(self) -> None:
        """It is acknowledged, and the task is queued again with its reason logged."""
        task_id = self.hub.push("a")
        answers = self.agent.say("task_rejected", task_id=task_id, reason="busy")
        self.assert_answer(answers, "task_ack", task_id=task_id, status="rejected")
        self.assert_task(task_id, status="queued")
        self.assertEqual(self.hub.events_of(task_id)[-2:], ["task_rejected", "task_requeued"])
        self.assertEqual(history(self.hub, task_id)[-2]["payload"]["reason"], "busy")

    def test_no_attempt_is_spent(self) -> None:
        """No attempt is spent: a push, which has one attempt, may be rejected many times."""
        task_id = self.hub.push("a")
        for _ in range(3):
            self.agent.say("task_rejected", task_id=task_id)
            self.hub.advance(61, step=1)
        self.assert_task(task_id, status="assigned", attempts=1, generation=4)
        self.assertEqual([f["attempt"] for f in self.agent.of("task_assign")], [1] * 4)

    def test_pause(self) -> None:
        """The agent is offered nothing for 5 s, then it is."""
        task_id = self.hub.push("a")
        self.agent.say("task_rejected", task_id=task_id)
        other = enqueue(self.hub, "a")
        self.hub.advance(4.75)
        self.assertEqual((self.assigned(task_id), self.assigned(other)), (1, 0))
        self.hub.advance(0.25)
        self.assertEqual(self.assigned(task_id), 2)

    def test_pause_doubles(self) -> None:
        """The pause doubles with each rejection, to 60 s at the most."""
        task_id = self.hub.push("a")
        for count, pause in enumerate((5, 10, 20, 40, 60, 60, 60), start=1):
            self.agent.say("task_rejected", task_id=task_id)
            self.hub.advance(pause - 0.25, step=0.75)
            self.assertEqual(self.assigned(task_id), count, f"before {pause} s")
            self.hub.advance(0.25)
            self.assertEqual(self.assigned(task_id), count + 1, f"at {pause} s")

    def test_reset_by_an_end(self) -> None:
        """Any end that the agent reports resets the pause and ends it."""
        for type in ("task_complete", "task_failed"):
            task_id = self.hub.push("a")
            other = self.accepted(self.agent)
            for pause in (5, 10, 20):
                self.agent.say("task_rejected", task_id=task_id)
                self.hub.advance(pause)
            self.agent.say("task_rejected", task_id=task_id)
            before = self.assigned(task_id)
            self.agent.say(type, task_id=other)
            self.assertEqual(self.assigned(task_id), before + 1, type)
            self.agent.say("task_rejected", task_id=task_id)
            self.hub.advance(4.75)
            self.assertEqual(self.assigned(task_id), before + 1, type)
            self.hub.advance(0.25)
            self.assertEqual(self.assigned(task_id), before + 2, type)
            self.agent.say("task_complete", task_id=task_id)

    def test_push_ignores_the_pause(self) -> None:
        """A push is an order, not an offer: it does not wait for the pause."""
        self.agent.say("task_rejected", task_id=self.hub.push("a"))
        other = self.hub.push("a")
        self.assertEqual(self.assigned(other), 1)

    def test_others_are_not_paused(self) -> None:
        """Other agents are offered what waits for them."""
        other = self.hub.agent("b")
        self.agent.say("task_rejected", task_id=self.hub.push("a"))
        enqueue(self.hub, "b")
        self.assertEqual(len(other.of("task_assign")), 1)


class RequeueLimitTests(HubTests):
    """Requeues that are nobody's fault are counted."""

    def reject_often(self, times: int) -> str:
        """Reject a push so many times; an end between them resets the pause."""
        agent = self.hub.agent("a", slots=2)
        task_id = self.hub.push("a")
        for _ in range(times):
            answers = agent.say("task_rejected", task_id=task_id)
            self.assert_answer(answers, "task_ack", status="rejected")
            other = self.hub.push("a")
            agent.say("task_complete", task_id=other)
        return task_id

    def test_after_100(self) -> None:
        """After 100 requeues the next one makes a dead letter, ``requeue_limit``."""
        task_id = self.reject_often(100)
        self.assert_task(task_id, status="assigned", generation=101)
        answers = self.hub.agent("a").say("task_rejected", task_id=task_id, generation=101)
        self.assert_answer(answers, "task_ack", status="rejected")
        self.assert_task(task_id, status="dead_letter", last_error="requeue_limit")
        event = history(self.hub, task_id)[-1]
        self.assertEqual(
            (event["event"], event["payload"]["reason"]), ("task_dead_letter", "requeue_limit")
        )

    def test_waiting_does_not_count(self) -> None:
        """Waiting for a pinned agent does not count, however often the hold runs out."""
        task_id = ""
        for _ in range(102):
            agent = self.hub.agent("a")
            task_id = task_id or self.hub.push("a")
            self.hub.advance(2, step=1)
            self.assert_fields(agent.of("task_assign")[-1], task_id=task_id, attempt=1)
            agent.vanish()
            self.hub.advance(30, step=10)
        self.assert_task(task_id, status="queued", generation=102)

    def test_long_away(self) -> None:
        """However long its agent is away, a pinned task waits for it."""
        agent = self.hub.agent("a")
        task_id = self.hub.push("a")
        agent.vanish()
        self.hub.advance(7 * 24 * 3_600, step=3_600)
        self.assert_task(task_id, status="queued")
        self.hub.agent("a")
        self.hub.advance(2)
        self.assert_task(task_id, status="assigned", generation=2)
