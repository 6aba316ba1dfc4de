"""An operator closes an agent's connection."""

from __future__ import annotations

from typing import Any

from agentcom.testing import Answered, MemoryHub
from tests.contract.helpers import SlowDisk, Watcher
from tests.contract.queueing import QueueTests


class DisconnectTests(QueueTests):
    """``POST /api/agents/:id/disconnect``."""

    def disconnect(self, agent_id: str, **body: Any) -> Answered:
        return self.hub.request("POST", f"/api/agents/{agent_id}/disconnect", body)

    def test_closed(self) -> None:
        """The connection is closed with 4000 and the reason, and its agent is gone."""
        agent = self.hub.agent("a")
        answer = self.disconnect("a", reason="the network is changed")
        self.assertEqual(
            (answer.status, answer.body), (200, {"status": "disconnected", "agent_id": "a"})
        )
        self.assertEqual(agent.closed, (4000, "the network is changed"))
        self.assertEqual(self.hub.request("GET", "/api/agents").body["agents"], [])

    def test_without_a_reason(self) -> None:
        """Without a reason, and without a body, the agent hears who did it."""
        agent = self.hub.agent("a")
        answer = self.hub.request("POST", "/api/agents/a/disconnect")
        self.assertEqual(answer.status, 200)
        self.assertEqual(agent.closed, (4000, "disconnected by an operator"))

    def test_retry_after(self) -> None:
        """The agent may be asked to stay away for a while: milliseconds at the end."""
        agent = self.hub.agent("a")
        self.disconnect("a", reason="moving", retry_after_s=2.5)
        self.assertEqual(agent.closed, (4000, "moving; retry_after_ms=2500"))

    def test_long_reason(self) -> None:
        """A long reason is cut between characters, and what follows it is whole."""
        agent = self.hub.agent("a")
        answer = self.disconnect("a", reason="x" + "\u2603" * 5_000, retry_after_s=86_400)
        self.assertEqual(answer.status, 200)
        reason = "x" + "\u2603" * 26 + "; retry_after_ms=86400000"
        self.assertEqual(agent.closed, (4000, reason))

    def test_tasks_are_held(self) -> None:
        """Its tasks are held as for any disconnect."""
        agent = self.hub.agent("a")
        self.hub.agent("b")
        task_id = self.submit(agent_id="a", hold_s=10)
        agent.say("task_accepted", task_id=task_id)
        self.disconnect("a")
        self.hub.advance(9)
        self.assertEqual(self.status_of(task_id), "working")
        again = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        self.assertEqual(again.frames[0]["tasks"][0]["action"], "continue")

    def test_not_connected(self) -> None:
        """An agent that is away, or unknown, is 404 ``agent_not_connected``."""
        self.hub.agent("a").vanish()
        for agent_id in ("a", "nobody"):
            answer = self.disconnect(agent_id)
            self.assertEqual((answer.status, answer.body["error"]), (404, "agent_not_connected"))
            self.assertEqual(answer.body["agent_id"], agent_id)

    def test_wrong_fields(self) -> None:
        """What is no time to stay away is 422, and nothing is closed."""
        agent = self.hub.agent("a")
        for body in ({"retry_after_s": -1}, {"retry_after_s": 86_401}, {"reason": 5}):
            self.assertEqual(self.disconnect("a", **body).status, 422, body)
        self.assertIsNone(agent.closed)

    def test_left_before_the_answer(self) -> None:
        """``agent_left`` is on disk when the operator is answered."""
        disk = SlowDisk()
        self.hub = MemoryHub(disk.store, disk.clock)
        agent = self.hub.agent("a")
        disk.hold()
        asked = self.hub.open_request("POST", "/api/agents/a/disconnect")
        self.assertIsNotNone(agent.closed)
        self.assertEqual(asked.received, b"")
        disk.release()
        self.hub.settle()
        self.assertIn(b"200 OK", asked.received)
        self.assertEqual(Watcher(self.hub, "after=0").names[-1], "agent_left")
