"""What the contract tests of the queue share: submitting, watching, explaining."""

from __future__ import annotations

from typing import Any

from agentcom.testing import Answered, FakeAgent
from tests.contract.helpers import Frame, HubTests, history


class QueueTests(HubTests):
    """A test with a hub whose queue is asked over HTTP."""

    def ask(self, token: str = "", **fields: Any) -> Answered:
        """Submit a task; ``token`` is the admin's unless told otherwise."""
        body = {"description": "work", **fields}
        return self.hub.request("POST", "/api/tasks", body, token=token)

    def submit(self, token: str = "", **fields: Any) -> str:
        """Submit a task that is taken; gives its id."""
        answer = self.ask(token, **fields)
        self.assertEqual(answer.status, 201, answer.body)
        return str(answer.body["task_id"])

    def submit_all(self, tasks: list[dict[str, Any]], token: str = "") -> list[str]:
        """Submit a batch that is taken; gives the ids."""
        body = {"tasks": [{"description": "work", **task} for task in tasks]}
        answer = self.hub.request("POST", "/api/tasks/batch", body, token=token)
        self.assertEqual(answer.status, 201, answer.body)
        return list(answer.body["task_ids"])

    def post(self, path: str, body: Any = None, expected: int = 200) -> Any:
        """The body of a POST that is answered with this status."""
        answer = self.hub.request("POST", path, body)
        self.assertEqual(answer.status, expected, answer.body)
        return answer.body

    def cancel(self, task_id: str, reason: str | None = None, token: str = "") -> Answered:
        """Cancel a task."""
        body = None if reason is None else {"reason": reason}
        return self.hub.request("POST", f"/api/tasks/{task_id}/cancel", body, token=token)

    def explain(self, task_id: str, **fields: Any) -> Frame:
        """What the hub says of a task, with at least these fields."""
        answer = self.hub.request("GET", f"/api/tasks/{task_id}/explain")
        self.assertEqual(answer.status, 200, answer.body)
        told: Frame = answer.body
        self.assert_fields(told, task_id=task_id, **fields)
        return told

    def assigned(self, agent: FakeAgent) -> list[str]:
        """The ids of the tasks that the agent was sent, in that order."""
        return [frame["task_id"] for frame in agent.of("task_assign")]

    def told_off(self, agent: FakeAgent) -> list[tuple[str, int, str]]:
        """What the agent was told to stop: task, generation and reason of each."""
        return [
            (frame["task_id"], frame["generation"], frame["reason"])
            for frame in agent.of("task_cancelled")
        ]

    def status_of(self, task_id: str) -> str:
        """The task's status, as the API shows it."""
        return str(self.hub.task(task_id)["status"])

    def last_payload(self, task_id: str, event: str) -> Frame:
        """The fields of the task's newest event of a name."""
        found = [e["payload"] for e in history(self.hub, task_id) if e["event"] == event]
        self.assertNotEqual(found, [], f"no {event} of {task_id}")
        payload: Frame = found[-1]
        return payload

    def die(self, agent: FakeAgent, error: str = "broken", **fields: Any) -> str:
        """A task that this agent, which is idle, makes a dead letter."""
        task_id = self.submit(agent_id=agent.of("identified")[-1]["agent_id"], **fields)
        self.assertIn(task_id, self.assigned(agent))
        answers = agent.say("task_failed", task_id=task_id, error=error, retryable=False)
        self.assert_answer(answers, "task_ack", outcome="dead_letter")
        return task_id


def later(hub: Any, seconds: float) -> int:
    """Unix milliseconds so many seconds from now."""
    return int(hub.hub.now()) + round(seconds * 1000)
