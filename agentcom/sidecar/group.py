"""The process group of a command: signalled only while it is the command's.

Who may be signalled when is argued in ``supervise``: the group named by the
file ``pid``, while the supervisor lives.  Between the look and the signal the
system would have to end the command and give its id away anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, Signals

from twisted.logger import Logger

from agentcom.sidecar.rundir import RunDir

KillGroup = Callable[[int, int], None]
PROC = Path("/proc")


class Group:
    """The processes of one run.

    :param kill: ``os.killpg``.
    :param proc: where Linux tells of processes.
    """

    log = Logger()

    def __init__(self, run_dir: RunDir, kill: KillGroup, proc: Path = PROC) -> None:
        self._run_dir = run_dir
        self._kill = kill
        self._proc = proc

    def signal(self, number: Signals) -> bool:
        """Send it to all of them; whether there was a group yet, or still."""
        try:
            pid = self._run_dir.pid()
            if pid is None or not self._run_dir.alive:
                return False
        except OSError:
            return False
        self._send(pid, number)
        return True

    def kill_orphans(self) -> None:
        """KILL what outlived its supervisor, where the system can prove whose it is.

        On Linux the first process of a command dies with its supervisor, and
        the rest of the group is known by the environment that they got from
        us.  Elsewhere they are left: their next line of output ends them.
        """
        with suppress(OSError):
            pid = self._run_dir.pid()
            if pid is not None and any(self._is_ours(found, pid) for found in self._processes()):
                self._send(pid, SIGKILL)

    def _send(self, pid: int, number: Signals) -> None:
        try:
            self._kill(pid, number)
        except ProcessLookupError:
            pass
        except PermissionError as e:
            self.log.warn("a process of the task could not be stopped: {e}", e=e)

    def _processes(self) -> list[Path]:
        return [path for path in self._proc.iterdir() if path.name.isdecimal()]

    def _is_ours(self, process: Path, group: int) -> bool:
        mark = b"AGENTCOM_RESULT_FILE=" + os.fsencode(self._run_dir.result_file)
        try:
            # The name before the last parenthesis may hold anything.
            _, _, fields = (process / "stat").read_bytes().rpartition(b")")
            _, _, of_group, *_ = fields.split()
            if int(of_group) != group:
                return False
            return mark in (process / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return False
