"""Whose token an agent uses, for those who run one without ``agentcom agent``."""

from __future__ import annotations

from typing import Any

from twisted.logger import formatEvent, globalLogPublisher

from agentcom.cli.settings import Settings
from agentcom.cli.tokens import Tokens, tokens_in, tokens_of
from agentcom.client.urls import HubURL
from agentcom.errors import StartError
from tests.unit.cli.fakes import CommandTestCase
from tests.unit.client.fakes import start

HERE = HubURL(False, "127.0.0.1", 4000)
ELSEWHERE = HubURL(True, "hub.example", 443)


class TokensTests(CommandTestCase):
    def get(self, tokens: Tokens, renew: bool = False) -> Any:
        return self.successResultOf(start(tokens.source(renew)))

    def of(self, url: HubURL, token: str | None, agent_id: str = "bot") -> Tokens:
        return tokens_of(Settings(url, token, self.home), agent_id, self.hub.client)

    def test_given(self) -> None:
        """A token that was given is used as it is, and there is no other."""
        (self.home / "admin.token").write_text("local")
        tokens = self.of(HERE, "secret")
        self.assertEqual([self.get(tokens), self.get(tokens, True)], ["secret", "secret"])
        self.assertFalse(tokens.renewable)
        self.assertEqual(self.hub.requests, [])

    def test_made(self) -> None:
        """On the hub's machine one is made."""
        (self.home / "admin.token").write_text("local")
        self.hub.answers["POST /admin/tokens"] = 201, {"agent_id": "bot", "token": "made"}
        tokens = self.of(HERE, None)
        self.assertEqual(self.get(tokens), "made")
        self.assertTrue(tokens.renewable)

    def test_none(self) -> None:
        """Without any the sentence says how to make one; an admin token stays on its machine."""
        error = self.assertRaises(StartError, self.of, HERE, None)
        self.assertIn("agentcom token create bot", str(error))
        (self.home / "admin.token").write_text("local")
        self.assertRaises(StartError, self.of, ELSEWHERE, None)

    def test_strange_id(self) -> None:
        """An id that no token can be made for is a sentence."""
        (self.home / "admin.token").write_text("local")
        error = self.assertRaises(StartError, self.of, HERE, None, "../bot")
        self.assertIn("cannot be an agent's id", str(error))


class FileTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.home / "token"
        self.lines: list[str] = []

        def observe(event: dict[str, Any]) -> None:
            self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def get(self, tokens: Tokens, renew: bool = False) -> Any:
        return self.successResultOf(start(tokens.source(renew)))

    def test_file(self) -> None:
        """The file is read again when a token is needed; one that is gone leaves the last."""
        self.path.write_text("first\n")
        self.path.chmod(0o600)
        tokens = tokens_in(self.path)
        self.assertEqual(self.get(tokens), "first")
        self.path.write_text("second\n")
        self.assertEqual(self.get(tokens, True), "second")
        self.path.unlink()
        self.assertEqual(self.get(tokens, True), "second")
        self.assertTrue(tokens.renewable)
        self.assertEqual(self.lines, [])

    def test_readable(self) -> None:
        """A file that others can read is named in the log, its content is not."""
        self.path.write_text("secret\n")
        for mode, warned in ((0o640, True), (0o604, True), (0o600, False), (0o400, False)):
            self.path.chmod(mode)
            self.lines.clear()
            tokens_in(self.path)
            self.assertEqual(any(str(self.path) in line for line in self.lines), warned, oct(mode))
            self.assertNotIn("secret", "".join(self.lines))

    def test_no_file(self) -> None:
        """A file without a token is refused at the start."""
        for content in (None, b"", b"\n", b"\xff"):
            self.path.unlink(missing_ok=True)
            if content is not None:
                self.path.write_bytes(content)
            error = self.assertRaises(StartError, tokens_in, self.path)
            self.assertIn(str(self.path), str(error))
