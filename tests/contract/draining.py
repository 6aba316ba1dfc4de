"""What the contract tests of drains share: asking for one as an operator does."""

from __future__ import annotations

from typing import Any

from agentcom.testing import Answered, FakeAgent
from tests.contract.helpers import Frame, Watcher
from tests.contract.queueing import QueueTests

HUB = "/api/admin/drain"


class DrainTests(QueueTests):
    """A test in which somebody drains."""

    def drain(self, agent_id: str, **body: Any) -> Frame:
        """Drain an agent that the hub knows."""
        told: Frame = self.post(f"/api/agents/{agent_id}/drain", body)
        return told

    def resume(self, agent_id: str) -> None:
        """Resume an agent that the hub knows."""
        told = self.post(f"/api/agents/{agent_id}/resume")
        self.assertEqual(told.pop("was_drained") in (True, False), True)
        self.assertEqual(told, {"status": "resumed", "agent_id": agent_id})

    def state(self, agent_id: str, **fields: Any) -> Frame:
        """How far its drain is, with at least these fields."""
        answer = self.hub.request("GET", f"/api/agents/{agent_id}/drain")
        self.assertEqual(answer.status, 200, answer.body)
        told: Frame = answer.body
        self.assert_fields(told, **fields)
        return told

    def push(self, agent_id: str, **fields: Any) -> Answered:
        """A push, whatever it is answered."""
        body = {"agent_id": agent_id, "description": "work", **fields}
        return self.hub.request("POST", "/api/admin/push-task", body)

    def accept(self, agent: FakeAgent, task_id: str) -> None:
        """The agent begins a task that it has."""
        self.assert_answer(agent.say("task_accepted", task_id=task_id), "task_ack")

    def complete(self, agent: FakeAgent, task_id: str) -> None:
        """The agent ends a task well."""
        answers = agent.say("task_complete", task_id=task_id)
        self.assertEqual([a["type"] for a in answers][:1], ["task_ack"], answers)

    def logged(self, *names: str) -> list[Frame]:
        """The events of these names in the log, oldest first."""
        events = Watcher(self.hub, "after=0&topics=presence").events
        return [event for event in events if event["event"] in names]
