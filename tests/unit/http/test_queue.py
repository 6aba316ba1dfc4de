"""What is asked of tasks that wait or run: requeue, explain, stats."""

from __future__ import annotations

from typing import Any

from agentcom.testing import Answered
from tests.unit.http.queuecase import TASKS, QueueCase


class RequeueTests(QueueCase):
    """``POST /api/tasks/:id/requeue``."""

    def requeue(self, task_id: str, body: Any = None, **more: Any) -> Answered:
        return self.post(f"{TASKS}/{task_id}/requeue", body, **more)

    def test_requeued(self) -> None:
        """A task is taken from its agent, which is told, and given to another."""
        worker = self.hub.agent("w")
        task_id = self.submit(priority="high")
        worker.say("task_accepted", task_id=task_id)
        other = self.hub.agent("v")
        body = self.answers(self.requeue(task_id, {"reason": "too slow"}), 200)
        self.assertEqual(body, {"status": "requeued", "task_id": task_id, "priority": "high"})
        (told,) = worker.of("task_cancelled")
        self.assertEqual((told["task_id"], told["generation"]), (task_id, 1))
        (frame,) = other.of("task_assign")
        self.assertEqual((frame["generation"], frame["attempt"]), (2, 1))

    def test_says_who(self) -> None:
        """The event says that an operator did it, and who."""
        self.hub.agent("w")
        task_id = self.submit()
        self.answers(self.requeue(task_id), 200)
        events = self.get(f"{TASKS}/{task_id}/events").body["events"]
        payload = next(e["payload"] for e in events if e["event"] == "task_requeued")
        self.assertEqual((payload["reason"], payload["by"]), ("operator", "admin"))

    def test_refusals(self) -> None:
        """What no agent has is 409 with its status; no task is 404; a wrong reason 422."""
        task_id = self.submit()
        self.answers(self.requeue(task_id), 409, error="invalid_state", status="queued")
        self.answers(self.post(f"{TASKS}/{task_id}/cancel"), 200)
        self.answers(self.requeue(task_id), 409, error="invalid_state", status="cancelled")
        self.answers(self.requeue("task-0"), 404, error="task_not_found")
        answer = self.requeue("task-0", {"reason": 5})
        self.assertEqual(self.wrong_fields(answer), [("reason", "wrong_type")])

    def test_scope(self) -> None:
        """It takes the scope ``admin``."""
        answer = self.requeue("task-0", token=self.hub.token("v"))
        self.answers(answer, 403, error="forbidden", required_scope="admin")


class ExplainTests(QueueCase):
    """``GET /api/tasks/:id/explain``."""

    def explain(self, task_id: str, query: str = "") -> Any:
        return self.answers(self.get(f"{TASKS}/{task_id}/explain{query}"), 200, task_id=task_id)

    def test_waits(self) -> None:
        """A task that waits is explained rule by rule for each connected agent."""
        self.hub.agent("w", capabilities=["python"], labels={"zone": "us"})
        task_id = self.submit(capabilities=["python", "gpu"], labels={"zone": "eu"})
        told = self.explain(task_id)
        self.assertEqual((told["status"], told["waiting"]), ("queued", True))
        (agent,) = told["agents"]
        self.assertEqual(agent["agent_id"], "w")
        rules = [(r["rule"], r["needed"], r["found"]) for r in agent["rules"]]
        self.assertEqual(rules, [("capability", "gpu", None), ("label", "zone=eu", "us")])
        self.assertEqual(told["reasons"][0]["rule"], "no_agent_fits")

    def test_limit(self) -> None:
        """``limit`` bounds the agents that are shown; all are counted."""
        for number in range(3):
            self.hub.agent(f"w{number}", presence="none")
        task_id = self.submit(capabilities=["gpu"])
        told = self.explain(task_id, "?limit=2")
        self.assertEqual((len(told["agents"]), told["agents_total"]), (2, 3))
        for limit in ("0", "1001", "x"):
            answer = self.get(f"{TASKS}/{task_id}/explain?limit={limit}")
            self.assertEqual(self.wrong_fields(answer), [("limit", "invalid_value")])

    def test_runs_and_ended(self) -> None:
        """What runs says where; what has ended says who decided it."""
        worker = self.hub.agent("w")
        task_id = self.submit()
        told = self.explain(task_id)
        self.assertEqual((told["status"], told["agent_id"]), ("assigned", "w"))
        worker.say("task_complete", task_id=task_id)
        told = self.explain(task_id)
        self.assertEqual((told["status"], told["decided_by"]), ("completed", "w"))
        self.assertEqual(told["event"]["event"], "task_complete")

    def test_no_such_task(self) -> None:
        """A task that there is not is 404."""
        self.answers(self.get(f"{TASKS}/task-0/explain"), 404, error="task_not_found")


class StatsTests(QueueCase):
    """``GET /api/tasks/stats``."""

    def test_stats(self) -> None:
        """Tasks are counted by status, and those that wait by priority; every name is there."""
        empty = self.answers(self.get(TASKS + "/stats"), 200)
        self.assertEqual(
            set(empty["by_status"]),
            set("queued assigned working completed dead_letter cancelled expired".split()),
        )
        self.assertEqual(set(empty["by_priority"]), {"urgent", "high", "normal", "low"})
        self.assertEqual({*empty["by_status"].values(), *empty["by_priority"].values()}, {0})
        self.submit(priority="low")
        self.submit(priority="low")
        self.hub.agent("w", slots=1, capabilities=["x"])
        self.submit(priority="urgent", agent_id="nobody")
        told = self.answers(self.get(TASKS + "/stats"), 200)
        self.assertEqual((told["by_status"]["queued"], told["by_status"]["assigned"]), (2, 1))
        self.assertEqual((told["by_priority"]["low"], told["by_priority"]["urgent"]), (1, 1))
