"""What a supervisor writes of the output, and what a reader makes of it.

``Log`` and ``Printed`` meet in a real directory, with small segments.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar import segments
from agentcom.sidecar.printed import Piece, Printed
from agentcom.sidecar.segments import BEGINNING, CHUNK, ERR, KEPT_SEGMENTS, OUT, PIECE, Log

SEGMENT = 100
KEPT = 400
FULL = OSError(28, "No space left on device")


class OutputTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.fresh()

    def fresh(self) -> Path:
        path = Path(self.mktemp())
        path.mkdir(parents=True)
        return path

    def log(self, path: Path | None = None) -> Log:
        return Log(str(path or self.path), SEGMENT, KEPT)

    def reader(self, path: Path | None = None) -> Printed:
        printed = Printed(path or self.path)
        self.addCleanup(printed.close)
        return printed

    def sizes(self) -> list[int]:
        return [path.stat().st_size for path in sorted(self.path.glob("output.*"))]


class PrintedTests(OutputTestCase):
    def test_order(self) -> None:
        """Pieces of both streams are read in the order in which they were written."""
        log, printed = self.log(), self.reader()
        self.assertEqual(printed.read(1000), [])
        log.add(OUT, b"one")
        log.add(ERR, b"two")
        self.assertEqual(printed.read(1000), [Piece(OUT, b"one", 3), Piece(ERR, b"two", 6)])
        self.assertEqual(printed.read(1000), [])
        log.add(OUT, b"three")
        self.assertEqual(printed.read(1000), [Piece(OUT, b"three", 11)])

    def test_bounded(self) -> None:
        """On disk there is never more than what is kept."""
        log = self.log()
        for _ in range(1000):
            log.add(OUT, b"x" * 40)
            self.assertLessEqual(sum(self.sizes()), KEPT)
        self.assertGreater(sum(self.sizes()), KEPT - 2 * SEGMENT)

    def test_too_slow(self) -> None:
        """Who reads too late is told how much is missing, and gets the end."""
        log, printed = self.log(), self.reader()
        for i in range(1000):
            log.add(OUT, b"%039d\n" % i)
        lost, *rest = printed.read(10_000)
        self.assertIsNone(lost.stream)
        self.assertEqual(lost.lost + sum(len(piece.data) for piece in rest), 40_000)
        self.assertEqual(rest[0].data, b"%039d\n" % (lost.lost // 40))
        self.assertEqual((rest[-1].data, printed.position), (b"%039d\n" % 999, 40_000))

    def test_a_whole_piece_fits(self) -> None:
        """However little is asked for, no piece is passed over."""
        log, printed = Log(str(self.path)), self.reader()
        for _ in range(40):
            log.add(OUT, b"x" * CHUNK)
        read = []
        while pieces := printed.read(1):
            read += pieces
        self.assertEqual([piece.lost for piece in read], [0] * 40)

    def test_half_a_piece(self) -> None:
        """What is just being written is read when it is whole."""
        piece = BEGINNING.pack(0) + PIECE.pack(OUT, 4) + b"text"
        printed = self.reader()
        file = self.path / "output.00000001"
        for cut in range(len(piece)):
            file.write_bytes(piece[:cut])
            self.assertEqual(printed.read(1000), [], cut)
        file.write_bytes(piece)
        self.assertEqual(printed.read(1000), [Piece(OUT, b"text", 4)])

    def test_written_while_read(self) -> None:
        """What is written, and left for the next segment, during a look is not passed over."""
        log, printed = self.log(), self.reader()
        log.add(OUT, b"first")
        printed.read(1000)
        lists = os.listdir

        def listdir(path: Path) -> list[str]:
            for _ in range(2):
                log.add(OUT, b"x" * 60)
            return lists(path)

        self.patch(os, "listdir", listdir)
        pieces = printed.read(1)
        self.assertEqual(pieces, [Piece(OUT, b"x" * 60, 65)])

    def test_rubbish(self) -> None:
        """What a power cut made of a segment is passed over, and counted."""
        for rubbish in (b"\0" * 50, b"\xff" * 50, PIECE.pack(OUT, 0) * 9):
            path = self.fresh()
            (path / "output.00000001").write_bytes(BEGINNING.pack(0) + rubbish)
            (path / "output.00000002").write_bytes(BEGINNING.pack(45) + PIECE.pack(OUT, 1) + b"x")
            (path / "output.partial").write_bytes(b"?")
            found = self.reader(path).read(1000)
            self.assertEqual(found, [Piece(None, b"", 45, 45), Piece(OUT, b"x", 46)])

    def test_nothing_there(self) -> None:
        """Without a directory there is nothing to read."""
        self.assertEqual(self.reader(self.path / "none").read(1000), [])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.sampled_from([OUT, ERR]), st.integers(1, 60)), st.integers(1, 300)
            )
        )
    )
    def test_any_pace(self, steps: list[Any]) -> None:
        """Each byte is read once, in order, or counted as lost, whatever the pace."""
        path = self.fresh()
        log, printed = self.log(path), self.reader(path)
        wrote: list[tuple[int, int]] = []
        read: list[tuple[int, int]] = []

        def take(limit: int) -> bool:
            pieces = printed.read(limit)
            for piece in pieces:
                if piece.stream is None:
                    lost = piece.lost
                    while lost > 0:
                        lost -= wrote[len(read)][1]
                        read.append(wrote[len(read)])
                    self.assertEqual(lost, 0)
                else:
                    read.append((piece.stream, len(piece.data)))
                self.assertEqual(piece.end, sum(size for _, size in read))
            return bool(pieces)

        for step in steps:
            if isinstance(step, int):
                take(step)
            else:
                log.add(step[0], b"x" * step[1])
                wrote.append(step)
        while take(1000):
            pass
        self.assertEqual(read, wrote)
        self.assertEqual(printed.position, log.printed)
        printed.close()


class FullDiskTests(OutputTestCase):
    """A disk that takes nothing, or not all, for a while."""

    def setUp(self) -> None:
        super().setUp()
        self.room = 0
        self.patch(segments.os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        taken = min(len(data), self.room)
        if not taken:
            raise FULL
        self.room -= taken
        return os.pwrite(file, data[:taken], os.fstat(file).st_size)

    def test_no_room_for_a_while(self) -> None:
        """What the disk did not take is counted, what it takes later is read."""
        log, printed = self.log(), self.reader()
        self.room = 30
        log.add(OUT, b"one")
        log.add(OUT, b"x" * 40)
        log.add(OUT, b"x" * 40)
        self.assertEqual(printed.read(1000), [Piece(OUT, b"one", 3)])
        self.assertEqual(self.sizes(), [BEGINNING.size + PIECE.size + 3])
        self.room = 1000
        log.add(OUT, b"two")
        self.assertEqual(printed.read(1000), [Piece(None, b"", 83, 80), Piece(OUT, b"two", 86)])

    def test_no_room_at_all(self) -> None:
        """A disk without any room costs no files, and no more than the output."""
        log = self.log()
        for _ in range(100):
            log.add(OUT, b"x")
        self.assertEqual((self.sizes(), log.printed), ([], 100))
        self.room = 4
        log.add(OUT, b"x")
        self.assertEqual(self.sizes(), [])

    def test_many_attempts(self) -> None:
        """A disk that is full again and again does not cost ever more files."""
        log = Log(str(self.path))
        for _ in range(10 * KEPT_SEGMENTS):
            self.room = BEGINNING.size + PIECE.size + 1
            log.add(OUT, b"x")
            log.add(OUT, b"x")
        self.assertLessEqual(len(self.sizes()), KEPT_SEGMENTS + 1)
