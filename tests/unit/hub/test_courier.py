"""A courier on its own: what it sends when, and what happens when it cannot read."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.message import Message
from agentcom.hub.courier import IN_FLIGHT, Courier


def message(seq: int) -> Message:
    """A message with this number."""
    return Message(seq, str(seq), "direct", "a", "b", None, "chat", b"{}", None, None, 0)


class CourierTests(SynchronousTestCase):
    """A courier of a mailbox that is a list of numbers."""

    def setUp(self) -> None:
        self.box: list[int] = []
        self.sent: list[int] = []
        self.broken = False
        line: Any = object()
        self.courier = Courier(
            line, self.waiting, self.each, lambda found, _: self.sent.append(found.seq)
        )

    def waiting(self, after: int, limit: int) -> list[int]:
        return [seq for seq in self.box if seq > after][:limit]

    def each(self, seqs: list[int]) -> Deferred[list[Message]]:
        if self.broken:
            return fail(OSError("the disk is gone"))
        return succeed([message(seq) for seq in seqs])

    def comes(self, seq: int) -> None:
        """A message comes to disk."""
        self.box.append(seq)
        if self.courier.offer(seq):
            self.sent.append(seq)

    def test_nothing_before_the_beginning(self) -> None:
        """Nothing is sent until the connection knows that it is identified."""
        self.comes(1)
        self.assertEqual(self.sent, [])
        self.courier.begin()
        self.assertEqual(self.sent, [1])
        self.comes(2)
        self.assertEqual(self.sent, [1, 2])

    def test_a_look_that_fails(self) -> None:
        """After a look that failed the next message, or acknowledgement, begins another."""
        self.comes(1)
        self.broken = True
        self.courier.begin()
        self.assertEqual((self.sent, len(self.flushLoggedErrors(OSError))), ([], 1))
        self.broken = False
        self.comes(2)
        self.assertEqual(self.sent, [1, 2])

    def test_stopped(self) -> None:
        """A connection that is gone is sent nothing more."""
        self.courier.begin()
        self.courier.stop()
        self.box = [1]
        self.courier.acknowledged(0)
        self.assertEqual(self.sent, [])

    def test_not_too_many(self) -> None:
        """No more are in flight than may be, one by one or all at once."""
        self.courier.begin()
        for seq in range(1, 2 * IN_FLIGHT):
            self.comes(seq)
        self.assertEqual(len(self.sent), IN_FLIGHT)
        self.courier.acknowledged(1)
        self.assertEqual(self.sent, list(range(1, IN_FLIGHT + 2)))
