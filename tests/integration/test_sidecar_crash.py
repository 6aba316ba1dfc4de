"""``agentcom agent`` in real processes, killed and stopped where it hurts.

The commands write what they do into a file, so that a second run would show.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any
from unittest import skipUnless

from tests.integration.agents import AgentProcess, AgentTestCase
from tests.integration.clients import Http
from tests.integration.processes import HubProcess, until

COMMAND = """
import os, pathlib, sys, time
work = pathlib.Path(sys.argv[1])
with (work / "begun").open("a") as begun:
    begun.write(os.environ["AGENTCOM_GENERATION"] + "\\n")
print("first line", flush=True)
while not (work / "go").exists():
    time.sleep(0.02)
print("last line", flush=True)
pathlib.Path(os.environ["AGENTCOM_RESULT_FILE"]).write_text('{"pid": %d}' % os.getpid())
"""


class SidecarCrashTests(AgentTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.script = self.work / "command.py"
        self.script.write_text(COMMAND)
        self.state = self.work / "state"
        # What an agent left running must not outlive the test.
        self.addCleanup(self.go)

    def sidecar(self, hub: HubProcess, *more: str) -> AgentProcess:
        """An agent that runs the command."""
        command = f"{sys.executable} {self.script} {self.work}"
        options = ("--agent-id", "bot", "--exec", command, "--state-dir", str(self.state))
        return self.agent_process(
            *(sys.executable, "-m", "agentcom.cli", "agent", *options, *more), **self.local(hub)
        )

    def push(self, http: Http) -> str:
        def connected() -> bool:
            return bool(http.ok("GET", "/api/agents")["agents"])

        until(connected, "connected")
        return http.push("bot")

    def begun(self) -> list[str]:
        """The generations that the command was run for."""
        path = self.work / "begun"
        return path.read_text().split() if path.exists() else []

    def go(self) -> None:
        """Let the command come to its end."""
        (self.work / "go").touch()

    def rows(self) -> list[tuple[str, int]]:
        """The journal."""
        with sqlite3.connect(self.state / "journal.db") as db:
            return db.execute("SELECT stage, generation FROM attempts").fetchall()

    def assert_done_once(self, http: Http, task_id: str) -> dict[str, Any]:
        """The one run of the task was its only attempt, and nothing is left of it."""
        task = self.ended(http, task_id)
        self.assertEqual((task["status"], task["generation"]), ("completed", 1), task)
        self.assertEqual(task["result"]["output"], "first line\nlast line\n")
        self.assertEqual(self.begun(), ["1"])
        until(lambda: not self.rows(), "forgotten")
        until(lambda: not list((self.state / "runs").iterdir()), "dropped")
        return task

    def test_killed_during_work(self) -> None:
        """After ``kill -9`` the next agent takes up the same run, which completes."""
        hub = self.hub()
        http = self.http(hub)
        first = self.sidecar(hub)
        task_id = self.push(http)
        until(self.begun, "begun")
        first.kill()
        second = self.sidecar(hub)
        second.says("taken up again")
        self.go()
        task = self.assert_done_once(http, task_id)
        self.assertGreater(task["result"]["data"]["pid"], 0)
        self.assertEqual(second.stop(), 0, second.log())

    def test_ended_while_nobody_watched(self) -> None:
        """A run that ends between two agents is reported by the second."""
        hub = self.hub()
        http = self.http(hub)
        first = self.sidecar(hub)
        task_id = self.push(http)
        until(self.begun, "begun")
        first.kill()
        self.go()
        self.sidecar(hub)
        self.assert_done_once(http, task_id)

    def test_killed_with_an_unsaid_end(self) -> None:
        """An end that was written down while the hub was away is said after ``kill -9``."""
        hub = self.hub()
        first = self.sidecar(hub)
        task_id = self.push(self.http(hub))
        until(self.begun, "begun")
        hub.kill()
        self.go()
        until(lambda: self.rows() == [("ended", 1)], "written down")
        first.kill()
        # What the command printed is in the journal by now.
        again = self.hub()
        self.sidecar(again)
        self.assert_done_once(self.http(again), task_id)

    def test_held_up(self) -> None:
        """An agent that stood still for a while goes on, and nothing is done twice."""
        hub = self.hub()
        http = self.http(hub)
        first = self.sidecar(hub)
        task_id = self.push(http)
        until(self.begun, "begun")
        os.kill(first.process.pid, signal.SIGSTOP)
        self.go()
        hub.kill()
        again = self.hub("--listen", f"tcp:{hub.port}:interface=127.0.0.1")
        os.kill(first.process.pid, signal.SIGCONT)
        self.assert_done_once(self.http(again), task_id)

    def test_second_agent(self) -> None:
        """A second agent with the same state ends with a sentence, and harms nothing."""
        hub = self.hub()
        http = self.http(hub)
        self.sidecar(hub)
        task_id = self.push(http)
        until(self.begun, "begun")
        second = self.sidecar(hub)
        self.assertEqual(second.wait(), 1)
        self.assertIn("is in use by process", second.errors())
        self.assertNotIn("Traceback", second.errors())
        self.go()
        self.assert_done_once(http, task_id)

    def test_drain(self) -> None:
        """With a drain limit SIGTERM waits for the work; its result counts."""
        hub = self.hub()
        http = self.http(hub)
        agent = self.sidecar(hub, "--drain-limit", "1m")
        task_id = self.push(http)
        until(self.begun, "begun")
        os.kill(agent.process.pid, signal.SIGTERM)
        agent.says(f"waiting up to 60 s for tasks: {task_id}")
        self.go()
        self.assertEqual(agent.wait(), 0, agent.log())
        self.assert_done_once(http, task_id)

    @skipUnless(sys.platform.startswith("linux"), "processes are found in /proc")
    def test_machine_went_down(self) -> None:
        """A run that died with everything fails, and its next attempt is another run."""
        hub = self.hub()
        http = self.http(hub)
        first = self.sidecar(hub)
        until(lambda: http.ok("GET", "/api/agents")["agents"], "connected")
        task_id = self.submit(http)
        until(self.begun, "begun")
        first.kill()
        for pid in self.left_running():
            os.kill(pid, signal.SIGKILL)
        self.sidecar(hub)
        until(lambda: len(self.begun()) == 2, "begun again")
        self.go()
        self.assertEqual(self.ended(http, task_id)["status"], "completed")
        self.assertEqual([error for error, _ in self.reasons(http, task_id)], ["agent crashed"])

    def left_running(self) -> list[int]:
        """What runs or supervises our command."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(self.script) in words and "agentcom.cli" not in words:
                found.append(int(path.parent.name))
        return found
