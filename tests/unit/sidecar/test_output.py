"""What a command prints stays bounded and readable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.output import (
    MAX_FRAME_TEXT,
    MAX_LINE,
    MAX_PENDING_NOTES,
    MAX_PENDING_TEXT,
    Lines,
    Note,
    Pending,
    Tail,
    note_in,
)


class NoteTests(SynchronousTestCase):
    def test_progress(self) -> None:
        """A progress line tells a number and perhaps a text."""
        self.assertEqual(note_in("agentcom:progress 33.5 half  way "), Note(33.5, "half  way"))
        self.assertEqual(note_in("agentcom:progress 100"), Note(100, ""))

    def test_no_progress(self) -> None:
        """Everything else is output, numbers that JSON cannot carry too."""
        for line in ("agentcom:progress", "agentcom:progress x y", "agentcom:progress nan x",
                     "agentcom:progress inf", " agentcom:progress 5", "progress 5"):  # fmt: skip
            self.assertIsNone(note_in(line), line)


class LinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []

    def feed(self, *pieces: bytes) -> list[str]:
        lines = Lines(self.lines.extend)
        for piece in pieces:
            lines.feed(piece)
        lines.end()
        return self.lines

    def test_lines(self) -> None:
        """Lines are whole, both line ends are understood, and the last needs none."""
        self.assertEqual(self.feed(b"a\nb\r\n", b"\nlo", b"ng\nend"), ["a", "b", "", "long", "end"])

    def test_bad_text(self) -> None:
        """What is not UTF-8 is replaced, what is only cut in two is not."""
        self.assertEqual(self.feed(b"\xc3", b"\xa4\xff\n\xc3"), ["ä\ufffd", "\ufffd"])

    def test_long_lines(self) -> None:
        """A line that is too long comes in parts, with or without an end."""
        for data in (b"x" * (2 * MAX_LINE + 5), b"x" * (2 * MAX_LINE + 5) + b"\n"):
            self.lines = []
            self.assertEqual([len(x) for x in self.feed(data)], [MAX_LINE, MAX_LINE, 5])

    @given(st.binary(max_size=200), st.integers(0, 200))
    def test_cut_anywhere(self, data: bytes, cut: int) -> None:
        """Where the pipe cuts the bytes changes nothing."""
        self.lines = []
        whole = list(self.feed(data))
        self.lines = []
        self.assertEqual(self.feed(data[:cut], data[cut:]), whole)


class TailTests(SynchronousTestCase):
    def test_keeps_the_end(self) -> None:
        """Of much output the end is kept, and that it is not all is told."""
        tail = Tail(limit=10)
        for i in range(100):
            tail.add(f"{i:02}\n")
        self.assertEqual((tail.text, tail.truncated), ("\n97\n98\n99\n", True))

    def test_all(self) -> None:
        """What fits is kept whole."""
        tail = Tail(limit=10)
        tail.add("0123456789")
        self.assertEqual((tail.text, tail.truncated), ("0123456789", False))

    def test_no_half_characters(self) -> None:
        """The cut does not leave half a character."""
        tail = Tail(limit=3)
        tail.add("ää")
        self.assertEqual((tail.text, tail.truncated), ("ä", True))


class PendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pending = Pending()

    def test_merges_text(self) -> None:
        """Pieces of output travel together as far as a frame reaches."""
        self.pending.add_text("a\n")
        self.pending.add_text("b\n")
        self.assertEqual(self.pending.take(9), [{"output": "a\nb\n"}])
        self.assertFalse(self.pending)

    def test_order(self) -> None:
        """Progress stands after the output that came before it."""
        self.pending.add_text("a\n")
        self.pending.add_note(Note(10, "m"))
        self.pending.add_text("b\n")
        self.pending.add_note(Note(20, ""))
        self.assertEqual(
            self.pending.take(9),
            [
                {"progress": 10, "message": "m", "output": "a\n"},
                {"progress": 20, "output": "b\n"},
            ],
        )

    def test_newest_progress(self) -> None:
        """Of progress with nothing printed between, the newest says it all."""
        self.pending.add_note(Note(10, "a"))
        self.pending.add_note(Note(20, "b"))
        self.assertEqual(self.pending.take(9), [{"progress": 20, "message": "b"}])

    def test_progress_without_a_number(self) -> None:
        """A text alone has no number, and takes none away that was told before it."""
        self.pending.add_note(Note(None, "a"))
        self.assertEqual(self.pending.take(9), [{"message": "a"}])
        self.pending.add_note(Note(10, "a"))
        self.pending.add_note(Note(None, "b"))
        self.assertEqual(self.pending.take(9), [{"progress": 10, "message": "b"}])

    def test_frames(self) -> None:
        """A frame has a bounded size, and no more are taken than asked for."""
        self.pending.add_text(("x" * 99 + "\n") * 1000)
        frames = self.pending.take(2)
        self.assertEqual(len(frames), 2)
        for frame in frames:
            self.assertLessEqual(len(frame["output"]), MAX_FRAME_TEXT)
            self.assertTrue(frame["output"].endswith("\n"))
        rest = "".join(frame["output"] for frame in self.pending.take(99))
        self.assertEqual(len(rest) + sum(len(f["output"]) for f in frames), 100_000)

    def test_no_line_end(self) -> None:
        """Text without any line end is cut where the frame ends."""
        self.pending.add_text("x" * (MAX_FRAME_TEXT + 1))
        sizes = [len(frame["output"]) for frame in self.pending.take(9)]
        self.assertEqual(sizes, [MAX_FRAME_TEXT, 1])

    def test_bounded_text(self) -> None:
        """While nothing can be sent, the oldest goes first, and how much is told."""
        for _ in range(100):
            self.pending.add_text("x" * 10_000)
        shown = "".join(frame["output"] for frame in self.pending.take(99))
        self.assertLess(len(shown), MAX_PENDING_TEXT + 100)
        left = shown.count("x")
        self.assertTrue(shown.startswith(f"[{100 * 10_000 - left} characters of output"))

    def test_bounded_notes(self) -> None:
        """So it is with progress."""
        for i in range(1000):
            self.pending.add_note(Note(i, ""))
            self.pending.add_text("x")
        self.assertLessEqual(len(self.pending.take(9999)), MAX_PENDING_NOTES + 1)
