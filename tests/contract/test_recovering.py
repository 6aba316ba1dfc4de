"""``task_recovering``, ``state_report`` and the recovery timeout: end of section 3.2."""

from tests.contract.helpers import HubTests, enqueue, history

NOT_BEGUN = ("accepted", "waking", "waking_confirmation")


class RecoveringTests(HubTests):
    """``task_recovering``."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")
        self.task_id = self.accepted(self.agent)

    def back(self, after: float = 1) -> None:
        self.agent.vanish()
        self.hub.advance(after)
        self.agent = self.hub.agent("a")

    def test_continue(self) -> None:
        """Still this agent's: ``task_continue`` with the generation."""
        for fields in ({}, {"generation": 1}, {"last_status": "working"}, {"last_status": None}):
            self.back()
            answers = self.agent.say("task_recovering", task_id=self.task_id, **fields)
            self.assert_answer(answers, "task_continue", task_id=self.task_id, generation=1)
            self.assert_task(self.task_id, status="working", attempts=1)

    def test_logged(self) -> None:
        """It is logged as ``task_recovering``."""
        self.back()
        self.agent.say("task_recovering", task_id=self.task_id, last_status="working")
        self.assertEqual(self.hub.events_of(self.task_id)[-1], "task_recovering")

    def test_not_begun(self) -> None:
        """Where work had not started: ``task_reassign``, and it goes back to the queue."""
        for number, last_status in enumerate(NOT_BEGUN, start=1):
            self.back()
            answers = self.agent.say(
                "task_recovering", task_id=self.task_id, last_status=last_status
            )
            self.assert_answer(answers, "task_reassign", task_id=self.task_id)
            self.assert_task(self.task_id, status="queued", attempts=0)
            self.assertIn("task_requeued", self.hub.events_of(self.task_id)[-2:])
            self.hub.advance(3)
            self.assert_task(self.task_id, status="assigned", generation=number + 1, attempts=1)

    def test_not_begun_is_offered_again(self) -> None:
        """The task that went back comes again, as a new assignment."""
        self.back()
        self.agent.say("task_recovering", task_id=self.task_id, last_status="waking")
        self.hub.advance(3)
        (frame,) = self.agent.of("task_assign")
        self.assert_fields(frame, task_id=self.task_id, generation=2, attempt=1)
        self.assert_answer(self.agent.say("task_complete", task_id=self.task_id), "task_ack")

    def test_other_last_status(self) -> None:
        """Any other ``last_status`` means that work had started."""
        for last_status in ("working", "", "Accepted", "done", "anything"):
            self.back()
            answers = self.agent.say(
                "task_recovering", task_id=self.task_id, last_status=last_status
            )
            self.assert_answer(answers, "task_continue")

    def test_from_the_queue(self) -> None:
        """Back in the queue and not assigned since, the work that goes on is kept."""
        self.back(after=40)
        self.assert_task(self.task_id, status="queued")
        answers = self.agent.say("task_recovering", task_id=self.task_id, generation=1)
        self.assert_answer(answers, "task_continue", generation=1)
        self.hub.advance(10)
        self.assertEqual(self.agent.of("task_assign"), [])
        self.assert_task(self.task_id, status="working", generation=1, attempts=1)

    def test_from_the_queue_not_begun(self) -> None:
        """From the queue, work that had not started is reassigned just the same."""
        self.back(after=40)
        answers = self.agent.say("task_recovering", task_id=self.task_id, last_status="waking")
        self.assert_answer(answers, "task_reassign")
        self.hub.advance(3)
        self.assert_task(self.task_id, status="assigned", generation=2)

    def test_after_its_own_end(self) -> None:
        """An attempt that it said has failed goes on no more: ``task_reassign``."""
        for generation in (1, None):
            self.setUp()
            self.agent.say("task_complete", task_id=self.task_id)
            self.task_id = enqueue(self.hub, "a", max_attempts=3)
            self.agent.say("drain")
            said = {"task_id": self.task_id, "generation": generation}
            failed = self.agent.say("task_failed", **said)
            self.assert_answer(self.agent.say("task_recovering", **said), "task_reassign")
            self.assertEqual(self.agent.say("task_failed", **said), failed)
            self.assert_task(self.task_id, status="queued", attempts=1)

    def test_not_its_own(self) -> None:
        """Of another agent's task it is ``not_assignee``."""
        answers = self.hub.agent("b").say("task_recovering", task_id=self.task_id)
        self.assert_error(answers, "not_assignee", message_type="task_recovering")

    def test_ended(self) -> None:
        """Of a task that has ended it is ``invalid_state``."""
        self.hub.request("POST", f"/api/tasks/{self.task_id}/cancel")
        answers = self.agent.say("task_recovering", task_id=self.task_id)
        self.assert_error(answers, "invalid_state", status="cancelled")

    def test_after_a_restart(self) -> None:
        """So it goes after a restart of the hub."""
        self.restart()
        agent = self.hub.agent("a")
        answers = agent.say("task_recovering", task_id=self.task_id, last_status="working")
        self.assert_answer(answers, "task_continue", generation=1)


class RecoverTimeoutTests(HubTests):
    """``recover_timeout_s``."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")
        self.task_id = self.accepted(self.agent)

    def recover(self, **fields: object) -> None:
        answers = self.agent.say("task_recovering", task_id=self.task_id, **fields)
        self.assert_answer(answers, "task_continue")

    def test_fails(self) -> None:
        """After 3 600 s of silence the attempt fails as ``recovery_timeout``."""
        self.recover()
        self.hub.advance(3_599, step=10)
        self.assert_task(self.task_id, status="working")
        self.hub.advance(2, step=1)
        self.assert_task(self.task_id, status="dead_letter", last_error="recovery_timeout")
        self.assertEqual(self.hub.events_of(self.task_id)[-2:], ["task_failed", "task_dead_letter"])

    def test_retried(self) -> None:
        """It fails that attempt only: a task with more is tried again."""
        self.agent.say("task_complete", task_id=self.task_id)
        self.task_id = enqueue(self.hub, "a", max_attempts=2)
        self.recover(generation=0)
        self.hub.advance(3_601, step=10)
        self.assert_task(self.task_id, status="assigned", generation=2, attempts=2)

    def test_not_with_generation(self) -> None:
        """Not for an agent that sent a generation: long work is silent."""
        self.recover(generation=1)
        self.hub.advance(8_000, step=10)
        self.assert_task(self.task_id, status="working")

    def test_not_without_recovering(self) -> None:
        """Not for a task that was never recovered."""
        self.hub.advance(8_000, step=10)
        self.assert_task(self.task_id, status="working")

    def test_heard_of(self) -> None:
        """Whatever is heard of the task begins the time anew."""
        self.recover()
        for type in ("task_progress", "task_accepted", "task_recovering", "state_report"):
            self.hub.advance(2_500, step=10)
            self.agent.say(type, task_id=self.task_id)
            self.assertEqual(self.agent.of("error"), [])
        self.hub.advance(2_500, step=10)
        self.assert_task(self.task_id, status="working")
        self.hub.advance(1_200, step=10)
        self.assert_task(self.task_id, status="dead_letter")

    def test_agent_is_told(self) -> None:
        """The agent is told to stop what nobody waits for any more."""
        self.recover()
        self.hub.advance(3_601, step=10)
        (frame,) = self.agent.of("task_cancelled")
        self.assert_fields(frame, task_id=self.task_id, generation=1)

    def test_late_report(self) -> None:
        """What it says afterwards is refused: the attempt has ended."""
        self.recover()
        self.hub.advance(3_601, step=10)
        answers = self.agent.say("task_complete", task_id=self.task_id)
        self.assert_error(answers, "invalid_state", status="dead_letter")

    def test_after_a_restart(self) -> None:
        """A restart of the hub does not make it last for ever."""
        self.recover()
        self.restart()
        self.agent = self.hub.agent("a", tasks=[{"task_id": self.task_id}])
        self.hub.advance(3_605, step=10)
        self.assert_task(self.task_id, status="dead_letter", last_error="recovery_timeout")


class StateReportTests(HubTests):
    """``state_report``."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")
        self.task_id = self.accepted(self.agent)

    def assert_action(self, action: str, **fields: object) -> None:
        answers = self.agent.say("state_report", task_id=self.task_id, **fields)
        self.assert_answer(answers, "state_report_ack", task_id=self.task_id, action=action)

    def test_continue(self) -> None:
        """Still this agent's and the generation current: ``continue``, whatever its status."""
        for status in (None, "working", "done", "accepted", "waking", "nonsense"):
            self.assert_action("continue", generation=1, status=status)
            self.assert_task(self.task_id, status="working", generation=1)

    def test_without_generation(self) -> None:
        """Without a generation the agent alone decides."""
        self.assert_action("continue")
        self.assert_action("continue", generation=0)

    def test_assigned(self) -> None:
        """An assigned task continues too, and is not touched by it."""
        self.task_id = self.hub.push("a")
        self.assert_action("continue", generation=1, status="accepted")
        self.assert_task(self.task_id, status="assigned")

    def test_stale(self) -> None:
        """Another generation: ``abort``."""
        self.assert_action("abort", generation=2)
        self.assert_task(self.task_id, status="working")

    def test_not_its_own(self) -> None:
        """Another agent's task: ``abort``, and that agent keeps it."""
        self.agent = self.hub.agent("b")
        self.assert_action("abort", generation=1)
        self.assert_task(self.task_id, status="working", agent_id="a")

    def test_ended(self) -> None:
        """A task that has ended: ``abort``, after a restart too."""
        self.agent.say("task_complete", task_id=self.task_id)
        self.assert_action("abort", generation=1)
        self.restart()
        self.agent = self.hub.agent("a")
        self.assert_action("abort", generation=1)

    def test_from_the_queue(self) -> None:
        """Back in the queue and not assigned since: ``continue``, and it works on."""
        self.agent.vanish()
        self.hub.advance(40)
        self.agent = self.hub.agent("a")
        self.assert_action("continue", generation=1)
        self.hub.advance(10)
        self.assert_task(self.task_id, status="working", generation=1, attempts=1)
        self.assertEqual(self.agent.of("task_assign"), [])

    def test_given_back(self) -> None:
        """What the agent itself gave back is not its own any more: ``abort``."""
        self.task_id = self.hub.push("a")
        self.agent.say("task_rejected", task_id=self.task_id)
        self.assert_action("abort", generation=1)
        self.assert_task(self.task_id, status="queued")

    def test_logs_nothing_by_itself(self) -> None:
        """It asks and changes nothing where nothing has to change."""
        before = history(self.hub, self.task_id)
        self.assert_action("continue", generation=1)
        self.assert_action("abort", generation=5)
        self.assertEqual(history(self.hub, self.task_id), before)
