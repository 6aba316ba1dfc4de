"""What the tests of the queue's routes share: submitting, and tasks that have failed."""

from __future__ import annotations

from typing import Any

from agentcom.testing import Answered, FakeAgent
from tests.unit.http.support import HttpCase

TASKS = "/api/tasks"


class QueueCase(HttpCase):
    """A hub whose queue is asked over HTTP."""

    def ask(self, token: str | None = "", **fields: Any) -> Answered:
        """Submit a task."""
        return self.post(TASKS, {"description": "work", **fields}, token=token)

    def submit(self, **fields: Any) -> str:
        """Submit a task that is taken, and give its id."""
        return str(self.answers(self.ask(**fields), 201)["task_id"])

    def all_tasks(self, query: str = "") -> list[str]:
        """Ids of tasks, newest first."""
        body = self.answers(self.get(TASKS + query), 200)
        return [task["id"] for task in body["tasks"]]

    def die(self, agent: FakeAgent, error: str = "broken", **fields: Any) -> str:
        """A task that becomes a dead letter, failed by this agent."""
        agent_id = agent.of("identified")[-1]["agent_id"]
        task_id = self.submit(agent_id=agent_id, **fields)
        agent.say("task_failed", task_id=task_id, error=error, retryable=False)
        self.assertEqual(self.hub.task(task_id)["status"], "dead_letter")
        return task_id
