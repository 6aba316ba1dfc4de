"""The calls about tasks: what each asks of the hub."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.errors import HubError
from tests.unit.client.fakes import FakeHub, start

REQUEUED = {"status": "requeued", "task_id": "task-1", "priority": "normal"}


class TaskCallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hub = FakeHub()
        self.client = self.hub.client()

    def ask(self, coroutine: Any, answer: Any, code: int = 200) -> tuple[str, Any]:
        """Await a call that gets this answer; what was asked."""
        self.hub.default = code, answer
        self.assertEqual(self.successResultOf(start(coroutine)), answer)
        return self.hub.requests[-1]

    def test_submit(self) -> None:
        """A submission is sent as it is; a batch in an object."""
        task = {"description": "do", "labels": {"os": "linux"}}
        queued = {"status": "queued", "task_id": "t", "priority": "low", "created_at": 1}
        asked = self.ask(self.client.submit(task), queued, 201)
        self.assertEqual(asked, ("POST /api/tasks", task))
        asked = self.ask(self.client.submit_batch([task, task]), {"task_ids": ["a", "b"]}, 201)
        self.assertEqual(asked, ("POST /api/tasks/batch", {"tasks": [task, task]}))

    def test_lists(self) -> None:
        """Lists send only the filters that were given."""
        asked = self.ask(self.client.tasks(priority="low", agent_id=None), {"tasks": []})
        self.assertEqual(asked[0], "GET /api/tasks?priority=low")
        asked = self.ask(self.client.dead_letters(last_error="a b"), {"tasks": []})
        self.assertEqual(asked[0], "GET /api/tasks/dead-letter?last_error=a+b")

    def test_stats_and_explain(self) -> None:
        """Counts, and the explanation of one task with all that it has."""
        counts = {"by_status": {"queued": 1}, "by_priority": {"low": 1}}
        self.assertEqual(self.ask(self.client.stats(), counts)[0], "GET /api/tasks/stats")
        told = {"task_id": "task-1", "status": "queued", "summary": "s", "new": 1}
        asked = self.ask(self.client.explain("task-1"), told)
        self.assertEqual(asked[0], "GET /api/tasks/task-1/explain")

    def test_one_task(self) -> None:
        """A task is retried, taken back with or without a reason, and deleted."""
        asked = self.ask(self.client.retry("task-1"), REQUEUED)
        self.assertEqual(asked, ("POST /api/tasks/task-1/retry", {}))
        asked = self.ask(self.client.requeue("task-1"), REQUEUED)
        self.assertEqual(asked, ("POST /api/tasks/task-1/requeue", {}))
        asked = self.ask(self.client.requeue("task-1", "it hangs"), REQUEUED)
        self.assertEqual(asked[1], {"reason": "it hangs"})
        deleted = {"status": "deleted", "task_id": "task-1"}
        asked = self.ask(self.client.delete("task-1"), deleted)
        self.assertEqual(asked, ("DELETE /api/tasks/task-1", None))

    def test_dead_letters(self) -> None:
        """A choice of dead letters sends only what chooses."""
        chosen = {"agent_id": "bot", "last_error": None}
        asked = self.ask(self.client.retry_dead_letters(**chosen), {"retried": 2, "skipped": 0})
        self.assertEqual(asked, ("POST /api/tasks/dead-letter/retry", {"agent_id": "bot"}))
        asked = self.ask(self.client.delete_dead_letters(all=True), {"deleted": 2})
        self.assertEqual(asked, ("POST /api/tasks/dead-letter/delete", {"all": True}))

    def test_names_that_are_no_ids(self) -> None:
        """What stands for another route in the place of an id is a task that is not there."""
        for name in ("stats", "dead-letter", "batch"):
            for call in (self.client.task, self.client.retry, self.client.delete):
                error = self.failureResultOf(start(call(name)), HubError).value
                self.assertEqual(error.code, "task_not_found")
        self.assertEqual(self.hub.requests, [])
