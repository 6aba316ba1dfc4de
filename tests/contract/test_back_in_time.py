"""Agents that are back before the hold is over: section 3.2, "Back in time"."""

from tests.contract.helpers import Frame, HubTests, enqueue


class BackInTimeTests(HubTests):
    """An agent that is back with tasks assigned to it."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a", slots=5)
        self.task_id = self.accepted(self.agent)
        self.original = self.agent.of("task_assign")[0]

    def back(self, **fields: object) -> None:
        self.agent.vanish()
        self.hub.advance(1)
        self.agent = self.hub.agent("a", slots=5, **fields)

    def assigned(self) -> list[Frame]:
        return self.agent.of("task_assign")


class QuietTests(BackInTimeTests):
    """The 2 s in which it says what it has."""

    def test_nothing_new(self) -> None:
        """It is offered nothing new for 2 s."""
        self.agent.vanish()
        waiting = enqueue(self.hub, "a")
        self.agent = self.hub.agent("a", slots=5, tasks=[{"task_id": self.task_id}])
        self.hub.advance(1.75)
        self.assertEqual(self.assigned(), [])
        self.hub.advance(0.25)
        self.assertEqual([f["task_id"] for f in self.assigned()], [waiting])

    def test_queued_meanwhile(self) -> None:
        """What comes into the queue in these 2 s waits too."""
        self.back()
        waiting = enqueue(self.hub, "a")
        self.hub.advance(1.75)
        self.assert_task(waiting, status="queued")
        self.hub.advance(0.25)
        self.assert_task(waiting, status="assigned")

    def test_nothing_assigned_nothing_quiet(self) -> None:
        """An agent that has nothing is offered work at once."""
        other = enqueue(self.hub, "b")
        fresh = self.hub.agent("b")
        self.assertEqual([f["task_id"] for f in fresh.of("task_assign")], [other])

    def test_push_is_an_order(self) -> None:
        """A push goes out at once all the same."""
        self.back()
        pushed = self.hub.push("a")
        self.assertEqual([f["task_id"] for f in self.assigned()], [pushed])


class SentAgainTests(BackInTimeTests):
    """What it does not mention is sent again."""

    def test_same(self) -> None:
        """Unmentioned, the very same ``task_assign`` is sent again after 2 s."""
        self.back()
        self.hub.advance(1.75)
        self.assertEqual(self.assigned(), [])
        self.hub.advance(0.25)
        self.assertEqual(self.assigned(), [self.original])
        self.assert_task(self.task_id, generation=1, attempts=1)

    def test_nothing_is_logged(self) -> None:
        """A repetition is no assignment: nothing is logged."""
        events = self.hub.events_of(self.task_id)
        self.back()
        self.hub.advance(5)
        self.assertEqual(self.hub.events_of(self.task_id), events)

    def test_lost_assignment(self) -> None:
        """An assignment that never arrived arrives now."""
        task_id = self.hub.push("a")
        self.back(tasks=[{"task_id": self.task_id}])
        self.hub.advance(2)
        self.assertEqual([f["task_id"] for f in self.assigned()], [task_id])
        answers = self.agent.say("task_accepted", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="accepted")

    def test_lost_result(self) -> None:
        """A result that was lost with the line is told again and counts."""
        self.back()
        self.hub.advance(2)
        answers = self.agent.say("task_complete", task_id=self.task_id, generation=1, result=1)
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(self.task_id, status="completed", result=1)

    def test_once(self) -> None:
        """It is sent again once on a connection, not every 2 s."""
        self.back()
        self.hub.advance(30)
        self.assertEqual(len(self.assigned()), 1)

    def test_after_a_restart(self) -> None:
        """So it is after a restart of the hub."""
        self.restart()
        self.agent = self.hub.agent("a", slots=5)
        self.hub.advance(2)
        self.assertEqual(self.assigned(), [self.original])

    def test_after_a_replacement(self) -> None:
        """So it is for a newer connection while the older one was still open."""
        self.agent = self.hub.agent("a", slots=5)
        self.hub.advance(2)
        self.assertEqual(self.assigned(), [self.original])

    def test_oldest_first(self) -> None:
        """Several are sent again in their order."""
        tasks = [self.task_id, *(self.hub.push("a") for _ in range(3))]
        self.back()
        self.hub.advance(2)
        self.assertEqual([f["task_id"] for f in self.assigned()], tasks)


class MentionTests(BackInTimeTests):
    """What it mentions is not sent again."""

    def assert_not_again(self) -> None:
        self.hub.advance(10)
        self.assertEqual(self.assigned(), [])
        self.assert_task(self.task_id, status="working", generation=1)

    def test_identify(self) -> None:
        """A mention in ``identify.tasks`` is enough, with or without generation."""
        for mention in (
            {"task_id": self.task_id, "generation": 1},
            {"task_id": self.task_id},
            {"task_id": self.task_id, "generation": 0},
            {"task_id": self.task_id, "generation": None},
        ):
            self.back(tasks=[mention])
            self.assert_not_again()

    def test_recovering(self) -> None:
        """``task_recovering`` is a mention."""
        self.back()
        answers = self.agent.say("task_recovering", task_id=self.task_id, generation=1)
        self.assert_answer(answers, "task_continue", task_id=self.task_id, generation=1)
        self.assert_not_again()

    def test_state_report(self) -> None:
        """``state_report`` is a mention."""
        self.back()
        answers = self.agent.say("state_report", task_id=self.task_id, generation=1)
        self.assert_answer(answers, "state_report_ack", action="continue")
        self.assert_not_again()

    def test_any_report(self) -> None:
        """Any report that counts is a mention."""
        for type in ("task_accepted", "task_progress"):
            self.back()
            self.agent.say(type, task_id=self.task_id, generation=1)
            self.assert_not_again()

    def test_refused_report(self) -> None:
        """A report that is refused is none."""
        self.back()
        self.agent.say("task_accepted", task_id=self.task_id, generation=9)
        self.hub.advance(2)
        self.assertEqual(len(self.assigned()), 1)

    def test_old_generation(self) -> None:
        """A mention of another generation is none."""
        self.back(tasks=[{"task_id": self.task_id, "generation": 5}])
        self.hub.advance(2)
        self.assertEqual(len(self.assigned()), 1)

    def test_others(self) -> None:
        """Mentions of unknown tasks and of other agents' tasks do no harm."""
        self.hub.agent("b")
        foreign = self.hub.push("b")
        self.back(tasks=[{"task_id": foreign}, {"task_id": "x"}, {"task_id": self.task_id}])
        self.assert_not_again()
        self.assert_task(foreign, status="assigned", agent_id="b")

    def test_empty(self) -> None:
        """An empty list mentions nothing: all is sent again."""
        self.back(tasks=[])
        self.hub.advance(2)
        self.assertEqual(len(self.assigned()), 1)

    def test_back_from_the_queue(self) -> None:
        """Work that goes on while the task went back to the queue is kept."""
        for say in (
            {"tasks": [{"task_id": self.task_id, "generation": 1}]},
            {"tasks": [{"task_id": self.task_id}]},
        ):
            self.agent.vanish()
            self.hub.advance(40)
            self.assert_task(self.task_id, status="queued")
            self.agent = self.hub.agent("a", slots=5, **say)
            self.assert_task(self.task_id, status="working", generation=1, attempts=1)
            self.assert_not_again()

    def test_back_from_the_queue_of_a_restarted_hub(self) -> None:
        """So it is when the hub restarted meanwhile."""
        self.agent.vanish()
        self.hub.advance(40)
        self.restart()
        self.agent = self.hub.agent("a", tasks=[{"task_id": self.task_id, "generation": 1}])
        self.assert_not_again()


class BusyTests(BackInTimeTests):
    """A rejection of a repetition means "busy"."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.accepted(self.agent)
        self.back(tasks=[{"task_id": self.other}])
        self.hub.advance(2)
        self.assertEqual(self.assigned(), [self.original])
        self.events = self.hub.events_of(self.task_id)
        answers = self.agent.say("task_rejected", task_id=self.task_id, reason="busy")
        self.assert_answer(answers, "task_ack", task_id=self.task_id, status="rejected")

    def test_stays(self) -> None:
        """The task stays with it, and nothing is logged."""
        self.assert_task(self.task_id, status="working", agent_id="a", generation=1, attempts=1)
        self.assertEqual(self.hub.events_of(self.task_id), self.events)

    def test_no_pause(self) -> None:
        """It is no rejection of an offer: the agent is not paused."""
        waiting = enqueue(self.hub, "a")
        self.assertEqual(self.assigned()[-1]["task_id"], waiting)

    def test_asked_after_an_end(self) -> None:
        """It is asked about the task again after its next reported end."""
        for type in ("task_complete", "task_failed"):
            before = len(self.assigned())
            self.agent.say(type, task_id=self.other)
            self.assertEqual(self.assigned()[before:], [self.original], type)
            self.agent.say("task_rejected", task_id=self.task_id)
            self.other = self.accepted(self.agent)

    def test_asked_after_a_minute(self) -> None:
        """Or after 60 s."""
        self.hub.advance(59.75, step=0.75)
        self.assertEqual(len(self.assigned()), 1)
        self.hub.advance(0.5)
        self.assertEqual(self.assigned()[1:], [self.original])

    def test_busy_for_long(self) -> None:
        """However often it is busy, the task stays and is asked about again."""
        for count in range(2, 12):
            self.hub.advance(60.25, step=0.75)
            self.assertEqual(len(self.assigned()), count)
            self.agent.say("task_rejected", task_id=self.task_id)
        self.assert_task(self.task_id, status="working", generation=1, agent_id="a")

    def test_taken_at_last(self) -> None:
        """Taken at last, it ends as any other."""
        self.hub.advance(60.25, step=0.75)
        for type in ("task_accepted", "task_complete"):
            self.assert_answer(self.agent.say(type, task_id=self.task_id, generation=1), "task_ack")
        self.assert_task(self.task_id, status="completed", generation=1)

    def test_mentioned_meanwhile(self) -> None:
        """Begun meanwhile, it is not asked about again."""
        self.agent.say("task_accepted", task_id=self.task_id, generation=1)
        self.hub.advance(70, step=1)
        self.assertEqual(len(self.assigned()), 1)

    def test_mentioned_on_a_new_line(self) -> None:
        """Mentioned on a new connection, it is not asked about again either."""
        self.back(tasks=[{"task_id": self.task_id}, {"task_id": self.other}])
        self.hub.advance(70, step=1)
        self.assertEqual(self.assigned(), [])

    def test_stale(self) -> None:
        """A rejection with another generation is stale, of a repetition too."""
        answers = self.agent.say("task_rejected", task_id=self.task_id, generation=9)
        self.assert_error(answers, "stale_generation", task_id=self.task_id)
