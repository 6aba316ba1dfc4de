"""``POST /api/admin/push-task``: every answer of it, and its idempotency."""

from __future__ import annotations

from typing import Any

from agentcom.testing import Answered
from tests.unit.http.support import HttpCase, answer_of

PATH = "/api/admin/push-task"


class PushTests(HttpCase):
    """A push is an order to a connected agent."""

    def push(self, **fields: Any) -> Answered:
        return self.post(PATH, {"agent_id": "w", "description": "work", **fields})

    def test_pushed(self) -> None:
        """A push is answered with the task's id, and the agent gets the task."""
        worker = self.hub.agent("w")
        body = self.answers(
            self.push(metadata={"a": {"b": [1]}}), 200, status="pushed", agent_id="w"
        )
        self.assertEqual(set(body), {"status", "task_id", "agent_id"})
        self.assertRegex(body["task_id"], r"\Atask-[0-9a-f]{16}\Z")
        (frame,) = worker.of("task_assign")
        expected = {
            "task_id": body["task_id"],
            "description": "work",
            "metadata": {"a": {"b": [1]}},
            "generation": 1,
            "attempt": 1,
            "submitted_by": "admin",
        }
        self.assertEqual({k: frame[k] for k in expected}, expected)

    def test_answer_and_frame_follow_the_commit(self) -> None:
        """Neither the answer nor the assignment leaves before the task is on disk."""
        worker = self.hub.agent("w")
        self.commits.holding = True
        client = self.begin("POST", PATH, {"agent_id": "w", "description": "work"})
        self.hub.advance(1)
        self.assertEqual((client.received, worker.of("task_assign")), (b"", []))
        self.commits.release()
        self.hub.settle()
        answer = answer_of(client)
        assert answer is not None
        self.answers(answer, 200)
        self.assertEqual(len(worker.of("task_assign")), 1)

    def test_missing_fields(self) -> None:
        """Fields that are absent or null are answered as version 1 did, in its words."""
        self.hub.agent("w")
        for body in (
            {},
            {"agent_id": "w"},
            {"description": "x"},
            {"agent_id": None, "description": None},
            {"agent_id": "w", "description": None, "metadata": 5},
        ):
            answer = self.post(PATH, body)
            self.assertEqual(answer.status, 400)
            self.assertEqual(
                answer.body, {"error": "missing required fields: agent_id, description"}
            )

    def test_wrong_fields(self) -> None:
        """Mistyped fields are 422, and all of them are told."""
        self.hub.agent("w")
        self.assertEqual(
            self.wrong_fields(
                self.push(agent_id=5, description=[], metadata=[], idempotency_key=1)
            ),
            [
                (name, "wrong_type")
                for name in ("agent_id", "description", "metadata", "idempotency_key")
            ],
        )
        self.assertEqual(
            self.wrong_fields(self.push(description="x" * 10_001)), [("description", "too_long")]
        )
        self.assertEqual(self.push(description="\u2603" * 10_000).status, 200)
        self.assertEqual(
            self.wrong_fields(self.push(metadata={"n": 2**53 + 1})), [("metadata", "invalid_value")]
        )
        self.answers(self.push(metadata={"s": "\ud800"}), 400, error="invalid_json")

    def test_task_is_at_most_512_kib(self) -> None:
        """A task of over 512 KiB is refused as too long."""
        self.hub.agent("w")
        self.assertEqual(self.push(metadata={"x": "y" * (500 * 1024)}).status, 200)
        answer = self.push(metadata={"x": "y" * (513 * 1024)})
        self.assertEqual([error for _, error in self.wrong_fields(answer)], ["too_long"])

    def test_not_connected(self) -> None:
        """A push to an agent that is not connected, known or not, is 404 and no task."""
        self.hub.token("away")
        for agent_id in ("away", "never"):
            answer = self.push(agent_id=agent_id)
            self.assertEqual(answer.status, 404)
            self.assertEqual(answer.body, {"error": "agent_not_connected", "agent_id": agent_id})
        self.assertEqual(self.get("/api/tasks").body["tasks"], [])

    def test_draining(self) -> None:
        """A push to an agent that drains is 409 and no task."""
        worker = self.hub.agent("w")
        worker.say("drain")
        self.answers(self.push(), 409, error="agent_draining", agent_id="w")
        self.assertEqual(self.get("/api/tasks").body["tasks"], [])

    def test_ignores_slots(self) -> None:
        """A push is an order: it goes out however much the agent has."""
        worker = self.hub.agent("w", slots=1)
        for _ in range(3):
            self.assertEqual(self.push().status, 200)
        self.assertEqual(len(worker.of("task_assign")), 3)

    def test_pinned_with_one_attempt(self) -> None:
        """A pushed task is pinned to its agent and has one attempt."""
        self.hub.agent("w")
        task = self.hub.task(self.hub.push("w"))
        self.assertEqual((task["pinned"], task["max_attempts"]), ("w", 1))
        self.assertEqual((task["status"], task["agent_id"]), ("assigned", "w"))

    def test_any_agent_may_push(self) -> None:
        """A token with the default scopes may push; the task says who did."""
        self.hub.agent("w")
        answer = self.post(PATH, {"agent_id": "w", "description": "x"}, token=self.hub.token("v"))
        self.assertEqual(self.hub.task(answer.body["task_id"])["submitted_by"], "v")

    def test_line_broke_meanwhile(self) -> None:
        """A task whose agent is gone when it is on disk is answered, and held for it."""
        worker = self.hub.agent("w")
        self.commits.holding = True
        client = self.begin("POST", PATH, {"agent_id": "w", "description": "x"})
        worker.vanish()
        self.commits.release()
        self.hub.settle()
        answer = answer_of(client)
        assert answer is not None
        self.answers(answer, 200)
        again = self.hub.agent("w")
        self.hub.advance(2.1)
        self.assertEqual([f["task_id"] for f in again.of("task_assign")], [answer.body["task_id"]])

    def test_client_leaves(self) -> None:
        """A push whose client leaves during the commit is carried out all the same."""
        worker = self.hub.agent("w")
        self.commits.holding = True
        client = self.begin("POST", PATH, {"agent_id": "w", "description": "x"})
        client.transport.loseConnection()
        self.hub.settle()
        self.assertTrue(client.lost)
        self.assertEqual(self.hub.parts.api.in_progress, 1)
        self.commits.release()
        self.hub.settle()
        self.assertEqual(self.hub.parts.api.in_progress, 0)
        self.assertEqual(len(worker.of("task_assign")), 1)
        self.assertEqual(len(self.get("/api/tasks").body["tasks"]), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_leaves_while_its_key_is_looked_up(self) -> None:
        """Also a push that still reads the disk when its client leaves is carried out."""
        worker = self.hub.agent("w")
        self.reads.holding = True
        body = {"agent_id": "w", "description": "x", "idempotency_key": "k"}
        client = self.begin("POST", PATH, body)
        client.transport.loseConnection()
        self.hub.settle()
        self.reads.release()
        self.hub.settle()
        self.assertEqual(len(worker.of("task_assign")), 1)


class IdempotencyTests(HttpCase):
    """One key is one task."""

    def setUp(self) -> None:
        super().setUp()
        self.worker = self.hub.agent("w")

    def push(self, key: str = "k", token: str | None = "", **fields: Any) -> Answered:
        body = {"agent_id": "w", "description": "work", "idempotency_key": key, **fields}
        return self.post(PATH, body, token=token)

    def begin_push(self, **fields: Any) -> Any:
        body = {"agent_id": "w", "description": "work", "idempotency_key": "k", **fields}
        return self.begin("POST", PATH, body)

    def test_same_body(self) -> None:
        """The same key and body give the same answer, and there is one task."""
        first = self.push(metadata={"a": 1, "b": 2})
        second = self.push(metadata={"b": 2, "a": 1}, unknown="ignored")
        self.assertEqual((first.status, second.status), (200, 200))
        self.assertEqual(first.body, second.body)
        self.assertEqual(len(self.worker.of("task_assign")), 1)

    def test_absent_metadata_is_empty_metadata(self) -> None:
        """Metadata that is absent, null or empty says the same."""
        ids = {
            self.push(**fields).body["task_id"]
            for fields in ({}, {"metadata": None}, {"metadata": {}})
        }
        self.assertEqual(len(ids), 1)

    def test_other_body(self) -> None:
        """The same key with another body is 409, and names the first task."""
        task_id = self.push().body["task_id"]
        for fields in ({"description": "other"}, {"metadata": {"a": 1}}):
            self.answers(self.push(**fields), 409, error="idempotency_conflict", task_id=task_id)
        self.assertEqual(len(self.worker.of("task_assign")), 1)

    def test_keys_belong_to_the_submitter(self) -> None:
        """Two submitters may use the same key."""
        mine = self.push()
        theirs = self.push(token=self.hub.token("other"))
        self.assertNotEqual(mine.body["task_id"], theirs.body["task_id"])

    def test_twice_within_one_batch(self) -> None:
        """Two at once, before either is on disk: one task, both answered alike."""
        self.commits.holding = True
        clients = [self.begin_push(), self.begin_push(), self.begin_push(description="other")]
        self.hub.settle()
        self.assertEqual([c.received for c in clients], [b""] * 3)
        self.commits.release()
        self.hub.settle()
        first, second, third = (answer_of(c) for c in clients)
        assert first is not None and second is not None and third is not None
        self.assertEqual((first.status, second.status, third.status), (200, 200, 409))
        self.assertEqual(first.body, second.body)
        self.assertEqual(len(self.worker.of("task_assign")), 1)

    def test_concurrently(self) -> None:
        """Many at once, while the disk is still being read for the key: one task."""
        self.reads.holding = True
        clients = [self.begin_push() for _ in range(10)]
        self.hub.settle()
        while self.reads.waiting:
            self.reads.release()
            self.reads.holding = True
            self.hub.settle()
        answers = [answer_of(c) for c in clients]
        self.assertEqual([a and a.status for a in answers], [200] * 10)
        self.assertEqual(len({a.body["task_id"] for a in answers if a}), 1)
        self.assertEqual(len(self.worker.of("task_assign")), 1)

    def test_after_a_refusal(self) -> None:
        """A key whose push was refused is free for another try."""
        self.answers(self.push(agent_id="away"), 404)
        self.hub.agent("away")
        self.answers(self.push(agent_id="away"), 200)

    def test_refusal_of_the_first_lets_the_second_try(self) -> None:
        """A waiting push tries for itself when the one before it was refused."""
        self.reads.holding = True
        clients = [self.begin_push(agent_id="away"), self.begin_push()]
        self.hub.settle()
        self.reads.release()
        self.hub.settle()
        answers = [answer_of(c) for c in clients]
        self.assertEqual([a and a.status for a in answers], [404, 200])

    def test_after_a_restart(self) -> None:
        """The key holds after a restart of the hub, and after the task has ended."""
        task_id = self.push().body["task_id"]
        self.worker.say("task_complete", task_id=task_id, generation=1)
        again = type(self.hub)(self.hub.store, self.hub.clock, seed=1)
        body = {"agent_id": "w", "description": "work", "idempotency_key": "k"}
        answer = again.request("POST", PATH, body, token=self.hub.admin_token)
        self.answers(answer, 200, task_id=task_id)

    def test_agent_has_left(self) -> None:
        """A repetition gets its task although the agent is gone by now."""
        task_id = self.push().body["task_id"]
        self.worker.vanish()
        self.answers(self.push(), 200, task_id=task_id)

    def test_keys_of_any_text(self) -> None:
        """A key is 1 to 256 characters."""
        self.assertEqual(self.push(key="\u2603" * 256).status, 200)
        for key, error in (("", "invalid_value"), ("x" * 257, "too_long")):
            self.assertEqual(self.wrong_fields(self.push(key=key)), [("idempotency_key", error)])
