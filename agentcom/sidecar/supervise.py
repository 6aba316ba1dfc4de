"""Runs one command, and writes down what it prints and how it ends.

A process of its own: ``rundir`` makes the directory, the runner starts this
with it and with the lock of the directory as descriptor 3.  It lives as long
as the command, so that the command outlives the agent; and it stays small, so
it needs nothing but the standard library and ``segments``, which keeps the
output.  ``printed`` reads that, ``rundir`` the rest.

Whose a process id is.  The file ``pid`` is there only while the command has
not been reaped, for it is removed before; and the lock is held only while this
process lives, which alone can reap the command.  So while both are so, the
id of the command and of its group cannot belong to anybody else.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from agentcom.sidecar.segments import CHUNK, ERR, OUT, Log, sync

LOCK_FD = 3
RESERVED = "exit.partial"
RESERVED_BYTES = 4096
DRAIN_S = 2.0
STOP_S = 10.0
AGAIN_S = 1.0
LOOK_MS = 100
# As much as a pipe can hold.
LAST_CHUNKS = 16


class Supervisor:
    """One command, from its fork to the record of its end."""

    def __init__(self, directory: str, command: Sequence[str]) -> None:
        self._directory = directory
        self._command = list(command)
        self._pid_file = os.path.join(directory, "pid")
        self._log = Log(directory)
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def run(self) -> None:
        """Run the command to its end."""
        try:
            begun = self._fork()
        except OSError as e:
            self._record(problem=f"the command could not be started: {e.strerror}")
            return
        pid, go, ready, streams = begun
        # From here on the command has a group of its own, and is not begun.
        os.read(ready, 1)
        ended = exit_watch(pid)
        problem = self._permit(pid, go)
        os.close(go)
        self._watch(ended, streams)
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        for file, stream in streams.items():
            for data in at_hand(file):
                self._log.add(stream, data)
        self._bury(pid, problem)

    def _fork(self) -> tuple[int, int, int, dict[int, int]]:
        task = os.open(os.path.join(self._directory, "task.json"), os.O_RDONLY)
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        ready, ready_end = os.pipe()
        go, go_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                # Else it would not notice that nobody is left to let it go.
                os.close(go_end)
                become(self._command, (task, out_end, err_end), ready_end, go)
            finally:
                os._exit(126)
        for end in (task, out_end, err_end, ready_end, go):
            os.close(end)
        return pid, go_end, ready, {out: OUT, err: ERR}

    def _permit(self, pid: int, go: int) -> str | None:
        """Let the command begin once its id is on disk; else tell why not."""
        try:
            with open(self._pid_file, "w") as file:
                file.write(f"{pid}\n")
        except OSError as e:
            return f"the command was not begun, its process id could not be written: {e.strerror}"
        if wish(self._directory):
            return "the command was stopped before it began"
        with suppress(BrokenPipeError):
            os.write(go, b".")
        return None

    def _watch(self, ended: Callable[[], bool], streams: dict[int, int]) -> None:
        poll = select.poll()
        for file in (self._wake, *streams):
            poll.register(file, select.POLLIN)
        since: float | None = None
        while True:
            for file, _ in poll.poll(None if since is None else LOOK_MS):
                if file == self._wake:
                    with suppress(BlockingIOError):
                        os.read(file, CHUNK)
                    continue
                data = os.read(file, CHUNK)
                self._log.add(streams[file], data)
                if not data:
                    poll.unregister(file)
                    os.close(file)
                    del streams[file]
            if since is None and ended():
                since = time.monotonic()
            # What the command left running has a moment to finish its say.
            if since is not None and (
                not streams or time.monotonic() - since >= patience(wish(self._directory))
            ):
                return

    def _bury(self, pid: int, problem: str | None) -> None:
        """Reap the command and record its end."""

        def forget() -> None:
            with suppress(FileNotFoundError):
                os.unlink(self._pid_file)

        insist(forget)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._log.sync()
        # After a power cut a result must not be found empty.
        sync(os.path.join(self._directory, "result.json"))
        self._record(status, problem)

    def _record(self, status: int = 0, problem: str | None = None) -> None:
        fields = {
            "code": status if status >= 0 and problem is None else None,
            "signal": -status if status < 0 and problem is None else None,
            "problem": problem,
            "begun": problem is None,
            "printed": self._log.printed,
        }
        # If the directory was removed, nobody asks any more.
        with suppress(FileNotFoundError):
            insist(lambda: write_ending(self._directory, fields))


def write_ending(directory: str, fields: Mapping[str, object]) -> None:
    """Record how it ended, whole or not at all; after a return it is on disk.

    The room for it was taken when the directory was made, so that a disk that
    has become full does not keep it from being written.

    :raises OSError: it could not be written.
    """
    reserved = os.path.join(directory, RESERVED)
    with open(reserved, "r+b") as file:
        file.write(json.dumps(fields).encode("ascii").ljust(RESERVED_BYTES))
        file.flush()
        os.fsync(file.fileno())
    os.rename(reserved, os.path.join(directory, "exit.json"))
    sync(directory)


def insist(write: Callable[[], None]) -> None:
    """Try until the disk takes it: what is not recorded has not ended.

    :raises FileNotFoundError: the directory is gone.
    """
    while True:
        try:
            return write()
        except FileNotFoundError:
            raise
        except OSError:
            pause()


def pause() -> None:
    """Let the disk recover."""
    select.select([], [], [], AGAIN_S)


def become(command: list[str], streams: tuple[int, int, int], ready: int, go: int) -> NoReturn:
    """Replace this process by the command, or exit as a shell would."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    # Python ignores the last two, and what is ignored stays so through exec.
    for number in (*SHIELDED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for target, file in enumerate(streams):
        os.dup2(file, target)
    with suppress(OSError):
        os.close(LOCK_FD)
    die_with_parent()
    os.write(ready, b".")
    if not os.read(go, 1):
        os._exit(1)
    try:
        os.execvp(command[0], command)
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else e
        os.write(2, f"agentcom: cannot run {command[0]}: {why}\n".encode("utf-8", "replace"))
        os._exit(127 if isinstance(e, FileNotFoundError) else 126)


def die_with_parent() -> None:
    """Where the system can: who is killed leaves no command behind."""
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            set_parent_death_signal = 1
            ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGKILL), 0, 0, 0)


def exit_watch(pid: int) -> Callable[[], bool]:
    """Tells whether a child has ended, without reaping it."""
    if sys.platform == "darwin":
        # Python before 3.13 has no waitid there.
        queue = select.kqueue()
        exits = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        queue.control([exits], 0)
        seen: list[object] = []

        def ended() -> bool:
            seen.extend(queue.control(None, 1, 0))
            return bool(seen)

        return ended
    else:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return lambda: os.waitid(os.P_PID, pid, options) is not None


def at_hand(pipe: int) -> Iterator[bytes]:
    """What a pipe holds, without waiting; bounded, for somebody may go on writing."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        for _ in range(LAST_CHUNKS):
            yield os.read(pipe, CHUNK)


def wish(directory: str) -> str:
    """What the agent wants: ``TERM``, ``KILL``, or nothing."""
    try:
        with open(os.path.join(directory, "wish")) as file:
            return file.read(16)
    except OSError:
        return ""


def patience(wanted: str) -> float:
    """How long, in seconds, may go on what outlives the command."""
    return {"": DRAIN_S, "KILL": 0.0}.get(wanted, STOP_S)


# Meant for the agent, or for every process of a machine that goes down: then
# the command gets them too, and its end is recorded.
SHIELDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def close_others() -> None:
    """Whatever else was inherited must not be kept open as long as a command runs."""
    with suppress(OSError):
        for name in os.listdir("/dev/fd"):
            if int(name) > LOCK_FD:
                # One of them was the listing's own.
                with suppress(OSError):
                    os.close(int(name))


def main(arguments: Sequence[str]) -> None:
    """Supervise: the directory of the run, then the command and its arguments."""
    for number in SHIELDED:
        signal.signal(number, signal.SIG_IGN)
    with suppress(PermissionError):
        os.setsid()
    close_others()
    directory, *command = arguments
    Supervisor(directory, command).run()
