"""What people do to tasks that have not ended: cancel one, take one from its agent."""

from __future__ import annotations

from typing import Any

from agentcom.core.task import MAX_REQUEUES
from agentcom.testing import Answered, MemoryHub
from tests.contract.helpers import SlowDisk, queue
from tests.contract.queueing import QueueTests, later


class CancelTests(QueueTests):
    """``POST /api/tasks/:id/cancel``."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def assert_cancelled(self, answer: Answered, task_id: str) -> None:
        """The cancel was taken, and the task and the log say so."""
        self.assertEqual(answer.body, {"status": "cancelled", "task_id": task_id})
        self.assertEqual(answer.status, 200)
        self.assert_task(task_id, status="cancelled", ready_at=None, expires_at=None)
        self.assertEqual(self.hub.events_of(task_id)[-1], "task_cancelled")

    def test_waiting(self) -> None:
        """Whatever it waits for, a task in the queue is cancelled and nobody gets it."""
        self.agent.say("drain")
        for fields in (
            {},
            {"agent_id": "ghost"},
            {"capabilities": ["gpu"]},
            {"not_before": later(self.hub, 5)},
            {"deadline": later(self.hub, 5), "queue_timeout_s": 5},
        ):
            task_id = self.submit(**fields)
            self.assert_cancelled(self.cancel(task_id), task_id)
        other = self.hub.agent("ghost", capabilities=["gpu"], slots=9)
        self.hub.advance(10)
        self.assertEqual(self.assigned(other), [])

    def test_between_attempts(self) -> None:
        """So is one that waits for its next attempt."""
        task_id = self.submit(backoff={"initial_s": 5})
        self.agent.say("task_failed", task_id=task_id)
        self.assert_cancelled(self.cancel(task_id), task_id)
        self.hub.advance(10)
        self.assertEqual(self.assigned(self.agent), [task_id])

    def test_assigned_or_working(self) -> None:
        """The agent that has it is told which attempt to stop and why, and gets the next task."""
        for accepted in (False, True):
            task_id, following = self.submit(), self.submit()
            if accepted:
                self.agent.say("task_accepted", task_id=task_id)
            self.assert_cancelled(self.cancel(task_id, "not needed"), task_id)
            self.assertEqual(self.told_off(self.agent)[-1], (task_id, 1, "not needed"))
            self.assertEqual(self.assigned(self.agent)[-1], following)
            heard = [frame["type"] for frame in self.agent.frames[-2:]]
            self.assertEqual(heard, ["task_cancelled", "task_assign"])
            self.agent.say("task_complete", task_id=following)

    def test_no_reason(self) -> None:
        """Without a reason the agent is told ``cancelled``; the log has none."""
        task_id = self.submit()
        self.cancel(task_id)
        self.assertEqual(self.told_off(self.agent), [(task_id, 1, "cancelled")])
        self.assertEqual(self.last_payload(task_id, "task_cancelled"), {"by": "admin"})

    def test_by_whom(self) -> None:
        """Who cancelled it and why is in the log, after a restart too."""
        task_id = self.submit()
        self.cancel(task_id, "a better one", self.hub.token("ana"))
        self.restart()
        payload = self.last_payload(task_id, "task_cancelled")
        self.assertEqual(payload, {"by": "ana", "reason": "a better one"})

    def test_away(self) -> None:
        """An agent that is away hears of it when it is back and names the task."""
        task_id = self.submit()
        self.agent.vanish()
        self.assert_cancelled(self.cancel(task_id), task_id)
        back = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        told = back.of("identified")[0]["tasks"]
        self.assertEqual(told, [{"task_id": task_id, "action": "abort"}])
        self.hub.advance(40)
        self.assert_task(task_id, status="cancelled")

    def test_late_reports(self) -> None:
        """Whatever the agent reports afterwards is refused, with what became of the task."""
        task_id = self.submit()
        self.cancel(task_id)
        for type in ("task_accepted", "task_progress", "task_complete", "task_failed"):
            answers = self.agent.say(type, task_id=task_id, generation=1)
            self.assert_error(answers, "invalid_state", task_id=task_id, status="cancelled")
        self.assert_answer(
            self.agent.say("state_report", task_id=task_id), "state_report_ack", action="abort"
        )
        self.assertEqual(len(self.hub.events_of(task_id)), 3)

    def test_ended(self) -> None:
        """What has ended cannot be cancelled, and says what it is; nor after a restart."""
        tasks = {
            "completed": self.submit(),
            "dead_letter": self.submit(),
            "cancelled": self.submit(),
            "expired": self.submit(deadline=later(self.hub, 5), capabilities=["gpu"]),
        }
        self.agent.say("task_complete", task_id=tasks["completed"])
        self.agent.say("task_failed", task_id=tasks["dead_letter"], retryable=False)
        self.cancel(tasks["cancelled"])
        self.hub.advance(6)
        for _ in range(2):
            for status, task_id in tasks.items():
                answer = self.cancel(task_id)
                expected = {"error": "invalid_state", "task_id": task_id, "status": status}
                self.assertEqual((answer.status, answer.body), (409, expected))
            self.restart()

    def test_unknown(self) -> None:
        """A task that there is not cannot be cancelled."""
        answer = self.cancel("task-0")
        expected = {"error": "task_not_found", "task_id": "task-0"}
        self.assertEqual((answer.status, answer.body), (404, expected))

    def test_after_a_restart(self) -> None:
        """What waited, or ran, before a restart is cancelled like all else."""
        running, waiting = self.submit(), self.submit()
        self.restart()
        for task_id in (running, waiting):
            self.assert_cancelled(self.cancel(task_id), task_id)
        self.hub.advance(40)
        agent = self.hub.agent("a")
        self.hub.advance(3)
        self.assertEqual(self.assigned(agent), [])


class RaceTests(QueueTests):
    """Decisions that meet before either is on disk: the first one counts."""

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        self.agent = self.hub.agent("a")
        self.task_id = self.submit()
        self.agent.frames.clear()
        self.disk.hold()

    def request(self, what: str) -> Any:
        """Ask for something; gives what to call for its answer."""
        client = self.hub.open_request("POST", f"/api/tasks/{self.task_id}/{what}")
        self.assertEqual(client.received, b"")
        return lambda: Answered(client.received)

    def release(self) -> None:
        self.disk.release()
        self.hub.settle()

    def test_completed_first(self) -> None:
        """A cancel that comes after the result is refused, once the result is on disk."""
        queue(self.agent, "task_complete", task_id=self.task_id)
        self.hub.settle()
        answer = self.request("cancel")
        self.release()
        self.assertEqual((answer().status, answer().body["status"]), (409, "completed"))
        self.assert_answer(self.agent.frames, "task_ack", status="complete")

    def test_cancelled_first(self) -> None:
        """A result that comes after the cancel is refused, once that is on disk."""
        answer = self.request("cancel")
        self.agent.say("task_complete", task_id=self.task_id)
        self.assertEqual(self.agent.frames, [])
        self.release()
        self.assertEqual(answer().status, 200)
        self.assertEqual([f["type"] for f in self.agent.frames], ["task_cancelled", "error"])
        self.assert_task(self.task_id, status="cancelled", result=None)

    def test_twice(self) -> None:
        """Of two cancels one is taken."""
        answers = [self.request("cancel") for _ in range(2)]
        self.release()
        self.assertEqual([a().status for a in answers], [200, 409])
        self.assertEqual(self.hub.events_of(self.task_id).count("task_cancelled"), 1)

    def test_taken_back_and_cancelled(self) -> None:
        """A cancel after a requeue ends the task; the agent was told once, by the requeue."""
        answers = [self.request("requeue"), self.request("cancel")]
        self.release()
        self.assertEqual([a().status for a in answers], [200, 200])
        self.assertEqual(self.told_off(self.agent), [(self.task_id, 1, "operator")])
        self.assert_task(self.task_id, status="cancelled")


class RequeueTests(QueueTests):
    """``POST /api/tasks/:id/requeue``."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def requeue(self, task_id: str, reason: str | None = None) -> None:
        """Take the task from its agent."""
        body = None if reason is None else {"reason": reason}
        answer = self.post(f"/api/tasks/{task_id}/requeue", body)
        self.assert_fields(answer, status="requeued", task_id=task_id)

    def test_to_another(self) -> None:
        """The agent is told to stop, and another one gets it, with the same attempt."""
        task_id = self.submit()
        self.agent.say("task_accepted", task_id=task_id)
        other = self.hub.agent("b")
        self.requeue(task_id, "too slow")
        self.assertEqual(self.told_off(self.agent), [(task_id, 1, "too slow")])
        (frame,) = other.of("task_assign")
        self.assert_fields(frame, task_id=task_id, generation=2, attempt=1)
        self.assertEqual(
            self.last_payload(task_id, "task_requeued"),
            {"reason": "operator", "by": "admin", "note": "too slow", "requeues": 1},
        )
        answers = self.agent.say("task_complete", task_id=task_id, generation=1)
        self.assert_error(answers, "not_assignee")

    def test_not_to_the_same_at_once(self) -> None:
        """The agent that it was taken from pauses: 5 s, longer each time."""
        task_id = self.submit()
        for wait in (5, 10, 20, 40, 60, 60):
            count = len(self.assigned(self.agent))
            self.requeue(task_id)
            self.hub.advance(wait - 0.25, step=0.25)
            self.assert_task(task_id, status="queued", attempts=0)
            self.hub.advance(0.25)
            self.assertEqual(len(self.assigned(self.agent)), count + 1, wait)

    def test_orders_too(self) -> None:
        """An order goes back too, and then to its own agent again."""
        other = self.hub.agent("b")
        task_id = self.hub.push("a")
        self.requeue(task_id)
        self.assert_task(task_id, status="queued", pinned="a", requeues=1)
        self.hub.advance(5)
        self.assertEqual(self.assigned(self.agent), [task_id, task_id])
        self.assertEqual(self.assigned(other), [])

    def test_held_for_one_that_is_away(self) -> None:
        """What is held for an agent that is away goes on at once, without the rest of the hold."""
        task_id = self.submit(hold_s=3600)
        self.agent.vanish()
        other = self.hub.agent("b")
        self.requeue(task_id)
        self.assertEqual(self.assigned(other), [task_id])
        other.say("task_accepted", task_id=task_id)
        self.hub.advance(3700, step=10)
        self.assert_task(task_id, generation=2, agent_id="b")

    def test_finished_meanwhile(self) -> None:
        """A result of the one that it was taken from is kept while nobody else has begun."""
        task_id = self.submit()
        self.requeue(task_id)
        answers = self.agent.say("task_complete", task_id=task_id, generation=1, result=1)
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(task_id, status="completed", result=1, attempts=1)

    def test_nobody_has_it(self) -> None:
        """What waits, or has ended, cannot be taken from anybody; nor after a restart."""
        self.agent.say("drain")
        waiting, ended = self.submit(), self.submit()
        self.cancel(ended)
        for _ in range(2):
            for task_id, status in ((waiting, "queued"), (ended, "cancelled")):
                body = self.post(f"/api/tasks/{task_id}/requeue", expected=409)
                self.assertEqual((body["error"], body["status"]), ("invalid_state", status))
            self.restart()
        self.post("/api/tasks/task-0/requeue", expected=404)

    def test_limit(self) -> None:
        """Even operators end at the hundredth time: then it is a dead letter."""
        task_id = self.submit()
        for number in range(MAX_REQUEUES):
            self.requeue(task_id)
            self.assert_task(task_id, status="queued", requeues=number + 1)
            self.agent.vanish()
            self.hub.advance(61, step=61)
            self.agent = self.hub.agent("a")
            self.hub.advance(2)
        self.requeue(task_id)
        self.assert_task(task_id, status="dead_letter", last_error="requeue_limit")
        payload = self.last_payload(task_id, "task_dead_letter")
        self.assertEqual(payload, {"reason": "requeue_limit", "last_requeue": "operator"})
