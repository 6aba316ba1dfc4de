"""Tasks that find an agent with room when they come: they wait for nobody, and are told alike."""

from __future__ import annotations

from tests.contract.queueing import QueueTests


class AtOnceTests(QueueTests):
    """What holds for a task that need not wait."""

    def test_its_events(self) -> None:
        """It has the events of any other, and the queue does not have it."""
        agent = self.hub.agent("a")
        task_id = self.submit()
        self.assertEqual(self.assigned(agent), [task_id])
        self.assertEqual(self.hub.events_of(task_id), ["task_submitted", "task_assigned"])
        self.assertEqual(len(self.hub.hub.dispatch.queue), 0)

    def test_more_than_there_is_room_for(self) -> None:
        """Of a batch what is urgent gets the room, wherever it stands in the batch."""
        agent = self.hub.agent("a", slots=2)
        low, urgent, normal, high = self.submit_all(
            [{"priority": name} for name in ("low", "urgent", "normal", "high")]
        )
        self.assertEqual(self.assigned(agent), [urgent, high])
        for done, following in ((urgent, normal), (high, low)):
            agent.say("task_complete", task_id=done)
            self.assertEqual(self.assigned(agent)[-1], following)

    def test_answer_before_assignment(self) -> None:
        """Who submits a task and gets it hears that it was taken before it is handed over."""
        agent = self.hub.agent("a")
        came = agent.say("task_submit", description="work")
        self.assertEqual([frame["type"] for frame in came], ["task_submitted", "task_assign"])

    def test_it_is_a_turn(self) -> None:
        """It counts as a turn of its submitter: of those who wait, others go first."""
        one, other = self.hub.token("one"), self.hub.token("other")
        agent = self.hub.agent("a")
        at_once = self.submit(token=one)
        second = self.submit(token=one)
        others = self.submit(token=other)
        for done, following in ((at_once, others), (others, second)):
            agent.say("task_complete", task_id=done)
            self.assertEqual(self.assigned(agent)[-1], following)
