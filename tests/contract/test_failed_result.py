"""``task_failed`` may carry a result, which the contract does not name."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import MemoryHub


class FailedResultTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """What a failed attempt found out is in the task."""
        hub = MemoryHub()
        agent = hub.agent("w")
        task_id = hub.push("w")
        agent.say("task_failed", task_id=task_id, error="two findings", result={"findings": [1, 2]})
        task = hub.task(task_id)
        self.assertEqual(task["status"], "dead_letter")
        self.assertEqual(task["result"], {"findings": [1, 2]})

    def test_absent(self) -> None:
        """A failure without one has none, as old agents send it."""
        hub = MemoryHub()
        agent = hub.agent("w")
        task_id = hub.push("w")
        agent.say("task_failed", task_id=task_id, reason="no luck")
        self.assertIsNone(hub.task(task_id)["result"])
