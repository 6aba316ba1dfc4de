"""New tasks get their numbers from the store, and their events have them; nobody is shown any."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import MemoryHub


class NumberTests(SynchronousTestCase):
    """A hub in memory, and the rows of its store."""

    def setUp(self) -> None:
        self.hub = MemoryHub()
        self.agent = self.hub.agent("a", slots=9)

    def submit(self) -> str:
        body = {"description": "work", "max_attempts": 1}
        return str(self.hub.request("POST", "/api/tasks", body).body["task_id"])

    def submit_all(self, count: int) -> list[str]:
        body = {"tasks": [{"description": "work"}] * count}
        answer = self.hub.request("POST", "/api/tasks/batch", body)
        return list(answer.body["task_ids"])

    def numbers(self) -> dict[str, int]:
        rows = self.hub.store._connection.execute("SELECT id, number FROM tasks ORDER BY number")
        return dict(rows.fetchall())

    def events(self) -> list[tuple[str, str | None, int | None]]:
        query = "SELECT event, task_id, task_number FROM events ORDER BY seq"
        return self.hub.store._connection.execute(query).fetchall()

    def test_in_the_order_they_came(self) -> None:
        """However tasks come, each has the next number, after a restart of the hub too."""
        tasks = [self.hub.push("a"), self.submit(), *self.submit_all(3), self.hub.push("a")]
        self.assertEqual(self.numbers(), {task: n for n, task in enumerate(tasks, start=1)})
        self.hub = MemoryHub(self.hub.store, self.hub.clock, seed=1)
        tasks.append(self.submit())
        self.assertEqual(list(self.numbers()), tasks)

    def test_events_have_them(self) -> None:
        """All events of tasks have their task's number, that of the deletion too; others none."""
        pushed, submitted = self.hub.push("a"), self.submit()
        self.agent.say("task_complete", task_id=pushed)
        self.agent.say("task_failed", task_id=submitted, error="e")
        numbers = self.numbers()
        self.assertEqual(self.hub.request("DELETE", f"/api/tasks/{submitted}").status, 200)
        events = self.events()
        self.assertIn(("task_deleted", submitted, 2), events)
        self.assertIn("agent_joined", [event for event, task_id, _ in events if task_id is None])
        for event, task_id, number in events:
            self.assertEqual(number, numbers.get(task_id or ""), event)

    def test_not_shown(self) -> None:
        """No answer has a number of a task in it."""
        task_id = self.submit()
        for path in (f"/api/tasks/{task_id}", "/api/tasks", f"/api/tasks/{task_id}/events"):
            answer = self.hub.request("GET", path)
            self.assertEqual(answer.status, 200)
            self.assertNotIn('number"', json.dumps(answer.body))
        self.assertNotIn('number"', json.dumps(self.agent.frames))
