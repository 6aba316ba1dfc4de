"""One frame for many: in order, some at a time, and counted while it waits."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.agent import Agent
from agentcom.hub.presence import AT_A_TIME, RECEIVER_BYTES, Fanout


class Receiver:
    """Where frames go."""

    def __init__(self, number: int = 0) -> None:
        self.agent = Agent(agent_id=f"a{number}", name="", status="")
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(bytes(frame))


class FanoutTests(SynchronousTestCase):
    """A fan-out on a clock that stands."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.roster: dict[str, Any] = {}
        self.fanout = Fanout(self.clock, self.roster)

    def receivers(self, count: int) -> list[Any]:
        found = [Receiver(number) for number in range(count)]
        self.roster.update({receiver.agent.agent_id: receiver for receiver in found})
        return found

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

    def replaced(self, connected_at: int) -> tuple[Receiver, Receiver]:
        """The last of many has another connection when its turn comes; gives both."""
        receivers = self.receivers(AT_A_TIME + 1)
        self.fanout.send(b"x", receivers)
        self.fanout.send(b"y", receivers[-1:], follow=False)
        older, newer = receivers[-1], Receiver(AT_A_TIME)
        newer.agent = Agent(
            agent_id=newer.agent.agent_id, name="", status="", connected_at=connected_at
        )
        self.roster[newer.agent.agent_id] = newer
        self.clock.advance(0)
        return older, newer

    def test_replaced_meanwhile(self) -> None:
        """What is for many follows an agent to the connection that replaced its own; what is for
        one connection alone goes nowhere else."""
        older, newer = self.replaced(connected_at=0)
        self.assertEqual((older.frames, newer.frames), ([], [b"x"]))

    def test_back_meanwhile(self) -> None:
        """An agent that was away meanwhile is not followed: its mailbox has it."""
        older, newer = self.replaced(connected_at=5)
        self.assertEqual((older.frames, newer.frames), ([], []))

    def test_side_by_side(self) -> None:
        """Frames for the same receivers reach each of them together, in order, and each is done
        after its last."""
        receivers = self.receivers(AT_A_TIME * 3)
        done: list[str] = []
        self.fanout.send(b"0", receivers, lambda: done.append("0"))
        for name in "abc":
            self.fanout.send(name.encode(), list(receivers), lambda name=name: done.append(name))
        self.fanout.send(b"z", receivers[:1], lambda: done.append("z"))
        self.clock.advance(0)
        for _ in range(3):
            self.assertEqual(
                {tuple(r.frames[1:]) for r in receivers}
                - {(), (b"a", b"b", b"c"), (b"a", b"b", b"c", b"z")},
                set(),
            )
        self.assertEqual(done, ["0", "a", "b", "c", "z"])
        self.assertEqual({tuple(r.frames) for r in receivers[1:]}, {(b"0", b"a", b"b", b"c")})
        self.assertEqual(receivers[0].frames[-1], b"z")
        self.assertEqual((self.fanout.waiting_bytes, self.fanout.busy), (0, False))

    def test_sending_causes_another(self) -> None:
        """A line that is cut because it reads too slowly is told of while others are sent to:
        nobody is left out, and nobody gets anything twice."""
        receivers = self.receivers(AT_A_TIME + 10)
        slow = receivers[3]

        def cut(frame: bytes) -> None:
            if frame == b"x":
                self.fanout.send(b"left", [r for r in receivers if r is not slow])

        self.patch(slow, "send", cut)
        self.fanout.send(b"x", list(receivers))
        self.fanout.send(b"y", list(receivers))
        for _ in range(6):
            self.clock.advance(0)
        told = [r.frames for r in receivers if r is not slow]
        self.assertEqual(told, [[b"x", b"left", b"y"]] * len(told))
        self.assertEqual((self.fanout.waiting_bytes, self.fanout.busy), (0, False))
