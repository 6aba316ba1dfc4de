"""The audit log: what gets a line, what is in it, and what never is."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from agentcom.audit import AT_ONCE, EVERYDAY, MANY_AT_ONCE, SHOWN
from agentcom.http.routing import Asked
from agentcom.testing import HttpClient, MemoryHub


class AuditCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.hub = MemoryHub(open_registration=True)
        self.hub.audited.clear()

    def lines(self) -> list[dict[str, Any]]:
        """What was written since the last look."""
        found = [json.loads(line) for line in self.hub.audited]
        self.hub.audited.clear()
        return found


class RequestTests(AuditCase):
    """Requests of HTTP."""

    def test_a_whole_line(self) -> None:
        """A line says who did what, from where, when, to whom, and what came of it."""
        client = HttpClient()
        self.hub.join(client).serverIO.peerAddress = IPv4Address("TCP", "203.0.113.9", 7)
        transport: Any = client.transport
        transport.write(
            b"DELETE /admin/tokens/nobody HTTP/1.1\r\nHost: hub\r\nX-Request-Id: r-1\r\n"
            b"Authorization: Bearer %s\r\n\r\n" % self.hub.admin_token.encode()
        )
        self.hub.settle()
        (line,) = self.lines()
        self.assertEqual(
            line,
            {
                "time": self.hub.hub.now(),
                "act": "revoke_tokens",
                "status": 404,
                "agent_id": "admin",
                "token": self.hub.admin_token[:8],
                "address": "203.0.113.9",
                "method": "DELETE",
                "target": {"agent_id": "nobody"},
                "request_id": "r-1",
            },
        )

    def test_what_operators_do(self) -> None:
        """Tokens, registration, cancels, requeues, deletes, drains and disconnects get a line."""
        self.hub.agent("worker")
        task_id = self.hub.push("worker")
        self.lines()
        for method, path, body, act in (
            ("POST", "/admin/tokens", {"agent_id": "new"}, "create_token"),
            ("POST", "/api/onboard/register", {"agent_id": "newer"}, "register"),
            ("POST", f"/api/tasks/{task_id}/requeue", {}, "requeue_task"),
            ("POST", f"/api/tasks/{task_id}/cancel", {}, "cancel_task"),
            ("POST", f"/api/tasks/{task_id}/retry", None, "retry_task"),
            ("DELETE", f"/api/tasks/{task_id}", None, "delete_task"),
            ("POST", "/api/agents/worker/drain", {}, "drain_agent"),
            ("POST", "/api/agents/worker/resume", None, "resume_agent"),
            ("POST", "/api/agents/worker/disconnect", {}, "disconnect_agent"),
            ("POST", "/api/session", {"token": self.hub.admin_token}, "sign_in"),
            ("DELETE", "/api/session", None, "sign_out"),
        ):
            answer = self.hub.request(method, path, body)
            told = [line for line in self.lines() if line["act"] != "ended"]
            self.assertEqual([line["act"] for line in told], [act])
            self.assertEqual(told[0]["status"], answer.status)

    def test_every_route_that_changes_something(self) -> None:
        """Whatever is no reading has a line, but for the few that are told elsewhere."""
        routes = self.hub.parts.api.routes
        self.assertEqual(EVERYDAY - routes.keys(), set())
        for route in routes.values():
            if route.method == "GET":
                continue
            path = "/".join("x" if p.startswith("<") else p for p in route.path.split("/"))
            self.hub.request(route.method, path, b"no json")
            told = [line["act"] for line in self.lines()]
            self.assertEqual(told, [] if route.name in EVERYDAY else [route.name])

    def test_whose_token_was_made(self) -> None:
        """Of a new token the line says whose it is and what it may do, and not the token."""
        body = {"agent_id": "new", "scopes": ["submit"]}
        made = self.hub.request("POST", "/admin/tokens", body).body["token"]
        (raw,) = self.hub.audited
        self.assertNotIn(made.encode(), raw)
        self.assertEqual(self.lines()[0]["target"], {"agent_id": "new", "scopes": "['submit']"})
        made = self.hub.request("POST", "/api/onboard/register", {"agent_id": "x"}, token=None)
        (raw,) = self.hub.audited
        self.assertNotIn(made.body["token"].encode(), raw)
        self.assertEqual(self.lines()[0]["target"], {"agent_id": "x"})

    def test_what_is_told_elsewhere(self) -> None:
        """Work, reports and reads get no line."""
        agent = self.hub.agent("worker")
        task_id = self.hub.push("worker")
        agent.say("task_complete", task_id=task_id, result=1)
        self.hub.request("POST", "/api/tasks", {"description": "x"})
        self.hub.request("GET", "/api/tasks")
        self.hub.request("GET", "/admin/tokens")
        self.hub.request("GET", "/nothing")
        self.assertEqual(self.lines(), [])

    def test_refusals(self) -> None:
        """Who shows a bad token, or lacks the scope, gets a line, whatever they asked for."""
        self.hub.request("GET", "/api/tasks", token="nobody")
        self.hub.request("POST", "/api/tasks", {"description": "x"}, token=None)
        worker = self.hub.token("worker")
        self.hub.request("GET", "/admin/tokens", token=worker)
        told = self.lines()
        self.assertEqual(
            [(line["act"], line["status"]) for line in told],
            [("list_tasks", 401), ("submit_task", 401), ("list_tokens", 403)],
        )
        self.assertNotIn("agent_id", told[0])

    def test_many_refusals(self) -> None:
        """Of refusals without end so many get a line, and the number of the others one more."""
        for _ in range(AT_ONCE + 50):
            self.hub.request("GET", "/api/tasks", token=None)
        self.assertEqual(len(self.lines()), AT_ONCE)
        self.hub.advance(2)
        self.assertEqual(
            [(line["act"], line.get("count")) for line in self.lines()], [("denied_more", 50)]
        )
        self.hub.request("GET", "/api/tasks", token=None)
        self.assertEqual([line["act"] for line in self.lines()], ["list_tasks"])

    def flood(self, method: str, path: str, body: object, token: str | None) -> dict[str, int]:
        """How often each line is written of far too many of one request, and counts of more."""
        for n in range(AT_ONCE + 50):
            sent = body.replace(b"%d", b"%d" % n) if isinstance(body, bytes) else body
            headers = {"Content-Type": "application/json"}
            self.hub.request(method, path, sent, token=token, headers=headers)
        self.hub.advance(2)
        told: Counter[str] = Counter()
        for line in self.lines():
            told[line["act"]] += line.get("count", 1)
        return told

    def test_what_fails_without_a_token(self) -> None:
        """Whatever a stranger sends, in vain or not, does not fill the log."""
        self.hub.advance(AT_ONCE)
        for path, body, act, more in (
            ("/api/session", b"x", "sign_in", "denied_more"),
            ("/api/session", {"token": 5}, "sign_in", "denied_more"),
            ("/api/onboard/register", b"x", "register", "denied_more"),
            ("/api/onboard/register", {"agent_id": ""}, "register", "denied_more"),
            ("/api/onboard/register", b'{"agent_id":"new%d"}', "register", "done_more"),
        ):
            told = self.flood("POST", path, body, None)
            self.assertEqual(told, {act: AT_ONCE, more: 50}, (path, body))
            self.hub.advance(2 * AT_ONCE, step=5)
            self.lines()

    def test_what_fails_with_a_token(self) -> None:
        """What an agent tries in vain does not fill it, nor do sessions without end."""
        self.assertEqual(
            self.flood("DELETE", "/admin/tokens/nobody", None, self.hub.admin_token),
            {"revoke_tokens": AT_ONCE, "failed_more": 50},
        )
        self.assertEqual(
            self.flood("POST", "/api/session", {"token": self.hub.admin_token}, None),
            # The oldest sessions end when there are too many.
            {"sign_in": AT_ONCE, "sessions_more": 50 + 50},
        )

    def test_what_is_done(self) -> None:
        """What a good token does has a line each, up to a great many; of more the line with
        their number says whose it is, and others are told of."""
        route = self.hub.parts.api.routes["drain_agent"]
        for agent_id in ("first", "second"):
            secret = self.hub.token(agent_id)
            token = self.hub.hub.auth.verify(secret)
            request: Any = DummyRequest([])
            asked = Asked(request, route, {}, "r-1")
            asked.token = token
            for _ in range(MANY_AT_ONCE + (5 if agent_id == "first" else 0)):
                self.hub.parts.audit.answered(asked, 200)
        told = Counter(line["agent_id"] for line in self.lines())
        self.assertEqual(told, {"first": MANY_AT_ONCE, "second": MANY_AT_ONCE})
        self.hub.advance(1)
        (line,) = self.lines()
        self.assertEqual([line["act"], line["agent_id"], line["count"]], ["done_more", "first", 5])

    def test_before_the_body(self) -> None:
        """What is refused before its body comes has a line, and counts as a request."""
        known = b"Authorization: Bearer %s\r\n" % self.hub.token("worker").encode()
        for who, status in ((b"Authorization: Bearer x\r\n", 401), (b"", 401), (known, 403)):
            client = self.hub.open_http()
            transport: Any = client.transport
            transport.write(
                b"POST /admin/tokens HTTP/1.1\r\nHost: hub\r\nX-Request-Id: r-1\r\n%s"
                b"Content-Length: 100000\r\n\r\n" % who
            )
            self.hub.settle()
            self.assertIn(b"x-request-id: r-1\r\n", client.received)
            (line,) = self.lines()
            self.assertEqual(
                [line[name] for name in ("act", "status", "request_id")],
                ["create_token", status, "r-1"],
            )
        text = self.hub.parts.metrics.text().decode()
        counted = 'agentcom_http_requests_total{route="create_token",status="4xx"} 3.0'
        self.assertIn(counted, text)

    def test_one_flood_hides_no_other(self) -> None:
        """A flood of refusals hides neither registrations nor what somebody known tries."""
        for _ in range(AT_ONCE + 50):
            self.hub.request("POST", "/api/session", b"x", token=None)
        self.lines()
        self.hub.request("POST", "/api/onboard/register", {"agent_id": "new"}, token=None)
        self.hub.request("DELETE", "/admin/tokens/nobody")
        told = [line["act"] for line in self.lines()]
        self.assertEqual(told, ["register", "revoke_tokens"])

    def test_tokens_in_the_place_of_ids(self) -> None:
        """A token that somebody puts where an id goes is not written down."""
        token = self.hub.admin_token
        self.hub.request("DELETE", f"/admin/tokens/{token}", headers={"X-Request-Id": token})
        self.hub.request("POST", f"/api/tasks/a{token}/cancel", {})
        self.hub.connect().say("identify", agent_id=token, token="nobody")
        written = b"".join(self.hub.audited)
        answer = self.hub.request("GET", "/health", headers={"X-Request-Id": token.upper()})
        self.assertRegex(answer.headers["x-request-id"], "^[0-9a-f]{16}$")
        self.assertNotIn(token[8:].encode(), written)
        self.assertEqual(len(self.lines()), 3)

    def test_text_of_peers(self) -> None:
        """What a peer writes into its path is one JSON text, and cut."""
        self.hub.request("POST", "/api/tasks/%0a%22%7d%E2%80%A8" + "x" * 999 + "/cancel", {})
        (raw,) = self.hub.audited
        self.assertEqual(raw.splitlines(), [raw])
        (line,) = self.lines()
        self.assertEqual(line["target"], {"task_id": '\n"}\u2028' + "x" * (SHOWN - 4)})


class LineTests(AuditCase):
    """Agents, and what ends."""

    def test_identify(self) -> None:
        """A token that is not good for what its agent claims to be gets a line, without it."""
        peer = self.hub.connect()
        peer.say("identify", agent_id="worker", token="s3cret-of-nobody")
        peer.say("identify", agent_id="other", token=self.hub.token("worker"))
        self.assertNotIn(b"s3cret", b"".join(self.hub.audited))
        told = [line for line in self.lines() if line["act"] == "identify"]
        self.assertEqual(
            [(line["error"], line["target"]["agent_id"]) for line in told],
            [("invalid_token", "worker"), ("token_agent_mismatch", "other")],
        )

    def test_revoked(self) -> None:
        """A revocation gets a line of its own beside the request's."""
        self.hub.agent("worker")
        self.hub.request("DELETE", "/admin/tokens/worker")
        told = {line["act"]: line for line in self.lines()}
        self.assertEqual(told["ended"]["reason"], "token_revoked")
        self.assertEqual(told["ended"]["target"], {"agent_id": "worker"})
        self.assertEqual(told["revoke_tokens"]["status"], 200)
