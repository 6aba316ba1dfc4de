"""Commands in real processes: they outlive whoever started them.

``Agent`` is a process that runs one command as an agent would
(``workshop.py``); it is killed, and another one takes the command up.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.output import KEPT_BYTES
from agentcom.sidecar.rundir import RunDir, RunDirs
from agentcom.sidecar.runner import SUPERVISOR
from agentcom.sidecar.supervise import LOCK_FD
from tests.integration.processes import PATIENCE_S, ROOT, until
from tests.integration.workshop import KEY

ON_LINUX = sys.platform.startswith("linux")
MIB = 1024 * 1024


class Agent:
    """One process of ``workshop.py``, and what it has told."""

    def __init__(self, work: Path, name: str, how: str, *command: str) -> None:
        self._said = work / f"{name}.out"
        with self._said.open("wb") as said, (work / f"{name}.err").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.workshop", how, str(work), *command],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=errors,
                text=True,
            )

    def told(self) -> list[dict[str, Any]]:
        """Everything so far, in order."""
        return [json.loads(line) for line in self._said.read_text().split("\n")[:-1]]

    def find(self, key: str) -> dict[str, Any]:
        """The first thing with that key, once it is told."""
        found: dict[str, Any] = until(
            lambda: next((told for told in self.told() if key in told), None), f"told: {key}"
        )
        return found

    @property
    def text(self) -> str:
        """All live output so far."""
        return "".join(told.get("text", "") for told in self.told())

    def hears(self, text: str) -> None:
        """Wait until that was printed, and told."""
        until(lambda: text in self.text, f"told: {text!r}")

    def order(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        if self.process.stdin is not None:
            self.process.stdin.close()


class SuperviseTests(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.work = Path(os.path.realpath(self.mktemp()))
        self.work.mkdir(parents=True)
        self.run_dir: RunDir = RunDirs(self.work).of(KEY)
        self.agents = 0

    def agent(self, how: str, *command: str) -> Agent:
        self.agents += 1
        agent = Agent(self.work, f"{how}-{self.agents}", how, *command)
        self.addCleanup(agent.kill)
        return agent

    def start(self, script: str) -> Agent:
        """An agent that runs a shell script."""
        agent = self.agent("start", "sh", "-c", script)
        self.addCleanup(self.end_all)
        self.assertTrue(agent.find("run")["run"])
        return agent

    def end_all(self) -> None:
        """Leave no command behind, whatever the test has found."""
        pid = self.run_dir.pid()
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)
        until(lambda: not self.run_dir.alive, "the supervisor gone")

    def adopt(self) -> Agent:
        agent = self.agent("adopt", "this is not run")
        self.assertTrue(agent.find("run")["run"])
        return agent

    def gate(self, name: str) -> tuple[Path, str]:
        """A file, and the words of a script that waits for it."""
        path = self.work / name
        return path, f"while ! test -e {path}; do sleep 0.02; done; "

    def child(self) -> Path:
        """Where a child of the command writes its id; it goes with the file at the latest."""
        path = self.work / "child"
        self.addCleanup(path.unlink, missing_ok=True)
        return path

    def gone(self, pid: int) -> Callable[[], bool]:
        """Tells whether a process runs no more; who reaps it is not ours."""

        def is_gone() -> bool:
            look = ["ps", "-o", "stat=", "-p", str(pid)]
            state = subprocess.run(look, capture_output=True, text=True).stdout.strip()
            return state == "" or state.startswith("Z")

        return is_gone

    def test_a_command_outlives_its_agent(self) -> None:
        """The agent is killed, the command goes on, the next agent has all of it."""
        gate, wait = self.gate("go")
        first = self.start(
            "cat; echo one; echo agentcom:progress 5 x; " + wait + "echo two >&2;"
            "echo '{}' >$AGENTCOM_RESULT_FILE; exit 3"
        )
        first.hears("one\n")
        first.kill()
        second = self.adopt()
        gate.touch()
        ended = second.find("ended")
        task, _, rest = ended["output"].partition("\n")
        self.assertEqual(json.loads(task)["task_id"], "task-1")
        self.assertEqual(rest, "one\ntwo\n")
        self.assertEqual((ended["code"], ended["data"], ended["problem"]), (3, "{}\n", None))
        self.assertFalse(ended["truncated"])
        self.assertTrue(second.text.endswith("two\n"))
        until(lambda: not self.run_dir.alive, "the supervisor gone")
        second.order("discard")
        until(lambda: not self.run_dir.exists, "dropped")

    def test_an_end_that_nobody_watched(self) -> None:
        """A command that ended while there was no agent has its end on disk."""
        gate, wait = self.gate("go")
        first = self.start("echo one; " + wait + "echo two; kill -SEGV $$")
        first.hears("one\n")
        first.kill()
        gate.touch()
        until(lambda: not self.run_dir.alive, "ended")
        for _ in range(2):
            ended = self.adopt().find("ended")
            self.assertEqual((ended["code"], ended["signal"]), (None, signal.SIGSEGV))
            self.assertEqual(ended["output"], "one\ntwo\n")

    def test_what_was_told_is_not_told_again(self) -> None:
        """Live output goes on where it was, but for the last moment before the crash."""
        gate, wait = self.gate("go")
        first = self.start("echo one; " + wait + "echo two")
        first.hears("one\n")
        until(lambda: self.run_dir.told() == 4, "remembered")
        first.kill()
        gate.touch()
        second = self.adopt()
        self.assertEqual(second.find("ended")["output"], "one\ntwo\n")
        self.assertEqual(second.text, "two\n")

    def test_a_stop_after_an_adoption_reaches_everything(self) -> None:
        """The whole group is asked to end, and what ignores that is killed with the command."""
        child = self.child()
        first = self.start(
            "trap 'echo asked; exit 7' TERM;"
            f"sh -c 'trap \"\" TERM; echo $$ >{child}; while test -e {child}; do sleep 0.1; done' &"
            f"while ! test -s {child}; do sleep 0.02; done; echo ready; wait"
        )
        first.hears("ready\n")
        first.kill()
        second = self.adopt()
        second.order("stop")
        second.hears("asked\n")
        grandchild = int(child.read_text())
        self.assertFalse(self.gone(grandchild)())
        second.order("kill")
        ended = second.find("ended")
        self.assertEqual((ended["code"], ended["output"]), (7, "ready\nasked\n"))
        until(self.gone(grandchild), "the grandchild gone")

    def test_nothing_outlives_the_command(self) -> None:
        """What a command leaves running has 2 s to finish its say, and is killed."""
        child = self.child()
        agent = self.start(
            f"sh -c 'echo $$ >{child}; sleep 0.5; echo late;"
            f" while test -e {child}; do sleep 0.1; done' &"
            f"while ! test -s {child}; do sleep 0.02; done; echo end"
        )
        ended = agent.find("ended")
        self.assertEqual((ended["code"], ended["output"]), (0, "end\nlate\n"))
        until(self.gone(int(child.read_text())), "the child gone")

    def test_a_flood_is_bounded(self) -> None:
        """100 MiB of output are at most 8 MiB on disk, and their end is right."""
        flood = (
            "import os\n"
            "for i in range(100): os.write(1, (f'{i:03}' + 'x' * 1020 + '\\n').encode() * 1024)\n"
            "print('the end')\n"
        )
        agent = self.agent("start", sys.executable, "-c", flood)
        self.addCleanup(self.end_all)
        largest = 0

        def over() -> bool:
            nonlocal largest
            sizes = []
            for path in self.run_dir.path.glob("output.*"):
                with contextlib.suppress(FileNotFoundError):
                    # The oldest may go while we look.
                    sizes.append(path.stat().st_size)
            largest = max(largest, sum(sizes))
            return self.run_dir.ending() is not None

        until(over, "ended", seconds=60, every=0.005)
        ended = agent.find("ended")
        self.assertEqual(ended["code"], 0)
        self.assertLessEqual(largest, 8 * MIB)
        self.assertGreater(largest, 4 * MIB)
        self.assertEqual(len(ended["output"]), KEPT_BYTES)
        last = "099" + "x" * 1020 + "\n"
        self.assertTrue(ended["output"].endswith(last * 200 + "the end\n"))
        self.assertTrue(ended["truncated"])

    def test_signals_of_the_agent(self) -> None:
        """What is meant for the agent, or for its terminal, does not end a supervisor."""
        gate, wait = self.gate("go")
        agent = self.start("echo $PPID; " + wait + "exit 4")
        until(lambda: agent.text, "begun")
        supervisor = int(agent.text)
        self.assertEqual(os.getsid(supervisor), supervisor)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(supervisor, number)
        gate.touch()
        self.assertEqual(agent.find("ended")["code"], 4)

    def test_what_a_command_inherits(self) -> None:
        """Three descriptors, a session of its own, and signals as a shell has them."""
        look = (
            "import os, stat; print(sorted(map(int, os.listdir('/dev/fd')))); "
            "print(stat.S_ISREG(os.fstat(0).st_mode), os.getsid(0) == os.getppid())"
        )
        numbers = ("PIPE", "HUP", "INT", "TERM", "XFSZ")
        signals = "".join(f"sh -c 'kill -{n} $$; :' 2>&-; echo {n} $?; " for n in numbers)
        agent = self.start(f'{sys.executable} -c "{look}"; {{ {signals} }} 2>&-')
        said = agent.find("ended")["output"].splitlines()
        # The fourth is the directory that is being listed.
        self.assertEqual(said[:2], ["[0, 1, 2, 3]", "True True"])
        killed = [f"{n} {128 + signal.Signals[f'SIG{n}']}" for n in numbers]
        self.assertEqual(said[2:], killed)

    def test_no_such_command(self) -> None:
        """A command that is not there, or may not run, ends as in a shell."""
        for command, code in (("/none", 127), (str(self.work), 126)):
            agent = self.agent("start", command)
            ended = agent.find("ended")
            self.assertEqual((ended["code"], ended["problem"]), (code, None))
            self.assertIn(f"agentcom: cannot run {command}: ", ended["output"])
            agent.order("discard")
            agent.find("did")
            until(lambda: not self.run_dir.exists, "dropped")

    def supervise(self, *command: str) -> None:
        """A supervisor without any agent, to its end; the directory is made."""
        path = str(self.run_dir.path)
        argv = [sys.executable, "-I", "-S", "-c", SUPERVISOR, path, *command]
        # The shell puts the lock where a supervisor expects it.
        become = f'exec {LOCK_FD}<"$0"; exec "$@"'
        subprocess.run(["sh", "-c", become, f"{path}/lock", *argv], timeout=PATIENCE_S, check=True)

    def make(self) -> None:
        RunDirs(self.work).make_room()
        os.close(self.run_dir.make(b"{}"))

    def test_stopped_before_it_began(self) -> None:
        """A command that is not wanted any more when it could begin does not."""
        self.make()
        self.run_dir.wish("TERM")
        self.supervise("touch", str(self.work / "begun"))
        ended = self.adopt().find("ended")
        self.assertEqual((ended["code"], ended["signal"]), (None, None))
        self.assertIn("stopped before it began", ended["problem"])
        self.assertFalse((self.work / "begun").exists())

    def test_no_command_without_its_id(self) -> None:
        """A command whose id cannot be written, so that nobody could stop it, does not begin."""
        self.make()
        (self.run_dir.path / "pid").symlink_to(self.work / "none" / "pid")
        self.supervise("touch", str(self.work / "begun"))
        ended = self.adopt().find("ended")
        self.assertIn("its process id could not be written", ended["problem"])
        self.assertFalse((self.work / "begun").exists())

    def test_no_task(self) -> None:
        """A command that has nothing to read is not begun, and says why."""
        self.make()
        (self.run_dir.path / "task.json").unlink()
        self.supervise("touch", str(self.work / "begun"))
        ended = self.adopt().find("ended")
        self.assertIn("could not be started: No such file", ended["problem"])

    def test_unknown_runs_are_ended(self) -> None:
        """A run that no journal knows is killed and dropped."""
        first = self.start("echo $$; trap '' TERM; while :; do sleep 0.1; done")
        until(lambda: first.text, "begun")
        command = int(first.text)
        first.kill()
        self.agent("tidy").find("tidied")
        until(lambda: not self.run_dir.exists, "dropped")
        until(self.gone(command), "the command gone")

    @skipUnless(ON_LINUX, "elsewhere a command can outlive its supervisor")
    def test_a_killed_supervisor(self) -> None:
        """With its supervisor a command is gone, and what it had started too."""
        child = self.child()
        first = self.start(
            f"sh -c 'echo $$ >{child}; while test -e {child}; do sleep 0.1; done' >/dev/null 2>&1 &"
            f"while ! test -s {child}; do sleep 0.02; done; echo $PPID $$; wait"
        )
        until(lambda: first.text, "begun")
        supervisor, command = map(int, first.text.split())
        first.kill()
        os.kill(supervisor, signal.SIGKILL)
        until(self.gone(command), "the command gone")
        grandchild = int(child.read_text())
        self.assertFalse(self.gone(grandchild)())
        second = self.agent("adopt", "this is not run")
        self.assertFalse(second.find("run")["run"])
        until(self.gone(grandchild), "the grandchild gone")
        self.assertFalse(self.run_dir.exists)

    @skipUnless(ON_LINUX, "elsewhere a command can outlive its supervisor")
    def test_a_supervisor_killed_under_its_agent(self) -> None:
        """The agent sees at once that nobody watches over the command any more."""
        agent = self.start("echo $PPID; sleep 60")
        until(lambda: agent.text, "begun")
        os.kill(int(agent.text), signal.SIGKILL)
        ended = agent.find("ended")
        self.assertEqual((ended["code"], ended["signal"]), (None, None))
        self.assertIn("supervisor", ended["problem"])
        self.assertEqual(ended["output"], agent.text)
