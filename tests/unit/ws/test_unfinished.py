"""The look at all connections for messages that never end, which goes in parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.ws.unfinished import LOOK_EVERY_S, LOOKS, WHOLE_WITHIN_S, Unfinished


class Line:
    """A connection on which the first bytes of a frame have come, or nothing."""

    inside_message, current_frame = False, None
    _backpressure = _plain = None

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.looks = 0
        self.closed: list[int] = []

    @property
    def state(self) -> int:
        self.looks += 1
        return int(WebSocketProtocol.STATE_OPEN)

    def close(self, code: int, reason: str) -> None:
        self.closed.append(code)


class UnfinishedTests(SynchronousTestCase):
    """Twenty-five connections."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines = [Line() for _ in range(25)]
        factory: Any = SimpleNamespace(clock=self.clock, connections=set(self.lines))
        self.factory = factory
        self.unfinished = Unfinished(factory)

    def sweep(self, seconds: float) -> None:
        """As the hub does, many times a second."""
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)
            self.unfinished.sweep()

    def test_parts(self) -> None:
        """No turn looks at more than a few, and all were looked at once after some seconds."""
        most = 0
        for _ in range(LOOKS):
            before = sum(line.looks for line in self.lines)
            self.clock.advance(LOOK_EVERY_S / LOOKS)
            for _ in range(3):
                self.unfinished.sweep()
            most = max(most, sum(line.looks for line in self.lines) - before)
        self.assertLessEqual(most, len(self.lines) // LOOKS + 1)
        self.assertEqual(min(line.looks for line in self.lines), 1)

    def test_closed(self) -> None:
        """Who stays in the middle of a frame is closed, a round too late at most; nobody else."""
        slow, quick = self.lines[:2]
        slow.data = quick.data = b"\x81\xfe"
        self.sweep(WHOLE_WITHIN_S - 1)
        quick.data = b""
        self.assertEqual(slow.closed, [])
        self.sweep(2 * LOOK_EVERY_S + 1)
        self.assertEqual(len(slow.closed), 1)
        self.assertEqual([line for line in self.lines if line.closed], [slow])

    def test_gone(self) -> None:
        """A connection that is gone is not kept."""
        self.lines[0].data = b"\x81"
        self.sweep(LOOK_EVERY_S)
        self.assertEqual([*self.unfinished._since], [self.lines[0]])
        self.factory.connections.discard(self.lines[0])
        self.sweep(2 * LOOK_EVERY_S)
        self.assertEqual([*self.unfinished._since], [])
        self.assertEqual(self.lines[0].closed, [])
