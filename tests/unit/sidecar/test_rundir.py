"""The directory that an agent and a supervisor share."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar import supervise
from agentcom.sidecar.rundir import Ending, RunDir, RunDirs, name_of


class NameTests(SynchronousTestCase):
    def test_readable(self) -> None:
        """The hub's own ids stay as they are."""
        self.assertEqual(name_of(("task-0123456789abcdef", 7)), "task-0123456789abcdef.7")

    @given(st.text(st.characters() | st.sampled_from("./\0")), st.integers(0, 2**63))
    @example("../../x", 1)
    @example("\N{SNOWMAN}" * 100, 1)
    @example("\ud800", 1)
    def test_any_id(self, task_id: str, generation: int) -> None:
        """Any other becomes one plain name that a directory can have."""
        name = name_of((task_id, generation))
        self.assertNotIn("/", name)
        self.assertNotIn("\0", name)
        self.assertNotIn(name, (".", ".."))
        self.assertTrue(name.isascii())
        self.assertLess(len(name), 255)

    @given(*[st.tuples(st.text("a./%~\N{SNOWMAN}", max_size=4), st.integers(0, 99))] * 2)
    def test_apart(self, one: tuple[str, int], other: tuple[str, int]) -> None:
        """Two attempts never share a name."""
        self.assertEqual(one == other, name_of(one) == name_of(other))

    def test_long_ids_are_apart(self) -> None:
        """So it is with ids that are too long for a name."""
        self.assertNotEqual(name_of(("x" * 999 + "a", 1)), name_of(("x" * 999 + "b", 1)))


class RunDirTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.dirs = RunDirs(self.root)
        self.dirs.make_room()
        self.run_dir = self.dirs.of(("task-1", 1))

    def make(self) -> int:
        lock = self.run_dir.make(b"{}\n")
        self.addCleanup(os.close, lock)
        return lock

    def test_lock(self) -> None:
        """It is alive as long as anybody holds the lock that was made with it."""
        self.assertFalse(self.run_dir.alive)
        lock = self.run_dir.make(b"{}")
        inherited = os.dup(lock)
        os.close(lock)
        self.assertTrue(self.run_dir.alive)
        os.close(inherited)
        self.assertFalse(self.run_dir.alive)

    def test_private(self) -> None:
        """Nobody else can read the task."""
        self.make()
        self.assertEqual(stat.S_IMODE(self.run_dir.path.stat().st_mode), 0o700)
        task = self.run_dir.path / "task.json"
        self.assertEqual((task.read_bytes(), stat.S_IMODE(task.stat().st_mode)), (b"{}\n", 0o600))

    def test_only_once(self) -> None:
        """What is there is not made again."""
        self.make()
        self.assertRaises(OSError, self.run_dir.make, b"{}")

    def test_ending(self) -> None:
        """What the supervisor recorded is read, in the room that was kept for it."""
        self.make()
        self.assertIsNone(self.run_dir.ending())
        room = os.stat(self.run_dir.path / supervise.RESERVED)
        fields = {"code": 3, "signal": None, "problem": None, "printed": 12}
        supervise.write_ending(str(self.run_dir.path), fields)
        self.assertEqual(self.run_dir.ending(), Ending(3, None, None, True, 12))
        recorded = os.stat(self.run_dir.path / "exit.json")
        self.assertEqual((recorded.st_ino, recorded.st_size), (room.st_ino, room.st_size))

    def test_pid(self) -> None:
        """A command's id is read when it is whole."""
        self.make()
        self.assertIsNone(self.run_dir.pid())
        for text, pid in (("", None), ("47", None), ("4711\n", 4711), ("0\n", None), ("x\n", None)):
            (self.run_dir.path / "pid").write_text(text)
            self.assertEqual(self.run_dir.pid(), pid)

    def test_told(self) -> None:
        """The position is remembered; what cannot be read is the beginning."""
        self.make()
        self.assertEqual(self.run_dir.told(), 0)
        self.run_dir.tell(10**15)
        self.run_dir.tell(77)
        self.assertEqual(RunDir(self.run_dir.path).told(), 77)
        (self.run_dir.path / "told").write_text("x")
        self.assertEqual(self.run_dir.told(), 0)

    def test_nothing_there(self) -> None:
        """Of a directory that is not there nothing is known, and nothing fails."""
        self.run_dir.tell(1)
        self.run_dir.wish("TERM")
        self.run_dir.remove()
        self.assertEqual(
            (self.run_dir.alive, self.run_dir.pid(), self.run_dir.ending(), self.run_dir.told()),
            (False, None, None, 0),
        )
        self.assertEqual((self.run_dir.log(), self.run_dir.exists), ("", False))

    def test_log(self) -> None:
        """Of a supervisor's own fault the last line is told."""
        self.make()
        os.close(self.run_dir.open_log())
        self.assertEqual(self.run_dir.log(), "")
        (self.run_dir.path / "log").write_text("Traceback\n  File\nMemoryError: \xff\n\n")
        self.assertEqual(self.run_dir.log(), "MemoryError: \xff")

    def test_all(self) -> None:
        """The runs are the directories; what a link leads to is nobody's to drop."""
        self.make()
        (self.root / "runs" / "file").write_text("x")
        (self.root / "runs" / "link").symlink_to(self.root)
        self.assertEqual([found.path for found in self.dirs], [self.run_dir.path])
        self.assertEqual(list(RunDirs(self.root / "none")), [])


class SuperviseTests(SynchronousTestCase):
    """Parts of the supervisor that need no process."""

    def test_patience(self) -> None:
        """What outlives a command has a moment, after a stop 10 s, after a kill nothing."""
        path = Path(self.mktemp())
        path.mkdir(parents=True)
        run_dir = RunDir(path)
        told = [supervise.patience(supervise.wish(str(path)))]
        for wanted in ("TERM", "KILL"):
            run_dir.wish(wanted)
            told.append(supervise.patience(supervise.wish(str(path))))
        self.assertEqual(told, [2.0, 10.0, 0.0])

    def test_insists(self) -> None:
        """An end is recorded as soon as the disk takes it."""
        path = Path(self.mktemp()).absolute()
        pauses = 0
        answers: list[Exception | None] = [OSError(28, "full"), OSError(5, "broken"), None]

        def write() -> None:
            answer = answers.pop(0)
            if answer is not None:
                raise answer

        def pause() -> None:
            nonlocal pauses
            pauses += 1
            self.assertLess(pauses, 9)

        self.patch(supervise, "pause", pause)
        supervise.insist(write)
        self.assertEqual((answers, pauses), ([], 2))
        with self.assertRaises(FileNotFoundError):
            supervise.insist(lambda: supervise.write_ending(str(path), {}))

    def test_last_words(self) -> None:
        """What a pipe holds is read, and nobody waits for those who still have it."""
        pipe, end = os.pipe()
        self.addCleanup(os.close, pipe)
        self.assertEqual(list(supervise.at_hand(pipe)), [])
        os.write(end, b"last words")
        self.assertEqual(b"".join(supervise.at_hand(pipe)), b"last words")
        os.close(end)
        self.assertEqual(b"".join(supervise.at_hand(pipe)), b"")
