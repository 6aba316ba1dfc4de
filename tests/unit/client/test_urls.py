"""What a hub's address may look like, and which hubs are this machine's own."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.urls import HubURL


class HubURLTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """From one address follow the routes of both protocols."""
        url = HubURL.parse("http://hub.example:4000/")
        self.assertEqual(url.http("api", "tasks"), "http://hub.example:4000/api/tasks")
        self.assertEqual(url.websocket, "ws://hub.example:4000/ws")
        self.assertEqual(str(url), "http://hub.example:4000")

    def test_secure_with_prefix(self) -> None:
        """TLS and a path before all routes carry over to the WebSocket."""
        url = HubURL.parse("https://hub.example/agents/")
        self.assertEqual(url.websocket, "wss://hub.example:443/agents/ws")

    def test_websocket_address(self) -> None:
        """The address that agents of other makes are given names the same hub."""
        self.assertEqual(str(HubURL.parse("ws://h:4000/ws")), "http://h:4000")
        self.assertEqual(HubURL.parse("wss://h/pre/ws/").websocket, "wss://h:443/pre/ws")
        self.assertEqual(HubURL.parse("http://h/ws").websocket, "ws://h:80/ws/ws")

    def test_no_scheme(self) -> None:
        """A host and port alone are plain HTTP."""
        self.assertEqual(HubURL.parse("localhost:4000").http(), "http://localhost:4000")

    def test_parts_are_quoted(self) -> None:
        """An id cannot lead to another route."""
        url = HubURL.parse("http://h:1")
        self.assertEqual(url.http("api", "../admin?x"), "http://h:1/api/..%2Fadmin%3Fx")

    def test_ipv6(self) -> None:
        """An IPv6 address keeps its brackets."""
        self.assertEqual(HubURL.parse("http://[::1]:4000").http(), "http://[::1]:4000")

    def test_loopback(self) -> None:
        """Only what can be no other machine is loopback, names that look so are not."""
        for text in ("http://127.0.0.1", "http://[::1]", "http://localhost", "127.9.9.9:1"):
            self.assertTrue(HubURL.parse(text).loopback, text)
        for text in ("http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.nip.example"):
            self.assertFalse(HubURL.parse(text).loopback, text)

    def test_refused(self) -> None:
        """What is no address is refused with a sentence that has it in."""
        for text, told in (
            ("ftp://h", "not a hub address"),
            ("http://", "not a hub address"),
            ("http://h:nine", "port"),
            ("http://h:99999", "port"),
            ("http://me:secret@h", "user name"),
        ):
            with self.assertRaises(ValueError) as caught:
                HubURL.parse(text)
            self.assertIn(told, str(caught.exception))
