"""Runs, without processes: what would be started, and what is done with its end.

Supervisors are played by ``FakeSupervisor``, which writes what a real one
would into the real directory of the run; time is a ``Clock``.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import sys
from pathlib import Path
from typing import Any

from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar import runner
from agentcom.sidecar.output import KEPT_BYTES, Note
from agentcom.sidecar.rundir import MAX_RESULT_FILE
from agentcom.sidecar.runner import KILL_AFTER_S, POLL_S, REMEMBER_S, Ears, Outcome, Run, Runner
from agentcom.sidecar.segments import CHUNK, ERR, OUT, Log
from agentcom.sidecar.supervise import LOCK_FD, RESERVED, RESERVED_BYTES

TASK = {"task_id": "task-1", "description": "do\0it", "generation": 2, "attempt": 1, "more": [1]}
PID = 4711


class FakeSupervisor:
    """What the spawn got, and what a supervisor would do with it."""

    def __init__(
        self, protocol: Any, argv: list[str], env: dict[str, str], files: dict[int, int]
    ) -> None:
        self.protocol, self.argv, self.env = protocol, argv, env
        self.path = Path(argv[5])
        self.command = argv[6:]
        # As a process that inherits it, it keeps the lock.
        self.lock: int | None = os.dup(files[LOCK_FD])
        self.files = {number: os.fstat(file) for number, file in files.items()}
        self.log = Log(str(self.path))

    def begin(self) -> None:
        (self.path / "pid").write_text(f"{PID}\n")

    def say(self, data: bytes, stream: int = OUT) -> None:
        for start in range(0, len(data), CHUNK):
            self.log.add(stream, data[start : start + CHUNK])

    def die(self) -> None:
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def end(self, **fields: Any) -> None:
        (self.path / "pid").unlink(missing_ok=True)
        fields = {"printed": self.log.printed, **fields}
        (self.path / "exit.json").write_bytes(json.dumps(fields).encode())
        self.die()

    def told(self) -> None:
        """The agent is told that the process has ended."""
        self.protocol.processEnded(Failure(ProcessDone(0)))


class RunnerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.state_dir = Path(self.mktemp()).absolute() / "agent"
        self.clock = Clock()
        self.said: list[Any] = []
        self.killed: list[tuple[int, int]] = []
        self.kill_error: Exception | None = None
        self.spawn_error: Exception | None = None
        self.begins = True
        self.barred = "nothing"

    def spawn(
        self, protocol: Any, program: str, argv: list[str], env: Any, childFDs: dict[int, int]
    ) -> None:
        if self.spawn_error is not None:
            raise self.spawn_error
        self.assertEqual(program, argv[0])
        self.supervisor = FakeSupervisor(protocol, argv, env, childFDs)
        self.addCleanup(self.supervisor.die)
        if self.begins:
            self.supervisor.begin()

    def kill_group(self, pid: int, number: int) -> None:
        if self.kill_error is not None:
            raise self.kill_error
        self.killed.append((pid, number))

    def runner(self) -> Runner:
        return Runner(
            ["review", "a b"],
            {"PATH": "/bin", "AGENTCOM_TOKEN": "secret", "AGENTCOM_HUB": "h"},
            agent_id="bot",
            state_dir=self.state_dir,
            spawn=self.spawn,
            clock=self.clock,
            kill_group=self.kill_group,
        )

    def start(self, **fields: Any) -> Run:
        ears = Ears(self.said.append, self.said.append, self.said.append)
        return self.runner().start({**TASK, **fields}, ears)

    def adopt(self) -> Run | None:
        """Another process of the agent, with a clock of its own."""
        self.clock = Clock()
        self.said = []
        ears = Ears(self.said.append, self.said.append, self.said.append)
        return self.runner().adopt(TASK, ears)

    def adopted(self) -> Run:
        run = self.adopt()
        assert run is not None
        return run

    def run_out_of_descriptors(self) -> None:
        """From now on files whose path has ``self.barred`` in it cannot be opened."""
        opens, lists = os.open, os.listdir

        def may_open(path: Any, *more: Any, **named: Any) -> int:
            if str(path).startswith(str(self.state_dir)) and self.barred in str(path):
                raise OSError(errno.EMFILE, "Too many open files")
            return opens(path, *more, **named)

        def may_list(path: Any) -> list[str]:
            if self.barred == "listing":
                raise OSError(errno.EMFILE, "Too many open files")
            return lists(path)

        self.patch(os, "open", may_open)
        self.patch(os, "listdir", may_list)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([POLL_S] * round(seconds / POLL_S))

    def outcome(self) -> Outcome:
        """How it ended; nothing more is going to happen."""
        self.clock.pump([0] * 30)
        outcome = self.said[-1]
        self.assertIsInstance(outcome, Outcome)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return outcome  # type: ignore[no-any-return]

    def end(self, **fields: Any) -> Outcome:
        self.supervisor.end(**fields)
        self.supervisor.told()
        return self.outcome()


class StartTests(RunnerTestCase):
    def test_command(self) -> None:
        """A supervisor of its own starts the command, in words, without a shell."""
        self.start()
        supervisor = self.supervisor
        self.assertEqual(supervisor.argv[:4], [sys.executable, "-I", "-S", "-c"])
        self.assertIn("supervise import main", supervisor.argv[4])
        self.assertEqual(supervisor.command, ["review", "a b"])

    def test_no_line_to_the_agent(self) -> None:
        """A supervisor has nothing of the agent that could break with it."""
        self.start()
        for number in (0, 1):
            self.assertTrue(stat.S_ISCHR(self.supervisor.files[number].st_mode))
        self.assertTrue(stat.S_ISREG(self.supervisor.files[2].st_mode))

    def test_environment(self) -> None:
        """The task is in the environment, the agent's token is not."""
        self.start()
        told = dict(self.supervisor.env)
        self.assertEqual(
            told.pop("AGENTCOM_RESULT_FILE"), str(self.supervisor.path / "result.json")
        )
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

    def test_short_task(self) -> None:
        """A hub that tells less of a task is no reason to fail."""
        ears = Ears(self.said.append, self.said.append, self.said.append)
        self.runner().start({"task_id": "t", "generation": 1}, ears)
        told = self.supervisor.env
        self.assertEqual((told["AGENTCOM_DESCRIPTION"], told["AGENTCOM_ATTEMPT"]), ("", "1"))

    def test_standard_input(self) -> None:
        """The whole task is the command's standard input."""
        self.start()
        task = self.supervisor.path / "task.json"
        self.assertEqual(json.loads(task.read_bytes()), TASK)

    def test_private(self) -> None:
        """Nobody else can read what an agent works on."""
        self.start()
        for path in (self.supervisor.path, self.supervisor.path.parent, self.state_dir):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700)

    def test_hostile_ids(self) -> None:
        """A task's id, whatever the hub sends, stays inside the directory of runs."""
        for task_id in ("..", "../../x", "/etc", "a\0b", "x" * 10_000, ""):
            self.start(task_id=task_id)
            self.assertEqual(self.supervisor.path.parent, self.state_dir / "runs", task_id)
            self.end(code=0)

    def test_cannot_start(self) -> None:
        """A command that cannot be started ends like any other, a little later."""
        for error in (OSError("too many processes"), ValueError("embedded null")):
            self.spawn_error = error
            run = self.start()
            run.stop()
            run.kill()
            self.assertEqual(self.said, [])
            self.assertIn(str(error), self.outcome().problem or "")
            self.assertEqual(list((self.state_dir / "runs").iterdir()), [])
            run.discard()
            self.said.clear()

    def test_no_text(self) -> None:
        """A task that cannot be written as JSON is refused in the same way."""
        self.start(task_id="\ud800")
        self.assertIn("could not be written", self.outcome().problem or "")

    def test_no_state(self) -> None:
        """A state directory that cannot be written is a problem of the run, not of the agent."""
        self.state_dir.parent.mkdir()
        self.state_dir.write_text("in the way")
        self.start()
        self.assertEqual(self.said, [])
        self.assertIn("state could not be written", self.outcome().problem or "")

    def test_full_disk(self) -> None:
        """So is a full disk, and the half of a directory is dropped."""

        def full(path: Path, name: str, data: bytes) -> None:
            if name == RESERVED:
                self.assertEqual(len(data), RESERVED_BYTES)
                raise OSError(28, "No space left on device")
            write(path, name, data)

        write = runner.RunDir._write
        self.patch(runner.RunDir, "_write", full)
        self.start()
        self.assertIn("No space left", self.outcome().problem or "")
        self.assertEqual(list((self.state_dir / "runs").iterdir()), [])

    def test_twice(self) -> None:
        """An attempt that still runs is not begun a second time, and is left alone."""
        self.start()
        first = self.supervisor
        again = self.start()
        again.stop()
        again.kill()
        self.assertEqual(self.killed, [])
        self.clock.advance(0)
        self.assertIn("has not ended", self.said[-1].problem)
        again.discard()
        self.assertIs(self.supervisor, first)
        first.say(b"one\n")
        self.assertEqual(self.end(code=0).output, "one\n")

    def test_remains(self) -> None:
        """What an earlier run of the attempt left on disk is not taken for this one's."""
        self.start()
        self.supervisor.say(b"old\n")
        (self.supervisor.path / "result.json").write_bytes(b"1")
        self.end(code=9)
        self.start()
        self.supervisor.say(b"new\n")
        outcome = self.end(code=0)
        self.assertEqual((outcome.exit_code, outcome.output, outcome.data), (0, "new\n", None))


class EndTests(RunnerTestCase):
    def test_output(self) -> None:
        """Both outputs are told line by line; progress lines are no output."""
        self.start()
        self.supervisor.say(b"one\nagentcom:progress 50 half\ntw")
        self.supervisor.say(b"agentcom:progress 60 not here\n", ERR)
        self.pass_time(POLL_S)
        self.assertEqual(self.said, ["one\n", Note(50, "half"), "agentcom:progress 60 not here\n"])
        self.supervisor.say(b"o\nend")
        outcome = self.end(code=0)
        self.assertEqual(self.said[3:-1], ["two\n", "end\n"])
        self.assertEqual(outcome.output, "one\nagentcom:progress 60 not here\ntwo\nend\n")
        self.assertFalse(outcome.truncated)

    def test_end_is_seen_at_once(self) -> None:
        """The end is told when the supervisor ends, not at the next look."""
        self.start()
        self.pass_time(1)
        self.supervisor.end(code=0)
        self.supervisor.told()
        self.assertIsInstance(self.said[-1], Outcome)

    def test_much_output(self) -> None:
        """What is read at a time is bounded, and the end waits for all of it."""
        self.start()
        for i in range(4):
            self.supervisor.say(f"{i:07}\n".encode() * 131_072)
        self.pass_time(POLL_S)
        some = sum(map(len, self.said))
        self.assertGreater(some, 0)
        self.assertLess(some, 2 * runner.READ_BYTES)
        outcome = self.end(code=0)
        self.assertEqual(sum(map(len, self.said[:-1])), 4 * 1024 * 1024)
        self.assertEqual(outcome.output, "0000003\n" * (KEPT_BYTES // 8))
        self.assertTrue(outcome.truncated)

    def test_lost_output(self) -> None:
        """What was dropped is named by its size, and stands in a line of its own."""
        self.start()
        self.supervisor.say(b"before\n")
        self.pass_time(POLL_S)
        for _ in range(120):
            self.supervisor.say((b"x" * 99 + b"\n") * 1000)
        outcome = self.end(code=0)
        told = "".join(self.said[:-1])
        notices = re.findall(r"x\n\[(\d+) bytes of output are lost here: .*\]\nx", told)
        self.assertEqual(len(notices), 1)
        # The cut goes through a line, of which both parts end now.
        seen = told.count("x") + int(notices[0]) * 99 / 100
        self.assertAlmostEqual(seen, 120_000 * 99, delta=100)
        self.assertLess(int(notices[0]), 5_000_000)
        self.assertTrue(outcome.truncated)

    def test_lost_end(self) -> None:
        """So is what could not be written at the very end."""
        self.start()
        self.supervisor.say(b"one\n")
        outcome = self.end(code=0, printed=104)
        self.assertIn("[100 bytes of output are lost", outcome.output)
        self.assertTrue(outcome.truncated)

    def test_result_file(self) -> None:
        """What the command left in its result file is its data."""
        self.start()
        Path(self.supervisor.env["AGENTCOM_RESULT_FILE"]).write_bytes(b"{}")
        self.assertEqual(self.end(code=0).data, b"{}")

    def test_no_result_file(self) -> None:
        """Without one, or with an empty one, there is no data and no problem."""
        self.start()
        outcome = self.end(code=0)
        self.assertEqual((outcome.data, outcome.problem), (None, None))

    def test_bad_result_files(self) -> None:
        """A result file that is a pipe or too large is a problem, not a hang."""

        def pipe(path: Path) -> None:
            os.mkfifo(path)

        def large(path: Path) -> None:
            path.write_bytes(b"x" * (MAX_RESULT_FILE + 1))

        for make, told in ((pipe, "regular file"), (large, "more than"), (Path.mkdir, "")):
            run = self.start()
            make(Path(self.supervisor.env["AGENTCOM_RESULT_FILE"]))
            outcome = self.end(code=0)
            self.assertIsNone(outcome.data)
            self.assertIn(f"could not be used: {'it' if told else ''}", outcome.problem or "")
            self.assertIn(told, outcome.problem or "")
            run.discard()

    def test_exit_codes(self) -> None:
        """Exit status and signal are told as they are."""
        self.start()
        self.assertEqual(self.end(code=3).exit_code, 3)
        self.start()
        outcome = self.end(signal=signal.SIGSEGV)
        self.assertEqual((outcome.exit_code, outcome.signal), (None, signal.SIGSEGV))

    def test_not_begun(self) -> None:
        """What a supervisor could not do is the problem of the run."""
        self.start()
        self.assertEqual(self.end(problem="no room").problem, "no room")

    def test_bad_record(self) -> None:
        """A record that cannot be read is a problem too."""
        self.start()
        self.supervisor.end()
        (self.supervisor.path / "exit.json").write_bytes(b"{")
        self.supervisor.told()
        self.assertIn("cannot be read", self.outcome().problem or "")

    def test_dead_supervisor(self) -> None:
        """A supervisor that ends without a record is told, with what it said itself."""
        self.start()
        self.supervisor.say(b"one\n")
        (self.supervisor.path / "log").write_text("Traceback\nMemoryError\n")
        self.supervisor.die()
        self.pass_time(POLL_S)
        outcome = self.outcome()
        self.assertEqual((outcome.exit_code, outcome.output), (None, "one\n"))
        self.assertIn("MemoryError", outcome.problem or "")

    def test_no_descriptors(self) -> None:
        """An agent without a free descriptor takes no run for dead, and loses nothing of it."""
        run = self.start()
        self.supervisor.say(b"one\n")
        self.supervisor.end(code=0)
        (self.supervisor.path / "result.json").write_bytes(b"{}")
        self.run_out_of_descriptors()
        for self.barred in ("lock", "listing", "output", "result"):
            self.pass_time(3)
            run.stop()
            self.assertNotIn(Outcome, map(type, self.said), self.barred)
        self.barred = "nothing"
        self.pass_time(2)
        outcome = self.outcome()
        self.assertEqual((outcome.output, outcome.data, outcome.problem), ("one\n", b"{}", None))

    def test_discard(self) -> None:
        """What a run has on disk is kept until it is discarded, and a run that lives for ever."""
        run = self.start()
        run.discard()
        self.assertTrue(self.supervisor.path.exists())
        self.end(code=0)
        self.assertTrue(self.supervisor.path.exists())
        run.discard()
        self.assertFalse(self.supervisor.path.exists())
        run.discard()


class StopTests(RunnerTestCase):
    def wish(self) -> str:
        return (self.supervisor.path / "wish").read_text()

    def test_stop(self) -> None:
        """Stopping asks the whole group, and insists after a while."""
        run = self.start()
        run.stop()
        run.stop()
        self.assertEqual((self.killed, self.wish()), ([(PID, signal.SIGTERM)], "TERM"))
        self.pass_time(KILL_AFTER_S - 0.1)
        self.assertEqual(len(self.killed), 1)
        self.pass_time(0.2)
        self.assertEqual((self.killed[1:], self.wish()), ([(PID, signal.SIGKILL)], "KILL"))
        self.end(signal=signal.SIGKILL)

    def test_kill(self) -> None:
        """Killing does not ask."""
        self.start().kill()
        self.assertEqual((self.killed, self.wish()), ([(PID, signal.SIGKILL)], "KILL"))
        self.end(signal=signal.SIGKILL)

    def test_group_has_its_time(self) -> None:
        """After a stop the rest of the group has the time that the command had."""
        run = self.start()
        run.stop()
        self.pass_time(KILL_AFTER_S + 0.1)
        # The supervisor has not yet reaped the command: the group is still ours.
        self.assertEqual([number for _, number in self.killed], [signal.SIGTERM, signal.SIGKILL])
        self.end(code=0)

    def test_before_it_began(self) -> None:
        """A stop that comes too early reaches the command once, when it is there."""
        self.begins = False
        run = self.start()
        run.stop()
        self.pass_time(0.5)
        self.assertEqual((self.killed, self.wish()), ([], "TERM"))
        self.supervisor.begin()
        self.pass_time(0.5)
        self.assertEqual(self.killed, [(PID, signal.SIGTERM)])
        self.end(code=0)

    def test_after_the_end(self) -> None:
        """Stopping what has ended does nothing."""
        run = self.start()
        self.end(code=0)
        run.stop()
        run.kill()
        self.assertEqual((self.killed, self.clock.getDelayedCalls()), ([], []))

    def test_only_what_is_ours(self) -> None:
        """Once the supervisor is gone, nobody is signalled: the id may be another's."""
        run = self.start()
        self.supervisor.die()
        run.kill()
        self.assertEqual(self.killed, [])
        self.supervisor.told()
        self.outcome()
        self.assertEqual(self.killed, [])

    def test_only_before_it_is_reaped(self) -> None:
        """Once the command is about to be reaped, its id is not used any more."""
        run = self.start()
        (self.supervisor.path / "pid").unlink()
        run.kill()
        self.pass_time(0.2)
        self.assertEqual(self.killed, [])
        self.end(code=0)

    def test_not_ours_to_kill(self) -> None:
        """A process that changed its user, or is just going, is left, and the agent goes on."""
        for error in (PermissionError("no"), ProcessLookupError()):
            self.kill_error = error
            run = self.start()
            run.stop()
            self.end(code=0)
            run.discard()


class AdoptTests(RunnerTestCase):
    def test_running(self) -> None:
        """A run goes on under the next process: its output, its end, its result."""
        self.start()
        self.supervisor.say(b"one\ntw")
        self.pass_time(REMEMBER_S + POLL_S)
        self.supervisor.say(b"o\nagentcom:progress 5\n")
        self.adopted()
        self.assertEqual(self.said, [])
        self.pass_time(POLL_S)
        self.assertEqual(self.said, ["two\n", Note(5, "")])
        (self.supervisor.path / "result.json").write_bytes(b"[]")
        self.supervisor.end(code=3)
        self.pass_time(POLL_S)
        outcome = self.outcome()
        self.assertEqual((outcome.exit_code, outcome.data), (3, b"[]"))
        self.assertEqual((outcome.output, outcome.truncated), ("one\ntwo\n", False))

    def test_told_notes(self) -> None:
        """Progress that was told is not told again."""
        self.start()
        self.supervisor.say(b"agentcom:progress 5\n")
        self.pass_time(REMEMBER_S + POLL_S)
        self.adopted()
        self.pass_time(POLL_S)
        self.assertEqual(self.said, [])

    def test_ended_meanwhile(self) -> None:
        """An end that nobody saw is told as if it had been seen, until it is discarded."""
        self.start()
        self.supervisor.say(b"x" * 99 + b"\n")
        self.supervisor.end(code=0)
        for _ in range(2):
            run = self.adopted()
            self.assertEqual(self.outcome().exit_code, 0)
            self.assertEqual(self.said[-1].output, "x" * 99 + "\n")
        run.discard()
        self.assertIsNone(self.adopt())

    def test_tail(self) -> None:
        """The end of a long output is the same, whoever read its beginning."""
        self.start()
        for i in range(30):
            self.supervisor.say(f"{i:07}\n".encode() * 100_000)
            self.pass_time(POLL_S)
        self.adopted()
        self.supervisor.end(code=0)
        outcome = self.outcome()
        self.assertEqual(outcome.output, "0000029\n" * (KEPT_BYTES // 8))
        self.assertTrue(outcome.truncated)

    def test_nothing(self) -> None:
        """What never was cannot be taken up."""
        self.assertIsNone(self.adopt())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dead(self) -> None:
        """Nor what is gone without an end; its remains are dropped, and no stranger is killed."""
        self.start()
        self.supervisor.die()
        self.assertIsNone(self.adopt())
        self.assertFalse(self.supervisor.path.exists())
        self.assertEqual(self.killed, [])

    def test_no_descriptors(self) -> None:
        """What cannot be looked at is not taken for gone."""
        self.start()
        self.run_out_of_descriptors()
        self.barred = "lock"
        self.adopted()
        self.barred = "nothing"
        self.supervisor.end(code=4)
        self.pass_time(2)
        self.assertEqual(self.outcome().exit_code, 4)

    def test_half_made(self) -> None:
        """Nor a directory whose maker was killed before there was a supervisor."""
        (self.state_dir / "runs" / "task-1.2").mkdir(parents=True)
        self.assertIsNone(self.adopt())

    def test_stop(self) -> None:
        """What was taken up can be stopped."""
        self.start()
        self.adopted().stop()
        self.assertEqual(self.killed, [(PID, signal.SIGTERM)])
        self.supervisor.end(code=0)
        self.pass_time(POLL_S)
        self.outcome()


class TidyTests(RunnerTestCase):
    def runs(self) -> list[str]:
        return sorted(path.name for path in (self.state_dir / "runs").iterdir())

    def test_ended(self) -> None:
        """Runs that nobody knows are dropped, the others are kept."""
        for generation in (1, 2, 3):
            self.start(generation=generation)
            self.supervisor.end(code=0)
        self.runner().tidy([("task-1", 2)])
        self.assertEqual(self.runs(), ["task-1.2"])

    def test_running(self) -> None:
        """What still runs is killed, and dropped when its supervisor is gone."""
        self.start()
        self.clock = Clock()
        self.runner().tidy([])
        self.assertEqual(self.killed, [(PID, signal.SIGKILL)])
        self.assertEqual((self.supervisor.path / "wish").read_text(), "KILL")
        self.assertEqual(self.runs(), ["task-1.2"])
        self.supervisor.end(signal=signal.SIGKILL)
        self.clock.advance(1)
        self.assertEqual((self.runs(), self.clock.getDelayedCalls()), ([], []))

    def test_no_descriptors(self) -> None:
        """What cannot be looked at is not dropped."""
        self.start()
        self.clock = Clock()
        self.run_out_of_descriptors()
        self.barred = "lock"
        self.runner().tidy([])
        self.clock.advance(1)
        self.assertEqual(self.runs(), ["task-1.2"])
        self.barred = "nothing"
        self.supervisor.end(code=0)
        self.clock.advance(1)
        self.assertEqual((self.runs(), self.clock.getDelayedCalls()), ([], []))

    def test_nothing(self) -> None:
        """A new agent has nothing to tidy."""
        self.runner().tidy([("task-1", 2)])
