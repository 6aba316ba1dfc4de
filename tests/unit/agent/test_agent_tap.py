"""``twistd agentcom-agent``: options in, a service out, on a reactor in memory."""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from typing import Any

import twisted.internet
from twisted.application.service import IService
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agentcom import __version__, agent_tap
from agentcom.agent import Agent
from agentcom.agent_tap import AgentService, Options, load, makeService
from agentcom.errors import StartError
from agentcom.sidecar.session import Identity
from agentcom.sidecar.settings import parse_settings
from tests.unit.service.support import MemoryReactor

MODULE = """
from agentcom.agent import Agent
agent = Agent("from-module", capabilities=["c"], slots=3, name="M", labels={"k": "v"})
idle = Agent("idle")
@agent.task
async def run(task, progress): ...
"""


class AgentReactor(MemoryReactor):
    """Starts no processes."""

    def spawnProcess(self, *_: Any, **__: Any) -> None:
        raise AssertionError("nothing is to be run here")


class TapCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = AgentReactor()
        self.patch(twisted.internet, "reactor", self.reactor)
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.patch(sys, "__stderr__", self.err)
        self.patch(sys, "path", list(sys.path))
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.config = self.folder / "agent.toml"
        self.write('agent_id = "a"\nexec = "true"\ntoken_file = "token"\ndata_dir = "data"\n')
        (self.folder / "token").write_text("secret\n")
        (self.folder / "token").chmod(0o600)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def write(self, text: str) -> None:
        self.config.write_text(text)

    def options(self, *args: str, **twistd: Any) -> Options:
        options = Options()
        options.parseOptions([*(args or (f"--config={self.config}",))])
        options.parent = {"nodaemon": True, **twistd}
        return options

    def service(self) -> AgentService:
        service = makeService(self.options())
        assert isinstance(service, AgentService)
        return service

    def sentence(self) -> str:
        """The one sentence that was told."""
        text = self.err.getvalue()
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.startswith("agentcom: "), text)
        self.err.truncate(0)
        self.err.seek(0)
        return text


class OptionsTests(TapCase):
    def test_refused(self) -> None:
        """Every mistake is one sentence, exit code 2, and no help."""
        self.config.with_name("bad.toml").write_text("slots = 0")
        for word, args in (
            ("--config FILE", ["--"]),
            ("--nope", ["--nope"]),
            ("'stray'", [f"--config={self.config}", "stray"]),
            ("none.toml", ["--config=none.toml"]),
            ("slots must be", [f"--config={self.config.with_name('bad.toml')}"]),
        ):
            ended = self.assertRaises(SystemExit, self.options, *args)
            self.assertEqual(ended.code, 2, word)
            self.assertIn(word, self.sentence())
        self.assertEqual(self.out.getvalue(), "")

    def test_version_and_help(self) -> None:
        """``--version`` and ``--help`` answer on stdout and end with 0."""
        for option, text in (("--version", __version__), ("--help", "--reactor asyncio")):
            ended = self.assertRaises(SystemExit, self.options, option)
            self.assertIn(ended.code, (0, None))
            self.assertIn(text, self.out.getvalue())

    def test_plugin(self) -> None:
        """twistd's subcommand is this module."""
        from twisted.plugins import agentcom_plugin

        maker = agentcom_plugin.agentcom_agent
        self.assertEqual((maker.tapname, maker.module), ("agentcom-agent", "agentcom.agent_tap"))
        self.assertIs(maker.options, Options)
        self.assertIs(maker.makeService, makeService)


class ServiceTests(TapCase):
    def started(self) -> AgentService:
        service = self.service()
        self.reactor.whenRunningHooks.clear()
        service.startService()
        self.reactor.start()
        return service

    def end(self, service: AgentService) -> None:
        service.stop()
        self.reactor.advance(0)

    def test_nothing_is_opened(self) -> None:
        """A service opens nothing until it starts, for twistd forks before."""
        before = sorted(self.folder.iterdir())
        service = self.service()
        self.assertTrue(verifyObject(IService, service))
        self.assertEqual(sorted(self.folder.iterdir()), before)
        self.assertRaises(ValueError, makeService, Options())

    def test_life(self) -> None:
        """It takes its state directory when it starts, and its end is the process's."""
        service = self.started()
        self.assertTrue((self.folder / "data" / "agents").is_dir())
        service.stop()
        self.assertFalse(self.reactor.hasStopped)
        self.reactor.advance(0)
        self.assertTrue(self.reactor.hasStopped)
        self.assertIsNone(self.successResultOf(service.stopService()))
        # The directory is free again.
        self.end(self.started())

    def test_stop_service(self) -> None:
        """Whoever stops the reactor otherwise waits for the agent's end."""
        service = self.started()
        stopped = service.stopService()
        self.assertNoResult(stopped)
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertIsNone(self.successResultOf(self.service().stopService()))

    def failed_start(self) -> str:
        ended = self.assertRaises(SystemExit, self.service().startService)
        self.assertEqual(ended.code, 1)
        return self.sentence()

    def test_taken(self) -> None:
        """A state directory that another agent has is one sentence, exit code 1."""
        service = self.started()
        self.assertIn("agents", self.failed_start())
        self.end(service)

    def test_no_token(self) -> None:
        """An empty or missing token file is named; without any, how to make one is said."""
        (self.folder / "token").write_text("\n")
        self.assertIn(str(self.folder / "token"), self.failed_start())
        (self.folder / "token").unlink()
        self.assertIn(str(self.folder / "token"), self.failed_start())
        self.patch(agent_tap.os, "environ", {})
        self.write('agent_id = "a"\nexec = "true"\ndata_dir = "data"\n')
        self.assertIn("agentcom token create a", self.failed_start())

    def test_environment(self) -> None:
        """What the file leaves out is taken from the environment, and refused by its name."""
        self.patch(agent_tap.os, "environ", {"AGENTCOM_HUB": "ftp://x"})
        self.assertIn("$AGENTCOM_HUB", self.failed_start())
        self.write('agent_id = "a"\nexec = "true"\n')
        home = self.folder / "home"
        environ = {"AGENTCOM_HOME": str(home), "AGENTCOM_TOKEN": "t"}
        self.patch(agent_tap.os, "environ", environ)
        self.end(self.started())
        self.assertTrue((home / "agents").is_dir())

    def test_reactor(self) -> None:
        """With ``python`` another reactor than asyncio's is refused before anything is opened."""
        self.write('python = "m:agent"')
        ended = self.assertRaises(SystemExit, self.service)
        self.assertEqual(ended.code, 2)
        self.assertIn("--reactor asyncio", self.sentence())


class LoadTests(TapCase):
    """The Agent of a module."""

    def module(self, name: str, text: str = MODULE) -> str:
        (self.folder / f"{name}.py").write_text(text)
        self.addCleanup(sys.modules.pop, name, None)
        return name

    def test_found(self) -> None:
        """The module is found beside the file."""
        found = load(self.module("loaded_agent"), "agent", self.folder)
        self.assertIsInstance(found, Agent)
        self.assertEqual(found.identity.agent_id, "from-module")

    def test_refused(self) -> None:
        """What is not there, is no Agent, has no task or cannot be imported is named."""
        module = self.module("other_agent")
        for name, word in (
            ("none", "no agentcom.agent.Agent named none"),
            ("run", "no agentcom.agent.Agent named run"),
            ("idle", "@idle.task"),
        ):
            error = self.assertRaises(StartError, load, module, name, self.folder)
            self.assertIn(word, str(error))
        error = self.assertRaises(StartError, load, "no_such_module_here", "a", self.folder)
        self.assertIn("no_such_module_here", str(error))
        broken = self.module("broken_agent", "1 / 0")
        error = self.assertRaises(StartError, load, broken, "a", self.folder)
        self.assertIn("ZeroDivisionError", str(error))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_chosen(self) -> None:
        """What the file says comes before what its Agent says."""
        agent = load(self.module("third_agent"), "agent", self.folder)
        plain = parse_settings('python = "m:a"', self.config)
        self.assertEqual(
            agent_tap._chosen(plain, agent),
            (Identity("from-module", "M", ("c",), {"k": "v"}), 3),
        )
        all_said = parse_settings(
            'python = "m:a"\nagent_id = "f"\nname = "F"\nslots = 1\ncapabilities = []\nlabels = {}',
            self.config,
        )
        self.assertEqual(agent_tap._chosen(all_said, agent), (Identity("f", "F"), 1))
        command = parse_settings('exec = "true"\nagent_id = "f"', self.config)
        self.assertEqual(agent_tap._chosen(command, None), (Identity("f"), 1))
