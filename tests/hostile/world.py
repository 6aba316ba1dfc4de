"""A hub in memory with one well-behaved agent, which is asked after every attack."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import FakeAgent, MemoryHub

ROUNDS = 50
"""Examples for one hub."""


class HostileTestCase(SynchronousTestCase):
    """Has a hub, an agent that behaves, and a way to see that both are well."""

    timeout = 120

    def setUp(self) -> None:
        self.renew()

    def renew(self) -> None:
        """A new hub: what is left of many examples would only slow down the next ones."""
        self.hub = MemoryHub(open_registration=True)
        self.good = self.hub.agent("good", presence="none", slots=10_000)
        self.rounds = 0

    def assert_well(self) -> None:
        """The hub answers, the good agent works, and nothing unexpected was logged."""
        self.assertEqual(self.flushLoggedErrors(), [])
        health = self.hub.request("GET", "/health", token=None)
        self.assertEqual((health.status, health.body["status"]), (200, "ok"))
        self.rounds += 1
        # Whatever was submitted may be work for the good agent.
        self.good.frames.clear()
        task_id = self.hub.push("good", f"task {self.rounds}")
        self.assertEqual([f["task_id"] for f in self.good.of("task_assign")], [task_id])
        answers = self.good.say("task_complete", task_id=task_id, result=1)
        self.assertEqual([f["status"] for f in answers if f["type"] == "task_ack"], ["complete"])
        self.good.frames.clear()
        self.assertEqual(self.flushLoggedErrors(), [])

    def assert_shown(self, task_id: str) -> None:
        """A task that was taken can be read, and explained."""
        for path in (f"/api/tasks/{task_id}", f"/api/tasks/{task_id}/explain"):
            answer = self.hub.request("GET", path)
            self.assertEqual(answer.status, 200, answer.text[:300])

    def assert_answered_or_closed(self, peer: FakeAgent) -> None:
        """The line is open and answers, or was closed with a code."""
        if peer.closed is None:
            self.assertTrue(peer.say("ping"), "a ping got no answer")
        if peer.closed is not None:
            self.assertIn(peer.closed[0], CLOSE_CODES, peer.closed)

    def reset(self, *agent_ids: str) -> None:
        """Let nothing of the last example be left for the next one."""
        if self.rounds >= ROUNDS:
            self.renew()
            return
        for agent_id in agent_ids:
            tasks: Any = self.hub.request("GET", f"/api/agents/{agent_id}").body.get("tasks", [])
            for task in tasks:
                self.hub.request("POST", f"/api/tasks/{task['task_id']}/cancel")


CLOSE_CODES = {1000, 1001, 1002, 1007, 1008, 1009, 1013, 4001, 4003, 4008}
"""What the contract closes with; 1011 would be a fault of the hub's own."""
