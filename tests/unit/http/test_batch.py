"""``POST /api/tasks/batch``: all of them, or none."""

from __future__ import annotations

from typing import Any

from agentcom.http.queue import BATCH_BODY
from agentcom.testing import Answered
from tests.unit.http.queuecase import TASKS, QueueCase
from tests.unit.http.support import answer_of

BATCH = TASKS + "/batch"


class BatchTests(QueueCase):
    """Many tasks with one answer."""

    def batch(self, *tasks: dict[str, Any], **more: Any) -> Answered:
        return self.post(BATCH, {"tasks": list(tasks)}, **more)

    def task(self, **fields: Any) -> dict[str, Any]:
        return {"description": "work", **fields}

    def test_all(self) -> None:
        """Every task of the batch is queued; their ids come in its order."""
        answer = self.batch(*(self.task(description=f"task {n}") for n in range(5)))
        body = self.answers(answer, 201)
        self.assertEqual(set(body), {"task_ids"})
        shown = [self.hub.task(task_id)["description"] for task_id in body["task_ids"]]
        self.assertEqual(shown, [f"task {n}" for n in range(5)])
        self.assertEqual(len(self.all_tasks()), 5)

    def test_a_thousand(self) -> None:
        """1 000 tasks are taken, 1 001 are not."""
        body = self.answers(self.batch(*[self.task()] * 1_000), 201)
        self.assertEqual(len(set(body["task_ids"])), 1_000)
        answer = self.batch(*[self.task()] * 1_001)
        self.assertEqual(self.wrong_fields(answer), [("tasks", "too_long")])
        self.assertEqual(
            self.hub.request("GET", TASKS + "/stats").body["by_status"]["queued"], 1_000
        )

    def test_none(self) -> None:
        """One wrong task, and nothing is queued; each error names its task and field."""
        answer = self.batch(
            self.task(),
            self.task(priority="huge"),
            self.task(labels={"a": {"like": "b"}}),
            {"metadata": {}},
        )
        self.assertEqual(
            self.wrong_fields(answer),
            [
                ("tasks[1].priority", "invalid_value"),
                ("tasks[2].labels", "invalid_value"),
                ("tasks[3].description", "required"),
            ],
        )
        self.assertEqual(self.all_tasks(), [])

    def test_a_deadline_that_is_over(self) -> None:
        """Also what only the hub can tell is told with its place, and nothing is queued."""
        now = self.hub.hub.now()
        answer = self.batch(self.task(), self.task(deadline=now - 1), self.task(deadline=now))
        self.assertEqual(
            self.wrong_fields(answer),
            [("tasks[1].deadline", "invalid_value"), ("tasks[2].deadline", "invalid_value")],
        )
        self.assertEqual(self.all_tasks(), [])

    def test_no_list(self) -> None:
        """A batch without tasks is refused."""
        for body, code in (({}, "required"), ({"tasks": []}, "invalid_value")):
            self.assertEqual(self.wrong_fields(self.post(BATCH, body)), [("tasks", code)])

    def test_size_of_each(self) -> None:
        """Each task is at most 512 KiB; which ones are over is told."""
        large = {"x": "y" * (513 * 1024)}
        self.answers(self.batch(*[self.task(metadata={"x": "y" * (500 * 1024)})] * 3), 201)
        answer = self.batch(
            self.task(), self.task(metadata=large), self.task(), self.task(metadata=large)
        )
        self.assertEqual(
            self.wrong_fields(answer),
            [("tasks[1].metadata", "too_long"), ("tasks[3].metadata", "too_long")],
        )
        self.assertEqual(len(self.all_tasks()), 3)

    def test_size_of_all(self) -> None:
        """A body of 16 MiB is read, one byte more is 413."""
        body = b'{"tasks":[{"description":"x"}]}'
        self.answers(self.post(BATCH, body.ljust(BATCH_BODY)), 201)
        answer = self.post(BATCH, body.ljust(BATCH_BODY + 1))
        self.answers(answer, 413, error="body_too_large", limit=16 * 1024 * 1024)
        self.assertEqual(len(self.all_tasks()), 1)

    def test_keys(self) -> None:
        """What the keys say was submitted before is not made again."""
        first = self.answers(self.batch(self.task(idempotency_key="a"), self.task()), 201)
        body = {"tasks": [self.task(idempotency_key="b"), self.task(idempotency_key="a")]}
        second = self.answers(self.post(BATCH, body), 201)
        self.assertEqual(second["task_ids"][1], first["task_ids"][0])
        again = self.answers(self.post(BATCH, body), 200)
        self.assertEqual(again, second)
        self.assertEqual(len(self.all_tasks()), 3)

    def test_one_key_twice(self) -> None:
        """Two tasks of one batch with one key are one task, or a conflict if they differ."""
        body = self.answers(self.batch(*[self.task(idempotency_key="a")] * 2), 201)
        self.assertEqual(len(set(body["task_ids"])), 1)
        answer = self.batch(
            self.task(idempotency_key="b"), self.task(idempotency_key="b", priority="low")
        )
        self.answers(answer, 409, error="idempotency_conflict")
        self.assertEqual(len(self.all_tasks()), 1)

    def test_conflict(self) -> None:
        """One key that was used for something else, and nothing is queued."""
        task_id = self.submit(idempotency_key="a")
        answer = self.batch(self.task(), self.task(idempotency_key="a", priority="low"))
        self.answers(answer, 409, error="idempotency_conflict", task_id=task_id)
        self.assertEqual(self.all_tasks(), [task_id])

    def test_one_commit(self) -> None:
        """A batch is on disk as a whole before it is answered."""
        self.commits.holding = True
        client = self.begin("POST", BATCH, {"tasks": [self.task()] * 200})
        self.hub.settle()
        self.assertEqual(client.received, b"")
        self.assertEqual(len(self.commits.waiting), 1)
        (work, done), *_ = self.commits.waiting
        self.commits.waiting.clear()
        done.callback(work())
        self.hub.settle()
        answer = answer_of(client)
        assert answer is not None
        self.assertEqual(len(self.answers(answer, 201)["task_ids"]), 200)
        self.commits.release()

    def test_agents_get_them(self) -> None:
        """Tasks of a batch go to whoever fits, urgent ones first."""
        worker = self.hub.agent("w", slots=2, labels={"zone": "eu"})
        body = self.answers(
            self.batch(
                self.task(labels={"zone": "eu"}, priority="low"),
                self.task(labels={"zone": "us"}, priority="urgent"),
                self.task(labels={"zone": {"!=": "us"}}, priority="high"),
                self.task(priority="urgent"),
            ),
            201,
        )
        ids = body["task_ids"]
        self.assertEqual([f["task_id"] for f in worker.of("task_assign")], [ids[3], ids[2]])

    def test_scope(self) -> None:
        """It takes the scope ``submit``, and says so."""
        weak = self.hub.token("weak", ("agent",))
        answer = self.batch(self.task(), token=weak)
        self.answers(answer, 403, error="forbidden", required_scope="submit")
