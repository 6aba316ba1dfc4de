"""``twistd agentcom-agent``: an agent as a service, in the foreground and as a daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.agents import AgentProcess, AgentTestCase
from tests.integration.clients import Http
from tests.integration.processes import ROOT, TWISTD, HubProcess, environment, until

MODULE = """
import asyncio
from agentcom.agent import Agent

agent = Agent("from-module", slots=2)

@agent.task
async def run(task, progress):
    await asyncio.sleep(0.01)
    return task.description
"""

COMMAND = """
import os, pathlib, time
pathlib.Path("began").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.02)
"""


class ServiceCase(AgentTestCase):
    def config(self, hub: HubProcess | None, **settings: Any) -> Path:
        """A file with these settings, beside what it may name."""
        (self.work / "module.py").write_text(MODULE)
        (self.work / "wait.py").write_text(COMMAND)
        if hub is not None:
            settings = {"hub": hub.url, "data_dir": str(self.data_dir), **settings}
        file = self.work / "agent.toml"
        file.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
        return file

    def foreground(self, file: Path, *options: str) -> AgentProcess:
        return self.agent_process(
            *(TWISTD, "-n", "--pidfile=", *options, "agentcom-agent", "--config", str(file))
        )

    def assert_one_sentence(self, agent: Any, *words: str) -> None:
        said = agent.errors()
        self.assertTrue(said.startswith("agentcom: "), agent.log())
        self.assertEqual(said.count("\n"), 1, said)
        self.assertNotIn("Traceback", agent.log())
        for word in words:
            self.assertIn(word, said)

    def completes(self, http: Http, agent_id: str) -> dict[str, Any]:
        """A task that is worked on and ends well."""
        task = self.ended(http, http.push(agent_id, "words"))
        self.assertEqual(task["status"], "completed", task)
        return task


class ForegroundTests(ServiceCase):
    def test_command(self) -> None:
        """With a token file and a command it works on tasks, and SIGTERM ends it with 0."""
        hub = self.hub()
        http = self.http(hub)
        (self.work / "token").write_text(hub.token("svc") + "\n")
        (self.work / "token").chmod(0o644)
        command = [sys.executable, "-c", "print('did it')"]
        file = self.config(
            hub, agent_id="svc", exec=command, token_file="token", state_dir="state", slots=2
        )
        agent = self.foreground(file)
        agent.says("svc is connected")
        self.assertEqual(self.completes(http, "svc")["result"]["output"], "did it\n")
        self.assertEqual(http.ok("GET", "/api/agents/svc")["slots"], 2)
        self.assertIn("can be read by others", agent.log())
        self.assertTrue((self.work / "state").is_dir())
        self.assertEqual(agent.stop(), 0, agent.log())
        self.assertNotIn("Traceback", agent.log())
        self.assertNotIn((self.work / "token").read_text().strip(), agent.log())

    def test_python(self) -> None:
        """With a module it calls that module's function; on the hub's machine it needs no token."""
        hub = self.hub()
        http = self.http(hub)
        file = self.config(hub, python="module:agent", name="Somebody")
        agent = self.foreground(file, "--reactor", "asyncio")
        agent.says("from-module is connected")
        self.assertEqual(self.completes(http, "from-module")["result"], "words")
        shown = http.ok("GET", "/api/agents/from-module")
        self.assertEqual((shown["name"], shown["slots"]), ("Somebody", 2))
        self.assertEqual(agent.stop(), 0, agent.log())
        self.assertNotIn("Traceback", agent.log())

    def test_drain(self) -> None:
        """The first SIGTERM lets what runs end within the drain limit, and then it goes."""
        hub = self.hub()
        http = self.http(hub)
        file = self.config(hub, agent_id="svc", exec=[sys.executable, "wait.py"], drain_limit_s=60)
        agent = self.foreground(file)
        agent.says("svc is connected")
        task_id = http.push("svc", "slow")
        until((self.work / "began").exists, "begun")
        os.kill(agent.process.pid, signal.SIGTERM)
        agent.says("waiting up to 60 s")
        (self.work / "go").touch()
        self.assertEqual(self.ended(http, task_id)["status"], "completed")
        self.assertEqual(agent.wait(), 0, agent.log())

    def test_two_signals(self) -> None:
        """A second signal does not wait any longer: what runs is stopped and reported."""
        hub = self.hub()
        http = self.http(hub)
        file = self.config(hub, agent_id="svc", exec=[sys.executable, "wait.py"], drain_limit_s=600)
        agent = self.foreground(file)
        agent.says("svc is connected")
        task_id = http.push("svc", "slow")
        until((self.work / "began").exists, "begun")
        os.kill(agent.process.pid, signal.SIGTERM)
        agent.says("waiting up to 600 s")

        def heard() -> bool:
            # Signals within a second count as one.
            if "is not to wait" not in agent.log():
                os.kill(agent.process.pid, signal.SIGTERM)
                return False
            return True

        until(heard, "heard the second signal", every=1.1)
        self.assertEqual(self.ended(http, task_id)["last_error"], "agent stopped")
        self.assertEqual(agent.wait(), 0, agent.log())

    def test_revoked(self) -> None:
        """A revoked token ends it with one sentence and exit code 1."""
        hub = self.hub()
        (self.work / "token").write_text(hub.token("svc"))
        (self.work / "token").chmod(0o600)
        agent = self.foreground(self.config(hub, agent_id="svc", exec="true", token_file="token"))
        agent.says("svc is connected")
        self.http(hub).ok("DELETE", "/admin/tokens/svc")
        self.assertEqual(agent.wait(), 1, agent.log())
        self.assert_one_sentence(agent, "was revoked", "agentcom token create svc")

    def test_unknown_token(self) -> None:
        """A token that the hub never knew ends it so too."""
        hub = self.hub()
        (self.work / "token").write_text("f" * 64)
        (self.work / "token").chmod(0o600)
        agent = self.foreground(self.config(hub, agent_id="svc", exec="true", token_file="token"))
        self.assertEqual(agent.wait(), 1, agent.log())
        self.assert_one_sentence(agent, "does not know the token of svc")

    def test_refused(self) -> None:
        """What is wrong with the file, or with twistd's reactor, is one sentence, exit code 2."""
        wrong = self.config(None, agent_id="svc", exec="true", slots=0)
        refused = [(self.foreground(wrong), "slots must be from 1")]
        good = wrong.with_name("good.toml")
        good.write_text('python = "module:agent"')
        refused.append((self.foreground(good), "--reactor asyncio"))
        refused.append((self.foreground(self.work / "none.toml"), "none.toml"))
        for agent, word in refused:
            self.assertEqual(agent.wait(), 2, agent.log())
            self.assert_one_sentence(agent, word)

    def test_taken(self) -> None:
        """A second agent on the same state directory says so and ends with 1."""
        hub = self.hub()
        file = self.config(hub, agent_id="svc", exec="true")
        self.foreground(file).says("svc is connected")
        second = self.foreground(file)
        self.assertEqual(second.wait(), 1, second.log())
        self.assert_one_sentence(second, str(self.data_dir))

    def test_example(self) -> None:
        """The file in examples/checksums does what it says."""
        hub = self.hub()
        http = self.http(hub)
        example = ROOT / "examples" / "checksums"
        file = self.work / "agentcom-agent.toml"
        text = (example / "agentcom-agent.toml").read_text()
        self.assertIn('"http://127.0.0.1:4000"', text)
        text = text.replace("http://127.0.0.1:4000", hub.url)
        file.write_text(f'data_dir = "{self.data_dir}"\n{text}')
        (self.work / "checksums.py").write_text((example / "checksums.py").read_text())
        agent = self.foreground(file, "--reactor", "asyncio")
        agent.says("checksums-1 is connected")
        folder = str(self.data_dir / "agents")
        task_id = http.push("checksums-1", "sums", metadata={"path": folder})
        self.assertIn("checksums-1.token", self.ended(http, task_id)["result"])


class DaemonTests(ServiceCase):
    def twistd(self, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        pidfile, logfile = self.work / "agent.pid", self.work / "daemon.log"
        return subprocess.run(
            [
                *(TWISTD, f"--pidfile={pidfile}", f"--logfile={logfile}", *options),
                *("agentcom-agent", "--config", file.name),
            ],
            cwd=self.work,
            env=environment(self.work),
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )

    def daemon(self, hub: HubProcess, who: str, *options: str, **settings: Any) -> None:
        done = self.twistd(self.config(hub, **settings), *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        log = self.work / "daemon.log"
        pid = int((self.work / "agent.pid").read_text())
        self.addCleanup(lambda: self.running(pid) and os.kill(pid, signal.SIGKILL))
        until(lambda: f"{who} is connected" in log.read_text(), "connected")
        self.completes(self.http(hub), who)
        second = self.twistd(self.config(hub, **settings), "--pidfile=", *options)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn("agentcom: ", second.stderr + second.stdout)
        os.kill(pid, signal.SIGTERM)
        until(lambda: not self.running(pid), "the end of the daemon")
        self.assertFalse((self.work / "agent.pid").exists())
        self.assertNotIn("Traceback", log.read_text())

    def running(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return False
        # Nobody may be there to take note of its end.
        return state != "Z"

    def test_command(self) -> None:
        """A daemon works until SIGTERM; a second one tells whoever started it why not."""
        self.daemon(self.hub(), "svc", agent_id="svc", exec=[sys.executable, "-c", "print(1)"])

    def test_python(self) -> None:
        """A daemon on asyncio does so too, though it forks after the reactor was made."""
        self.daemon(self.hub(), "from-module", "--reactor=asyncio", python="module:agent")
