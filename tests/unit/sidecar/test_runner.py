"""Runs, without processes: what would be started, and what is done with its end.

Processes are played by ``FakeProcess``; time is a ``Clock``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar import launch, runner
from agentcom.sidecar.output import Note
from agentcom.sidecar.runner import DRAIN_S, KILL_AFTER_S, Ears, Outcome, Run, Runner

TASK = {"task_id": "task-1", "description": "do\0it", "generation": 2, "attempt": 1, "more": [1]}


class FakeProcess:
    """A process as its protocol sees it."""

    pid = 4711

    def __init__(self) -> None:
        self.input = b""
        self.stdin_closed = False
        self.pipes_closed = False
        self.signals: list[str] = []
        self.gone = False

    def write(self, data: bytes) -> None:
        self.input += data

    def closeStdin(self) -> None:
        self.stdin_closed = True

    def loseConnection(self) -> None:
        self.pipes_closed = True

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(name)


class RunTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.process = FakeProcess()
        self.said: list[Any] = []
        self.killed: list[tuple[int, int]] = []
        self.kill_error: Exception | None = None
        self.spawn_error: OSError | None = None

    def spawn(self, protocol: Any, program: str, argv: list[str], env: dict[str, str]) -> None:
        if self.spawn_error is not None:
            raise self.spawn_error
        self.protocol, self.argv, self.env = protocol, argv, env
        protocol.makeConnection(self.process)

    def kill_group(self, pid: int, number: int) -> None:
        if self.kill_error is not None:
            raise self.kill_error
        self.killed.append((pid, number))

    def start(self) -> Run:
        made = Runner(
            ["review", "a b"],
            {"PATH": "/bin", "AGENTCOM_TOKEN": "secret", "AGENTCOM_HUB": "h"},
            spawn=self.spawn,
            clock=self.clock,
            kill_group=self.kill_group,
        )
        ears = Ears(self.said.append, self.said.append, self.said.append)
        return made.start("bot", TASK, ears)

    def exit(self, code: int | None = 0, signal: int | None = None) -> None:
        done = ProcessDone(0) if code == 0 else ProcessTerminated(code, signal)
        self.process.gone = True
        self.protocol.processExited(Failure(done))

    def end(self, code: int | None = 0, signal: int | None = None) -> Outcome:
        self.exit(code, signal)
        self.protocol.processEnded(Failure(ProcessDone(0)))
        outcome = self.said[-1]
        self.assertIsInstance(outcome, Outcome)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return outcome  # type: ignore[no-any-return]

    def test_command(self) -> None:
        """The command is started by the launcher, in words, without a shell."""
        self.start()
        self.assertEqual(self.argv[0], sys.executable)
        self.assertTrue(self.argv[-3].endswith("launch.py"))
        self.assertEqual(self.argv[-2:], ["review", "a b"])

    def test_environment(self) -> None:
        """The task is in the environment, the agent's token is not."""
        self.start()
        self.assertNotIn("AGENTCOM_TOKEN", self.env)
        told = {k: v for k, v in self.env.items() if k != "AGENTCOM_RESULT_FILE"}
        self.assertEqual(
            told,
            {
                "PATH": "/bin",
                "AGENTCOM_HUB": "h",
                "AGENTCOM_TASK_ID": "task-1",
                "AGENTCOM_DESCRIPTION": "do\ufffdit",
                "AGENTCOM_AGENT_ID": "bot",
                "AGENTCOM_GENERATION": "2",
                "AGENTCOM_ATTEMPT": "1",
            },
        )

    def test_standard_input(self) -> None:
        """The whole task is on standard input, which then ends."""
        self.start()
        self.assertEqual(json.loads(self.process.input), TASK)
        self.assertTrue(self.process.stdin_closed)

    def test_output(self) -> None:
        """Both outputs are told line by line; progress lines are no output."""
        self.start()
        self.protocol.outReceived(b"one\nagentcom:progress 50 half\ntw")
        self.protocol.errReceived(b"agentcom:progress 60 not here\n")
        self.protocol.outReceived(b"o\n")
        outcome = self.end()
        self.assertEqual(
            self.said[:-1],
            ["one\n", Note(50, "half"), "agentcom:progress 60 not here\n", "two\n"],
        )
        self.assertEqual(outcome.output, "one\nagentcom:progress 60 not here\ntwo\n")

    def test_result_file(self) -> None:
        """What the command left in its result file is its data; the file is removed."""
        self.start()
        path = Path(self.env["AGENTCOM_RESULT_FILE"])
        path.write_bytes(b"{}")
        self.assertEqual(self.end().data, b"{}")
        self.assertFalse(path.parent.exists())

    def test_no_result_file(self) -> None:
        """Without one, or with an empty one, there is no data and no problem."""
        self.start()
        outcome = self.end()
        self.assertEqual((outcome.data, outcome.problem), (None, None))

    def test_bad_result_files(self) -> None:
        """A result file that is a pipe or too large is a problem, not a hang."""

        def pipe(path: Path) -> None:
            os.mkfifo(path)

        def large(path: Path) -> None:
            path.write_bytes(b"x" * (runner.MAX_RESULT_FILE + 1))

        for make, told in ((pipe, "regular file"), (large, "more than"), (Path.mkdir, "")):
            self.start()
            make(Path(self.env["AGENTCOM_RESULT_FILE"]))
            outcome = self.end()
            self.assertIsNone(outcome.data)
            self.assertIn(f"could not be used: {'it' if told else ''}", outcome.problem or "")
            self.assertIn(told, outcome.problem or "")

    def test_exit_codes(self) -> None:
        """Exit status and signal are told as they are."""
        self.start()
        self.assertEqual(self.end(3).exit_code, 3)
        self.start()
        outcome = self.end(None, signal.SIGSEGV)
        self.assertEqual((outcome.exit_code, outcome.signal), (None, signal.SIGSEGV))

    def test_stop(self) -> None:
        """Stopping asks the whole group, and insists after a while."""
        run = self.start()
        run.stop()
        self.assertEqual(self.killed, [(4711, signal.SIGTERM)])
        self.clock.advance(KILL_AFTER_S - 0.1)
        self.assertEqual(len(self.killed), 1)
        self.clock.advance(0.1)
        self.assertEqual(self.killed[1:], [(4711, signal.SIGKILL)])
        self.end(None, signal.SIGKILL)

    def test_stop_after_the_end(self) -> None:
        """Stopping what has ended does nothing."""
        run = self.start()
        self.end()
        self.killed.clear()
        run.stop()
        run.kill()
        self.assertEqual(self.killed, [])

    def test_nothing_outlives_the_command(self) -> None:
        """What the command left behind in its group is killed."""
        self.start()
        self.end()
        self.assertEqual(self.killed, [(4711, signal.SIGKILL)])

    def test_background_process_holds_the_pipes(self) -> None:
        """A grandchild that keeps printing delays the end only for a moment."""
        run = self.start()
        self.exit()
        run.stop()
        self.assertEqual(self.killed, [])
        self.clock.advance(DRAIN_S)
        self.assertEqual(self.killed, [(4711, signal.SIGKILL)])
        self.assertTrue(self.process.pipes_closed)

    def test_group_has_its_time(self) -> None:
        """After a stop the rest of the group has the time that the command had."""
        run = self.start()
        run.stop()
        self.clock.advance(1)
        self.exit(None, signal.SIGTERM)
        self.clock.advance(KILL_AFTER_S - 1.1)
        self.assertEqual(self.killed, [(4711, signal.SIGTERM)])
        self.clock.advance(0.1)
        self.assertTrue(self.process.pipes_closed)

    def test_no_group_yet(self) -> None:
        """Before the launcher has made its group, the process itself is signalled."""
        self.kill_error = ProcessLookupError()
        run = self.start()
        run.stop()
        self.assertEqual(self.process.signals, ["TERM"])
        self.process.gone = True
        run.kill()
        self.end()

    def test_not_ours_to_kill(self) -> None:
        """A process that changed its user is left, and the agent goes on."""
        self.kill_error = PermissionError("no")
        run = self.start()
        run.stop()
        self.end()

    def test_cannot_start(self) -> None:
        """A command that cannot be started ends like any other, a little later."""
        self.spawn_error = OSError("too many processes")
        run = self.start()
        run.stop()
        self.assertEqual(self.said, [])
        self.clock.advance(KILL_AFTER_S)
        self.assertEqual(len(self.said), 1)
        self.assertIn("too many processes", self.said[0].problem)

    def test_no_scratch(self) -> None:
        """Neither does a full disk stop the agent."""

        def full(**kwargs: Any) -> str:
            raise OSError("disk full")

        self.patch(runner.tempfile, "mkdtemp", full)
        self.start()
        self.clock.advance(0)
        self.assertIn("disk full", self.said[0].problem)


class LaunchTests(SynchronousTestCase):
    def become(self, error: OSError | None) -> list[Any]:
        did: list[Any] = []

        def execvp(file: str, argv: list[str]) -> None:
            did.append(("exec", file, argv))
            if error is not None:
                raise error

        self.patch(launch.os, "setsid", lambda: did.append("setsid"))
        self.patch(launch.signal, "signal", lambda *args: did.append(args))
        self.patch(launch.os, "execvp", execvp)
        self.patch(launch.os, "_exit", lambda code: did.append(("exit", code)))
        self.patch(launch.sys, "stderr", open(os.devnull, "w"))  # noqa: SIM115
        self.addCleanup(launch.sys.stderr.close)
        launch.become(["review", "x"])
        return did

    def test_becomes(self) -> None:
        """The command gets a session of its own and the usual signals."""
        self.assertEqual(
            self.become(None),
            [
                "setsid",
                (signal.SIGPIPE, signal.SIG_DFL),
                (signal.SIGXFSZ, signal.SIG_DFL),
                ("exec", "review", ["review", "x"]),
            ],
        )

    def test_no_command(self) -> None:
        """A command that is not there, or may not run, ends as in a shell."""
        self.assertEqual(self.become(FileNotFoundError(2, "none"))[-1], ("exit", 127))
        self.assertEqual(self.become(PermissionError(13, "no"))[-1], ("exit", 126))
