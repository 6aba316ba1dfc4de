"""The data directory: private, and one hub's at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.datadir import LAST_BATCH_S, DataDir, Lock, free_bytes, write_secret
from agentcom.errors import StartError

HOLDER = """
import sys
from pathlib import Path
from agentcom.datadir import DataDir
DataDir(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


class DataDirTests(SynchronousTestCase):
    """Made, locked, released."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "a" / "b"

    def test_made_private(self) -> None:
        """It is made with mode 0700 whatever the umask, its parents where they are missing."""
        for umask in (0, 0o022):
            before = os.umask(umask)
            self.addCleanup(os.umask, before)
            path = self.path / str(umask)
            data = DataDir(path)
            data.acquire()
            self.addCleanup(data.release)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700)
            self.assertEqual(stat.S_IMODE((path / "lock").stat().st_mode), 0o600)

    def test_second_acquire(self) -> None:
        """A second one is refused with the first one's process id, until that lets go."""
        first, second = DataDir(self.path), DataDir(self.path)
        first.acquire()
        error = self.assertRaises(StartError, second.acquire)
        self.assertEqual(str(error), f"data directory in use by process {os.getpid()}: {self.path}")
        first.release()
        first.release()
        second.acquire()
        second.release()

    def test_another_process(self) -> None:
        """The lock is one between processes, and ends with its process however that ends."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert holder.stdout is not None and holder.stdin is not None
        self.assertEqual(holder.stdout.readline(), b"held\n")
        error = self.assertRaises(StartError, DataDir(self.path).acquire)
        self.assertIn(f"in use by process {holder.pid}:", str(error))
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
        data = DataDir(self.path)
        data.acquire()
        data.release()

    def test_old_process_id_is_replaced(self) -> None:
        """A longer process id of an earlier hub leaves no digit behind."""
        self.path.mkdir(parents=True)
        (self.path / "lock").write_text("99999999999999\n")
        data = DataDir(self.path)
        data.acquire()
        self.addCleanup(data.release)
        self.assertEqual((self.path / "lock").read_text(), f"{os.getpid()}\n")

    def test_cannot_be_made(self) -> None:
        """A path below a file, and a file, are refused with their names."""
        self.path.parent.mkdir(parents=True)
        self.path.write_text("")
        for path in (self.path, self.path / "below"):
            error = self.assertRaises(StartError, DataDir(path).acquire)
            self.assertIn(str(path), str(error))

    def test_lock_is_not_handed_on(self) -> None:
        """Processes that the hub starts do not keep its lock."""
        data = DataDir(self.path)
        data.acquire()
        held = [
            fd
            for fd in os.listdir("/proc/self/fd")
            if os.path.realpath(f"/proc/self/fd/{fd}") == str(self.path / "lock")
        ]
        self.assertEqual([os.get_inheritable(int(fd)) for fd in held], [False])
        data.release()

    def test_free_bytes(self) -> None:
        """Free space is that of the directory's disk."""
        self.path.mkdir(parents=True)
        stats = os.statvfs(self.path)
        free = free_bytes(self.path)
        self.assertTrue(0 < free <= stats.f_blocks * stats.f_frsize)


class SecretTests(SynchronousTestCase):
    """A secret's file."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "admin.token"
        self.path.parent.mkdir()

    def test_private_and_whole(self) -> None:
        """Only its owner can read it, whatever the umask; nothing else is left."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        write_secret(self.path, "s3cret")
        self.assertEqual(self.path.read_text(), "s3cret\n")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(list(self.path.parent.iterdir()), [self.path])

    def test_replaces(self) -> None:
        """An older one, readable for others, and the rest of a broken try are replaced."""
        self.path.write_text("old")
        self.path.chmod(0o644)
        self.path.with_name("admin.token.partial").write_text("half")
        write_secret(self.path, "new")
        self.assertEqual(self.path.read_text(), "new\n")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(list(self.path.parent.iterdir()), [self.path])


HEIR = """
import subprocess, sys
from pathlib import Path
from agentcom.datadir import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
subprocess.Popen(wait, pass_fds=[lock.descriptor])
"""


class HeirTests(SynchronousTestCase):
    """A lock whose holder is gone and has left it to the process that writes its database."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        holder = subprocess.Popen(
            [sys.executable, "-c", HEIR, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        holder.wait()
        self.addCleanup(holder.communicate)
        self.holder = holder
        self.waited: list[float] = []

    def test_waits_for_the_last_batch(self) -> None:
        """It is waited for until the heir has ended, and then had."""

        def wait(seconds: float) -> None:
            self.waited.append(seconds)
            if len(self.waited) == 3:
                # Ends the heir, and returns when it has ended.
                self.holder.communicate()

        lock = Lock(self.path, wait)
        lock.acquire()
        self.addCleanup(lock.release)
        self.assertEqual(len(self.waited), 3)
        self.assertEqual(self.path.read_text(), f"{os.getpid()}\n")

    def test_waits_so_long(self) -> None:
        """An heir that does not end is waited for ten seconds, and then told of."""
        error = self.assertRaises(StartError, Lock(self.path, self.waited.append).acquire)
        self.assertEqual(round(sum(self.waited), 1), LAST_BATCH_S)
        self.assertIn(f"in use by process {self.holder.pid}", str(error))
        self.assertIn("no such process here", str(error))

    def test_ended_and_not_asked(self) -> None:
        """A holder that has ended, and whose parent has not looked yet, is gone as well."""
        path = self.path.with_name("zombie")
        holder = subprocess.Popen(
            [sys.executable, "-c", HEIR, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.addCleanup(holder.communicate)
        # It has ended, and stays: nobody has taken its exit code.
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        self.assertRaises(StartError, Lock(path, self.waited.append).acquire)
        self.assertEqual(round(sum(self.waited), 1), LAST_BATCH_S)
