"""Bodies over the limit: refused before and while they arrive."""

from __future__ import annotations

from agentcom.site import LINGER_S
from agentcom.testing import Answered, HttpClient
from tests.unit.http.support import HttpCase

LIMIT = 1024 * 1024
PUSH = "/api/admin/push-task"


class BodyTests(HttpCase):
    """One MiB, and not a byte more."""

    def head(self, *lines: str, token: str | None = "", path: str = PUSH) -> bytes:
        fields = [f"POST {path} HTTP/1.1", "Host: h", *lines]
        if token is not None:
            fields.append(f"Authorization: Bearer {token or self.hub.admin_token}")
        return ("\r\n".join(fields) + "\r\n\r\n").encode()

    def more(self, client: HttpClient, data: bytes) -> None:
        client.transport.write(data)
        self.hub.settle()

    def refused(self, client: HttpClient, status: int = 413) -> None:
        """One JSON answer and no other came, and the connection is closed soon."""
        answer = Answered(client.received)
        body = self.answers(answer, status)
        if status == 413:
            self.assertEqual(body["limit"], LIMIT)
        self.assertEqual(client.received.count(b"HTTP/1.1"), 1, client.received)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(int(answer.headers["content-length"]), len(answer.text))
        self.hub.advance(LINGER_S + 0.1)
        self.assertTrue(client.lost)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_by_content_length(self) -> None:
        """A body that is announced too large is refused before a byte of it comes."""
        for length in (LIMIT + 1, 10**15, 10**30):
            self.refused(self.raw(self.head(f"Content-Length: {length}")))

    def test_while_it_arrives(self) -> None:
        """A body in chunks is refused as soon as it is too large."""
        client = self.raw(self.head("Transfer-Encoding: chunked"))
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        for _ in range(LIMIT // 0x8000):
            self.more(client, chunk)
        self.assertEqual(client.received, b"")
        self.more(client, b"1\r\nx\r\n")
        self.refused(client)

    def test_the_rest_is_thrown_away(self) -> None:
        """What still comes of a refused body is read and forgotten, and answered no more."""
        client = self.raw(self.head("Transfer-Encoding: chunked"))
        chunk = b"%x\r\n" % (2 * LIMIT) + b"x" * (2 * LIMIT) + b"\r\n"
        self.more(client, chunk)
        self.more(client, chunk)
        self.more(client, b"0\r\n\r\n")
        self.refused(client)

    def test_largest(self) -> None:
        """A body of just the limit is read, announced or in chunks."""
        body = b" " * (LIMIT - 2) + b"{}"
        announced = self.raw(self.head(f"Content-Length: {LIMIT}") + body)
        in_chunks = self.raw(
            self.head("Transfer-Encoding: chunked") + b"%x\r\n" % LIMIT + body + b"\r\n0\r\n\r\n"
        )
        for client in (announced, in_chunks):
            answer = Answered(client.received)
            self.assertEqual(answer.status, 400, answer.text)
            self.assertIn("missing required fields", answer.body["error"])

    def test_401_and_403_come_first(self) -> None:
        """Who may not call at all is told so, not that the body is large."""
        weak = self.hub.token("weak", ("enroll",))
        for token, status in ((None, 401), ("wrong", 401), (weak, 403)):
            self.refused(self.raw(self.head(f"Content-Length: {LIMIT + 1}", token=token)), status)
            client = self.raw(self.head("Transfer-Encoding: chunked", token=token))
            self.more(client, b"%x\r\n" % (LIMIT + 1) + b"x" * (LIMIT + 1) + b"\r\n")
            self.refused(client, status)

    def test_unknown_route(self) -> None:
        """Also a path that there is not takes no large body."""
        self.refused(self.raw(self.head(f"Content-Length: {LIMIT + 1}", path="/nope")))

    def test_expect_continue(self) -> None:
        """A client that asks first is refused, and not told to go on."""
        lines = (f"Content-Length: {LIMIT + 1}", "Expect: 100-continue")
        self.refused(self.raw(self.head(*lines)))
        client = self.raw(self.head("Content-Length: 2", "Expect: 100-continue"))
        self.assertIn(b"100 Continue", client.received)

    def test_body_of_a_get(self) -> None:
        """A large body is refused where none is expected, too."""
        head = self.head(f"Content-Length: {LIMIT + 1}", path="/health")
        self.refused(self.raw(head.replace(b"POST", b"GET")))

    def test_nothing_was_done(self) -> None:
        """A refused body has no effect."""
        worker = self.hub.agent("w")
        body = b'{"agent_id":"w","description":"x"}'.ljust(LIMIT + 1)
        self.refused(self.raw(self.head(f"Content-Length: {len(body)}") + body))
        self.assertEqual(worker.of("task_assign"), [])

    def test_idle_connections_are_closed(self) -> None:
        """A connection that never finishes its request is closed after a while."""
        client = self.raw(self.head("Content-Length: 10") + b"{")
        self.hub.advance(120, step=5)
        self.assertTrue(client.lost)
        self.assertEqual(self.flushLoggedErrors(), [])
