"""What a function tells: in order, bounded, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.output import MAX_LINE, MAX_PENDING_TEXT, Note
from agentcom.sidecar.progress import Progress
from tests.unit.sidecar.loops import Heard, LoopCase


class ProgressTests(SynchronousTestCase):
    """With a list in place of the loop."""

    def setUp(self) -> None:
        self.heard = Heard()
        self.soon: list[Callable[[], None]] = []
        self.progress = Progress(self.soon.append, self.heard.ears)

    def flush(self) -> list[str | Note]:
        for call in self.soon:
            call()
        self.soon.clear()
        told, self.heard.told[:] = list(self.heard.told), []
        return told

    def test_each(self) -> None:
        """Number, message and output go on, together or each alone."""
        self.progress(0.5, "half", output="a\n")
        self.assertEqual(self.flush(), ["a\n", Note(0.5, "half")])
        self.progress(1)
        self.assertEqual(self.flush(), [Note(1.0, "")])
        self.progress(output="b")
        self.assertEqual(self.flush(), ["b"])
        self.progress()
        self.assertEqual((self.soon, self.flush()), ([], []))

    def test_message_alone(self) -> None:
        """A message alone repeats the last number, if there was one."""
        self.progress(message="begins")
        self.assertEqual(self.flush(), [Note(None, "begins")])
        self.progress(3)
        self.progress(message="goes on")
        self.assertEqual(self.flush(), [Note(3.0, "goes on")])

    def test_together(self) -> None:
        """Much that is told in one turn goes on at once, in order, with the newest note."""
        self.progress(output="a")
        self.progress(output="b")
        self.progress(1, "one")
        self.progress(2, "two")
        self.progress(output="c")
        self.assertEqual(len(self.soon), 1)
        self.assertEqual(self.flush(), ["ab", Note(2.0, "two"), "c"])

    def test_wrong_types(self) -> None:
        """What cannot be progress is an error where it is told, and nothing is passed on."""
        call: Any = self.progress
        for arguments in (("half",), (True,), (1, 2), (1j,), ([],)):
            self.assertRaises(TypeError, call, *arguments)
        self.assertRaises(TypeError, call, output=b"bytes")
        for number in (float("nan"), float("inf"), 10**400):
            self.assertRaises(ValueError, call, number, output="lost")
        self.assertEqual(self.flush(), [])

    def test_bounded_text(self) -> None:
        """Of more than waits the newest is kept, and how much is missing is told."""
        for number in range(30):
            self.progress(output=f"{number:02}" * 10_000)
        told = "".join(piece for piece in self.flush() if isinstance(piece, str))
        missing, _, rest = told.partition("\n")
        self.assertEqual(missing, "[340000 characters of output are not shown here]")
        self.assertEqual(len(rest), 260_000)
        self.assertTrue(rest.startswith("17") and rest.endswith("29"))

    def test_bounded_piece(self) -> None:
        """One text that is too long is cut at its beginning."""
        self.progress(output="x" * 1_000_000 + "end")
        told = self.flush()[0]
        assert isinstance(told, str)
        self.assertLess(len(told), MAX_PENDING_TEXT + 100)
        self.assertIn(f"[{1_000_003 - MAX_PENDING_TEXT} characters", told)
        self.assertTrue(told.endswith("xend"))

    def test_bounded_notes(self) -> None:
        """Messages are cut, and messages between outputs count as what waits."""
        for _ in range(100):
            self.progress(1, "m" * 100_000, output="o")
        told = self.flush()
        notes = [piece for piece in told if isinstance(piece, Note)]
        self.assertEqual({len(note.message) for note in notes}, {MAX_LINE})
        self.assertLessEqual(len(notes), MAX_PENDING_TEXT // MAX_LINE)

    def test_close(self) -> None:
        """At the end what waits is passed on, and what comes later is dropped."""
        self.progress(output="last")
        self.progress.close()
        self.progress(output="too late")
        self.assertEqual(self.flush(), ["last"])


class ThreadTests(LoopCase):
    """With the loop."""

    def test_threads(self) -> None:
        """What many threads tell arrives whole, in the loop's own thread."""
        progress = Progress(self.loop.call_soon_threadsafe, self.heard.ears)

        def tell(name: str) -> None:
            for number in range(200):
                progress(number, name, output=f"{name}{number}\n")

        threads = [threading.Thread(target=tell, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.heard.told, [])
        self.turn()
        lines = self.heard.text.split()
        self.assertEqual(len(lines), 800)
        for name in "abcd":
            mine = [line for line in lines if line[0] == name]
            self.assertEqual(mine, [f"{name}{number}" for number in range(200)])

    def test_after_the_loop(self) -> None:
        """A thread that outlives the loop may still tell, though nobody listens."""
        progress = Progress(self.loop.call_soon_threadsafe, self.heard.ears)
        self.loop.close()
        progress(output="late")
        self.assertEqual(self.heard.told, [])
