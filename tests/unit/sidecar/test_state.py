"""The state directory: whose it is, who has it, and what it is called."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.connector import GiveUp
from agentcom.sidecar.state import State, default_state_dir, directory_name


class StateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "agents" / "bot"

    def open(self, agent_id: str = "bot") -> State:
        state = State.open(self.path, agent_id)
        self.addCleanup(lambda: state.journal.close())
        return state

    def refused(self, agent_id: str = "bot") -> str:
        with self.assertRaises(GiveUp) as caught:
            State.open(self.path, agent_id)
        return str(caught.exception)

    def test_private(self) -> None:
        """Nobody else can look into it."""
        state = self.open()
        self.assertEqual(state.path, self.path)
        for made in (self.path, self.path.parent, self.path.parent.parent):
            self.assertEqual(stat.S_IMODE(made.stat().st_mode), 0o700, made)
        self.assertEqual(stat.S_IMODE((self.path / "lock").stat().st_mode), 0o600)

    def test_held(self) -> None:
        """It has one process at a time; who comes second is told which one."""
        state = self.open()
        self.assertIn(f"is in use by process {os.getpid()}", self.refused())
        state.close()
        self.open().close()

    def test_let_go_when_refused(self) -> None:
        """A directory that cannot be used is not held either."""
        self.open().close()
        self.assertIn("the one of agent bot", self.refused("other"))
        self.open().close()

    def test_unusable(self) -> None:
        """Where no directory can be made, that is told."""
        self.path.parent.mkdir(parents=True)
        self.path.write_text("in the way")
        self.assertIn(f"{self.path} cannot be used", self.refused())


class NameTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """An ordinary id is the name."""
        for agent_id in ("laptop-3", "ci_1@host:2", "v1.2"):
            self.assertEqual(directory_name(agent_id), agent_id)
        self.assertEqual(default_state_dir(Path("/d"), "bot"), Path("/d/agents/bot"))

    def test_strange(self) -> None:
        """No id leaves the directory, takes a token's place, or shares a name with another."""
        ids = [
            *(".", "..", "...", ".hidden", "a/b", "../a", "a\0b", "a\nb", "é", "%2E", "%2e"),
            *("a.token", "a.new", "a.partial", "a%2Etoken", "%", "%%", " "),
            *("x" * 200, "x" * 201, "x" * 202, "é" * 128, "é" * 127 + "è", "." * 128),
        ]
        names = [directory_name(agent_id) for agent_id in ids]
        self.assertEqual(len(set(names)), len(ids))
        for name in names:
            self.assertLessEqual(len(name.encode()), 200)
            self.assertNotIn(name, (".", ".."))
            self.assertNotRegex(name, r"^\.|[/\0\n]|\.(token|new|partial)$")
