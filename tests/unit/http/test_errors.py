"""Errors are JSON on every path, checked in one order, and never a redirect."""

from __future__ import annotations

import json

from agentcom.core.tokens import ENROLL, SUBMIT
from agentcom.testing import Answered
from tests.unit.http.support import HttpCase

PUSH = "/api/admin/push-task"


class RouteTests(HttpCase):
    """Paths and methods that there are not."""

    def test_not_found(self) -> None:
        """A path that there is not is 404 ``not_found``, with and without a token."""
        for path in (
            "/nope",
            "/api",
            "/api/",
            "/api/tasks/a/b",
            "/api/tasks/a%2Fb",
            "/API/tasks",
            "/health%3Fx",
            "/health;x",
            "/dashboard/nope",
            "/dashboard/..%2f..%2fsite.py",
            "/%00",
            "/%E2%98%83",
        ):
            for token in (None, ""):
                self.answers(self.get(path, token=token), 404, error="not_found")

    def test_path_that_is_not_utf8(self) -> None:
        """A path of bytes that are no text is 404 too, and nothing is logged."""
        for path in ("/%ff", "/api/tasks/%c3", "/api/%e2%98"):
            self.answers(self.get(path), 404, error="not_found")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_host_that_is_not_utf8(self) -> None:
        """A Host header of any bytes is answered with JSON, and nothing is logged."""
        for path in ("/health", "/nope", "/ws"):
            answer = self.get(path, headers={"Host": "\xff\xfe"})
            self.assertEqual(answer.headers["content-type"], "application/json", path)
        answer = self.post("/api/onboard/register", {"agent_id": "n"}, headers={"Host": "\xff"})
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_headers_of_any_bytes(self) -> None:
        """No header, whatever its bytes, makes the hub fail."""
        for name in ("Authorization", "Last-Event-ID", "Content-Type", "Cookie", "Accept", "X-Y"):
            for method, path in (("GET", "/api/tasks"), ("POST", PUSH), ("GET", "/ws")):
                more = {name: "Bearer \xff\xfe"}
                answer = self.hub.request(method, path, {}, token=None, headers=more)
                self.assertIn(answer.status, (400, 401, 426), (name, path))
                self.assertIn("error", answer.body)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_wrong_method(self) -> None:
        """A method that a path has not is 405, and says which it has."""
        for method, path, allowed in (
            ("PUT", "/health", ["GET", "HEAD"]),
            ("BREW", "/health", ["GET", "HEAD"]),
            ("OPTIONS", "/health", ["GET", "HEAD"]),
            ("GET", PUSH, ["POST"]),
            ("HEAD", PUSH, ["POST"]),
            ("PUT", "/api/tasks/x", ["DELETE", "GET", "HEAD"]),
            ("DELETE", "/api/tasks", ["GET", "HEAD", "POST"]),
            ("PUT", "/api/tasks/batch", ["DELETE", "GET", "HEAD", "POST"]),
            ("GET", "/api/tasks/x/retry", ["POST"]),
            ("GET", "/api/tasks/dead-letter/retry", ["POST"]),
            ("PATCH", "/admin/tokens", ["GET", "HEAD", "POST"]),
        ):
            answer = self.hub.request(method, path)
            self.assertEqual(answer.status, 405, (method, path))
            self.assertEqual(answer.headers["allow"], ", ".join(allowed))
            if method != "HEAD":
                self.answers(answer, 405, error="method_not_allowed")

    def test_weird_slashes_never_redirect(self) -> None:
        """Slashes too many or too few are served or not found, never a redirect."""
        for path in (
            "//health",
            "/health/",
            "/health//",
            "///",
            "//api//tasks",
            "/api//tasks",
            "/api/tasks/",
            "/./health",
            "/api/../health",
            "/%2Fhealth",
            "//evil.example/health",
            "/dashboard/",
        ):
            answer = self.get(path)
            self.assertIn(answer.status, (200, 404), path)
            self.assertNotIn("location", answer.headers)

    def test_head(self) -> None:
        """HEAD is GET without the body, with the same status and length."""
        for path in ("/health", "/ready", "/api/tasks", "/api/agents", "/api/tasks/nope", "/nope"):
            got, head = self.get(path), self.hub.request("HEAD", path)
            self.assertEqual(head.status, got.status, path)
            self.assertEqual(head.text, b"")
            self.assertEqual(head.headers["content-type"], "application/json")
            self.assertEqual(head.headers["content-length"], got.headers["content-length"])
        self.assertEqual(self.hub.request("HEAD", "/api/tasks", token=None).status, 401)

    def test_connection_stays(self) -> None:
        """After an error the connection can be used for the next request."""
        one = b"GET /nope HTTP/1.1\r\nHost: h\r\n\r\n"
        client = self.raw(one + b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(client.received.count(b"HTTP/1.1 404"), 1)
        self.assertEqual(client.received.count(b"HTTP/1.1 200"), 1)

    def test_websocket_without_upgrade(self) -> None:
        """``/ws`` without an upgrade is 426 with a JSON body."""
        for headers in (
            {},
            {"Upgrade": "websocket"},
            {"Connection": "Upgrade"},
            {"Upgrade": "h2c", "Connection": "Upgrade"},
            {"Upgrade": "websocket", "Connection": "Upgrade"},
            {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "8",
                "Sec-WebSocket-Key": "x" * 22 + "==",
            },
            {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "short",
            },
        ):
            answer = self.get("/ws", token=None, headers=headers)
            self.answers(answer, 426, error="upgrade_required")
            self.assertEqual(answer.headers["upgrade"], "websocket")
        self.answers(self.post("/ws", {}), 426)
        self.answers(self.get("/ws/x"), 404, error="not_found")


class OrderTests(HttpCase):
    """401, 403, 413, 400, 422, 404, 409, in this order."""

    def setUp(self) -> None:
        super().setUp()
        self.hub.agent("busy").say("drain")
        self.weak = self.hub.token("weak", (ENROLL,))

    def push(self, body: object, token: str | None = "") -> Answered:
        return self.post(PUSH, body, token=token)

    def test_order(self) -> None:
        """Of all that is wrong the first of the order is told."""
        large = b"x" * (1024 * 1024 + 1)
        conflict = {"agent_id": "busy", "description": "x"}
        wrong = {"agent_id": "away", "description": 5}
        missing = {"agent_id": "away", "description": "x"}
        for token, body, status in (
            (None, large, 401),
            (None, b"no json", 401),
            (None, wrong, 401),
            (self.weak, large, 403),
            (self.weak, b"no json", 403),
            (self.weak, wrong, 403),
            ("", large, 413),
            ("", b"no json", 400),
            ("", {"description": 5}, 400),
            ("", wrong, 422),
            ("", missing, 404),
            ("", conflict, 409),
        ):
            answer = self.push(body, token)
            self.answers(answer, status)

    def test_own_token_route(self) -> None:
        """A large body without a token is 401 also where the route looks for itself."""
        body = b"x" * (1024 * 1024 + 1)
        for token, status in ((None, 401), ("", 413)):
            answer = self.hub.request("DELETE", "/admin/tokens/w", body, token=token)
            self.answers(answer, status)

    def test_escaped_path(self) -> None:
        """A path written with escapes is the same route, with the same order."""
        path = "/api/admin/push%2Dtask"
        self.answers(self.post(path, b"x" * (1024 * 1024 + 1), token=None), 401)
        self.answers(self.post(path, b"no json"), 400)

    def test_bodies_that_are_no_objects(self) -> None:
        """A body that is no JSON object is 400 ``invalid_json``."""
        for body in (b"", b"nonsense", b"[]", b"null", b"\xff", b"[" * 100_000, b"{" * 100_000):
            self.answers(self.push(body), 400, error="invalid_json")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_any_content_type(self) -> None:
        """Any request content type is read as JSON; answers are always JSON."""
        self.hub.agent("w")
        body = {"agent_id": "w", "description": "x"}
        for content_type in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            "nonsense",
        ):
            answer = self.post(PUSH, body, headers={"Content-Type": content_type})
            self.answers(answer, 200)

    def test_unknown_body_fields(self) -> None:
        """Unknown body fields are ignored."""
        self.hub.agent("w")
        body = {"agent_id": "w", "description": "x", "token": 5, "priority": "huge"}
        self.answers(self.push(body), 200)


class FailureTests(HttpCase):
    """What nobody expected."""

    def test_internal_error(self) -> None:
        """A read that fails is 500 with a request id; the traceback is in the log, once."""
        self.reads.error = OSError("disk I/O error: /secret/path")
        ids = set()
        for path in ("/api/tasks", "/api/tasks/x", "/api/tasks/x/events", "/api/events?after=0"):
            answer = self.get(path)
            body = self.answers(answer, 500, error="internal_error")
            self.assertEqual(set(body), {"error", "request_id"})
            self.assertNotIn(b"secret", answer.text)
            ids.add(body["request_id"])
            (failure,) = self.flushLoggedErrors(OSError)
            self.assertIn("disk I/O", str(failure.value))
        self.assertEqual(len(ids), 4)

    def test_internal_error_of_a_write(self) -> None:
        """A push whose key cannot be looked up is 500, and its key is free afterwards."""
        self.hub.agent("w")
        body = {"agent_id": "w", "description": "x", "idempotency_key": "k"}
        self.reads.error = OSError("disk I/O error")
        self.answers(self.post(PUSH, body), 500, error="internal_error")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.reads.error = None
        self.answers(self.post(PUSH, body), 200)

    def test_internal_error_at_once(self) -> None:
        """So is one before anything is waited for, and it is counted as an answer."""

        def fails(count: int) -> bytes:
            raise OSError("no random bytes")

        ids = self.hub.hub.ids
        self.patch(ids, "_random_bytes", fails)
        ids._used = len(ids._pool)
        mine = {"X-Request-Id": "mine-1"}
        answer = self.post("/api/tasks", {"description": "x"}, headers=mine)
        self.answers(answer, 500, error="internal_error", request_id="mine-1")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        metrics = self.get("/metrics", headers=mine).text
        self.assertIn(b'http_requests_total{route="submit_task",status="5xx"} 1.0\n', metrics)

    def test_id_is_in_the_log(self) -> None:
        """The request id of the answer is in the log beside the traceback."""
        seen: list[str] = []
        from twisted.logger import globalLogPublisher

        def observe(event: dict[str, object]) -> None:
            if "request_id" in event:
                seen.append(str(event["request_id"]))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.reads.error = OSError("disk")
        body = self.get("/api/tasks").body
        self.assertEqual(seen, [body["request_id"]])
        self.flushLoggedErrors(OSError)

    def test_failure_after_the_client_left(self) -> None:
        """A failure whose client has left is logged once, and breaks nothing."""
        self.reads.holding = True
        client = self.begin("GET", "/api/tasks")
        client.transport.loseConnection()
        self.hub.settle()
        ((_, waiting),) = self.reads.waiting
        waiting.errback(OSError("disk"))
        self.reads.waiting.clear()
        self.hub.settle()
        self.assertLessEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.hub.parts.api.in_progress, 0)
        self.reads.holding = False
        self.assertEqual(self.get("/api/tasks").status, 200)

    def test_tokens_are_in_no_log(self) -> None:
        """Nothing that is logged while requests are served or fail names a token."""
        from twisted.logger import formatEvent, globalLogPublisher

        lines: list[str] = []

        def observe(event: dict[str, object]) -> None:
            lines.append(formatEvent(event) + repr(sorted(event)))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        token = self.hub.token("w", (SUBMIT,))
        self.get(f"/api/tasks?token={token}", token=token)
        self.get(f"/nope?token={token}", token=token)
        self.reads.error = OSError("disk")
        self.get(f"/api/tasks?token={token}", token=token)
        self.flushLoggedErrors(OSError)
        self.assertTrue(lines)
        self.assertNotIn(token, json.dumps(lines))
