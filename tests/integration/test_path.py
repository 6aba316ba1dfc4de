"""A task's whole way through a real hub, with clients of other makers."""

from __future__ import annotations

from tests.integration.processes import ProcessTestCase


class PathTests(ProcessTestCase):
    """Push, assign, accept, progress, complete."""

    def test_a_pushed_task_goes_its_whole_way(self) -> None:
        """A pushed task reaches its agent, and every step of it is an event that can be read."""
        hub = self.hub()
        agent = self.agent(hub, "worker")
        http = self.http(hub)
        reply = http.request(
            "POST",
            "/api/admin/push-task",
            {"agent_id": "worker", "description": "say hello", "metadata": {"lang": "fr"}},
        )
        self.assertEqual(reply.status, 200, reply)
        task_id = reply.body["task_id"]
        self.assertEqual(reply.body, {"status": "pushed", "task_id": task_id, "agent_id": "worker"})
        given = agent.next("task_assign")
        self.assertEqual(
            (given["task_id"], given["description"], given["metadata"], given["generation"]),
            (task_id, "say hello", {"lang": "fr"}, 1),
        )
        agent.say("task_accepted", task_id=task_id, generation=1)
        self.assertEqual(agent.next("task_ack")["status"], "accepted")
        agent.say("task_progress", task_id=task_id, generation=1, progress=0.5, message="half")
        agent.say("task_complete", task_id=task_id, generation=1, result={"text": "bonjour"})
        self.assertEqual(agent.next("task_ack")["status"], "complete")
        task = http.task(task_id)
        self.assertEqual((task["status"], task["result"]), ("completed", {"text": "bonjour"}))
        self.assertEqual(
            http.events_of(task_id),
            ["task_submitted", "task_assigned", "task_accepted", "task_progress", "task_complete"],
        )
        self.assert_clean_log(hub)

    def test_an_acknowledged_completion_survives_a_clean_restart(self) -> None:
        """What was acknowledged before a stop is what the next hub on the same data shows."""
        hub = self.hub()
        agent = self.agent(hub, "worker")
        task_id = self.http(hub).push("worker")
        agent.next("task_assign", task_id=task_id)
        agent.say("task_complete", task_id=task_id, result=[1, 2, 3])
        agent.next("task_ack", status="complete")
        self.assertEqual(hub.stop(), 0)
        again = self.hub()
        self.assertEqual(self.http(again).task(task_id)["result"], [1, 2, 3])
