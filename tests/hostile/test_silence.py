"""What strangers do wrong leaves nothing in the log, whose lines would have no end."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, LogLevel, eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import MemoryHub
from tests.hostile.table import HANDSHAKES, HEADERS, KEY, LINES, VERSION, Step, shake
from tests.integration.rawsocket import CLOSE, CONTINUATION, PING, frame, handshake

BAD_FRAMES = (
    frame(b"\x03", CLOSE),
    frame(b"\x03\xe8\x1b[31m", CLOSE),
    frame(b"x" * 126, PING),
    frame(b"\xff"),
    frame(b"x", masked=False),
    frame(b"x", reserved=4),
    frame(b"x", CONTINUATION),
    frame(b"x", length=2**63 - 1),
    b"\x81\xff" + b"\xff" * 12,
)

BAD_HANDSHAKES = (
    "Sec-WebSocket-Protocol: \x1b[31m, \x1b[31m",
    "Sec-WebSocket-Protocol: @TOKEN@, @TOKEN@",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
    'Sec-WebSocket-Extensions: ;;=,x; a="\x1b[1m',
)


class SilenceTests(SynchronousTestCase):
    """A hub in memory, and all that is logged but for debugging."""

    def setUp(self) -> None:
        self.events: list[str] = []
        self.hub = MemoryHub()
        self.events.clear()
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: LogEvent) -> None:
        if event["log_level"] > LogLevel.debug:
            self.events.append(eventAsText(event))

    def send(self, *steps: Step) -> bytes:
        """What comes back on a line of its own, which breaks then."""
        client = self.hub.open_http()
        transport: Any = client.transport
        for step in steps:
            if isinstance(step, bytes) and not client.lost:
                transport.write(step)
            self.hub.settle()
        self.hub.advance(1)
        if not client.lost:
            transport.loseConnection()
            self.hub.settle()
        self.assertEqual(self.events, [], steps)
        return client.received

    def test_requests(self) -> None:
        """Nothing that is no good request is logged, and no header of one that is."""
        for attack in (*LINES, *HEADERS, *HANDSHAKES):
            self.send(*attack.steps)
        answer = self.send(shake(VERSION, KEY, start="HEAD /ws HTTP/1.1"))
        self.assertTrue(answer.startswith(b"HTTP/1.1 426 ") and answer.endswith(b"\r\n\r\n"))

    def test_frames(self) -> None:
        """Nor is any frame that breaks the rules."""
        for data in BAD_FRAMES:
            self.assertIn(b" 101 ", self.send(handshake(4000), data))

    def test_handshakes(self) -> None:
        """Nor what a handshake says, in which browsers' clients put tokens."""
        for line in BAD_HANDSHAKES:
            line = line.replace("@TOKEN@", self.hub.admin_token)
            self.assertIn(b"HTTP/1.1 ", self.send(shake(VERSION, KEY, line)))
