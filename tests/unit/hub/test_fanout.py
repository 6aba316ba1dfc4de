"""One frame for many: in order, some at a time, and counted while it waits."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.presence import AT_A_TIME, RECEIVER_BYTES, Fanout


class Receiver:
    """Where frames go."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(bytes(frame))


class FanoutTests(SynchronousTestCase):
    """A fan-out on a clock that stands."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fanout = Fanout(self.clock)

    def receivers(self, count: int) -> list[Any]:
        return [Receiver() for _ in range(count)]

    def test_what_waits_is_counted(self) -> None:
        """A frame counts once and each receiver that waits for it a little; in the end nothing."""
        receivers = self.receivers(AT_A_TIME + 10)
        self.fanout.send(b"x" * 100, receivers)
        self.assertEqual(self.fanout.waiting_bytes, 100 + 10 * RECEIVER_BYTES)
        self.fanout.send(b"y" * 50, receivers)
        self.assertEqual(self.fanout.waiting_bytes, 150 + (10 + len(receivers)) * RECEIVER_BYTES)
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual((self.fanout.waiting_bytes, self.fanout.busy), (0, False))
        for receiver in receivers:
            self.assertEqual(receiver.frames, [b"x" * 100, b"y" * 50])

    def test_some_at_a_time(self) -> None:
        """No turn of the reactor sends more than its share; what is under way goes first."""
        receivers = self.receivers(AT_A_TIME + 1)
        self.fanout.send(b"x", receivers)
        self.assertEqual(sum(len(r.frames) for r in receivers), AT_A_TIME)
        self.fanout.send(b"y", receivers[:1])
        self.assertEqual(receivers[0].frames, [b"x"])
        self.clock.advance(0)
        self.assertEqual((receivers[-1].frames, receivers[0].frames), ([b"x"], [b"x", b"y"]))

    def test_nobody(self) -> None:
        """A frame for nobody leaves nothing behind."""
        self.fanout.send(b"x", [])
        self.assertEqual((self.fanout.waiting_bytes, self.fanout.busy), (0, False))
        self.assertEqual(self.clock.getDelayedCalls(), [])
