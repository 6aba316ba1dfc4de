"""Tasks that find an agent with room when they come: they wait for nobody, and are told alike."""

from __future__ import annotations

from agentcom.core.task import Task
from agentcom.wire.http import PushTask
from agentcom.wire.tasks import SubmitTask
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

    def test_handed_over_all_the_same(self) -> None:
        """The agent gets its task also where telling its submitter fails."""
        agent = self.hub.agent("a", slots=2)
        told: list[str] = []

        def fails(task: Task) -> None:
            told.append(task.id)
            raise ZeroDivisionError

        self.hub.hub.submissions.take("s", SubmitTask(description="work"), fails)
        self.hub.hub.pushes.take("s", PushTask(agent_id="a", description="work"), fails)
        self.hub.settle()
        self.assertEqual(len(told), 2)
        self.assertEqual(self.assigned(agent), told)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

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
