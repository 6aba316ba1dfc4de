"""Real lines at their limits: answers that nobody reads, proxies, endpoints that are none."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from tests.hostile.test_process import memory_of
from tests.integration.processes import ProcessTestCase, until
from tests.integration.rawsocket import RawSocket


class EdgeTests(ProcessTestCase):
    """A hub in a process of its own."""

    def test_files_that_are_never_read(self) -> None:
        """Thousands of small requests for a large page, whose answers nobody reads, take the
        memory of a few answers."""
        hub = self.hub()
        raw = RawSocket(hub.port, receive_buffer=4_096)
        self.addCleanup(raw.close)
        with hub.http() as http:
            size = len(http.request("GET", "/openapi.json").data)
            self.assertGreater(size, 50_000)
            before = memory_of(hub)
            raw.socket.settimeout(2)
            with contextlib.suppress(TimeoutError):
                raw.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000)
            for _ in range(20):
                http.ok("GET", "/health")
            self.assertLess(memory_of(hub) - before, 30 * 2**20)
        self.assert_clean_log(hub)

    def test_slow_requests(self) -> None:
        """A head that does not come to its end is answered 408, one of a handshake too."""
        hub = self.hub()
        lines = []
        for data in (b"GET /health HTTP/1.1\r\nHost", b"GET /ws HTTP/1.1\r\nHost", b"GET"):
            raw = RawSocket(hub.port)
            self.addCleanup(raw.close)
            raw.send(data)
            lines.append(raw)
        for raw in lines:
            head, _, body = raw.read_all(30).partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 408 "), head)
            self.assertEqual(json.loads(body)["error"], "request_timeout")
        self.assert_clean_log(hub)

    def test_proxy_protocol(self) -> None:
        """Behind an endpoint ``haproxy:`` the client's address is the one that the proxy says."""
        hub = self.hub("--listen", "haproxy:tcp:0:interface=127.0.0.1")
        raw = RawSocket(hub.port)
        self.addCleanup(raw.close)
        raw.send(
            b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 4000\r\n"
            b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        self.assertIn(b" 401 ", raw.read_all().partition(b"\r\n")[0])
        self.assertEqual(self.addresses(hub.data_dir), ["203.0.113.9"])

    def test_trusted_proxy(self) -> None:
        """Behind a trusted proxy the client's address is the one that the proxy forwards."""
        hub = self.hub("--trusted-proxy", "127.0.0.0/8")
        with hub.http(None) as http:
            http.request("GET", "/api/tasks", **{"X-Forwarded-For": "1.2.3.4, 203.0.113.9"})
        self.assertEqual(self.addresses(hub.data_dir), ["203.0.113.9"])

    def addresses(self, data_dir: Path) -> list[str]:
        file = data_dir / "audit.log"
        until(file.exists, "an audit log")
        until(file.read_bytes, "a line in it")
        return [json.loads(line)["address"] for line in file.read_text().splitlines()]

    def test_no_endpoint(self) -> None:
        """An option ``--listen`` that is no endpoint ends the start with exit code 2."""
        process = self.start("--listen", "nonsense:1", defaults=False)
        self.assertEqual(process.wait(), 2)
        self.assertIn("--listen 'nonsense:1' is no endpoint", process.log() + process.errors())
