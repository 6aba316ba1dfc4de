"""Every HTTP route with bodies, paths, queries and headers that are wrong in every way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcom.http.route import Route
from agentcom.testing import Answered, HttpClient, MemoryHub
from agentcom.wire.tasks import SubmitTask
from tests.hostile.feeds import (
    SUBMISSION,
    batches,
    examples,
    fields_of,
    objects,
    raw_values,
    torn,
)
from tests.hostile.world import HostileTestCase

EACH = 30
"""Examples of each route; routes are many."""

GOOD = {
    **SUBMISSION,
    "agent_id": b'"good"',
    "payload": b'{"a":1}',
    "to": b'"good"',
    "scopes": b'["agent"]',
    "tasks": b'[{"description":"x"},{"description":"y","labels":{"a":{"in":["b"]}}}]',
    "task_ids": b'["task-0123456789abcdef"]',
    "submitted_by": b'"admin"',
    "last_error": b'"broken"',
    "all": b"true",
    "expires_in_s": b"60",
    "deadline_s": b"60",
    "retry_after_s": b"60",
    "note": b'"upgrade"',
    "reason": b'"no"',
    "channel": b'"general"',
    "name": b'"general"',
    "seq": b"1",
}

WAITING = "the waiting one"
DEAD = "the dead letter"
"""Stand for tasks that there are."""

SEGMENTS = [
    "good",
    WAITING,
    DEAD,
    "task-0123456789abcdef",
    "",
    ".",
    "..",
    "%2e%2e",
    "%2F",
    "a%2Fb",
    "%00",
    "%ff%fe",
    "%",
    "%zz",
    "%ED%A0%80",
    "日本".encode().decode("latin-1"),
    "x" * 5_000,
    "<task_id>",
    "'",
    "-1",
    "stats",
    "dead-letter",
    "batch",
]

QUERIES = [
    "",
    "?",
    "?limit=0",
    "?limit=-1",
    "?limit=99999999999999999999",
    "?limit=1e3",
    "?limit=%D9%A3",
    "?limit=1&limit=x",
    "?limit",
    "?limit=",
    "?cursor=9007199254740993",
    "?cursor=9999999999999999",
    "?cursor=99999999999999999999",
    "?cursor=x",
    "?cursor=%ff",
    "?status=nothing",
    "?status=%ff",
    "?priority=high&status=queued",
    "?last_error=broken&limit=1",
    "?last_error=%00",
    "?submitted_by=%00",
    "?agent_id=%ED%A0%80",
    "?agent_id=" + "x" * 9_000,
    "?topics=,",
    "?topics=tasks,tasks",
    "?topics=%ff",
    "?after=-1",
    "?after=0",
    "?after=%ff",
    "?after=:::",
    "?after=x:99999999999999999999",
    "?since=x",
    "?since=99999999999999999999",
    "?token=%ff",
    "?token=",
    "?%ff=%ff",
    "?" + "&".join(f"a{n}=b" for n in range(500)),
]

HEADERS: list[dict[str, str]] = [
    {},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "multipart/form-data"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Content-Type": "text/plain; charset=utf-16"},
    {"Content-Type": "\xff"},
    {"Accept": "text/html"},
    {"Accept-Encoding": "gzip"},
    {"Content-Encoding": "gzip"},
    {"Last-Event-ID": "\xff"},
    {"Last-Event-ID": "x" * 1_000},
    {"Last-Event-ID": "00000000:99999999999999999999"},
    {"If-None-Match": "*"},
    {"Range": "bytes=0-"},
    {"Origin": "null"},
    {"Host": ""},
    {"Host": "a b"},
    {"Host": "\xff"},
    {"Host": "evil.example\t"},
    {"Expect": "100-continue"},
    {"X-Forwarded-For": "a" * 10_000},
    {"Upgrade": "websocket", "Connection": "Upgrade"},
    {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer \xff\xfe"},
    {"Authorization": "Basic dTpw"},
    {"Authorization": "Bearer " + "x" * 9_000},
]

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"]


class RouteTests(HostileTestCase):
    """Every request is answered, never with a 500."""

    def renew(self) -> None:
        super().renew()
        self.known = {WAITING: self.submit(agent_id="nobody"), DEAD: self.submit(agent_id="good")}
        self.good.say("task_failed", task_id=self.known[DEAD], error="broken", retryable=False)
        self.good.frames.clear()

    def submit(self, **fields: str) -> str:
        answer = self.hub.request("POST", "/api/tasks", {"description": "x", **fields})
        return str(answer.body["task_id"])

    def attack(
        self, method: str, path: str, body: bytes, headers: dict[str, str], token: str | None = ""
    ) -> None:
        """Send a request and look at the answer, and at the hub afterwards."""
        for name, task_id in self.known.items():
            path = path.replace(name, task_id)
        client = self.hub.open_request(method, path, body, token, headers)
        self.assertNotEqual(client.received, b"", f"no answer to {method} {path[:100]}")
        self.assert_answer(method, client)
        if not client.lost:
            client.transport.loseConnection()
            self.hub.settle()
        if "drain" in path:
            self.hub.request("DELETE", "/api/admin/drain")
            self.hub.request("POST", "/api/agents/good/resume")
        # What a good body asked for may be work for the good agent.
        self.reset("good")
        self.assert_well()

    def assert_answer(self, method: str, client: HttpClient) -> None:
        """A status that the contract has; every error is a JSON object with a code."""
        answer = Answered(client.received)
        self.assertLess(answer.status, 500, answer.text[:300])
        if method == "POST" and answer.status == 201:
            for task_id in answer.body.get("task_ids", [answer.body.get("task_id")]):
                if task_id is not None:
                    self.assert_shown(task_id)
        if answer.status < 400 or method == "HEAD" or b"\r\n\r\n" not in client.received:
            return
        if answer.status == 400 and not answer.text:
            # Not HTTP at all: there was no path to answer on.
            return
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertIsInstance(answer.body["error"], str)

    @given(
        method=st.sampled_from(METHODS),
        parts=st.lists(
            st.sampled_from([*SEGMENTS, "api", "tasks", "admin", "tokens", "ws", "agents"]),
            max_size=5,
        ),
        query=st.sampled_from(QUERIES),
        headers=st.sampled_from(HEADERS),
        body=st.sampled_from([b"", b"{}", b"[", b"\xff" * 10]),
    )
    @examples(250)
    def test_any_path(
        self, method: str, parts: list[str], query: str, headers: dict[str, str], body: bytes
    ) -> None:
        """Any path, query, method and header gets a JSON answer."""
        self.attack(method, "/" + "/".join(parts) + query, body, headers)

    def test_bodies_over_the_limit(self) -> None:
        """A body over the limit is refused with 413 before it has come, and while it comes."""
        head = (
            "POST /api/admin/push-task HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {self.hub.admin_token}\r\n"
        ).encode()
        told = self.hub.open_http()
        told.transport.write(head + b"Content-Length: 1073741824\r\n\r\n{")
        self.hub.settle()
        self.assertEqual(Answered(told.received).status, 413)
        chunked = self.hub.open_http()
        chunked.transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            chunked.transport.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            self.hub.settle()
        self.assertEqual(Answered(chunked.received).status, 413)
        self.hub.advance(3)
        self.assertTrue(told.lost and chunked.lost)
        self.assert_well()

    def test_a_body_over_the_limit_of_a_stranger(self) -> None:
        """Who has no token learns that, not the limit."""
        answer = self.hub.request(
            "POST",
            "/api/admin/push-task",
            b"x",
            token=None,
            headers={"Content-Length": "99999999"},
        )
        self.assertEqual((answer.status, answer.body["error"]), (401, "unauthorized"))


def _attacking(route: Route) -> None:
    names = fields_of(route.body) if route.body is not None else ["x"]
    good = {name: value for name, value in GOOD.items() if name in names}
    body = torn(objects(names, good)) | raw_values
    if route.name == "submit_batch":
        body |= torn(batches(fields_of(SubmitTask), GOOD))
    variable = route.path.count("<")

    @given(
        body=body,
        segments=st.lists(st.sampled_from(SEGMENTS), min_size=variable, max_size=variable),
        query=st.sampled_from(QUERIES),
        headers=st.sampled_from(HEADERS),
        authorized=st.integers(0, 5),
    )
    @examples(EACH)
    def test(
        self: RouteTests,
        body: bytes,
        segments: list[str],
        query: str,
        headers: dict[str, str],
        authorized: int,
    ) -> None:
        path = route.path
        for segment in segments:
            start, end = path.index("<"), path.index(">") + 1
            path = path[:start] + segment + path[end:]
        # The good agent must be able to go on: its own tokens and its line stay.
        if route.name in ("revoke_tokens", "disconnect_agent") and "good" in segments:
            path = path.replace("good", "nobody")
        token = "" if authorized else None
        self.attack(route.method, path + query, body, headers, token)

    test.__doc__ = f"Whatever {route.method} {route.path} is sent, it gets an answer."
    test.__name__ = f"test_{route.name}"
    setattr(RouteTests, test.__name__, test)


def _routes() -> list[Route]:
    return list(MemoryHub(open_registration=True).parts.api.routes.values())


for _route in _routes():
    _attacking(_route)
del _route
