"""How tasks come into the queue: over HTTP, in batches, over a WebSocket; and only once."""

from __future__ import annotations

from typing import Any, ClassVar

from agentcom.core.tokens import AGENT
from agentcom.testing import Answered, HttpClient, MemoryHub
from tests.contract.helpers import SlowDisk, history, queue
from tests.contract.queueing import QueueTests, later

ASKED: dict[str, Any] = {
    "description": "résumé",
    "agent_id": "w",
    "capabilities": ["gpu"],
    "labels": {"zone": {"in": ["eu", "uk"]}, "os": "linux"},
    "priority": "high",
    "metadata": {"a": [1, None]},
    "max_attempts": 7,
    "backoff": {"initial_s": 0.5, "factor": 3.0, "max_s": 10.0},
    "queue_timeout_s": 600.0,
    "accept_timeout_s": 5.0,
    "attempt_timeout_s": 100.0,
    "hold_s": 0.0,
    "on_disconnect": "keep",
}

OWN = {"id", "created_at", "updated_at", "expires_at", "submitted_by"}
"""What differs between two tasks that were asked for in the same words."""


class SubmissionTests(QueueTests):
    """The three ways in."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a", slots=0)

    def test_same_by_every_way(self) -> None:
        """A task is the same whether it came over HTTP, in a batch or over a WebSocket."""
        (answer,) = self.agent.say("task_submit", **ASKED, ref=7)
        self.assert_fields(answer, type="task_submitted", ref=7)
        ids = [self.submit(**ASKED), *self.submit_all([ASKED]), answer["task_id"]]
        tasks = [self.hub.task(task_id) for task_id in ids]
        bare = [{k: v for k, v in task.items() if k not in OWN} for task in tasks]
        self.assertEqual(bare[1:], [bare[0], bare[0]])
        self.assertEqual([t["submitted_by"] for t in tasks], ["admin", "admin", "a"])
        payloads = [self.last_payload(task_id, "task_submitted") for task_id in ids]
        self.assert_fields(payloads[2], priority="high", pinned="w", submitted_by="a")
        self.assertEqual({**payloads[0], "submitted_by": "a"}, payloads[2])

    def test_queued_then_assigned(self) -> None:
        """The log tells first that it was submitted, then to whom it was given."""
        self.hub.agent("w")
        task_id = self.submit()
        events = [(e["event"], e["agent_id"], e["generation"]) for e in history(self.hub, task_id)]
        self.assertEqual(events, [("task_submitted", None, 0), ("task_assigned", "w", 1)])

    def test_assignment(self) -> None:
        """The assignment says what a submission asked for."""
        deadline = later(self.hub, 500)
        worker = self.hub.agent("w", slots=2)
        task_id = self.submit(priority="low", metadata={"a": 1}, deadline=deadline)
        (frame,) = worker.of("task_assign")
        self.assert_fields(
            frame,
            task_id=task_id,
            description="work",
            metadata={"a": 1},
            generation=1,
            attempt=1,
            priority="low",
            submitted_by="admin",
            submitted_at=self.hub.hub.now(),
            assigned_at=self.hub.hub.now(),
            deadline=deadline,
        )
        self.submit()
        self.assertNotIn("deadline", worker.of("task_assign")[1])

    def test_refused_over_a_websocket(self) -> None:
        """What is wrong with a submission is told with its ``ref``, field by field."""
        answers = self.agent.say("task_submit", ref="r", priority="huge", backoff={"factor": 0})
        told = self.assert_error(answers, "validation_failed", message_type="task_submit", ref="r")
        wrong = [(e["field"], e["error"]) for e in told["errors"]]
        self.assertEqual(
            wrong,
            [
                ("description", "required"),
                ("priority", "invalid_value"),
                ("backoff.factor", "invalid_value"),
            ],
        )
        answers = self.agent.say("task_submit", ref=1, description="x", deadline=1)
        self.assert_error(answers, "validation_failed", message_type="task_submit", ref=1)
        self.assertEqual(self.hub.request("GET", "/api/tasks").body["tasks"], [])

    def test_scope_over_a_websocket(self) -> None:
        """A token that may only be an agent may not submit, here as there."""
        agent = self.hub.agent("b", token=self.hub.token("b", (AGENT,)))
        self.assert_error(
            agent.say("task_submit", description="x", ref=1),
            "forbidden",
            required_scope="submit",
            message_type="task_submit",
            ref=1,
        )

    def test_too_large_over_a_websocket(self) -> None:
        """A task of over 512 KiB is refused as too long; the line stays."""
        answers = self.agent.say("task_submit", description="x", metadata={"x": "y" * 530_000})
        told = self.assert_error(answers, "validation_failed", message_type="task_submit")
        self.assertEqual(told["errors"][0]["error"], "too_long")
        answers = self.agent.say("task_submit", description="x", metadata={"x": "y" * 500_000})
        self.assert_answer(answers, "task_submitted")

    def test_own_work(self) -> None:
        """An agent may get what it has submitted itself."""
        agent = self.hub.agent("w")
        answers = agent.say("task_submit", description="x")
        self.assertEqual([a["type"] for a in answers], ["task_submitted", "task_assign"])
        self.assertEqual(answers[0]["task_id"], answers[1]["task_id"])

    def test_all_or_nothing(self) -> None:
        """One wrong task and none of the batch is taken."""
        worker = self.hub.agent("w", slots=5)
        for wrong in ({"priority": "huge"}, {"deadline": 1}, {"description": None}):
            body = {"tasks": [{"description": "x"}, {"description": "x", **wrong}]}
            answer = self.hub.request("POST", "/api/tasks/batch", body)
            self.assertEqual((answer.status, answer.body["error"]), (422, "validation_failed"))
            (told,) = answer.body["errors"]
            self.assertEqual(told["field"], f"tasks[1].{next(iter(wrong))}")
        self.assertEqual(self.assigned(worker), [])
        self.assertEqual(self.hub.request("GET", "/api/tasks").body["tasks"], [])

    def test_batch_is_shared_out(self) -> None:
        """A batch is given to all that are idle, not to the first alone."""
        workers = [self.hub.agent(f"w{n}", slots=2) for n in range(3)]
        self.submit_all([{} for _ in range(3)])
        self.assertEqual([len(self.assigned(w)) for w in workers], [1, 1, 1])

    def test_batch_goes_by_priority(self) -> None:
        """Of a whole batch the most urgent task goes first, wherever it stands in it."""
        worker = self.hub.agent("w")
        ids = self.submit_all([{"priority": p} for p in ("low", "high", "urgent", "normal")])
        self.assertEqual(self.assigned(worker), [ids[2]])

    def test_stopping(self) -> None:
        """A hub that stops takes nothing new, and says that it will be back."""
        self.hub.hub.drain()
        answer = self.ask()
        self.assertEqual((answer.status, answer.body["error"]), (503, "stopping"))
        self.assert_error(
            self.agent.say("task_submit", description="x"), "stopping", message_type="task_submit"
        )


class BoundTests(QueueTests):
    """The queue has an end."""

    settings: ClassVar[dict[str, Any]] = {"max_queued": 5}

    def test_full(self) -> None:
        """Beyond ``--max-queued`` nothing is taken, in part neither, until some are done."""
        self.submit_all([{} for _ in range(4)])
        body = {"tasks": [{"description": "x"}] * 2}
        answer = self.hub.request("POST", "/api/tasks/batch", body)
        self.assertEqual((answer.status, answer.body["error"]), (429, "queue_full"))
        self.submit()
        self.assertEqual(self.ask().status, 429)
        submitter = self.hub.agent("s", slots=0)
        self.assert_error(
            submitter.say("task_submit", description="x"), "queue_full", message_type="task_submit"
        )
        worker = self.hub.agent("w")
        self.submit()
        self.assertEqual(self.ask().status, 429)
        worker.say("task_complete", task_id=self.assigned(worker)[0])
        self.submit()


class OnceTests(QueueTests):
    """An idempotency key makes one task, by whatever way and however often it is sent."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a", slots=0)
        self.token = self.hub.token("a")

    def count(self) -> int:
        """How many tasks there are."""
        return len(self.hub.request("GET", "/api/tasks").body["tasks"])

    def test_every_way(self) -> None:
        """The same key of the same submitter is the same task over HTTP, batch and WebSocket."""
        task_id = self.submit(self.token, idempotency_key="k")
        again = self.ask(self.token, idempotency_key="k")
        self.assertEqual((again.status, again.body["task_id"]), (200, task_id))
        body = {"tasks": [{"description": "work", "idempotency_key": "k"}]}
        again = self.hub.request("POST", "/api/tasks/batch", body, token=self.token)
        self.assertEqual((again.status, again.body), (200, {"task_ids": [task_id]}))
        answers = self.agent.say("task_submit", description="work", idempotency_key="k", ref=2)
        self.assert_answer(answers, "task_submitted", task_id=task_id, ref=2)
        self.assertEqual(self.count(), 1)
        self.assertEqual(self.hub.events_of(task_id), ["task_submitted"])

    def test_other_body(self) -> None:
        """The same key with another body is a conflict, by every way; so is a push with it."""
        task_id = self.submit(self.token, idempotency_key="k")
        other = {"description": "other", "idempotency_key": "k"}
        told = []
        for path, body in (
            ("/api/tasks", other),
            ("/api/tasks/batch", {"tasks": [{"description": "x"}, other]}),
            ("/api/admin/push-task", {**other, "agent_id": "a"}),
        ):
            answer = self.hub.request("POST", path, body, token=self.token)
            self.assertEqual(answer.status, 409, path)
            told.append(answer.body)
        told += self.agent.say("task_submit", **other)
        for one in told:
            self.assert_fields(one, error="idempotency_conflict", task_id=task_id)
        self.assertEqual(self.count(), 1)

    def test_apart(self) -> None:
        """Keys of different submitters have nothing to do with each other."""
        mine = self.submit(idempotency_key="k")
        theirs = self.submit(self.token, idempotency_key="k", description="other")
        self.assertNotEqual(mine, theirs)

    def test_order_of_fields(self) -> None:
        """The same body in another order, or with the usual value left out or null, is the same."""
        task_id = self.submit(idempotency_key="k", metadata={"a": 1, "b": 2}, priority=None)
        again = self.ask(metadata={"b": 2, "a": 1}, idempotency_key="k", agent_id=None)
        self.assertEqual((again.status, again.body["task_id"]), (200, task_id))

    def test_restart_and_end(self) -> None:
        """A key is remembered after a restart and after the end of its task."""
        task_id = self.submit(idempotency_key="k")
        self.cancel(task_id)
        self.restart()
        again = self.ask(idempotency_key="k")
        self.assertEqual((again.status, again.body["task_id"]), (200, task_id))
        self.assertEqual(again.body["status"], "cancelled")
        self.assertEqual(self.ask(idempotency_key="k", priority="low").status, 409)

    def test_twice_in_one_batch(self) -> None:
        """A key twice in one batch is one task; with different bodies nothing is taken."""
        one = {"idempotency_key": "k"}
        ids = self.submit_all([one, {}, one])
        self.assertEqual((ids[0], len(set(ids))), (ids[2], 2))
        body = {
            "tasks": [{"description": text, "idempotency_key": "new"} for text in ("one", "two")]
        }
        answer = self.hub.request("POST", "/api/tasks/batch", body)
        self.assertEqual((answer.status, answer.body["error"]), (409, "idempotency_conflict"))
        self.assertEqual(self.count(), 2)


class OnceBeforeTheDiskTests(QueueTests):
    """The same while the first is still being written."""

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        self.agent = self.hub.agent("admin", token=self.hub.admin_token, slots=0)
        self.agent.frames.clear()
        self.disk.hold()

    def begin(self, path: str, body: Any) -> HttpClient:
        """Ask, and see that nothing is answered before the disk is."""
        return self.hub.open_request("POST", path, body)

    def release(self) -> None:
        self.disk.release()
        self.hub.settle()

    def test_one_task(self) -> None:
        """Requests that meet in one uncommitted batch make one task, and wait for it together."""
        asked = {"description": "x", "idempotency_key": "k"}
        clients = [
            self.begin("/api/tasks", asked),
            self.begin("/api/tasks", asked),
            self.begin("/api/tasks/batch", {"tasks": [asked, {"description": "y"}]}),
        ]
        queue(self.agent, "task_submit", **asked)
        self.hub.advance(5)
        self.assertEqual([c.received for c in clients], [b"", b"", b""])
        self.assertEqual(self.agent.frames, [])
        self.release()
        first, second, batch = (Answered(c.received) for c in clients)
        task_id = first.body["task_id"]
        self.assertEqual((first.status, second.status, batch.status), (201, 200, 201))
        self.assertEqual(second.body["task_id"], task_id)
        self.assertEqual(batch.body["task_ids"][0], task_id)
        (told,) = self.agent.of("task_submitted")
        self.assertEqual(told["task_id"], task_id)
        self.assertEqual(len(self.hub.request("GET", "/api/tasks").body["tasks"]), 2)

    def test_conflict(self) -> None:
        """Another body with a key that is being written is told of the conflict afterwards."""
        first = self.begin("/api/tasks", {"description": "x", "idempotency_key": "k"})
        queue(self.agent, "task_submit", description="y", idempotency_key="k", ref=1)
        self.hub.settle()
        self.assertEqual(self.agent.frames, [])
        self.release()
        self.assert_error(self.agent.frames, "idempotency_conflict", ref=1)
        self.assertEqual(Answered(first.received).status, 201)

    def test_crossed_batches(self) -> None:
        """Two batches with the same keys in opposite order both come to an end."""
        asked = [{"description": "x", "idempotency_key": key} for key in ("k", "l")]
        clients = [
            self.begin("/api/tasks/batch", {"tasks": tasks}) for tasks in (asked, asked[::-1])
        ]
        self.release()
        answers = [Answered(c.received) for c in clients]
        self.assertEqual([a.status for a in answers], [201, 200])
        ids = [a.body["task_ids"] for a in answers]
        self.assertEqual(ids[0], ids[1][::-1])

    def test_client_leaves(self) -> None:
        """A submitter that leaves before its answer may ask again and finds its task."""
        asked = {"description": "x", "idempotency_key": "k"}
        client = self.begin("/api/tasks", asked)
        transport: Any = client.transport
        transport.loseConnection()
        self.hub.settle()
        self.release()
        again = self.hub.request("POST", "/api/tasks", asked)
        self.assertEqual(again.status, 200)
        self.assertEqual(len(self.hub.request("GET", "/api/tasks").body["tasks"]), 1)

    def test_assignment_follows_the_commit(self) -> None:
        """An idle agent is sent a task only when it is on disk that it has it."""
        self.disk.release()
        worker = self.hub.agent("w")
        self.disk.hold()
        client = self.begin("/api/tasks", {"description": "x"})
        self.hub.advance(5)
        self.assertEqual((client.received, self.assigned(worker)), (b"", []))
        self.release()
        self.assertEqual(self.assigned(worker), [Answered(client.received).body["task_id"]])
