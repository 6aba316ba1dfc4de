"""Whose report counts, and when: section 3.2, rules 3 and 4."""

from tests.contract.helpers import HubTests, enqueue

REPORTS = ("task_accepted", "task_progress", "task_complete", "task_failed", "task_rejected")


class WhoseTests(HubTests):
    """Rule 3."""

    def setUp(self) -> None:
        super().setUp()
        self.agent, self.other = self.hub.agent("a"), self.hub.agent("b")

    def test_not_assignee(self) -> None:
        """From any other agent a report is ``not_assignee``, with task and message type."""
        task_id = self.hub.push("a")
        for type in (*REPORTS, "task_recovering"):
            for fields in ({}, {"generation": 1}, {"generation": 0}):
                answers = self.other.say(type, task_id=task_id, **fields)
                if type == "task_progress" and fields:
                    self.assertEqual(answers, [])
                    continue
                self.assert_error(answers, "not_assignee", task_id=task_id, message_type=type)
        self.assert_task(task_id, status="assigned", agent_id="a")

    def test_stale_generation(self) -> None:
        """A generation that is not the current one is ``stale_generation``."""
        task_id = self.hub.push("a")
        for type in (*REPORTS, "task_recovering"):
            answers = self.agent.say(type, task_id=task_id, generation=2)
            self.assert_error(answers, "stale_generation", task_id=task_id, message_type=type)
        self.assert_task(task_id, status="assigned")

    def test_superseded(self) -> None:
        """What an earlier attempt of the same agent says is ``stale_generation``."""
        task_id = self.hub.push("a")
        self.agent.say("task_rejected", task_id=task_id)
        self.hub.advance(5)
        for type in ("task_accepted", "task_complete", "task_failed"):
            answers = self.agent.say(type, task_id=task_id, generation=1)
            self.assert_error(answers, "stale_generation")
        self.assert_task(task_id, status="assigned", generation=2)

    def test_not_sent(self) -> None:
        """0 and null mean not sent: then the agent alone decides, at any generation."""
        task_id = self.hub.push("a")
        self.agent.say("task_rejected", task_id=task_id)
        self.hub.advance(5)
        self.assert_task(task_id, generation=2)
        self.assert_answer(
            self.agent.say("task_accepted", task_id=task_id, generation=0), "task_ack"
        )
        self.agent.say("task_progress", task_id=task_id, generation=None, progress=0.5)
        self.assertEqual(self.agent.of("error"), [])
        self.assert_answer(self.agent.say("task_complete", task_id=task_id), "task_ack")
        self.assert_task(task_id, status="completed")

    def test_current_generation(self) -> None:
        """The current generation counts."""
        task_id = self.hub.push("a")
        for type in ("task_accepted", "task_complete"):
            answers = self.agent.say(type, task_id=task_id, generation=1)
            self.assert_answer(answers, "task_ack")

    def back_in_the_queue(self) -> str:
        task_id = self.accepted(self.agent)
        self.agent.vanish()
        self.hub.advance(30)
        self.assert_task(task_id, status="queued")
        self.agent = self.hub.agent("a")
        return task_id

    def test_finished_meanwhile(self) -> None:
        """Back in the queue and not assigned since, finished work of the last agent is kept."""
        task_id = self.back_in_the_queue()
        answers = self.agent.say("task_complete", task_id=task_id, generation=1, result="kept")
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(task_id, status="completed", result="kept", attempts=1)
        self.hub.advance(5)
        self.assertEqual(self.agent.of("task_assign"), [])

    def test_finished_meanwhile_without_generation(self) -> None:
        """So it is without a generation."""
        task_id = self.back_in_the_queue()
        self.assert_answer(self.agent.say("task_complete", task_id=task_id), "task_ack")
        self.assert_task(task_id, status="completed")

    def test_failed_meanwhile(self) -> None:
        """A failure in the queue counts too, and spends the attempt."""
        task_id = self.back_in_the_queue()
        answers = self.agent.say("task_failed", task_id=task_id, error="e")
        self.assert_answer(answers, "task_ack", status="failed", outcome="dead_letter")
        self.assert_task(task_id, status="dead_letter", last_error="e", attempts=1)

    def test_queued_and_another_agent(self) -> None:
        """Of a queued task nobody but its last agent may report."""
        task_id = self.back_in_the_queue()
        self.assert_error(self.other.say("task_complete", task_id=task_id), "not_assignee")

    def test_queued_and_stale(self) -> None:
        """Of a queued task an older generation is stale."""
        task_id = self.back_in_the_queue()
        answers = self.agent.say("task_complete", task_id=task_id, generation=7)
        self.assert_error(answers, "stale_generation")

    def test_never_assigned(self) -> None:
        """Of a task that was never assigned nobody may report."""
        task_id = enqueue(self.hub, capabilities=["what nobody can"])
        for type in ("task_complete", "task_recovering"):
            self.assert_error(self.agent.say(type, task_id=task_id), "not_assignee")

    def test_assigned_since(self) -> None:
        """Once another agent has it, the last one's finished work is refused."""
        task_id = enqueue(self.hub)
        self.assert_task(task_id, agent_id="a", generation=1)
        self.agent.vanish()
        self.hub.advance(30)
        self.assert_task(task_id, agent_id="b", generation=2)
        answers = self.hub.agent("a").say("task_complete", task_id=task_id)
        self.assert_error(answers, "not_assignee")


class WhenTests(HubTests):
    """Rule 4."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def assert_invalid(self, type: str, task_id: str, status: str) -> None:
        self.assert_error(
            self.agent.say(type, task_id=task_id),
            "invalid_state",
            status=status,
            task_id=task_id,
            message_type=type,
        )

    def test_assigned(self) -> None:
        """Every report counts while the task is assigned: no acceptance is needed."""
        for type in ("task_accepted", "task_complete", "task_failed", "task_rejected"):
            answers = self.agent.say(type, task_id=self.hub.push("a"))
            self.assert_answer(answers[:1], "task_ack")
        task_id = self.hub.push("a")
        self.assertEqual(self.agent.say("task_progress", task_id=task_id, progress=0.1), [])

    def test_working(self) -> None:
        """All but ``task_rejected`` count while the agent works."""
        for type in ("task_accepted", "task_complete", "task_failed"):
            answers = self.agent.say(type, task_id=self.accepted(self.agent))
            self.assert_answer(answers, "task_ack")
        task_id = self.accepted(self.agent)
        self.assertEqual(self.agent.say("task_progress", task_id=task_id, progress=0.1), [])
        self.assert_invalid("task_rejected", task_id, "working")
        self.assert_task(task_id, status="working")

    def test_accepted_again(self) -> None:
        """``task_accepted`` while working is acknowledged and logged once."""
        task_id = self.accepted(self.agent)
        answers = self.agent.say("task_accepted", task_id=task_id)
        self.assert_answer(answers, "task_ack", status="accepted")
        self.assertEqual(self.hub.events_of(task_id).count("task_accepted"), 1)

    def test_queued(self) -> None:
        """While the task is queued only ends count."""
        task_id = self.hub.push("a")
        self.agent.say("drain")
        self.agent.say("task_recovering", task_id=task_id, last_status="waking")
        for type in ("task_accepted", "task_progress", "task_rejected"):
            self.assert_invalid(type, task_id, "queued")

    def test_completed(self) -> None:
        """Nothing counts on a completed task."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=task_id)
        for type in REPORTS:
            if type != "task_complete":
                self.assert_invalid(type, task_id, "completed")

    def test_dead_letter(self) -> None:
        """Nothing counts on a dead letter."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_failed", task_id=task_id)
        for type in REPORTS:
            if type != "task_failed":
                self.assert_invalid(type, task_id, "dead_letter")

    def test_cancelled(self) -> None:
        """A late report on a cancelled task is ``invalid_state`` too."""
        task_id = self.accepted(self.agent)
        self.hub.request("POST", f"/api/tasks/{task_id}/cancel")
        for type in REPORTS:
            self.assert_invalid(type, task_id, "cancelled")
        self.assert_task(task_id, status="cancelled", result=None)

    def test_after_a_restart(self) -> None:
        """So it is when the task has to be looked up."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=task_id)
        self.restart()
        self.agent = self.hub.agent("a")
        self.assert_invalid("task_failed", task_id, "completed")
        self.assert_error(self.hub.agent("b").say("task_complete", task_id=task_id), "not_assignee")

    def test_nothing_is_logged(self) -> None:
        """A refused report changes and logs nothing."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=task_id, result=1)
        task, events = self.hub.task(task_id), self.hub.events_of(task_id)
        self.agent.say("task_failed", task_id=task_id, error="late")
        self.agent.say("task_complete", task_id=task_id, generation=9, result=2)
        self.hub.agent("b").say("task_complete", task_id=task_id, result=3)
        self.assertEqual(self.hub.task(task_id), task)
        self.assertEqual(self.hub.events_of(task_id), events)


class RefusedProgressTests(HubTests):
    """Rule 4: a refused ``task_progress`` is told once."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")
        self.ended = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=self.ended)

    def test_once(self) -> None:
        """It gets its error once per task, however often it is said."""
        answers = self.agent.say("task_progress", task_id=self.ended, progress=0.9)
        self.assert_error(
            answers, "invalid_state", task_id=self.ended, message_type="task_progress"
        )
        for _ in range(50):
            self.assertEqual(self.agent.say("task_progress", task_id=self.ended), [])
        self.assertIsNone(self.agent.closed)

    def test_each_task(self) -> None:
        """Another task gets its own."""
        self.agent.say("task_progress", task_id=self.ended)
        other = self.accepted(self.agent)
        answers = self.agent.say("task_progress", task_id=other, generation=8)
        self.assert_error(answers, "stale_generation", task_id=other)

    def test_each_connection(self) -> None:
        """Another connection gets it again."""
        self.agent.say("task_progress", task_id=self.ended)
        again = self.hub.agent("a")
        self.assert_error(again.say("task_progress", task_id=self.ended), "invalid_state")

    def test_other_reports(self) -> None:
        """Other refused reports of that task get their errors each time."""
        self.agent.say("task_progress", task_id=self.ended)
        for _ in range(3):
            self.assert_error(self.agent.say("task_failed", task_id=self.ended), "invalid_state")

    def test_good_progress_goes_on(self) -> None:
        """Progress that counts is never refused because other progress was."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_progress", task_id=task_id, generation=8)
        self.agent.say("task_progress", task_id=task_id, generation=1, progress=0.5)
        self.hub.advance(1)
        self.assert_task(task_id, progress=0.5)
