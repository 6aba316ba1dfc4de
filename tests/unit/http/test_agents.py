"""Health, readiness, agents, and messages over HTTP."""

from __future__ import annotations

from typing import Any

from agentcom.core.tokens import AGENT, SUBMIT
from tests.unit.http.support import HttpCase


class HealthTests(HttpCase):
    """Whether the process answers, and whether it takes work."""

    def test_health(self) -> None:
        """Health needs no token and counts the connected agents."""
        for connected, agent_id in enumerate(("a", "b", "b"), 1):
            self.hub.agent(agent_id)
            self.assertEqual(
                self.get("/health", token=None).body,
                {"status": "ok", "service": "agent_com", "agents_connected": min(connected, 2)},
            )

    def not_ready(self, reason: str) -> None:
        answer = self.get("/ready", token=None)
        self.answers(answer, 503, reason=reason)
        self.assertIn("retry-after", answer.headers)
        self.assertEqual(self.get("/health").status, 200)

    def test_ready(self) -> None:
        """A hub that is well is ready."""
        self.answers(self.get("/ready", token=None), 200, status="ready")

    def test_disk_is_nearly_full(self) -> None:
        """Under the limit of free space the hub is not ready within about a second, and why."""
        self.free = 999
        self.hub.advance(1.1)
        self.not_ready("the disk is nearly full")
        self.free = 1_000
        self.hub.advance(1.1)
        self.assertEqual(self.get("/ready").status, 200)

    def test_store_fails(self) -> None:
        """While commits fail the hub is not ready; once they work it is again."""
        self.commits.error = OSError("disk I/O error")
        self.begin("POST", "/admin/tokens", {"agent_id": "x"})
        self.hub.advance(0.6)
        self.not_ready("the store cannot be written to")
        self.commits.error = None
        self.hub.advance(2)
        self.assertEqual(self.get("/ready").status, 200)

    def test_stopping(self) -> None:
        """A hub that stops is not ready."""
        self.hub.hub.drain()
        self.not_ready("the hub is stopping")


class TroubleTests(HttpCase):
    """What is refused while nothing can be kept, and what is not."""

    def setUp(self) -> None:
        super().setUp()
        self.worker = self.hub.agent("w")
        self.task_id = self.hub.push("w")

    def new_work(self) -> dict[str, Any]:
        return {
            "/api/admin/push-task": {"agent_id": "w", "description": "x"},
            "/admin/tokens": {"agent_id": "new"},
            "/api/onboard/register": {"agent_id": "newer"},
            "/api/message": {"payload": {}},
        }

    def test_low_space(self) -> None:
        """With little disk space new work is 503 ``store_unavailable``; reports still count."""
        self.free = 0
        self.hub.advance(1.1)
        for path, body in self.new_work().items():
            answer = self.post(path, body)
            self.answers(answer, 503, error="store_unavailable")
            self.assertIn("retry-after", answer.headers)
        (ack,) = self.worker.say("task_complete", task_id=self.task_id, generation=1)
        self.assertEqual(ack["type"], "task_ack")
        self.assertEqual(self.hub.task(self.task_id)["status"], "completed")

    def test_low_space_and_a_known_key(self) -> None:
        """A repeated push is answered also then: its task is on disk already."""
        body = {"agent_id": "w", "description": "x", "idempotency_key": "k"}
        first = self.post("/api/admin/push-task", body)
        self.free = 0
        self.hub.advance(1.1)
        self.assertEqual(self.post("/api/admin/push-task", body).body, first.body)

    def test_failing_store(self) -> None:
        """While commits fail new work is 503; what was taken before waits, and is kept."""
        self.commits.error = OSError("disk I/O error")
        before = self.begin("POST", "/api/admin/push-task", {"agent_id": "w", "description": "x"})
        self.worker.say("task_complete", task_id=self.task_id, generation=1)
        self.hub.advance(0.6)
        for path, body in self.new_work().items():
            self.answers(self.post(path, body), 503, error="store_unavailable")
        self.assertEqual((before.received, self.worker.of("task_ack")), (b"", []))
        self.assertEqual(len(self.worker.of("task_assign")), 1)
        self.commits.error = None
        self.hub.advance(2)
        self.assertIn(b" 200 ", before.received)
        self.assertEqual(len(self.worker.of("task_ack")), 1)
        self.assertEqual(len(self.worker.of("task_assign")), 2)

    def test_stopping(self) -> None:
        """A hub that stops refuses every write with 503, and still reads."""
        self.hub.hub.drain()
        writes = [("POST", path, body) for path, body in self.new_work().items()]
        writes.append(("POST", f"/api/tasks/{self.task_id}/cancel", None))
        writes.append(("DELETE", "/admin/tokens/w", None))
        for method, path, body in writes:
            answer = self.hub.request(method, path, body)
            self.answers(answer, 503)
            self.assertIn("retry-after", answer.headers)
        self.assertEqual(self.get(f"/api/tasks/{self.task_id}").status, 200)


class AgentTests(HttpCase):
    """Who is connected."""

    def test_list(self) -> None:
        """The list needs no token and shows AgentInfo of the connected agents only."""
        self.hub.token("away")
        self.hub.agent("w", name="Worker", capabilities=["x"], slots=2, status="well")
        (info,) = self.get("/api/agents", token=None).body["agents"]
        expected = {
            "agent_id": "w",
            "name": "Worker",
            "status": "well",
            "capabilities": ["x"],
            "connected_at": self.hub.hub.now(),
            "state": "idle",
            "slots": 2,
            "running": 0,
        }
        self.assertEqual({k: info[k] for k in expected}, expected)

    def test_one_agent(self) -> None:
        """One agent is shown with the tasks that it has and that wait for it."""
        worker = self.hub.agent("w")
        worker.say("resource_report", cpu=0.5)
        task_id = self.hub.push("w")
        shown = self.answers(self.get("/api/agents/w"), 200, agent_id="w", state="busy", running=1)
        (task,) = shown["tasks"]
        self.assertEqual((task["task_id"], task["status"]), (task_id, "assigned"))
        self.assertEqual(shown["resource_report"]["cpu"], 0.5)

    def test_away(self) -> None:
        """An agent that is away is shown as such, with what is held for it."""
        worker = self.hub.agent("w")
        task_id = self.hub.push("w")
        worker.vanish()
        shown = self.answers(self.get("/api/agents/w"), 200, agent_id="w", state="away")
        self.assertEqual([t["task_id"] for t in shown["tasks"]], [task_id])
        self.hub.token("known")
        self.answers(self.get("/api/agents/known"), 200, state="away", tasks=[])

    def test_unknown(self) -> None:
        """An agent that never had a token is 404."""
        self.answers(self.get("/api/agents/never"), 404, error="agent_not_found", agent_id="never")


class MessageTests(HttpCase):
    """Messages from HTTP clients."""

    def send(self, *, token: str | None = "", **body: Any) -> Any:
        return self.post("/api/message", body, token=token)

    def test_direct(self) -> None:
        """A message reaches its agent, from the token's agent, whatever the body claims."""
        worker, other = self.hub.agent("w"), self.hub.agent("v")
        answer = self.send(
            token=self.hub.token("clerk"),
            payload={"text": "hi"},
            to="w",
            type="note",
            reply_to="m1",
            **{"from": "boss", "sender": "boss"},
        )
        body = self.answers(answer, 200, status="sent")
        self.assertRegex(body["id"], r"\A[0-9a-f]{16}\Z")
        (frame,) = worker.of("message")
        self.assertEqual(
            frame,
            {
                "type": "message",
                "seq": 1,
                "id": body["id"],
                "from": "clerk",
                "message_type": "note",
                "payload": {"text": "hi"},
                "reply_to": "m1",
                "timestamp": self.hub.hub.now(),
            },
        )
        self.assertEqual(other.of("message"), [])

    def test_broadcast(self) -> None:
        """Without a receiver, or with ``broadcast``, it reaches everybody connected."""
        agents = [self.hub.agent("w"), self.hub.agent("v")]
        for fields in ({}, {"to": None}, {"to": "broadcast"}):
            self.answers(self.send(payload={}, **fields), 200)
        for agent in agents:
            self.assertEqual(len(agent.of("message")), 3)
            self.assertEqual(agent.of("message")[0]["message_type"], "chat")

    def test_unknown_recipient(self) -> None:
        """An id that never had a token is told of."""
        self.answers(self.send(payload={}, to="never"), 200, note="unknown_recipient")

    def test_missing_payload(self) -> None:
        """A message without payload is answered in version 1's words."""
        for body in ({}, {"payload": None}):
            answer = self.post("/api/message", body)
            self.assertEqual(answer.status, 400)
            self.assertEqual(answer.body, {"error": "missing required field: payload"})

    def test_wrong_fields(self) -> None:
        """Mistyped fields are told, all of them."""
        answer = self.send(payload=[], to=5, type=[], reply_to={})
        self.assertEqual(
            self.wrong_fields(answer),
            [(name, "wrong_type") for name in ("payload", "to", "type", "reply_to")],
        )

    def test_scope(self) -> None:
        """Sending needs the scope ``agent``."""
        answer = self.send(token=self.hub.token("s", (SUBMIT,)), payload={})
        self.answers(answer, 403, required_scope=AGENT)
