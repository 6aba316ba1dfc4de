"""``agentcom agent``: whose token it uses, and how it ends.  No process is started."""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

import click
from twisted.logger import LogEvent, LogLevel, globalLogBeginner

from agentcom.cli import logs
from agentcom.cli.minted import MintedToken
from agentcom.sidecar import agent as sidecar_agent
from agentcom.sidecar.connector import GiveUp
from agentcom.sidecar.state import State
from tests.unit.cli.fakes import CommandTestCase
from tests.unit.client.fakes import start


class StubSidecar:
    """Takes the place of the sidecar; asks for its token and ends."""

    made: list[StubSidecar]
    error: Exception | None = None

    def __init__(self, reactor: Any, access: Any, identity: Any, *parts: Any, **more: Any) -> None:
        self.identity = identity
        self.tokens, self.renewable = access.tokens, access.renewable
        self.runner, self.journal = parts
        self.more = more
        self.got: list[str] = []
        type(self).made.append(self)

    async def run(self) -> None:
        self.got.append(await self.tokens(False))
        self.got.append(await self.tokens(True))
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Never called here."""


class AgentTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        StubSidecar.made = []
        self.patch(StubSidecar, "error", None)
        self.patch(sidecar_agent, "Sidecar", StubSidecar)
        self.patch(sidecar_agent, "runner_for", lambda *args: args[1:])
        self.patch(logs, "log_to_stderr", lambda: None)
        self.arguments = ("agent", "--agent-id", "bot", "--exec", "true 'a b'")

    def test_options(self) -> None:
        """What was given reaches the agent; the command is split without a shell."""
        self.output_of(
            *self.arguments, "--slots", "3", "--name", "Bot", "--capability", "x",
            "--label", "os=linux", "--label", "empty=",
        )  # fmt: skip
        made = StubSidecar.made[0]
        state_dir = self.home / "agents" / "bot"
        self.assertEqual(made.runner, (["true", "a b"], os.environ, "bot", state_dir))
        self.assertEqual(made.more, {"slots": 3, "drain_limit_s": 0.0})
        self.assertEqual(made.identity.name, "Bot")
        self.assertEqual(made.identity.capabilities, ("x",))
        self.assertEqual(made.identity.labels, {"os": "linux", "empty": ""})
        self.assertIsNotNone(self.runtime.stop)

    def test_state_dir(self) -> None:
        """The state is where it was asked for, and let go of at the end."""
        path = self.home / "elsewhere"
        for _ in range(2):
            self.output_of(*self.arguments, "--state-dir", str(path), "--drain-limit", "10m")
        self.assertEqual(StubSidecar.made[1].runner[3], path)
        self.assertEqual(StubSidecar.made[1].more["drain_limit_s"], 600.0)
        self.assertFalse((self.home / "agents").exists())

    def test_runs_already(self) -> None:
        """A second agent with the same state ends with a sentence."""
        state = State.open(self.home / "agents" / "bot", "bot")
        self.addCleanup(state.close)
        self.assertIn("is in use by process", self.error_of(*self.arguments))
        self.assertEqual(StubSidecar.made, [])

    def test_given_token(self) -> None:
        """A token that was given is used as it is, and no other is made."""
        self.output_of(*self.arguments)
        self.assertEqual(StubSidecar.made[0].got, ["secret", "secret"])
        self.assertFalse(StubSidecar.made[0].renewable)
        self.assertEqual(self.hub.requests, [])

    def test_minted_token(self) -> None:
        """On the hub's machine the agent makes its own token."""
        self.environment["AGENTCOM_TOKEN"] = None
        (self.home / "admin.token").write_text("local")
        self.hub.answers["POST /admin/tokens"] = 201, {"agent_id": "bot", "token": "minted"}
        self.output_of(*self.arguments)
        self.assertEqual(StubSidecar.made[0].got, ["minted", "minted"])
        self.assertTrue(StubSidecar.made[0].renewable)
        self.assertEqual(self.runtime.used[0][1], "local")

    def test_no_token(self) -> None:
        """Without any token the sentence says how to make one."""
        self.environment["AGENTCOM_TOKEN"] = None
        self.assertIn("agentcom token create bot", self.error_of(*self.arguments))

    def test_bad_id(self) -> None:
        """An id that no token can be made for is a usage error; a reserved one is named."""
        self.environment["AGENTCOM_TOKEN"] = None
        (self.home / "admin.token").write_text("local")
        for agent_id, told in (("bad id", "cannot be an agent's id"), ("admin", "is reserved")):
            arguments = ("agent", "--agent-id", agent_id, "--exec", "true")
            self.assertIn(told, self.error_of(*arguments, code=2))

    def test_given_up(self) -> None:
        """An agent that the hub will not have is a failure."""
        self.patch(StubSidecar, "error", GiveUp("the token was revoked"))
        self.assertIn("the token was revoked", self.error_of(*self.arguments))


class MintedTokenTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.made = 0

        def create(body: Any) -> Any:
            self.made += 1
            return 201, {"agent_id": body["agent_id"], "token": f"token{self.made}"}

        self.hub.answers["POST /admin/tokens"] = create
        self.tokens = MintedToken("bot", self.home, self.hub.client)

    def get(self, renew: bool = False) -> Any:
        return self.successResultOf(start(self.tokens(renew)))

    def test_kept(self) -> None:
        """A token is made once and found again, by nobody but its owner."""
        self.assertEqual([self.get(), self.get()], ["token1", "token1"])
        self.assertEqual(stat.S_IMODE(self.tokens.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.tokens.path.parent.stat().st_mode), 0o700)

    def test_renewed(self) -> None:
        """A token that is refused is made anew and takes the place of the old one."""
        self.get()
        self.assertEqual([self.get(renew=True), self.get()], ["token2", "token2"])

    def test_cannot_be_kept(self) -> None:
        """A token that cannot be kept serves this once."""
        told: list[str] = []
        self.patch(click, "echo", lambda text, **_: told.append(text))
        self.tokens.path.parent.write_text("in the way")
        self.assertEqual([self.get(), self.get()], ["token1", "token2"])
        self.assertIn("the token of bot could not be kept", told[0])

    def test_strange_id(self) -> None:
        """An id that could be a path makes no file."""
        with self.assertRaises(Exception) as caught:
            MintedToken("../bot", self.home, self.hub.client)
        self.assertIn("cannot be an agent's id", str(caught.exception))


class LogTests(CommandTestCase):
    def test_lines(self) -> None:
        """Our own words are shown, libraries only when something is wrong."""
        observers: list[Any] = []
        self.patch(
            type(globalLogBeginner),
            "beginLoggingTo",
            lambda self, found, **_: observers.extend(found),
        )
        said: list[str] = []
        self.patch(sys, "stderr", _Said(said))
        logs.log_to_stderr()

        def log(namespace: str, level: LogLevel, text: str) -> None:
            entry: LogEvent = {
                "log_namespace": namespace,
                "log_level": level,
                "log_format": text,
                "log_time": 0.0,
            }
            observers[0](entry)

        log("agentcom.sidecar.desk", LogLevel.info, "task\x1b[1m begins")
        log("twisted.internet", LogLevel.info, "starting factory")
        log("twisted.internet", LogLevel.critical, "it broke")
        self.assertEqual(len(said), 2)
        self.assertTrue(said[0].endswith("task\N{REPLACEMENT CHARACTER}[1m begins"))


class _Said:
    """Standard error that keeps its lines."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def write(self, text: str) -> None:
        if text.strip():
            self._said.append(text)

    def flush(self) -> None:
        """Nothing is held back."""
