"""Runs commands without a reactor: a fake hub's clock and a script in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.cli.main import cli
from agentcom.cli.runtime import Interrupted, Main, Runtime
from agentcom.client.hub import HubClient
from agentcom.client.urls import HubURL
from tests.unit.client.fakes import FakeHub, start

Act = Callable[[], object]


class MemoryRuntime(Runtime):
    """Runs a coroutine on a fake hub.

    :ivar script: what happens, one after the other, while the command runs;
        a command that has not ended then is interrupted.
    """

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self.script: list[Act] = []
        self.used: list[tuple[str, str | None]] = []
        self.stop: Callable[[], None] | None = None
        self.going: list[Callable[[], None]] = []

    def connect(self, reactor: Any, url: HubURL, token: str | None) -> HubClient:
        self.used.append((str(url), token))
        return self.hub.client(url, token)

    def on_signals(self, reactor: Any, stop: Callable[[], None]) -> None:
        self.stop = stop

    def before_stop(self, reactor: Any, call: Callable[[], None]) -> None:
        self.going.append(call)

    def signal(self) -> None:
        """As SIGTERM does it: say so, then break all connections."""
        for call in self.going:
            call()
        self.hub.cut()

    def run(self, main: Main) -> int:
        outcome: list[Any] = []
        start(main(self.hub.clock)).addBoth(outcome.append)
        self.hub.flush()
        for act in self.script:
            act()
            self.hub.flush()
        if not outcome:
            raise Interrupted
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        code: int = outcome[0]
        return code


class CommandTestCase(SynchronousTestCase):
    """A fake hub, a data directory of its own, and :meth:`invoke`."""

    def setUp(self) -> None:
        self.hub = FakeHub()
        self.runtime = MemoryRuntime(self.hub)
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.environment: dict[str, str | None] = {
            "AGENTCOM_HOME": str(self.home),
            "AGENTCOM_HUB": None,
            "AGENTCOM_TOKEN": "secret",
        }

    def invoke(self, *arguments: str, input: bytes | None = None) -> Result:
        return CliRunner(env=self.environment).invoke(cli, arguments, input=input, obj=self.runtime)

    def output_of(self, *arguments: str) -> str:
        """Standard output of a command that must succeed."""
        result = self.invoke(*arguments)
        self.assertEqual(result.exit_code, 0, result.output)
        return result.stdout

    def error_of(self, *arguments: str, code: int = 1, input: bytes | None = None) -> str:
        """Standard error of a command that must fail with one sentence."""
        result = self.invoke(*arguments, input=input)
        self.assertEqual(result.exit_code, code, result.output)
        self.assertNotIn("Traceback", result.output)
        self.assertEqual(result.stdout, "")
        return result.stderr
