"""Secrets in every place where a peer can put one, and in nothing that is written down."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import MemoryHub
from tests.hostile.feeds import nested
from tests.integration.rawsocket import frame, handshake

SECRETS = [f"{n:02}5ec2e7" * 8 for n in range(20)]
"""Each of the form of a token, and good for nothing."""


class SecretsTests(SynchronousTestCase):
    """A hub in memory, and all that it logs."""

    timeout = 120

    def setUp(self) -> None:
        self.events: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.hub = MemoryHub(open_registration=True, log_requests=True)
        self.secrets = [*SECRETS, self.hub.admin_token, self.hub.token("worker")]

    def observe(self, event: LogEvent) -> None:
        # All that any observer could make of it, its fields among them.
        plain = {k: v for k, v in event.items() if k not in ("log_logger", "log_failure")}
        self.events.append(f"{eventAsText(event)}\n{plain!r}")

    def assert_kept(self) -> None:
        """No secret is in the log, the audit log or the metrics; the first characters may be."""
        metrics = self.hub.request("GET", "/metrics").text.decode()
        audited = b"\n".join(self.hub.audited).decode()
        for name, text in (
            ("log", "\n".join(self.events)),
            ("audit log", audited),
            ("metrics", metrics),
        ):
            for number, secret in enumerate(self.secrets):
                # Not the texts themselves: a failing test is written down as well.
                self.assertFalse(secret[:16] in text, f"secret {number} is in the {name}")

    def test_every_route(self) -> None:
        """Tokens in headers, queries, cookies and bodies of every route are not written down."""
        bearer, basic, query, cookie, body, other = SECRETS[:6]
        for route in self.hub.parts.api.routes.values():
            path = "/".join("x" if p.startswith("<") else p for p in route.path.split("/"))
            for token in ("", bearer, None):
                for data in (
                    b'{"token":"%s","agent_id":"x"}' % body.encode(),
                    b'{"token":"%s' % body.encode(),
                    b'{"agent_id":["%s"],"token":1}' % body.encode(),
                ):
                    headers = {"Cookie": f"agentcom_session={cookie}", "X-CSRF-Token": other}
                    if token is None:
                        headers["Authorization"] = f"Basic {basic}"
                    client = self.hub.open_request(
                        route.method, f"{path}?token={query}&x={other}", data, token, headers
                    )
                    if not client.lost:
                        transport: Any = client.transport
                        transport.loseConnection()
        self.assertTrue(self.hub.audited and self.events)
        self.flushLoggedErrors()
        self.assert_kept()

    def test_a_handler_that_fails(self) -> None:
        """The traceback of a fault has code in it, and no values."""

        def broken() -> None:
            raise RuntimeError("broken")

        self.patch(self.hub.hub.auth, "everything", broken)
        headers = {"Cookie": f"agentcom_session={SECRETS[0]}"}
        answer = self.hub.request("GET", f"/admin/tokens?token={SECRETS[1]}", headers=headers)
        self.assertEqual((answer.status, answer.body["error"]), (500, "internal_error"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertIn("Traceback", "\n".join(self.events))
        self.assert_kept()

    def test_frames(self) -> None:
        """Tokens in frames, whole and broken, are not written down."""
        for text in (
            b'{"type":"identify","agent_id":"x","token":"%s"}',
            b'{"type":"identify","agent_id":"x","token":"%s"',
            b'{"type":"identify","agent_id":7,"token":"%s"}',
            b'{"type":"%s"}',
            b'{"type":"identify","token":"%s","x":' + nested(b"[", b"]") + b"}",
        ):
            client = self.hub.open_http()
            transport: Any = client.transport
            data = text.replace(b"%s", SECRETS[0].encode())
            transport.write(handshake(4000) + frame(data) + frame(data, reserved=1))
            self.hub.settle()
            self.hub.advance(12, step=1)
        peer = self.hub.connect()
        peer.say("identify", agent_id="other", token=self.hub.token("worker"))
        self.assert_kept()

    def test_bytes_that_are_no_http(self) -> None:
        """Tokens in requests that are none are not written down."""
        secret = SECRETS[0].encode()
        for data in (
            b"%s\r\n\r\n" % secret,
            b"GET /?token=%s HTTP/9.9\r\n\r\n" % secret,
            b"GET / HTTP/1.1\r\nAuthorization Bearer %s\r\n\r\n" % secret,
            b"GET /?token=%s&%%ff HTTP/1.1\r\nHost: %s\r\nHost: x\r\n\r\n" % (secret, secret),
            b"GET /ws?token=%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n" % secret,
            b"GET / HTTP/1.1\r\nX: %s" % secret,
        ):
            client = self.hub.open_http()
            transport: Any = client.transport
            transport.write(data)
            self.hub.settle()
            self.hub.advance(15, step=1)
        self.assert_kept()
