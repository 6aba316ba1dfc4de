"""Dead letters: listed, tried again, deleted; one, some by filter, or all."""

from __future__ import annotations

from typing import Any

from agentcom.testing import Answered
from tests.unit.http.queuecase import TASKS, QueueCase
from tests.unit.http.support import answer_of

LETTERS = TASKS + "/dead-letter"


class LetterCase(QueueCase):
    def setUp(self) -> None:
        super().setUp()
        self.worker = self.hub.agent("w")

    def statuses(self, *ids: str) -> list[str]:
        return [self.hub.task(task_id)["status"] for task_id in ids]


class ListTests(LetterCase):
    """``GET /api/tasks/dead-letter``."""

    def letters(self, query: str = "") -> list[str]:
        body = self.answers(self.get(LETTERS + query), 200)
        self.assertEqual(set(body), {"tasks", "cursor"})
        return [task["id"] for task in body["tasks"]]

    def setUp(self) -> None:
        super().setUp()
        self.submit(agent_id="nobody")
        other = self.hub.agent("v")
        self.first = self.die(self.worker, "broken")
        self.second = self.die(other, "lost", priority="high")
        self.third = self.die(self.worker, "lost")

    def test_only_dead_letters(self) -> None:
        """It lists dead letters, newest first, whole, and nothing else."""
        self.assertEqual(self.letters(), [self.third, self.second, self.first])
        (task, *_) = self.get(LETTERS).body["tasks"]
        self.assertEqual(task, self.hub.task(self.third))
        self.assertEqual((task["status"], task["last_error"]), ("dead_letter", "lost"))

    def test_filters(self) -> None:
        """It takes the filters of all lists, and the last error."""
        for query, found in (
            ("?agent_id=w", [self.third, self.first]),
            ("?priority=high", [self.second]),
            ("?last_error=lost", [self.third, self.second]),
            ("?last_error=lost&agent_id=w", [self.third]),
            ("?submitted_by=admin", [self.third, self.second, self.first]),
            ("?submitted_by=nobody", []),
            ("?last_error=los", []),
        ):
            self.assertEqual(self.letters(query), found, query)

    def test_pages(self) -> None:
        """It pages like every list."""
        page = self.get(LETTERS + "?limit=2").body
        self.assertEqual([t["id"] for t in page["tasks"]], [self.third, self.second])
        self.assertEqual(self.letters(f"?limit=2&cursor={page['cursor']}"), [self.first])

    def test_wrong_filters(self) -> None:
        """Filters that cannot be are 422."""
        for query, name in (
            ("?priority=huge", "priority"),
            ("?limit=0", "limit"),
            ("?cursor=x", "cursor"),
            ("?last_error=%ff", "last_error"),
        ):
            answer = self.get(LETTERS + query)
            self.assertEqual(self.wrong_fields(answer), [(name, "invalid_value")], query)


class RetryTests(LetterCase):
    """``POST /api/tasks/:id/retry``."""

    def retry(self, task_id: str, **more: Any) -> Answered:
        return self.post(f"{TASKS}/{task_id}/retry", **more)

    def test_retried(self) -> None:
        """A dead letter goes back to the queue with a new series of attempts."""
        task_id = self.die(self.worker, priority="high", max_attempts=2)
        before = len(self.worker.of("task_assign"))
        body = self.answers(self.retry(task_id), 200)
        self.assertEqual(body, {"status": "requeued", "task_id": task_id, "priority": "high"})
        (frame,) = self.worker.of("task_assign")[before:]
        self.assertEqual((frame["task_id"], frame["attempt"]), (task_id, 1))
        self.assertEqual(frame["generation"], 2)
        task = self.hub.task(task_id)
        self.assertEqual((task["status"], task["series"], task["attempts"]), ("assigned", 2, 1))

    def test_says_who(self) -> None:
        """The event says who retried it, and which series begins."""
        task_id = self.die(self.worker)
        self.answers(self.retry(task_id, token=self.hub.token("boss")), 200)
        events = self.get(f"{TASKS}/{task_id}/events").body["events"]
        (payload,) = [e["payload"] for e in events if e["event"] == "task_requeued"]
        expected = {"reason": "retried", "by": "boss", "series": 2}
        self.assertEqual({k: payload.get(k) for k in expected}, expected)

    def test_not_a_dead_letter(self) -> None:
        """Anything but a dead letter is 409 with its status; no task is 404."""
        queued = self.submit(agent_id="nobody")
        held = self.submit(agent_id="w")
        for task_id, status in ((queued, "queued"), (held, "assigned")):
            answer = self.retry(task_id)
            self.answers(answer, 409, error="invalid_state", task_id=task_id, status=status)
        self.worker.say("task_complete", task_id=held)
        self.answers(self.retry(held), 409, error="invalid_state", status="completed")
        self.answers(self.retry("task-0"), 404, error="task_not_found", task_id="task-0")

    def test_twice(self) -> None:
        """Of two retries at once one succeeds, and one series begins."""
        task_id = self.die(self.worker)
        self.commits.holding = True
        clients = [self.begin("POST", f"{TASKS}/{task_id}/retry") for _ in range(2)]
        self.hub.settle()
        self.commits.release()
        self.hub.settle()
        answers = [answer_of(c) for c in clients]
        self.assertEqual(sorted(a.status for a in answers if a), [200, 409])
        self.assertEqual(self.hub.task(task_id)["series"], 2)

    def test_stopping(self) -> None:
        """A hub that stops retries and deletes nothing."""
        task_id = self.die(self.worker)
        self.hub.hub.drain()
        self.answers(self.retry(task_id), 503, error="stopping")
        self.answers(self.hub.request("DELETE", f"{TASKS}/{task_id}"), 503, error="stopping")
        self.answers(self.post(LETTERS + "/retry", {"all": True}), 503, error="stopping")
        self.answers(self.post(LETTERS + "/delete", {"all": True}), 503, error="stopping")
        self.assertEqual(self.statuses(task_id), ["dead_letter"])


class DeleteTests(LetterCase):
    """``DELETE /api/tasks/:id``."""

    def delete(self, task_id: str, **more: Any) -> Answered:
        return self.hub.request("DELETE", f"{TASKS}/{task_id}", **more)

    def test_deleted(self) -> None:
        """A dead letter is gone; the log says who deleted it."""
        task_id = self.die(self.worker)
        body = self.answers(self.delete(task_id), 200)
        self.assertEqual(body, {"status": "deleted", "task_id": task_id})
        self.answers(self.get(f"{TASKS}/{task_id}"), 404, error="task_not_found")
        self.assertEqual(self.all_tasks(), [])
        stream = self.begin("GET", "/api/events?after=0&topics=tasks").received
        self.assertIn(b"event: task_deleted", stream)
        self.assertIn(b'"payload":{"by":"admin"}', stream)
        self.answers(self.delete(task_id), 404, error="task_not_found")
        self.answers(self.post(f"{TASKS}/{task_id}/retry"), 404, error="task_not_found")

    def test_not_a_dead_letter(self) -> None:
        """Nothing but a dead letter can be deleted."""
        for task_id, status in (
            (self.submit(agent_id="nobody"), "queued"),
            (self.submit(agent_id="w"), "assigned"),
        ):
            self.answers(self.delete(task_id), 409, error="invalid_state", status=status)
            self.assertEqual(self.statuses(task_id), [status])

    def test_scope(self) -> None:
        """Who may only submit may not delete."""
        task_id = self.die(self.worker)
        token = self.hub.token("v")
        self.answers(self.delete(task_id, token=token), 403, required_scope="admin")
        answer = self.post(LETTERS + "/delete", {"all": True}, token=token)
        self.answers(answer, 403, required_scope="admin")
        self.assertEqual(self.statuses(task_id), ["dead_letter"])


class ManyTests(LetterCase):
    """``…/dead-letter/retry`` and ``…/dead-letter/delete``."""

    def setUp(self) -> None:
        super().setUp()
        other = self.hub.agent("u")
        self.a = self.die(self.worker, "broken")
        self.b = self.die(self.worker, "lost", priority="low")
        self.c = self.die(other, "lost")
        # Nobody takes what is retried.
        self.worker.say("drain")
        other.say("drain")

    def many(self, what: str, **choice: Any) -> Answered:
        return self.post(f"{LETTERS}/{what}", choice)

    def test_all(self) -> None:
        """``all``: true takes all of them."""
        self.assertEqual(
            self.answers(self.many("retry", all=True), 200), {"retried": 3, "skipped": 0}
        )
        self.assertEqual(self.statuses(self.a, self.b, self.c), ["queued"] * 3)
        self.assertEqual(
            self.answers(self.many("retry", all=True), 200), {"retried": 0, "skipped": 0}
        )

    def test_filters(self) -> None:
        """Filters take those that match all of them."""
        for choice, taken in (
            ({"last_error": "lost", "agent_id": "w"}, [self.b]),
            ({"agent_id": "u"}, [self.c]),
            ({"priority": "normal", "submitted_by": "admin"}, [self.a]),
        ):
            body = self.answers(self.many("retry", **choice), 200)
            self.assertEqual(body, {"retried": len(taken), "skipped": 0}, choice)
            self.assertEqual(self.statuses(*taken), ["queued"] * len(taken), choice)

    def test_filter_with_all(self) -> None:
        """A filter beside ``all`` still filters."""
        body = self.answers(self.many("delete", all=True, priority="low"), 200)
        self.assertEqual(body, {"deleted": 1, "skipped": 0})
        self.assertEqual(set(self.all_tasks()), {self.a, self.c})

    def test_ids(self) -> None:
        """Named tasks that are no dead letters are skipped and counted."""
        live = self.submit(agent_id="nobody")
        body = self.answers(self.many("delete", task_ids=[self.a, live, "task-0", self.c]), 200)
        self.assertEqual(body, {"deleted": 2, "skipped": 2})
        self.assertEqual(set(self.all_tasks()), {self.b, live})

    def test_no_choice(self) -> None:
        """Nothing chosen is not everything: 422, and nothing happens."""
        for what in ("retry", "delete"):
            for choice in ({}, {"all": False}, {"all": None, "agent_id": None}):
                answer = self.many(what, **choice)
                self.assertEqual(self.wrong_fields(answer), [("all", "required")])
            answer = self.many(what, task_ids=[], all=True)
            self.assertEqual(self.wrong_fields(answer), [("task_ids", "invalid_value")])
            self.answers(self.post(f"{LETTERS}/{what}"), 400, error="invalid_json")
        self.assertEqual(self.statuses(self.a, self.b, self.c), ["dead_letter"] * 3)

    def test_no_task_has_their_names(self) -> None:
        """``dead-letter``, ``batch`` and ``stats`` are routes, not ids of tasks."""
        self.assertIn("tasks", self.answers(self.get(LETTERS), 200))
        self.assertIn("by_status", self.answers(self.get(TASKS + "/stats"), 200))
        self.answers(self.post(TASKS + "/dead-letter/cancel"), 404, error="task_not_found")
        self.answers(self.get(TASKS + "/dead-letter/events"), 404, error="task_not_found")
