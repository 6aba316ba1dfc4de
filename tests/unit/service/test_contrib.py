"""The examples of ``contrib/`` start the hub with options that it has."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import agentcom
from agentcom.config import Config
from agentcom.tap import Options

CONTRIB = Path(agentcom.__file__).resolve().parent.parent / "contrib"


def parsed(words: list[str]) -> Config:
    """The settings that a command line gives."""
    options = Options()
    options.parseOptions(words)
    assert options.config is not None
    return options.config


class ContribTests(SynchronousTestCase):
    def text(self, name: str) -> str:
        return (CONTRIB / name).read_text()

    def test_unit(self) -> None:
        """The unit's command is one that the hub takes, and a stop has time for its drain."""
        text = self.text("systemd/agentcom.service")
        (command,) = re.findall(r"^ExecStart=(.*)$", text, re.M)
        (options,) = re.findall(r'^Environment="AGENTCOM_OPTIONS=(.*)"$', text, re.M)
        _, _, words = command.partition(" agentcom ")
        words = words.replace("${STATE_DIRECTORY}", "/var/lib/agentcom")
        config = parsed(shlex.split(words.replace("$AGENTCOM_OPTIONS", options)))
        self.assertEqual(str(config.data_dir), "/var/lib/agentcom")
        (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.M)
        self.assertGreater(int(stop), config.drain_s)
        self.assertIsNone(re.search(r"^MemoryDenyWriteExecute=yes", text, re.M))

    def test_agent_unit(self) -> None:
        """Work outlives its agent there."""
        text = self.text("systemd/agentcom-agent@.service")
        self.assertRegex(text, r"(?m)^KillMode=process$")
        self.assertRegex(text, r"(?m)^ExecStart=.* agentcom-agent --config ")

    def test_container(self) -> None:
        """The image runs as somebody who is not root, with options that the hub has."""
        text = self.text("container/Containerfile")
        (command,) = re.findall(r"^CMD (\[.*\])$", text, re.M)
        self.assertEqual(parsed(json.loads(command)).listen, ("tcp:4000",))
        (user,) = re.findall(r"^USER (\d+):", text, re.M)
        self.assertNotEqual(int(user), 0)
        for word in ("STOPSIGNAL SIGTERM", "HEALTHCHECK", "VOLUME /data"):
            self.assertIn(word, text)

    def test_nginx(self) -> None:
        """What the hub is to be told is what it can be told; streams are not held back."""
        text = self.text("nginx/agentcom.conf")
        command = re.findall(r"^#   (?:twistd|    )(.*?)\\?$", text, re.M)
        _, _, words = " ".join(command).partition(" agentcom ")
        config = parsed(shlex.split(words))
        self.assertEqual(config.trusted_proxies, ("127.0.0.1/32",))
        self.assertEqual(config.public_url, "https://hub.example")
        for path in ("/ws", "/api/events"):
            (block,) = re.findall(rf"location = {path} \{{(.*?)\}}", text, re.S)
            self.assertIn("proxy_buffering off;", block)
            (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", block)
            self.assertGreater(int(seconds), 2 * config.ping_s)
        self.assertNotIn('$request_uri"', text.partition("server {")[0])
