"""Runs the command of a task: no shell, bounded output, and it outlives the agent.

Knows processes and nothing of hubs.  :class:`Runner` starts a supervisor for
each command (``supervise``) and afterwards only looks into the directory that
they share (``rundir``); so it can take up what an earlier process of the same
agent began.  :class:`Run` is one that was started; how it ended is an
:class:`Outcome`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from errno import EMFILE, ENFILE
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.sidecar.group import Group, KillGroup
from agentcom.sidecar.hearing import Hearing
from agentcom.sidecar.jobs import Frame, Key
from agentcom.sidecar.output import Note
from agentcom.sidecar.printed import Printed
from agentcom.sidecar.rundir import Ending, RunDir, RunDirs
from agentcom.sidecar.supervise import LOCK_FD

KILL_AFTER_S = 10.0
POLL_S = 0.1
REMEMBER_S = 1.0
TIDY_S = 0.5
BLIND_S = 1.0
READ_BYTES = 256 * 1024
HIDDEN_FROM_COMMANDS = ("AGENTCOM_TOKEN",)
# Without the site's packages a supervisor starts faster and stays small.  Ours
# are found last, so that none of them stands in for one of Python's own.
SUPERVISOR = (
    f"import sys; sys.path.append({str(Path(__file__).parents[2])!r}); "
    "from agentcom.sidecar.supervise import main; main(sys.argv[1:])"
)

Spawn = Callable[..., Any]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    :ivar exit_code: ``None`` if a signal ended it, or it never began.
    :ivar output: the end of what it printed.
    :ivar data: the bytes of its result file, ``None`` without one.
    :ivar problem: a sentence, where the agent could not do its part.
    :ivar begun: whether the command was ever started; if not, only
        :attr:`problem` is set.
    :ivar result: what a function returned, as JSON within the hub's limits.
    :ivar error: a function failed, and with what; ``reason`` and ``retryable``
        belong to it.
    """

    exit_code: int | None = None
    signal: int | None = None
    output: str = ""
    truncated: bool = False
    data: bytes | None = None
    problem: str | None = None
    begun: bool = True
    result: bytes | None = None
    error: str | None = None
    reason: str = ""
    retryable: bool = True


@dataclass(frozen=True)
class Ears:
    """Whom a run tells."""

    text: Callable[[str], None]
    note: Callable[[Note], None]
    ended: Callable[[Outcome], None]


class Runner:
    """Starts commands, and takes up those that an earlier process started.

    :param agent_id: whom the commands are told to work for.
    :param state_dir: the agent's own directory; runs stand below it.
    :param spawn: the reactor's ``spawnProcess``.
    :param kill_group: ``os.killpg``.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        agent_id: str,
        state_dir: Path,
        spawn: Spawn,
        clock: IReactorTime,
        kill_group: KillGroup = os.killpg,
    ) -> None:
        self._command = tuple(command)
        self._environment = {k: v for k, v in environment.items() if k not in HIDDEN_FROM_COMMANDS}
        self._agent_id = agent_id
        self._dirs = RunDirs(state_dir)
        self._spawn = spawn
        self._clock = clock
        self._kill_group = kill_group

    def start(self, task: Frame, ears: Ears) -> Run:
        """Run the command for a task; ``ears.ended`` is called in any case, later."""
        run_dir = self._dirs.of(_key(task))
        run = Run(run_dir, Group(run_dir, self._kill_group), self._clock, ears)
        try:
            if self._occupied(run_dir):
                run.never_began("an earlier run of the same attempt has not ended")
                return run
            self._dirs.make_room()
            lock = run_dir.make(msgspec.json.encode(task) + b"\n")
        except (OSError, ValueError) as e:
            return self._not_begun(run, run_dir, f"the agent's state could not be written: {e}")
        try:
            self._supervise(run, run_dir, lock, task)
        except (OSError, ValueError) as e:
            return self._not_begun(run, run_dir, f"the command could not be started: {e}")
        finally:
            # If the supervisor was started, it has the lock now.
            os.close(lock)
        run.follow()
        return run

    def adopt(self, task: Frame, ears: Ears) -> Run | None:
        """Take up a run that an earlier process began; ``None`` if nothing of it is left.

        Its result is as if nothing had happened.  Live output goes on where it
        was: up to a second of it is told again, and what the earlier process had
        heard and not yet passed on is told in the result alone.
        """
        run_dir = self._dirs.of(_key(task))
        group = Group(run_dir, self._kill_group)
        try:
            # In this order: a supervisor records the end before it goes.
            nothing = not run_dir.alive and run_dir.ending() is None
        except OSError:
            # Whether it lives is seen later.
            nothing = False
        if nothing:
            group.kill_orphans()
            run_dir.remove()
            return None
        run = Run(run_dir, group, self._clock, ears, told=run_dir.told())
        run.follow()
        return run

    def tidy(self, known: Collection[Key]) -> None:
        """End and drop the runs on disk that are not among these."""
        names = {self._dirs.of(key).path.name for key in known}
        for run_dir in self._dirs:
            if run_dir.path.name not in names:
                self._drop(run_dir)

    def _drop(self, run_dir: RunDir) -> None:
        group = Group(run_dir, self._kill_group)
        try:
            alive = run_dir.alive
        except OSError:
            alive = True
        if not alive:
            group.kill_orphans()
            run_dir.remove()
            return
        run_dir.wish("KILL")
        group.signal(signal.SIGKILL)
        self._clock.callLater(TIDY_S, self._drop, run_dir)

    def _occupied(self, run_dir: RunDir) -> bool:
        if run_dir.alive:
            return True
        if run_dir.exists:
            Group(run_dir, self._kill_group).kill_orphans()
            run_dir.remove()
        return False

    def _not_begun(self, run: Run, run_dir: RunDir, problem: str) -> Run:
        run_dir.remove()
        run.never_began(problem)
        return run

    def _supervise(self, run: Run, run_dir: RunDir, lock: int, task: Frame) -> None:
        argv = [sys.executable, "-I", "-S", "-c", SUPERVISOR, str(run_dir.path), *self._command]
        with ExitStack() as files:
            nothing = os.open(os.devnull, os.O_RDWR)
            files.callback(os.close, nothing)
            log = run_dir.open_log()
            files.callback(os.close, log)
            self._spawn(
                _Child(run),
                argv[0],
                argv,
                env=self._environment_of(task, run_dir),
                childFDs={0: nothing, 1: nothing, 2: log, LOCK_FD: lock},
            )

    def _environment_of(self, task: Frame, run_dir: RunDir) -> dict[str, str]:
        return {
            **self._environment,
            "AGENTCOM_TASK_ID": _for_environment(str(task["task_id"])),
            "AGENTCOM_DESCRIPTION": _for_environment(str(task.get("description", ""))),
            "AGENTCOM_AGENT_ID": self._agent_id,
            "AGENTCOM_GENERATION": str(task["generation"]),
            "AGENTCOM_ATTEMPT": str(task.get("attempt", 1)),
            "AGENTCOM_RESULT_FILE": str(run_dir.result_file),
        }


class Run:
    """One command that was started, until its end is known.

    :param told: how many bytes of its output an earlier process has told.
    """

    log = Logger()

    def __init__(
        self, run_dir: RunDir, group: Group, clock: IReactorTime, ears: Ears, told: int = 0
    ) -> None:
        self._run_dir = run_dir
        self._group = group
        self._clock = clock
        self._ears = ears
        self._told = told
        self._remembered_at = clock.seconds()
        self._printed = Printed(run_dir.path)
        self._hearing = Hearing(ears.text, ears.note)
        self._begun = False
        self._over = False
        self._wanted: signal.Signals | None = None
        self._next: IDelayedCall | None = None
        self._patience: IDelayedCall | None = None

    def go_on(self) -> None:
        """Nothing: a command that was taken up has gone on all the time."""

    def stop(self) -> None:
        """TERM to all that the command started, KILL when it does not go in 10 s."""
        if self._patience is None and self._want(signal.SIGTERM, "TERM"):
            self._patience = self._clock.callLater(KILL_AFTER_S, self.kill)

    def kill(self) -> None:
        """KILL at once."""
        self._want(signal.SIGKILL, "KILL")

    def discard(self) -> None:
        """Drop what is on disk of it, once it is over.  Idempotent, never raises."""
        if self._begun and self._over:
            self._run_dir.remove()

    def never_began(self, problem: str) -> None:
        """There will be no process; say so after the caller has returned."""
        outcome = Outcome(problem=problem, begun=False)
        self._next = self._clock.callLater(0, self._end, outcome)

    def follow(self) -> None:
        """Look for what happens, from now on."""
        self._begun = True
        self._again(0)

    def look(self) -> None:
        """Something may have happened."""
        if self._over:
            return
        if self._wanted is not None and self._group.signal(self._wanted):
            self._wanted = None
        try:
            # In this order: the end is recorded after the last output and
            # before the supervisor goes.
            alive = self._run_dir.alive
            ending = self._run_dir.ending()
            pieces = self._printed.read(READ_BYTES)
        except OSError as e:
            # An agent without a free descriptor must not take a run for dead.
            self.log.warn("a command cannot be followed at the moment: {e}", e=e)
            self._again(BLIND_S)
            return
        for piece in pieces:
            self._hearing.hear(piece, live=piece.end > self._told)
        if alive and ending is None:
            self._remember()
            # What a command prints faster than we read is lost in the end, so
            # that neither has to wait.
            self._again(POLL_S)
        elif pieces:
            self._again(0)
        else:
            self._finish(ending)

    def _finish(self, ending: Ending | None) -> None:
        if ending is None:
            self._group.kill_orphans()
            said = self._run_dir.log() or "it was killed"
            ending = Ending(problem=f"the supervisor of the command ended too early: {said}")
        data, problem = None, ending.problem
        try:
            data = self._run_dir.result()
        except (OSError, ValueError) as e:
            if isinstance(e, OSError) and e.errno in (EMFILE, ENFILE):
                self._again(BLIND_S)
                return
            problem = problem or f"the result file could not be used: {e}"
        self._hearing.end()
        if ending.printed > self._printed.position:
            self._hearing.miss(ending.printed - self._printed.position)
        output = self._hearing.output
        truncated = self._hearing.truncated
        self._end(
            Outcome(
                ending.code, ending.signal, output, truncated, data, problem, begun=ending.begun
            )
        )

    def _end(self, outcome: Outcome) -> None:
        self._over = True
        for call in (self._next, self._patience):
            if call is not None and call.active():
                call.cancel()
        self._printed.close()
        self._ears.ended(outcome)

    def _want(self, number: signal.Signals, wish: str) -> bool:
        """Whether there is anything to signal, now or soon."""
        if not self._begun or self._over:
            return False
        self._run_dir.wish(wish)
        # A command that is just being started gets it as soon as it is there.
        self._wanted = None if self._group.signal(number) else number
        return True

    def _again(self, seconds: float) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = self._clock.callLater(seconds, self.look)

    def _remember(self) -> None:
        now = self._clock.seconds()
        position = self._printed.position
        if position > self._told and now - self._remembered_at >= REMEMBER_S:
            self._told, self._remembered_at = position, now
            self._run_dir.tell(position)


class _Child(ProcessProtocol):
    """What Twisted calls: only that the supervisor has ended."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def processEnded(self, reason: Failure) -> None:
        self._run.look()


def _key(task: Frame) -> Key:
    return str(task["task_id"]), int(task["generation"])


def _for_environment(text: str) -> str:
    # An environment cannot hold NUL; the task on standard input is whole.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
