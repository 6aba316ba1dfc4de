"""Bytes that are no WebSocket, or no HTTP, or only a part of either."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcom.testing import HttpClient
from tests.hostile.feeds import examples
from tests.hostile.world import CLOSE_CODES, HostileTestCase
from tests.integration.rawsocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frames,
    frame,
    handshake,
)

GOOD_FRAMES = [
    frame(b'{"type":"ping"}'),
    frame(b'{"type":', final=False) + frame(b'"ping"}', CONTINUATION),
    frame(b"hello", PING),
    frame(b"", PONG),
    frame(b""),
]

BAD_FRAMES = [
    frame(b"x", 3),
    frame(b"x", 7),
    frame(b"x", 11),
    frame(b"x", 15),
    frame(b"x", masked=False),
    frame(b"x", reserved=4),
    frame(b"x", reserved=1),
    frame(b"x" * 126, PING),
    frame(b"x" * 70_000, PING),
    frame(b"x", PING, final=False),
    frame(b"x", CONTINUATION),
    frame(b"x", TEXT, final=False) + frame(b"y", TEXT),
    frame(b"x", TEXT, final=False) + frame(b"y", BINARY, final=False),
    frame(b"\xc3", TEXT, final=False) + frame(b"(", CONTINUATION),
    frame(b"\xff" * 10),
    frame(b"x", length=2**63),
    frame(b"x", length=2**63 - 1),
    frame(b"x", length=2**31),
    b"\x81\xfe\x00\x01\0\0\0\0x",
    b"\x81\xff" + b"\0" * 7 + b"\x01\0\0\0\0x",
    frame(b"x" * 65_537),
    frame(b"x" * 40_000, final=False) + frame(b"x" * 40_000, CONTINUATION),
]

CLOSE_FRAMES = [
    frame(b"", CLOSE),
    frame(b"\x03", CLOSE),
    frame(b"\x03\xe8", CLOSE),
    frame(b"\x03\xe8\xff\xff", CLOSE),
    frame(b"\x03\xed", CLOSE),
    frame(b"\x03\xee", CLOSE),
    frame(b"\x00\x00", CLOSE),
    frame(b"\xff\xff", CLOSE),
    frame(b"\x0f\xa0ok", CLOSE),
    frame(b"\x03\xe8" + b"x" * 124, CLOSE),
]

random_frames = st.builds(
    frame,
    st.binary(max_size=20),
    st.integers(0, 15),
    final=st.booleans(),
    masked=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 0, 1, 2, 4, 7]),
    length=st.none() | st.integers(0, 2**64 - 1),
)

frames = (
    st.sampled_from(GOOD_FRAMES)
    | st.sampled_from(BAD_FRAMES)
    | st.sampled_from(CLOSE_FRAMES)
    | random_frames
    | st.binary(max_size=30)
)

REQUEST_PIECES = [
    b"GET / HTTP/1.1\r\n",
    b"GET /health HTTP/1.1\r\n",
    b"POST /api/admin/push-task HTTP/1.1\r\n",
    b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    b"GET /ws HTTP/1.0\r\n",
    b"GET  /health HTTP/1.1\r\n",
    b"GET /health\r\n",
    b"GET /health HTTP/9.9\r\n",
    b"GET http://[::1/ HTTP/1.1\r\n",
    b"GET http://x/health HTTP/1.1\r\n",
    b"GET //health HTTP/1.1\r\n",
    b"GET * HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"Host: x\r\n",
    b"host\r\n",
    b": x\r\n",
    b" folded\r\n",
    b"X: a\x00b\r\n",
    b"X: \xff\xfe\r\n",
    b"X" * 20_000,
    b"X: " + b"y" * 20_000 + b"\r\n",
    b"X: y\r\n" * 600,
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: " + b"9" * 30 + b"\r\n",
    b"Content-Length: 2000000\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: Chunked, identity\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Sec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    b"Sec-WebSocket-Key: \xff\r\n",
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"Sec-WebSocket-Extensions: ;;;=,\r\n",
    b"Sec-WebSocket-Protocol: a, a\r\n",
    b"Origin: \xff\r\n",
    b"Origin: null\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\n",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"-5\r\nhello\r\n",
    b"FFFFFFFFFFFFFFFFF\r\n",
    b"5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    b"{}",
]


class WebSocketBytesTests(HostileTestCase):
    """After a good handshake nobody loses the line without a code."""

    def open(self, identified: bool) -> HttpClient:
        """A line after its handshake."""
        client = self.hub.open_http()
        client.transport.write(handshake(1))
        self.hub.settle()
        if identified:
            token = self.hub.token("hostile").encode()
            text = b'{"type":"identify","agent_id":"hostile","token":"%s"}' % token
            client.transport.write(frame(text))
            self.hub.settle()
            self.assertIn(b'"identified"', client.received)
        return client

    def attack(self, client: HttpClient, data: bytes) -> Frames:
        """Send bytes and look at what came back."""
        client.transport.write(data)
        self.hub.settle()
        seen = Frames()
        seen.feed(client.received.partition(b"\r\n\r\n")[2])
        if client.lost or seen.close_code is not None:
            self.assertIsNotNone(seen.close_code, f"cut without a code after {data[:100]!r}")
            self.assertIn(seen.close_code, {*CLOSE_CODES, 1005, 4000}, data[:100])
        return seen

    def end(self, client: HttpClient) -> None:
        """After whatever was sent the line ends in time, with a code."""
        self.hub.advance(12, step=1)
        if not client.lost:
            client.transport.loseConnection()
            self.hub.settle()
        self.assert_well()
        self.reset()

    @given(feed=st.lists(frames, min_size=1, max_size=6), identified=st.booleans())
    @examples(150)
    def test_any_frames(self, feed: list[bytes], identified: bool) -> None:
        """Any sequence of frames, right or wrong, ends in an answer or a close code."""
        client = self.open(identified)
        for data in feed:
            if not client.lost:
                self.attack(client, data)
        self.end(client)

    @given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=5))
    @examples(60)
    def test_any_bytes(self, data: bytes, cuts: list[int]) -> None:
        """Random bytes in random pieces after the handshake end with a code."""
        client = self.open(False)
        start = 0
        for cut in [*sorted(cuts), len(data)]:
            if not client.lost:
                self.attack(client, data[start:cut])
            start = max(start, cut)
        self.end(client)

    def test_each_bad_frame(self) -> None:
        """Each kind of broken frame closes the line with a code of its own, at once or in time."""
        for data in [*BAD_FRAMES, *CLOSE_FRAMES]:
            client = self.open(False)
            seen = self.attack(client, data)
            if seen.close_code is None:
                # It waits for the rest of the frame, but not for long.
                self.hub.advance(10.5)
                seen = Frames()
                seen.feed(client.received.partition(b"\r\n\r\n")[2])
                self.assertEqual(seen.close_code, 4008, data[:50])
            self.hub.advance(6)
            self.assertTrue(client.lost, data[:50])
            self.assert_well()

    def test_fragments_without_end(self) -> None:
        """A message in endless small fragments is refused with 1009 when it passes the limit."""
        client = self.open(False)
        piece = frame(b"x" * 1_000, CONTINUATION, final=False)
        seen = self.attack(client, frame(b"", final=False))
        for _ in range(70):
            if seen.close_code is None:
                seen = self.attack(client, piece)
        self.assertEqual(seen.close_code, 1009)
        self.end(client)

    def test_an_unfinished_frame_of_an_identified_agent(self) -> None:
        """Who stops in the middle of a frame is closed with 1002 when its time is over."""
        client = self.open(True)
        self.attack(client, frame(b"{", length=500))
        self.hub.advance(45, step=1)
        seen = Frames()
        seen.feed(client.received.partition(b"\r\n\r\n")[2])
        self.assertEqual(seen.close_code, 1002)
        self.end(client)

    def test_one_byte_at_a_time(self) -> None:
        """A frame that comes byte by byte is a frame."""
        client = self.open(True)
        for byte in frame(b'{"type":"ping","ref":7}'):
            client.transport.write(bytes([byte]))
            self.hub.settle()
        self.assertIn(b'"ref":7', client.received)
        self.assertFalse(client.lost)
        self.end(client)


class HttpBytesTests(HostileTestCase):
    """Whatever comes in place of HTTP, others are served."""

    def attack(self, data: bytes) -> HttpClient:
        """Send bytes on a line of their own."""
        client = self.hub.open_http()
        client.transport.write(data)
        self.hub.settle()
        self.assertNotIn(b" 500 ", client.received.partition(b"\r\n")[0])
        return client

    def end(self, client: HttpClient) -> None:
        """Look at the hub, then leave."""
        self.assert_well()
        if not client.lost:
            client.transport.loseConnection()
            self.hub.settle()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.reset()

    @given(data=st.binary(max_size=300))
    @examples(60)
    def test_random_bytes(self, data: bytes) -> None:
        """Random bytes leave no traceback."""
        self.end(self.attack(data))

    @given(pieces=st.lists(st.sampled_from(REQUEST_PIECES), max_size=12))
    @examples(300)
    def test_pieces_of_requests(self, pieces: list[bytes]) -> None:
        """Lines of HTTP in any order leave no traceback and are never a fault of the hub."""
        self.end(self.attack(b"".join(pieces)))

    def test_two_lengths(self) -> None:
        """A request that says its length in two ways is refused, and what follows is not run."""
        smuggled = (
            b"POST /api/admin/push-task HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
            b"Content-Length: 40\r\n\r\n"
            b'{"agent_id":"good","description":"evil"}' % self.hub.admin_token.encode()
        )
        for head in (
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding: identity, chunked\r\n",
            b"Content-Length: +0\r\n",
            b"Content-Length: 0_0\r\n",
            b"Content-Length:\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n",
        ):
            client = self.attack(
                b"POST /api/message HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n" + smuggled
            )
            self.assertEqual(self.good.of("task_assign"), [], head)
            self.assertTrue(client.lost, head)
            self.assertIn(b" 400 ", client.received.partition(b"\r\n")[0], head)
            self.assert_well()

    def test_pipelined_requests(self) -> None:
        """Requests that come at once are answered one by one, in order."""
        client = self.attack(
            b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 50
            + b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        self.hub.settle()
        self.assertEqual(client.received.count(b"HTTP/1.1 200 OK"), 50)
        self.assertIn(b'"not_found"', client.received.rpartition(b"HTTP/1.1")[2])
        self.end(client)

    def test_a_request_that_never_ends(self) -> None:
        """A line on which a request never ends is closed in time."""
        for data in (
            b"",
            b"GET /hea",
            b"GET /health HTTP/1.1\r\nX: ",
            b"POST /api/message HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        ):
            client = self.attack(data)
            self.hub.advance(70, step=1)
            self.assertTrue(client.lost, data)
            self.end(client)
