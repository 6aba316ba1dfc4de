"""Reading tasks and their events by page and filter, and cancelling one."""

from __future__ import annotations

from typing import Any

from tests.unit.http.support import HttpCase, answer_of

TASK_FIELDS = set(
    "id description metadata priority status agent_id generation attempts max_attempts progress"
    " result last_error submitted_by created_at updated_at".split()
)


class TaskCase(HttpCase):
    def setUp(self) -> None:
        super().setUp()
        self.worker = self.hub.agent("w")

    def pages(self, path: str, key: str) -> list[Any]:
        """Everything that a list shows, page after page."""
        found: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            mark = f"&cursor={cursor}" if cursor else ""
            body = self.answers(self.get(path + mark), 200)
            found += body[key]
            cursor = body["cursor"]
        return found

    def ids(self, query: str = "") -> list[str]:
        body = self.answers(self.get("/api/tasks" + query), 200)
        return [task["id"] for task in body["tasks"]]


class ReadingTests(TaskCase):
    """Tasks, newest first."""

    def test_task_object(self) -> None:
        """A task shows the contract's fields, its result as the agent sent it."""
        task_id = self.hub.push("w", metadata={"a": [1, {"b": None}]})
        task = self.answers(self.get(f"/api/tasks/{task_id}"), 200, id=task_id)
        self.assertEqual(TASK_FIELDS - set(task), set())
        self.assertEqual((task["result"], task["metadata"]), (None, {"a": [1, {"b": None}]}))
        self.assertEqual(task["created_at"], self.hub.hub.now())
        self.worker.say("task_progress", task_id=task_id, generation=1, progress=0.5)
        self.worker.say("task_complete", task_id=task_id, generation=1, result={"x": "\u2603"})
        task = self.hub.task(task_id)
        self.assertEqual((task["status"], task["result"]), ("completed", {"x": "\u2603"}))
        self.assertEqual((task["progress"], task["attempts"], task["generation"]), (0.5, 1, 1))
        self.assertEqual(task["agent_id"], "w")

    def test_no_such_task(self) -> None:
        """A task that there is not is 404 on every path of it."""
        for method, path in (
            ("GET", "/api/tasks/nope"),
            ("GET", "/api/tasks/nope/events"),
            ("POST", "/api/tasks/nope/cancel"),
        ):
            answer = self.hub.request(method, path)
            self.answers(answer, 404, error="task_not_found", task_id="nope")

    def test_empty(self) -> None:
        """Without tasks the list is empty and has no cursor."""
        self.assertEqual(self.get("/api/tasks").body, {"tasks": [], "cursor": None})

    def test_pages(self) -> None:
        """Page by page comes every task once, newest first, whatever the size of a page."""
        pushed = [self.hub.push("w") for _ in range(7)]
        for limit in (1, 2, 3, 6, 7, 8):
            found = self.pages(f"/api/tasks?limit={limit}", "tasks")
            self.assertEqual([t["id"] for t in found], pushed[::-1], limit)

    def test_search(self) -> None:
        """A text finds tasks, and the answer says how many were looked at."""
        self.hub.agent("v")
        first, second = self.hub.push("w"), self.hub.push("v")
        body = self.answers(self.get("/api/tasks?search=V"), 200, searched=2, cursor=None)
        self.assertEqual([task["id"] for task in body["tasks"]], [second])
        self.assertEqual(self.ids(f"?search={first}&agent_id=w"), [first])
        self.assertEqual(self.ids(f"?search={first}&agent_id=v"), [])
        self.assertEqual(self.ids("?search="), [second, first])
        self.answers(self.get("/api/tasks/dead-letter?search=v"), 200, tasks=[], searched=0)
        self.assertNotIn("searched", self.get("/api/tasks").body)

    def test_searches_that_are_refused(self) -> None:
        """A text is of 256 characters at the most, and UTF-8."""
        self.assertEqual(self.ids("?search=" + "x" * 256), [])
        for text in ("x" * 257, "%ff"):
            answer = self.get("/api/tasks?search=" + text)
            self.assertEqual(self.wrong_fields(answer), [("search", "invalid_value")])

    def test_filters(self) -> None:
        """Filters narrow the list, alone and together."""
        self.hub.agent("v")
        first = self.hub.push("w")
        second = self.hub.push("v")
        body = {"agent_id": "v", "description": "x"}
        answer = self.post("/api/admin/push-task", body, token=self.hub.token("clerk"))
        third = answer.body["task_id"]
        self.worker.say("task_complete", task_id=first, generation=1)
        self.assertEqual(self.ids(), [third, second, first])
        self.assertEqual(self.ids("?status=completed"), [first])
        self.assertEqual(self.ids("?status=assigned"), [third, second])
        self.assertEqual(self.ids("?agent_id=v"), [third, second])
        self.assertEqual(self.ids("?agent_id=v&submitted_by=clerk"), [third])
        self.assertEqual(self.ids("?priority=normal&agent_id=w"), [first])
        self.assertEqual(self.ids("?priority=urgent"), [])
        self.assertEqual(self.ids("?agent_id=no%20body&unknown=x"), [])

    def test_wrong_queries(self) -> None:
        """A filter, limit or cursor that cannot be is 422 and named."""
        for name, value in (
            ("status", "done"),
            ("status", "%ff"),
            ("priority", "huge"),
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "-1"),
            ("limit", "x"),
            ("limit", "%D9%A3"),
            ("limit", "9" * 5_000),
            ("cursor", "x"),
            ("cursor", "1.5"),
            ("cursor", "9" * 30),
        ):
            answer = self.get(f"/api/tasks?{name}={value}")
            self.assertEqual(self.wrong_fields(answer), [(name, "invalid_value")], value)
        answer = self.get("/api/tasks/nope/events?limit=0")
        self.assertEqual(self.wrong_fields(answer), [("limit", "invalid_value")])


class EventsTests(TaskCase):
    """A task's events, oldest first."""

    def test_life(self) -> None:
        """A push that ends well reads as the contract says."""
        task_id = self.hub.push("w")
        self.worker.say("task_accepted", task_id=task_id, generation=1)
        self.worker.say("task_complete", task_id=task_id, generation=1, tokens_used=5)
        body = self.answers(self.get(f"/api/tasks/{task_id}/events"), 200, cursor=None)
        names = [event["event"] for event in body["events"]]
        self.assertEqual(
            names, ["task_submitted", "task_assigned", "task_accepted", "task_complete"]
        )
        for event in body["events"]:
            self.assertEqual(
                set(event),
                {
                    "seq",
                    "topic",
                    "event",
                    "task_id",
                    "agent_id",
                    "generation",
                    "timestamp",
                    "payload",
                },
            )
            self.assertEqual((event["topic"], event["task_id"]), ("tasks", task_id))
        self.assertEqual(body["events"][-1]["payload"], {"tokens_used": 5})

    def test_pages(self) -> None:
        """Page by page comes every event of this task once, oldest first."""
        task_id, other = self.hub.push("w"), self.hub.push("w")
        for number in range(5):
            for each in (task_id, other):
                self.worker.say("task_progress", task_id=each, generation=1, progress=number)
            self.hub.advance(0.3)
        whole = self.answers(self.get(f"/api/tasks/{task_id}/events"), 200)["events"]
        self.assertEqual(len(whole), 8)
        for limit in (1, 3, 4, 8, 9):
            found = self.pages(f"/api/tasks/{task_id}/events?limit={limit}", "events")
            self.assertEqual(found, whole, limit)


class CancelTests(TaskCase):
    """Ending what nobody wants."""

    def cancel(self, task_id: str, body: Any = None) -> Any:
        return self.post(f"/api/tasks/{task_id}/cancel", body)

    def test_cancelled(self) -> None:
        """A cancelled task is answered after the commit, and its agent is told why."""
        task_id = self.hub.push("w")
        answer = self.cancel(task_id, {"reason": "changed my mind"})
        self.assertEqual(self.answers(answer, 200), {"status": "cancelled", "task_id": task_id})
        (frame,) = self.worker.of("task_cancelled")
        expected = {"task_id": task_id, "generation": 1, "reason": "changed my mind"}
        self.assertEqual({k: frame[k] for k in expected}, expected)
        self.assertEqual(self.hub.task(task_id)["status"], "cancelled")
        events = self.get(f"/api/tasks/{task_id}/events").body["events"]
        self.assertEqual(events[-1]["event"], "task_cancelled")
        self.assertEqual(events[-1]["payload"], {"by": "admin", "reason": "changed my mind"})

    def test_body_may_be_absent(self) -> None:
        """The body of a cancellation may be absent, empty, or null in its field."""
        for body in (None, {}, {"reason": None}, b""):
            self.answers(self.cancel(self.hub.push("w"), body), 200)
        self.answers(self.cancel(self.hub.push("w"), b"[]"), 400, error="invalid_json")
        answer = self.cancel(self.hub.push("w"), {"reason": 5})
        self.assertEqual(self.wrong_fields(answer), [("reason", "wrong_type")])

    def test_long_reason_is_cut(self) -> None:
        """A reason of over 2000 characters is cut, not refused."""
        task_id = self.hub.push("w")
        self.answers(self.cancel(task_id, {"reason": "x" * 5_000}), 200)
        self.assertEqual(self.worker.of("task_cancelled")[0]["reason"], "x" * 2_000)

    def test_ended_already(self) -> None:
        """What has ended cannot be cancelled: 409 with its status, lately or long ago."""
        task_id = self.hub.push("w")
        self.worker.say("task_complete", task_id=task_id, generation=1)
        self.answers(self.cancel(task_id), 409, error="invalid_state", status="completed")
        other = self.hub.push("w")
        self.answers(self.cancel(other), 200)
        self.answers(self.cancel(other), 409, error="invalid_state", status="cancelled")
        again = type(self.hub)(self.hub.store, self.hub.clock, seed=1)
        answer = again.request("POST", f"/api/tasks/{task_id}/cancel", token=self.hub.admin_token)
        self.answers(answer, 409, error="invalid_state", status="completed")

    def test_twice_before_the_commit(self) -> None:
        """Of two cancellations at once one succeeds, and there is one event."""
        task_id = self.hub.push("w")
        self.commits.holding = True
        clients = [self.begin("POST", f"/api/tasks/{task_id}/cancel") for _ in range(2)]
        self.hub.settle()
        self.commits.release()
        self.hub.settle()
        answers = [answer_of(c) for c in clients]
        self.assertEqual(sorted(a.status for a in answers if a), [200, 409])
        self.assertEqual(self.hub.events_of(task_id).count("task_cancelled"), 1)

    def test_cancelled_in_the_queue(self) -> None:
        """A task that waits in the queue is cancelled without a frame to anybody."""
        task_id = self.hub.push("w")
        self.worker.say("task_rejected", task_id=task_id, generation=1)
        self.assertEqual(self.hub.task(task_id)["status"], "queued")
        self.answers(self.cancel(task_id), 200)
        self.assertEqual(self.worker.of("task_cancelled"), [])
        self.hub.advance(10)
        self.assertEqual(len(self.worker.of("task_assign")), 1)

    def test_client_leaves(self) -> None:
        """A cancellation whose client leaves during the commit is carried out."""
        task_id = self.hub.push("w")
        self.commits.holding = True
        client = self.begin("POST", f"/api/tasks/{task_id}/cancel")
        client.transport.loseConnection()
        self.hub.settle()
        self.commits.release()
        self.hub.settle()
        self.assertEqual(self.hub.task(task_id)["status"], "cancelled")
