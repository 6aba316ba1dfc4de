"""Runs the command of a task: no shell, a session of its own, bounded output.

Knows processes and nothing of hubs.  :class:`Runner` starts, :class:`Run` is
one that was started; how it ended is an :class:`Outcome`.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.sidecar.output import Lines, Note, Tail, note_in

KILL_AFTER_S = 10.0
DRAIN_S = 2.0
MAX_RESULT_FILE = 128 * 1024
HIDDEN_FROM_COMMANDS = ("AGENTCOM_TOKEN",)
LAUNCHER = str(Path(__file__).with_name("launch.py"))

Spawn = Callable[..., Any]
KillGroup = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    :ivar exit_code: ``None`` if a signal ended it, or it never began.
    :ivar output: the end of what it printed.
    :ivar data: the bytes of its result file, ``None`` without one.
    :ivar problem: a sentence, where the agent could not do its part.
    """

    exit_code: int | None = None
    signal: int | None = None
    output: str = ""
    truncated: bool = False
    data: bytes | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Ears:
    """Whom a run tells."""

    text: Callable[[str], None]
    note: Callable[[Note], None]
    ended: Callable[[Outcome], None]


class Runner:
    """Starts commands.

    :param spawn: the reactor's ``spawnProcess``.
    :param kill_group: ``os.killpg``.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        spawn: Spawn,
        clock: IReactorTime,
        kill_group: KillGroup = os.killpg,
    ) -> None:
        self._command = tuple(command)
        self._environment = {k: v for k, v in environment.items() if k not in HIDDEN_FROM_COMMANDS}
        self._spawn = spawn
        self._clock = clock
        self._kill_group = kill_group

    def start(self, agent_id: str, task: Mapping[str, Any], ears: Ears) -> Run:
        """Run the command for a task; ``ears.ended`` is called in any case, later."""
        run = Run(self._clock, self._kill_group, ears)
        try:
            scratch = tempfile.mkdtemp(prefix="agentcom-")
        except OSError as e:
            run.never_began(f"no directory for the result file could be made: {e}")
            return run
        run.scratch = Path(scratch)
        environment = {
            **self._environment,
            "AGENTCOM_TASK_ID": str(task["task_id"]),
            "AGENTCOM_DESCRIPTION": _for_environment(str(task["description"])),
            "AGENTCOM_AGENT_ID": agent_id,
            "AGENTCOM_GENERATION": str(task["generation"]),
            "AGENTCOM_ATTEMPT": str(task["attempt"]),
            "AGENTCOM_RESULT_FILE": str(run.result_file),
        }
        argv = [sys.executable, "-I", "-S", LAUNCHER, *self._command]
        run.child = _Child(run, msgspec.json.encode(task) + b"\n")
        try:
            self._spawn(run.child, argv[0], argv, env=environment)
        except OSError as e:
            run.never_began(f"the command could not be started: {e}")
        return run


class Run:
    """One command that was started, until nothing of it is left."""

    log = Logger()

    def __init__(self, clock: IReactorTime, kill_group: KillGroup, ears: Ears) -> None:
        self.scratch: Path | None = None
        self.child: _Child | None = None
        self.pid: int | None = None
        self._clock = clock
        self._kill_group = kill_group
        self._ears = ears
        self._tail = Tail()
        self._out = Lines(self._out_lines)
        self._err = Lines(self._lines)
        self._exit: tuple[int | None, int | None] | None = None
        self._over = False
        self._timer: IDelayedCall | None = None

    @property
    def result_file(self) -> Path:
        assert self.scratch is not None
        return self.scratch / "result.json"

    def stop(self) -> None:
        """TERM to all that the command started, KILL when it does not go."""
        if self._over or self._exit is not None:
            return
        self._signal(signal.SIGTERM)
        self._after(KILL_AFTER_S, self._give_up)

    def kill(self) -> None:
        """KILL at once."""
        if not self._over:
            self._signal(signal.SIGKILL)

    def never_began(self, problem: str) -> None:
        """There will be no process; say so after the caller has returned."""
        self._clock.callLater(0, self._end, Outcome(problem=problem))

    def out(self, data: bytes) -> None:
        self._out.feed(data)

    def err(self, data: bytes) -> None:
        self._err.feed(data)

    def exited(self, exit_code: int | None, signal_number: int | None) -> None:
        """The command itself is gone; something that it started may still print."""
        self._exit = exit_code, signal_number
        # After stop() the others have the rest of its time to go.
        if self._timer is None or not self._timer.active():
            self._after(DRAIN_S, self._give_up)

    def closed(self) -> None:
        """Nothing more can be read."""
        # Whatever the command left running would outlive its task.
        self._signal(signal.SIGKILL)
        self._out.end()
        self._err.end()
        exit_code, signal_number = self._exit or (None, None)
        output = self._tail.text
        data, problem = None, None
        try:
            data = read_result(self.result_file)
        except (OSError, ValueError) as e:
            problem = f"the result file could not be used: {e}"
        self._end(Outcome(exit_code, signal_number, output, self._tail.truncated, data, problem))

    def _end(self, outcome: Outcome) -> None:
        if self._over:
            return
        self._over = True
        self._cancel_timer()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)
        self._ears.ended(outcome)

    def _out_lines(self, lines: list[str]) -> None:
        plain: list[str] = []
        for line in lines:
            note = note_in(line)
            if note is None:
                plain.append(line)
                continue
            self._lines(plain)
            plain = []
            self._ears.note(note)
        self._lines(plain)

    def _lines(self, lines: list[str]) -> None:
        if lines:
            text = "".join([f"{line}\n" for line in lines])
            self._tail.add(text)
            self._ears.text(text)

    def _give_up(self) -> None:
        """End what is left; what left the session may still hold the pipes."""
        self._signal(signal.SIGKILL)
        if self._exit is not None and self.child is not None and self.child.transport is not None:
            self.child.transport.loseConnection()

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is None:
            return
        try:
            self._kill_group(self.pid, number)
        except ProcessLookupError:
            # Either all are gone, or the launcher has not made its session yet.
            self._signal_child(number)
        except PermissionError as e:
            self.log.warn("a process of the task could not be stopped: {e}", e=e)

    def _signal_child(self, number: signal.Signals) -> None:
        if self._exit is None and self.child is not None and self.child.transport is not None:
            with suppress(ProcessExitedAlready):
                self.child.transport.signalProcess(number.name.removeprefix("SIG"))

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class _Child(ProcessProtocol):
    """What Twisted calls, handed on to the run."""

    def __init__(self, run: Run, standard_input: bytes) -> None:
        self._run = run
        self._input = standard_input
        self.transport: Any = None

    def connectionMade(self) -> None:
        self._run.pid = self.transport.pid
        self.transport.write(self._input)
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._run.out(data)

    def errReceived(self, data: bytes) -> None:
        self._run.err(data)

    def processExited(self, reason: Failure) -> None:
        ending: Any = reason.value
        self._run.exited(ending.exitCode, ending.signal)

    def processEnded(self, reason: Failure) -> None:
        self._run.closed()


def read_result(path: Path) -> bytes | None:
    """The content of a result file, ``None`` if the command wrote none.

    :raises ValueError: it is not a regular file, or too large.
    """
    try:
        # A pipe or a device in its place must not make the agent wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        data = file.read(MAX_RESULT_FILE + 1)
    if len(data) > MAX_RESULT_FILE:
        raise ValueError(f"it has more than {MAX_RESULT_FILE} bytes")
    return data or None


def _for_environment(text: str) -> str:
    # An environment cannot hold NUL; the task on standard input is whole.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
