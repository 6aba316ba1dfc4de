"""The shortcut for plain frames: a peer never sees whether it is on.

Any bytes, cut anywhere, go to two hubs that differ in nothing else; what
comes back, and how the line ends, must be the same.
"""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import FakeAgent, MemoryHub
from agentcom.ws.shortcuts import take_text, text_frame

MASK = b"\x11\x22\x33\x44"
LIMIT = 128 * 1024


def client_frame(
    payload: bytes, first: int = 0x81, mask: bytes | None = MASK, form: int | None = None
) -> bytes:
    """A frame; ``form`` is the length's form (0, 2 or 8 bytes), right or wrong."""
    size = len(payload)
    if form is None:
        form = 0 if size < 126 else 2 if size < 65_536 else 8
    masked = 0x80 if mask is not None else 0
    if form == 0:
        head = bytes([first, masked | min(size, 125)])
    else:
        head = bytes([first, masked | (126 if form == 2 else 127)])
        head += (size % (1 << (8 * form))).to_bytes(form, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def ping(size: int) -> bytes:
    """A ping of just so many bytes, 26 or more."""
    return json.dumps({"type": "ping", "ref": "x" * (size - 26)}).encode()


payloads = st.one_of(
    st.sampled_from((26, 124, 125, 126, 127, 200, 65_535, 65_536, LIMIT, LIMIT + 1)).map(ping),
    st.just('{"type":"ping","ref":"ä€😀"}'.encode()),
    st.just(b'{"type":"ping","ref":"\xff"}'),
    st.just(b"no JSON"),
    st.just(b""),
    st.binary(max_size=40),
)
frames = st.one_of(
    st.builds(client_frame, payloads),
    st.builds(
        client_frame,
        payloads,
        st.sampled_from((0x81, 0x81, 0x01, 0x80, 0x00, 0x82, 0xC1, 0x89, 0x8A, 0x88, 0x83)),
        st.sampled_from((MASK, MASK, b"\0\0\0\0", None)),
        st.sampled_from((None, None, 0, 2, 8)),
    ),
)


def talk(shortcuts: bool, data: bytes, cuts: list[int]) -> tuple[list[Any], Any]:
    """What a hub answers to bytes that come in pieces."""
    hub = MemoryHub(max_frame=LIMIT)
    hub.parts.factory.shortcuts = shortcuts
    agent = hub.agent("a")
    agent.frames.clear()
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for start, end in pairwise(places):
        write(agent, data[start:end])
        hub.settle()
    return agent.frames, agent.closed


def write(agent: FakeAgent, data: bytes) -> None:
    transport: Any = agent.transport
    transport.write(data)


class SameTests(SynchronousTestCase):
    """With and without, everything is the same to the peer."""

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        st.lists(frames, min_size=1, max_size=8).map(b"".join),
        st.lists(st.integers(0, 500), max_size=12),
    )
    def test_any_bytes(self, data: bytes, cuts: list[int]) -> None:
        """Any frames, good and bad, cut anywhere."""
        self.assertEqual(talk(True, data, cuts), talk(False, data, cuts))

    def test_each_byte_alone(self) -> None:
        """A frame that comes byte by byte is answered once, when it is whole."""
        data = client_frame(ping(30)) + client_frame(b"hi", 0x89) + client_frame(ping(140))
        frames, closed = talk(True, data, list(range(len(data))))
        self.assertEqual([f["type"] for f in frames], ["pong", "pong"])
        self.assertIsNone(closed)

    def test_is_used(self) -> None:
        """Autobahn does not see a plain frame, and sees all others."""
        hub = MemoryHub()
        agent = hub.agent("a")
        (connection,) = hub.parts.factory.connections
        seen: list[bytes] = []
        self.patch(connection, "_dataReceived", seen.append)
        write(agent, client_frame(ping(30)))
        hub.settle()
        self.assertEqual((seen, len(agent.of("pong"))), ([], 1))
        fragment = client_frame(ping(30), 0x01)
        write(agent, client_frame(ping(31)) + fragment)
        hub.settle()
        self.assertEqual((seen, len(agent.of("pong"))), ([fragment], 2))


class TakeTests(SynchronousTestCase):
    """What is taken of the beginning of a client's bytes."""

    def taken(self, data: bytes, limits: tuple[int, ...] = ()) -> tuple[int, bool, list[bytes]]:
        got: list[bytes] = []
        left = list(limits)

        def receive(payload: bytes) -> int:
            got.append(payload)
            return left.pop(0) if left else LIMIT

        return *take_text(data, LIMIT, receive), got

    def test_whole_ones_and_a_beginning(self) -> None:
        """Whole frames are taken; the beginning of one more is waited for."""
        one, two = client_frame(b"one"), client_frame(b"two" * 100)
        for missing in range(1, len(two)):
            told = self.taken(one + two[:-missing])
            self.assertEqual(told, (len(one), True, [b"one"]), missing)
        self.assertEqual(self.taken(one + two), (len(one + two), True, [b"one", b"two" * 100]))

    def test_stops_when_told(self) -> None:
        """A receiver that closed the line gets nothing more."""
        data = client_frame(b"a") * 3
        self.assertEqual(self.taken(data, (LIMIT, -1)), (len(data) // 3 * 2, False, [b"a"] * 2))

    def test_new_limit(self) -> None:
        """The limit that holds after a frame holds for the next one."""
        data = client_frame(b"a") + client_frame(b"b" * 20)
        self.assertEqual(self.taken(data, (10,)), (len(client_frame(b"a")), False, [b"a"]))

    def test_left_to_autobahn(self) -> None:
        """What is not plain is not touched."""
        for frame in (
            client_frame(b"x", 0x01),
            client_frame(b"x", 0x82),
            client_frame(b"x", 0xC1),
            client_frame(b"x", 0x89),
            client_frame(b"x", mask=None),
            client_frame(b"x" * 70_000),
            client_frame(b"x" * 20, form=2),
            client_frame(b"\xff"),
        ):
            self.assertEqual(self.taken(frame), (0, False, []), frame[:8])


class FrameTests(SynchronousTestCase):
    """The hub's own frames."""

    def test_lengths(self) -> None:
        """The length has the shortest of its three forms."""
        for size, head in (
            (0, b"\x81\x00"),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\x00\x7e"),
            (65_535, b"\x81\x7e\xff\xff"),
            (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ):
            self.assertEqual(text_frame(b"x" * size), head + b"x" * size)
