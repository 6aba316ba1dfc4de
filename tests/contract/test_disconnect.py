"""Agents that go, and hubs that restart: section 3.2, "Disconnect and hub restart"."""

from tests.contract.helpers import HubTests, enqueue, history


class HoldTests(HubTests):
    """The task is held for its agent."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def test_hold(self) -> None:
        """A working task is held for 30 s, then goes back to the queue."""
        task_id = self.accepted(self.agent)
        self.agent.vanish()
        self.hub.advance(29.75)
        self.assert_task(task_id, status="working", agent_id="a")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued", attempts=0)
        self.assertEqual(self.hub.events_of(task_id)[-1], "task_requeued")

    def test_assigned(self) -> None:
        """So is one that was assigned and not accepted."""
        task_id = self.hub.push("a")
        self.agent.vanish()
        self.hub.advance(29.75)
        self.assert_task(task_id, status="assigned")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued")

    def test_any_close(self) -> None:
        """How the connection ended makes no difference."""
        task_id = self.accepted(self.agent)
        self.agent.sendClose(1000, "bye")
        self.hub.settle()
        self.hub.advance(29.75)
        self.assert_task(task_id, status="working")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued")

    def test_hold_s(self) -> None:
        """``hold_s`` of the task is what counts."""
        task_id = enqueue(self.hub, "a", hold_s=5.0)
        self.agent.vanish()
        self.hub.advance(4.75)
        self.assert_task(task_id, status="assigned")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued")

    def test_back_ends_the_hold(self) -> None:
        """An agent that is back in time keeps its task for good."""
        task_id = self.accepted(self.agent)
        self.agent.vanish()
        self.hub.advance(29)
        back = self.hub.agent("a", tasks=[{"task_id": task_id}])
        self.hub.advance(120, step=1)
        self.assert_task(task_id, status="working", generation=1)
        self.assert_answer(back.say("task_complete", task_id=task_id), "task_ack")

    def test_each_disconnect_counts_anew(self) -> None:
        """Each disconnect begins a whole hold."""
        task_id = self.accepted(self.agent)
        for _ in range(3):
            self.agent.vanish()
            self.hub.advance(20)
            self.agent = self.hub.agent("a", tasks=[{"task_id": task_id}])
        self.agent.vanish()
        self.hub.advance(29)
        self.assert_task(task_id, status="working", generation=1)

    def test_flapping(self) -> None:
        """An agent whose line breaks within the quiet time loses nothing either."""
        task_id = self.accepted(self.agent)
        for _ in range(30):
            self.agent.vanish()
            self.hub.advance(1)
            self.agent = self.hub.agent("a")
            self.hub.advance(1)
        self.assert_task(task_id, status="working", generation=1)
        self.hub.advance(2)
        self.assertEqual([f["task_id"] for f in self.agent.of("task_assign")], [task_id])

    def test_many_tasks(self) -> None:
        """All of its tasks are held, and all go back."""
        tasks = [self.hub.push("a") for _ in range(5)]
        self.agent.vanish()
        self.hub.advance(30)
        for task_id in tasks:
            self.assert_task(task_id, status="queued")

    def test_pinned(self) -> None:
        """A push stays pinned: from the queue it goes to its own agent only."""
        other = self.hub.agent("b")
        task_id = self.hub.push("a")
        self.agent.vanish()
        self.hub.advance(60)
        self.assertEqual(other.of("task_assign"), [])
        back = self.hub.agent("a")
        self.hub.advance(2)
        (frame,) = back.of("task_assign")
        self.assert_fields(frame, task_id=task_id, generation=2, attempt=1)

    def test_no_attempt_is_spent(self) -> None:
        """A hold that ran out spends no attempt: it is in the requeue's favour."""
        task_id = self.hub.push("a")
        self.agent.vanish()
        self.hub.advance(30)
        self.assert_task(task_id, attempts=0, max_attempts=1)


class RestartTests(HubTests):
    """The hub restarts."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def test_held(self) -> None:
        """Tasks stay assigned over a restart, and are held 30 s from when the hub listens."""
        assigned, working = self.hub.push("a"), self.accepted(self.agent)
        self.hub.clock.advance(1_000)
        self.restart()
        self.hub.advance(29.75)
        self.assert_task(assigned, status="assigned", agent_id="a")
        self.assert_task(working, status="working", agent_id="a")
        self.hub.advance(0.25)
        for task_id in (assigned, working):
            self.assert_task(task_id, status="queued")
            self.assertEqual(history(self.hub, task_id)[-1]["event"], "task_requeued")

    def test_hold_begun_before(self) -> None:
        """A hold that had begun before the restart counts anew."""
        task_id = self.accepted(self.agent)
        self.agent.vanish()
        self.hub.advance(25)
        self.restart()
        self.hub.advance(29)
        self.assert_task(task_id, status="working")

    def test_agent_comes_back(self) -> None:
        """An agent that comes back keeps its tasks and ends them."""
        task_id = self.accepted(self.agent)
        self.restart()
        self.hub.advance(20)
        back = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        self.hub.advance(60, step=1)
        self.assert_task(task_id, status="working", generation=1)
        answers = back.say("task_complete", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="complete")

    def test_finished_while_the_hub_was_down(self) -> None:
        """Work that was finished while the hub was down is reported and accepted."""
        task_id = self.accepted(self.agent)
        self.restart()
        back = self.hub.agent("a")
        answers = back.say("task_complete", task_id=task_id, generation=1, result="r")
        self.assert_answer(answers, "task_ack")
        self.assert_task(task_id, status="completed", result="r")

    def test_queue_survives(self) -> None:
        """What waited in the queue waits on, and goes to its agent."""
        task_id = self.hub.push("a", "described", metadata={"k": "v"})
        self.agent.vanish()
        self.hub.advance(30)
        self.restart()
        self.assert_task(task_id, status="queued")
        back = self.hub.agent("a")
        self.hub.advance(2)
        (frame,) = back.of("task_assign")
        self.assert_fields(
            frame, task_id=task_id, description="described", metadata={"k": "v"}, generation=2
        )

    def test_finished_work_of_a_queued_task(self) -> None:
        """Rule 3 holds over a restart: the last agent's finished work is kept."""
        task_id = self.accepted(self.agent)
        self.agent.vanish()
        self.hub.advance(30)
        self.restart()
        answers = self.hub.agent("a").say("task_complete", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(task_id, status="completed", generation=1)

    def test_stopped_properly(self) -> None:
        """After a proper stop tasks are held just the same."""
        task_id = self.accepted(self.agent)
        self.hub.hub.drain()
        self.hub.hub.stop()
        self.restart()
        self.hub.advance(29.75)
        self.assert_task(task_id, status="working")
        self.hub.advance(0.25)
        self.assert_task(task_id, status="queued")
