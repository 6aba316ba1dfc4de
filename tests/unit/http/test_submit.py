"""``POST /api/tasks``: what it takes, what it refuses, and its idempotency."""

from __future__ import annotations

from typing import Any

from agentcom.core.tokens import ENROLL
from agentcom.testing import Answered
from tests.unit.http.queuecase import TASKS, QueueCase
from tests.unit.http.support import answer_of

USUAL: dict[str, Any] = {
    "metadata": {},
    "priority": "normal",
    "pinned": None,
    "origin": "submit",
    "max_attempts": 3,
    "capabilities": [],
    "labels": {},
    "backoff": {"initial_s": 1.0, "factor": 2.0, "max_s": 60.0},
    "not_before": None,
    "deadline": None,
    "queue_timeout_s": None,
    "accept_timeout_s": 60.0,
    "attempt_timeout_s": None,
    "hold_s": 30.0,
    "on_disconnect": "requeue",
    "idempotency_key": None,
}


class SubmitTests(QueueCase):
    """A task for whoever fits."""

    def test_queued(self) -> None:
        """A task without an agent is queued, and answered with what it is."""
        body = self.answers(self.ask(), 201, status="queued", priority="normal")
        self.assertEqual(set(body), {"status", "task_id", "priority", "created_at"})
        self.assertRegex(body["task_id"], r"\Atask-[0-9a-f]{16}\Z")
        self.assertEqual(body["created_at"], self.hub.hub.now())
        task = self.hub.task(body["task_id"])
        self.assertEqual((task["status"], task["agent_id"]), ("queued", None))
        self.assertEqual(task["submitted_by"], "admin")

    def test_an_idle_agent_gets_it_at_once(self) -> None:
        """An agent that fits gets it; the answer says ``queued`` all the same."""
        worker = self.hub.agent("w", capabilities=["python"])
        answer = self.ask(needed_capabilities=["python"], priority="high", metadata={"a": 1})
        body = self.answers(answer, 201, status="queued", priority="high")
        (frame,) = worker.of("task_assign")
        self.assertEqual((frame["task_id"], frame["metadata"]), (body["task_id"], {"a": 1}))
        self.assertEqual((frame["priority"], frame["generation"]), ("high", 1))
        self.assertEqual(self.hub.task(body["task_id"])["status"], "assigned")

    def test_answer_follows_the_commit(self) -> None:
        """The answer does not leave before the task is on disk."""
        self.commits.holding = True
        client = self.begin("POST", TASKS, {"description": "work"})
        self.hub.advance(1)
        self.assertEqual(client.received, b"")
        self.commits.release()
        self.hub.settle()
        answer = answer_of(client)
        assert answer is not None
        self.answers(answer, 201)

    def test_usual_terms(self) -> None:
        """What is not asked for is as the contract says, and shown so."""
        task = self.hub.task(self.submit())
        self.assertEqual({name: task[name] for name in USUAL}, USUAL)
        self.assertEqual((task["series"], task["ready_at"], task["expires_at"]), (1, None, None))

    def test_shown_as_asked(self) -> None:
        """A task shows what was asked for at its submission."""
        now = self.hub.hub.now()
        fields: dict[str, Any] = {
            "metadata": {"deep": [{"a": None}]},
            "priority": "low",
            "max_attempts": 7,
            "labels": {"zone": "eu", "gpu": {"in": ["a", "b"], "exists": True}},
            "backoff": {"initial_s": 0.5, "factor": 3.0, "max_s": 10.0},
            "not_before": now + 5_000,
            "deadline": now + 60_000,
            "queue_timeout_s": 20.5,
            "accept_timeout_s": 5.0,
            "attempt_timeout_s": 600.0,
            "hold_s": 0.0,
            "on_disconnect": "fail",
            "idempotency_key": "k",
        }
        task_id = self.submit(
            agent_id="w", capabilities=["b"], needed_capabilities=["a", "b"], **fields
        )
        task = self.hub.task(task_id)
        self.assertEqual({name: task[name] for name in fields}, fields)
        self.assertEqual((task["pinned"], task["capabilities"]), ("w", ["a", "b"]))
        self.assertEqual(task["ready_at"], now + 5_000)
        self.assertEqual(task["expires_at"], now + 25_500)
        self.assertEqual(set(USUAL) - set(task), set())

    def test_a_push_shows_its_terms_too(self) -> None:
        """A pushed task has the same fields: one attempt, nothing asked for."""
        self.hub.agent("w")
        task = self.hub.task(self.hub.push("w"))
        usual = {**USUAL, "origin": "push", "pinned": "w", "max_attempts": 1}
        self.assertEqual({name: task[name] for name in usual}, usual)

    def test_who_may_submit(self) -> None:
        """A token with the default scopes may submit; the task says whose it was."""
        answer = self.ask(token=self.hub.token("v"))
        self.assertEqual(self.hub.task(answer.body["task_id"])["submitted_by"], "v")

    def test_wrong_fields(self) -> None:
        """All that is wrong is told, and nothing is queued; also what version 1 called missing."""
        self.assertEqual(self.wrong_fields(self.post(TASKS, {})), [("description", "required")])
        self.assertEqual(
            self.wrong_fields(
                self.ask(
                    description=5,
                    priority="huge",
                    labels={"a": {"~": "b"}},
                    backoff={"factor": 0, "jitter": 1},
                    max_attempts=0,
                )
            ),
            [
                ("description", "wrong_type"),
                ("labels", "invalid_value"),
                ("priority", "invalid_value"),
                ("max_attempts", "invalid_value"),
                ("backoff.factor", "invalid_value"),
            ],
        )
        self.assertEqual(self.all_tasks(), [])

    def test_unknown_fields(self) -> None:
        """Fields that nobody knows are ignored."""
        self.answers(self.ask(client="x", timeout=5), 201)

    def test_deadline_that_is_over(self) -> None:
        """A deadline in the past is refused, one in the future is taken."""
        now = self.hub.hub.now()
        for deadline in (0, now - 1, now):
            answer = self.ask(deadline=deadline)
            self.assertEqual(self.wrong_fields(answer), [("deadline", "invalid_value")])
        self.answers(self.ask(deadline=now + 1), 201)

    def test_task_is_at_most_512_kib(self) -> None:
        """A task of over 512 KiB is refused as too long, not one that is just below."""
        self.answers(self.ask(metadata={"x": "y" * (500 * 1024)}), 201)
        answer = self.ask(metadata={"x": "y" * (513 * 1024)})
        self.assertEqual(self.wrong_fields(answer), [("metadata", "too_long")])

    def test_order_of_checks(self) -> None:
        """401, 403, 413, 400, 422, 409: the first that applies is told."""
        weak = self.hub.token("weak", (ENROLL,))
        self.submit(idempotency_key="k")
        large = b"x" * (1024 * 1024 + 1)
        for token, body, status in (
            (None, large, 401),
            (None, {"description": 5}, 401),
            (weak, large, 403),
            (weak, b"no json", 403),
            ("", large, 413),
            ("", b"no json", 400),
            ("", {"description": 5, "idempotency_key": "k"}, 422),
            ("", {"description": "other", "idempotency_key": "k"}, 409),
        ):
            self.answers(self.post(TASKS, body, token=token), status)

    def test_client_leaves(self) -> None:
        """A task whose submitter leaves during the commit is queued all the same."""
        self.commits.holding = True
        client = self.begin("POST", TASKS, {"description": "x"})
        client.transport.loseConnection()
        self.hub.settle()
        self.commits.release()
        self.hub.settle()
        self.assertEqual(len(self.all_tasks()), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nothing_new_is_taken(self) -> None:
        """A full disk and a hub that stops are 503 with ``Retry-After``, single or batch."""
        self.free = 0
        self.hub.advance(61)
        batch = {"tasks": [{"description": "x"}]}
        for path, body in ((TASKS, {"description": "x"}), (TASKS + "/batch", batch)):
            answer = self.post(path, body)
            self.answers(answer, 503, error="store_unavailable")
            self.assertIn("retry-after", answer.headers)
        self.free = 2**40
        self.hub.advance(61)
        self.answers(self.ask(), 201)
        self.hub.hub.drain()
        for path, body in ((TASKS, {"description": "x"}), (TASKS + "/batch", batch)):
            answer = self.post(path, body)
            self.answers(answer, 503, error="stopping")
            self.assertIn("retry-after", answer.headers)


class FullTests(QueueCase):
    """A queue that has no more room."""

    settings = {"max_queued": 2}  # noqa: RUF012  # as the base class has it

    def test_queue_full(self) -> None:
        """What is over the limit is 429 with ``Retry-After``; a push is not, it never waits."""
        first = self.submit()
        self.submit()
        for path, body in (
            (TASKS, {"description": "x"}),
            (TASKS + "/batch", {"tasks": [{"description": "x"}]}),
        ):
            answer = self.post(path, body)
            self.answers(answer, 429, error="queue_full")
            self.assertIn("retry-after", answer.headers)
        self.answers(self.post(f"{TASKS}/{first}/cancel"), 200)
        self.answers(self.ask(), 201)

    def test_a_batch_that_does_not_fit(self) -> None:
        """A batch is taken whole or not at all."""
        body = {"tasks": [{"description": str(n)} for n in range(3)]}
        self.answers(self.post(TASKS + "/batch", body), 429, error="queue_full")
        self.assertEqual(self.all_tasks(), [])


class IdempotencyTests(QueueCase):
    """One key is one task."""

    def keyed(self, key: str = "k", **fields: Any) -> Answered:
        return self.ask(idempotency_key=key, **fields)

    def test_same_body(self) -> None:
        """The same key and body give the same task, whatever has become of it: 200."""
        first = self.answers(self.keyed(metadata={"a": 1, "b": 2}), 201)
        again = self.answers(self.keyed(metadata={"b": 2, "a": 1}, unknown=1), 200)
        self.assertEqual(again, first)
        self.answers(self.post(f"{TASKS}/{first['task_id']}/cancel"), 200)
        ended = self.answers(self.keyed(metadata={"a": 1, "b": 2}), 200)
        self.assertEqual(ended, {**first, "status": "cancelled"})
        self.assertEqual(len(self.all_tasks()), 1)

    def test_other_body(self) -> None:
        """The same key with another body is 409, and names the first task."""
        task_id = self.submit(idempotency_key="k")
        for fields in ({"description": "other"}, {"priority": "low"}, {"agent_id": "w"}):
            self.answers(self.keyed(**fields), 409, error="idempotency_conflict", task_id=task_id)
        self.assertEqual(len(self.all_tasks()), 1)

    def test_absent_is_null(self) -> None:
        """A field that is absent or null says the same."""
        first = self.submit(idempotency_key="k")
        again = self.answers(self.keyed(priority=None, labels=None, backoff=None), 200)
        self.assertEqual(again["task_id"], first)

    def test_keys_belong_to_the_submitter(self) -> None:
        """Two submitters may use the same key."""
        mine = self.submit(idempotency_key="k")
        theirs = self.ask(token=self.hub.token("other"), idempotency_key="k")
        self.assertNotEqual(self.answers(theirs, 201)["task_id"], mine)

    def test_twice_at_once(self) -> None:
        """Two at once, before either is on disk: one task, and both are told it."""
        self.commits.holding = True
        body = {"description": "work", "idempotency_key": "k"}
        clients = [self.begin("POST", TASKS, body) for _ in range(2)]
        self.hub.settle()
        self.commits.release()
        self.hub.settle()
        answers = [answer_of(c) for c in clients]
        self.assertEqual([a and a.status for a in answers], [201, 200])
        self.assertEqual(len({a.body["task_id"] for a in answers if a}), 1)
        self.assertEqual(len(self.all_tasks()), 1)

    def test_same_key_over_the_websocket(self) -> None:
        """A task that was submitted over a WebSocket, with a ``ref``, is the same over HTTP."""
        agent = self.hub.agent("v", slots=0)
        fields = {"description": "work", "idempotency_key": "k", "labels": {"a": "b"}}
        (told,) = agent.say("task_submit", ref=1, **fields)
        (again,) = agent.say("task_submit", ref=2, **fields)
        answer = self.post(TASKS, fields, token=self.hub.token("v"))
        self.assertEqual(self.answers(answer, 200)["task_id"], told["task_id"])
        self.assertEqual(again, {**told, "ref": 2})
