"""Where requests come from: what is believed of a proxy, and of whom."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from agentcom.http.addresses import MOST_FORWARDED, Addresses
from agentcom.testing import Answered, HttpClient, MemoryHub

PROXY = IPv4Address("TCP", "10.0.0.7", 1)
STRANGER = IPv4Address("TCP", "203.0.113.9", 1)


class BehindTests(SynchronousTestCase):
    """``Addresses.behind``: the rightmost address that is no trusted proxy."""

    def setUp(self) -> None:
        self.addresses = Addresses(("10.0.0.0/8", "fd00::/8", "unix"))

    def test_nobody_is_trusted(self) -> None:
        """Without trusted proxies the other end of the line counts, whatever it says."""
        for peer, told in {
            PROXY: "10.0.0.7",
            IPv6Address("TCP", "2001:db8::1", 1): "2001:db8::1",
            IPv6Address("TCP", "fe80::1%eth0", 1): "fe80::1",
            IPv6Address("TCP", "::ffff:198.51.100.1", 1): "198.51.100.1",
            UNIXAddress(b"/run/hub"): "unix",
            UNIXAddress(None): "unix",
        }.items():
            self.assertEqual(Addresses().behind(peer, b"1.2.3.4"), told)
        self.assertEqual(Addresses().behind(object(), b"1.2.3.4"), "unknown")

    def test_a_stranger_is_not_believed(self) -> None:
        """Who is no trusted proxy speaks for itself alone."""
        self.assertEqual(self.addresses.behind(STRANGER, b"1.2.3.4"), "203.0.113.9")
        self.assertEqual(Addresses(("10.0.0.7",)).behind(UNIXAddress(b"x"), b"1.2.3.4"), "unix")

    def test_the_rightmost_stranger(self) -> None:
        """What the client wrote itself stands to the left of what the proxies wrote."""
        for forwarded, client in {
            b"": "10.0.0.7",
            b"198.51.100.1": "198.51.100.1",
            b"1.2.3.4, 198.51.100.1": "198.51.100.1",
            b"1.2.3.4,198.51.100.1,10.9.9.9": "198.51.100.1",
            b"10.1.1.1, 10.2.2.2": "10.1.1.1",
            b" 198.51.100.1\t": "198.51.100.1",
            b"198.51.100.1:443": "198.51.100.1",
            b'"[2001:db8::1]:443"': "2001:db8::1",
            b"2001:DB8:0::1": "2001:db8::1",
            b"::ffff:198.51.100.1": "198.51.100.1",
            b"fe80::1%<script>": "fe80::1",
            b"1.2.3.4, fd00::9": "1.2.3.4",
        }.items():
            self.assertEqual(self.addresses.behind(PROXY, forwarded), client, forwarded)

    def test_what_is_no_address(self) -> None:
        """An entry that is no address ends the search at the last one that is."""
        for text in (
            b"unknown",
            b"unix",
            b"_hidden",
            b"<script>",
            b"\xff",
            b"1.2.3",
            b"",
            b"%",
            b"[",
        ):
            for forwarded in (text, b"1.2.3.4, " + text):
                self.assertEqual(self.addresses.behind(PROXY, forwarded), "10.0.0.7", text)
        self.assertEqual(self.addresses.behind(PROXY, b"1.2.3.4, x, 10.8.8.8"), "10.8.8.8")

    def test_a_long_list(self) -> None:
        """Of a list without end only the end is looked at."""
        many = b"1.2.3.4," + b"10.1.1.1," * 10_000
        self.assertEqual(self.addresses.behind(PROXY, many + b"198.51.100.1"), "198.51.100.1")
        self.assertEqual(self.addresses.behind(PROXY, many[:-1]), "10.1.1.1")
        self.assertEqual(self.addresses.behind(PROXY, b"9" * 2 * MOST_FORWARDED), "10.0.0.7")


class RequestTests(SynchronousTestCase):
    """What a hub behind a proxy makes of it."""

    def register(
        self, peer: Any, headers: bytes = b"", host: bytes = b"hub:4000", **settings: Any
    ) -> Answered:
        hub = MemoryHub(open_registration=True, **settings)
        client = HttpClient()
        hub.join(client).serverIO.peerAddress = peer
        transport: Any = client.transport
        body = b'{"agent_id":"new"}'
        transport.write(
            b"POST /api/onboard/register HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n%s"
            % (host, headers, len(body), body)
        )
        hub.settle()
        return Answered(client.received)

    def urls(self, *args: Any, **more: Any) -> tuple[str, str]:
        body = self.register(*args, **more).body
        return body["hub_api_url"], body["hub_ws_url"]

    def test_forwarded_proto(self) -> None:
        """A trusted proxy says whether the client's own line is TLS, and nobody else does."""
        secure = ("https://hub:4000", "wss://hub:4000/ws")
        plain = ("http://hub:4000", "ws://hub:4000/ws")
        trusted = {"trusted_proxies": ("10.0.0.0/8",)}
        for header, urls in {
            b"X-Forwarded-Proto: https\r\n": secure,
            b"X-Forwarded-Proto: HTTPS\r\n": secure,
            b"X-Forwarded-Proto: wss\r\n": secure,
            b"X-Forwarded-Proto: http\r\n": plain,
            b"X-Forwarded-Proto: https, http\r\n": plain,
            b"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n": plain,
            b"X-Forwarded-Proto: javascript\r\n": plain,
            b"": plain,
        }.items():
            self.assertEqual(self.urls(PROXY, header, **trusted), urls, header)
        header = b"X-Forwarded-Proto: https\r\n"
        self.assertEqual(self.urls(STRANGER, header, **trusted), plain)
        self.assertEqual(self.urls(PROXY, header), plain)

    def test_public_url(self) -> None:
        """The public address goes before whatever Host says."""
        urls = self.urls(STRANGER, host=b"evil.example", public_url="https://hub.example")
        self.assertEqual(urls, ("https://hub.example", "wss://hub.example/ws"))
