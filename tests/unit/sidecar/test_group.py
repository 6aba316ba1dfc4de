"""Who is signalled, and who only might be ours."""

from __future__ import annotations

import os
from pathlib import Path
from signal import SIGKILL, SIGTERM

from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.group import Group
from agentcom.sidecar.rundir import RunDir

PID = 4711


class GroupTests(SynchronousTestCase):
    """Processes are files as Linux shows them."""

    def setUp(self) -> None:
        self.proc = Path(self.mktemp())
        self.proc.mkdir(parents=True)
        self.run_dir = RunDir(Path(self.mktemp()).absolute())
        self.lock: int | None = self.run_dir.make(b"{}")
        self.addCleanup(self.die)
        (self.run_dir.path / "pid").write_text(f"{PID}\n")
        self.killed: list[tuple[int, int]] = []
        self.group = Group(self.run_dir, lambda *kill: self.killed.append(kill), self.proc)
        self.mark = f"AGENTCOM_RESULT_FILE={self.run_dir.result_file}"

    def die(self) -> None:
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def process(self, number: int, group: int, *environment: str) -> None:
        path = self.proc / str(number)
        path.mkdir()
        (path / "stat").write_text(f"{number} (a) b (c) S 1 {group} 8 0 -1")
        (path / "environ").write_text("".join(f"{line}\0" for line in environment))

    def test_alive(self) -> None:
        """While the supervisor lives and the command is not reaped, its group is signalled."""
        self.assertTrue(self.group.signal(SIGTERM))
        self.assertEqual(self.killed, [(PID, SIGTERM)])
        (self.run_dir.path / "pid").unlink()
        self.assertFalse(self.group.signal(SIGTERM))
        self.assertEqual(len(self.killed), 1)

    def test_dead(self) -> None:
        """After its supervisor's death nobody is signalled by number alone."""
        self.die()
        self.process(PID, PID, "PATH=/bin")
        self.assertFalse(self.group.signal(SIGKILL))
        self.group.kill_orphans()
        self.assertEqual(self.killed, [])

    def test_orphans(self) -> None:
        """What carries the mark of the run, in its group, is killed with the group."""
        self.die()
        self.process(1, 1)
        self.process(PID + 1, PID, "PATH=/bin", self.mark)
        (self.proc / "self").mkdir()
        self.group.kill_orphans()
        self.assertEqual(self.killed, [(PID, SIGKILL)])

    def test_strangers(self) -> None:
        """Another run's processes, another group's, or such as cannot be read, are left."""
        self.die()
        self.process(10, PID, self.mark + "x")
        self.process(11, PID, "X" + self.mark)
        self.process(12, PID + 1, self.mark)
        self.process(13, PID, self.mark)
        (self.proc / "13" / "environ").unlink()
        (self.proc / "14").mkdir()
        self.group.kill_orphans()
        self.assertEqual(self.killed, [])

    def test_no_proc(self) -> None:
        """Where the system does not tell of processes, nobody is killed by guess."""
        self.die()
        Group(self.run_dir, lambda *kill: self.killed.append(kill), self.proc / "x").kill_orphans()
        self.assertEqual(self.killed, [])
