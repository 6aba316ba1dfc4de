"""Peers that shut their sending side down behind their requests, over real sockets."""

from __future__ import annotations

import socket

from tests.integration.processes import PATIENCE_S, HubProcess, ProcessTestCase

HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
LONG = b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n"
TASK = b"POST /api/tasks HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n" + (
    b'Content-Length: 19\r\n\r\n{"description":"x"}'
)


class HalfClosedTests(ProcessTestCase):
    """Everything that came whole is answered, whole, and then the line ends."""

    options: tuple[str, ...] = ()

    def say(self, hub: HubProcess, data: bytes) -> bytes:
        """All that comes back, to the end of the line."""
        with socket.create_connection(("127.0.0.1", hub.port), PATIENCE_S) as line:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))

    def test_answers(self) -> None:
        """At once, after a commit, one after the other, and longer than a socket takes."""
        hub = self.hub(*self.options)
        task = TASK % hub.admin_token.encode()
        for _ in range(20):
            self.assertIn(b'"status"', self.say(hub, HEALTH))
            self.assertIn(b"201 Created", self.say(hub, task))
        self.assertEqual(self.say(hub, HEALTH + task + task).count(b"HTTP/1.1 20"), 3)
        for _ in range(20):
            head, _, body = self.say(hub, LONG).partition(b"\r\n\r\n")
            self.assertIn(b"content-length: %d\r\n" % len(body), head.lower() + b"\r\n")
            self.assertGreater(len(body), 128 * 1024)
        self.assertEqual(self.say(hub, task[:-3]), b"")
        self.assert_clean_log(hub)


class PlainHalfClosedTests(HalfClosedTests):
    """Without the shortcuts."""

    options = ("--shortcuts", "none")
