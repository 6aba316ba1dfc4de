"""What is told of a command's output, and what is kept of it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.hearing import Hearing
from agentcom.sidecar.output import Note
from agentcom.sidecar.printed import Piece
from agentcom.sidecar.segments import ERR, OUT


class HearingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[Any] = []
        self.hearing = Hearing(self.told.append, self.told.append)
        self.position = 0

    def hear(self, data: bytes, stream: int = OUT, live: bool = True) -> None:
        self.position += len(data)
        self.hearing.hear(Piece(stream, data, self.position), live)

    def lose(self, size: int) -> None:
        self.position += size
        self.hearing.hear(Piece(None, b"", self.position, size), live=True)

    def test_streams(self) -> None:
        """The lines of the two streams do not run into each other; only one tells progress."""
        self.hear(b"on")
        self.hear(b"tw", ERR)
        self.hear(b"e\nagentcom:progress 1 x\n")
        self.hear(b"o\nagentcom:progress 2\n", ERR)
        told = ["one\n", Note(1, "x"), "two\nagentcom:progress 2\n"]
        self.assertEqual(self.told, told)
        self.assertEqual(self.hearing.output, "one\ntwo\nagentcom:progress 2\n")

    def test_loss(self) -> None:
        """Where something is lost, what stood before it does not go on after it."""
        self.hear(b"be\xc3")
        self.hear(b"err", ERR)
        self.lose(100)
        self.hear(b"\xa4after\n")
        told = ["be\ufffd\n", "err\n"]
        self.assertEqual(self.told[:2], told)
        self.assertIn("[100 bytes of output are lost here", self.told[2])
        self.assertEqual(self.told[3:], ["\ufffdafter\n"])
        self.assertEqual((self.hearing.output, self.hearing.truncated), ("".join(self.told), True))

    def test_not_told_again(self) -> None:
        """What was told before is kept for the end and not told, but for the line it is in."""
        self.hear(b"one\nagentcom:progress 1\ntw", live=False)
        self.assertEqual(self.told, [])
        self.hear(b"o\n")
        self.hear(b"end")
        self.hearing.end()
        self.assertEqual(self.told, ["two\n", "end\n"])
        self.assertEqual(self.hearing.output, "one\ntwo\nend\n")
        self.assertFalse(self.hearing.truncated)
