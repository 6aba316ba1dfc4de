"""Pages of other sites cannot call the hub from a browser."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from agentcom.http.origin import MOST_ORIGIN, allowed
from tests.unit.http.support import HttpCase

ALLOWED = ("https://tools.example", "chrome-extension://abc")

# Origin, Host, TLS, and whether it may call.
TABLE: tuple[tuple[bytes, bytes, bool, bool], ...] = (
    (b"http://hub.example:4000", b"hub.example:4000", False, True),
    (b"HTTP://Hub.Example:4000", b"hub.EXAMPLE:4000", False, True),
    (b"http://hub.example", b"hub.example", False, True),
    (b"http://hub.example", b"hub.example:80", False, True),
    (b"https://hub.example", b"hub.example:443", True, True),
    (b"https://hub.example:443", b"hub.example", True, True),
    # A proxy in front speaks TLS and says nothing of it.
    (b"https://hub.example", b"hub.example", False, True),
    (b"http://127.0.0.1:4000", b"127.0.0.1:4000", False, True),
    (b"http://[::1]:4000", b"[::1]:4000", False, True),
    (b"https://tools.example", b"hub.example", False, True),
    (b"https://Tools.example", b"hub.example", True, True),
    (b"chrome-extension://abc", b"hub.example", False, True),
    # Another name, port or scheme.
    (b"http://evil.example", b"hub.example", False, False),
    (b"http://hub.example", b"hub.example:4000", False, False),
    (b"http://hub.example:4001", b"hub.example:4000", False, False),
    (b"http://hub.example:4000", b"hub.example", False, False),
    (b"https://hub.example", b"hub.example:80", False, False),
    (b"http://hub.example", b"hub.example", True, False),
    (b"http://tools.example", b"hub.example", False, False),
    (b"https://tools.example:8443", b"hub.example", False, False),
    (b"http://localhost:4000", b"127.0.0.1:4000", False, False),
    # What looks like it.
    (b"http://hub.example.evil.example", b"hub.example", False, False),
    (b"http://evilhub.example", b"hub.example", False, False),
    (b"http://hub.example@evil.example", b"hub.example", False, False),
    (b"http://evil.example/http://hub.example", b"hub.example", False, False),
    (b"http://hub.example/", b"hub.example", False, False),
    (b"http://hub.example#", b"hub.example", False, False),
    (b"http://hub.example http://evil.example", b"hub.example", False, False),
    (b"http://hub.example, http://evil.example", b"hub.example", False, False),
    (b"https://tools.example.evil.example", b"hub.example", False, False),
    # What is none.
    (b"null", b"hub.example", False, False),
    (b"", b"hub.example", False, False),
    (b"", b"", False, False),
    (b"null", b"null", False, False),
    (b"*", b"hub.example", False, False),
    (b"file://", b"", False, False),
    (b"http://", b"", False, False),
    (b"ftp://hub.example", b"hub.example", False, False),
    (b"http://hub.example\x00", b"hub.example", False, False),
    (b"http://\xff", b"\xff", False, False),
    (b"http://hub.example:", b"hub.example:", False, False),
    (b"http://hub.example:999999", b"hub.example:999999", False, False),
    (b"http://" + b"a" * MOST_ORIGIN, b"a" * MOST_ORIGIN, False, False),
)


class AllowedTests(SynchronousTestCase):
    """The rule alone."""

    def test_table(self) -> None:
        """The hub's own pages and those that are allowed may call, and no others."""
        for origin, host, secure, expected in TABLE:
            found = allowed(origin, host, secure, ALLOWED)
            self.assertEqual(found, expected, (origin, host, secure))


class GuardTests(HttpCase):
    """Requests to a hub."""

    settings: ClassVar[dict[str, Any]] = {
        "allow_origins": ("https://tools.example",),
        "public_url": "https://public.example",
    }

    def test_other_site(self) -> None:
        """A page of another site is refused on every route of the API, before its token is
        looked at."""
        checked = 0
        for route in self.hub.parts.api.routes.values():
            path = route.path.replace("<", "").replace(">", "")
            if not path.startswith(("/api/", "/admin/")):
                continue
            for origin in ("https://evil.example", "null"):
                for token in ("", None, "wrong"):
                    answer = self.hub.request(
                        route.method, path, b"{}", token=token, headers={"Origin": origin}
                    )
                    self.answers(answer, 403, error="origin_not_allowed")
                    checked += 1
        self.assertGreater(checked, 100)

    def test_own(self) -> None:
        """By the name in ``Host``, by ``--public-url``, if allowed, or of no page: it passes."""
        for origin in (
            "http://hub.example:4000",
            "https://public.example",
            "https://tools.example",
        ):
            answer = self.get("/api/tasks", headers={"Origin": origin})
            self.assertEqual(answer.status, 200, origin)
            # Nothing lets pages of others read: there are no CORS headers.
            self.assertFalse([n for n in answer.headers if n.startswith("access-control")])
        self.assertEqual(self.get("/api/tasks").status, 200)

    def test_two(self) -> None:
        """Of two origins neither counts."""
        data = (
            "GET /api/tasks HTTP/1.1\r\nHost: hub.example:4000\r\n"
            f"Authorization: Bearer {self.hub.admin_token}\r\n"
            "Origin: http://hub.example:4000\r\nOrigin: http://hub.example:4000\r\n\r\n"
        )
        self.assertIn(b"403 Forbidden", self.raw(data.encode()).received)

    def test_public(self) -> None:
        """What is for everybody is for pages of others too."""
        for path in ("/health", "/metrics", "/"):
            answer = self.get(path, token=None, headers={"Origin": "https://evil.example"})
            self.assertEqual(answer.status, 200, path)


class OpenRegistrationTests(HttpCase):
    """A page whose site had its name lead to the hub, where no token is needed."""

    settings: ClassVar[dict[str, Any]] = {
        "open_registration": True,
        "allow_origins": ("https://tools.example",),
    }

    def register(self, agent_id: str, origin: str | None, host: str) -> int:
        fields = f"Host: {host}\r\n" + (f"Origin: {origin}\r\n" if origin else "")
        body = f'{{"agent_id": "{agent_id}"}}'
        head = f"POST /api/onboard/register HTTP/1.1\r\n{fields}Content-Length: {len(body)}\r\n"
        return int(self.raw(f"{head}\r\n{body}".encode()).received.split()[1])

    def test_rebound_name(self) -> None:
        """A name in ``Host`` proves nothing: such a page gets no token."""
        host = "evil.example:4000"
        self.assertEqual(self.register("a", f"http://{host}", host), 403)
        self.assertFalse(self.hub.hub.auth.knows("a"))

    def test_own_pages(self) -> None:
        """Programs, pages of an address, and of an allowed origin may register."""
        for number, (origin, host) in enumerate(
            (
                (None, "evil.example:4000"),
                ("http://127.0.0.1:4000", "127.0.0.1:4000"),
                ("http://[::1]:4000", "[::1]:4000"),
                ("http://localhost:4000", "localhost:4000"),
                ("https://tools.example", "hub.example"),
            )
        ):
            self.assertEqual(self.register(f"a{number}", origin, host), 201, origin)


class HandshakeTests(HttpCase):
    """``/ws``."""

    settings: ClassVar[dict[str, Any]] = {"allow_origins": ("https://tools.example",)}

    def handshake(self, **headers: str) -> bytes:
        fields = {
            "Host": "hub.example:4000",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return self.raw(f"GET /ws HTTP/1.1\r\n{lines}\r\n".encode()).received

    def test_other_site(self) -> None:
        """A page of another site gets no WebSocket."""
        for origin in ("https://evil.example", "null", "http://hub.example:4001"):
            answer = self.handshake(Origin=origin)
            self.assertTrue(answer.startswith(b"HTTP/1.1 403 "), answer)
            self.assertIn(b'"error":"origin_not_allowed"', answer)
        self.assertFalse(self.hub.parts.factory.connections)

    def test_own(self) -> None:
        """Programs, the hub's own pages and those that are allowed do."""
        for headers in (
            {},
            {"Origin": "http://hub.example:4000"},
            {"Origin": "https://tools.example"},
        ):
            answer = self.handshake(**headers)
            self.assertTrue(answer.startswith(b"HTTP/1.1 101 "), (headers, answer))
