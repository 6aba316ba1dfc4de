"""Nothing that is told rests on what is not on disk yet (PROTOCOL.md section 1)."""

from agentcom.testing import Answered, MemoryHub
from tests.contract.helpers import HubTests, SlowDisk


class SlowDiskTests(HubTests):
    """A hub whose disk can be held, and an agent.

    :ivar disk: what holds it.
    """

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        self.agent = self.hub.agent("a")

    def release(self) -> None:
        self.disk.release()
        self.hub.settle()


class BackBeforeTheDiskTests(SlowDiskTests):
    """An agent is back while what concerns it is still being written."""

    def test_assignment_is_not_sent_again_before_it_is_on_disk(self) -> None:
        """An agent that comes back gets an assignment only when that is on disk."""
        self.disk.hold()
        body = {"agent_id": "a", "description": "work"}
        push = self.hub.open_request("POST", "/api/admin/push-task", body)
        self.agent.vanish()
        back = self.hub.agent("a")
        self.hub.advance(3)
        self.assertEqual((back.of("task_assign"), push.received), ([], b""))
        self.release()
        (frame,) = back.of("task_assign")
        answer = Answered(push.received)
        self.assert_fields(frame, task_id=answer.body["task_id"], generation=1, attempt=1)

    def test_what_ended_meanwhile_is_not_sent_again(self) -> None:
        """An assignment that waits for the disk is not sent again once the task has ended."""
        task_id = self.hub.push("a")
        self.agent.vanish()
        self.disk.hold()
        back = self.hub.agent("a")
        self.hub.advance(3)
        cancel = self.hub.open_request("POST", f"/api/tasks/{task_id}/cancel")
        self.release()
        self.assertEqual(Answered(cancel.received).status, 200)
        self.assertEqual(back.of("task_assign"), [])

    def test_identified_with_mentions(self) -> None:
        """What ``identified`` says of mentioned tasks is on disk when it is said."""
        task_id = self.accepted(self.agent)
        self.agent.vanish()
        self.hub.advance(31)
        self.assert_task(task_id, status="queued")
        self.disk.hold()
        back = self.hub.connect()
        mentions = [{"task_id": task_id, "generation": 1}]
        token = self.hub.token("a")
        self.assertEqual(back.say("identify", agent_id="a", token=token, tasks=mentions), [])
        self.assert_answer(back.say("ping"), "pong")
        self.release()
        (frame,) = back.of("identified")
        self.assert_fields(frame, tasks=[{"task_id": task_id, "action": "continue"}])
        self.assert_task(task_id, status="working")

    def test_identified_without_mentions(self) -> None:
        """Where no task was mentioned ``identified`` does not wait."""
        self.disk.hold()
        back = self.hub.connect()
        answers = back.say("identify", agent_id="a", token=self.hub.token("a"), tasks=[])
        self.assert_answer(answers, "identified", tasks=[])


class CancelBeforeTheDiskTests(SlowDiskTests):
    """A task is cancelled, and the cancellation is still being written."""

    def setUp(self) -> None:
        super().setUp()
        self.task_id = self.accepted(self.agent)
        self.disk.hold()
        self.cancel = self.hub.open_request("POST", f"/api/tasks/{self.task_id}/cancel")

    def test_second_cancel(self) -> None:
        """A second cancel is refused only when the first one is on disk."""
        second = self.hub.open_request("POST", f"/api/tasks/{self.task_id}/cancel")
        self.assertEqual((self.cancel.received, second.received), (b"", b""))
        self.release()
        self.assertEqual(Answered(self.cancel.received).status, 200)
        refused = Answered(second.received)
        self.assertEqual(refused.status, 409)
        self.assert_fields(refused.body, error="invalid_state", status="cancelled")

    def test_late_result(self) -> None:
        """A result is refused as too late only when what it came too late for is on disk."""
        self.assertEqual(self.agent.say("task_complete", task_id=self.task_id, result="r"), [])
        self.release()
        (refused,) = self.agent.of("error")
        self.assert_fields(refused, error="invalid_state", status="cancelled")

    def test_agent_changes_lines(self) -> None:
        """``task_cancelled`` goes to the line that is the newest when it is sent."""
        newer = self.hub.agent("a")
        self.assertEqual(newer.of("task_cancelled"), [])
        self.release()
        (frame,) = newer.of("task_cancelled")
        self.assert_fields(frame, task_id=self.task_id, generation=1)
        self.assertEqual(self.agent.of("task_cancelled"), [])
