"""Every input of the table gets what the table says, and the documentation says the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import HttpClient
from tests.hostile.table import TABLE, Attack
from tests.hostile.world import HostileTestCase
from tests.integration.rawsocket import Frames, frame

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.rst"


class TableTests(HostileTestCase):
    """One input each, on a line of its own."""

    def attack(self, attack: Attack) -> None:
        tokens = {
            b"@ADMIN@": self.hub.admin_token.encode(),
            b"@WORKER@": self.hub.token("worker").encode(),
        }
        client = self.hub.open_http()
        transport: Any = client.transport
        for step in attack.steps:
            if isinstance(step, float):
                self.hub.advance(step, step=0.5)
                continue
            if not client.lost:
                transport.write(_with(tokens, step))
            self.hub.settle()
        self.assertEqual(_outcome(client, attack.frames), attack.gets)
        # Nobody was given work by what stood behind a broken request.
        self.assertEqual(self.good.of("task_assign"), [])
        self.assert_well()
        if not client.lost:
            transport.loseConnection()
            self.hub.settle()
        self.hub.advance(90, step=5)
        self.assertTrue(client.lost)
        self.assertEqual(self.flushLoggedErrors(), [])


def _with(tokens: dict[bytes, bytes], data: bytes) -> bytes:
    """Tokens in their places; of a frame that has one, the length fits."""
    for name, token in tokens.items():
        if name in data and data[:1] == b"\x81":
            payload = data[6:].replace(name, token) if data[1] & 0x7F < 126 else b""
            payload = payload or data[8:].replace(name, token)
            return frame(payload)
        data = data.replace(name, token)
    return data


def _outcome(client: HttpClient, frames: bool) -> str:
    """What came back, in the words of the table."""
    told, rest = [], client.received
    if frames:
        answer, _, rest = rest.partition(b"\r\n\r\n")
        assert b" 101 " in answer, answer
        seen = Frames()
        seen.feed(rest)
        for text in seen.texts:
            said = json.loads(text)
            if said["type"] == "error":
                told.append(f"error {said['error']}")
        if seen.close_code is not None:
            return ", ".join([*told, f"close {seen.close_code}"])
    while not frames and rest:
        answer, _, rest = rest.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.I)
        size = int(length[1]) if length else 0
        body, rest = rest[:size], rest[size:]
        status = int(answer.split(b" ")[1])
        told.append(str(status) if status < 400 else f"{status} {json.loads(body)['error']}")
    line = "closed" if client.lost else "open"
    return "; ".join([", ".join(told), line] if told else [line])


def _attacking(attack: Attack) -> None:
    def test(self: TableTests) -> None:
        self.attack(attack)

    name = re.sub(r"[^a-z0-9]+", "_", attack.name.lower())
    test.__doc__ = f"What {attack.name} gets: {attack.gets}."
    test.__name__ = f"test_{name}"
    assert not hasattr(TableTests, test.__name__), f"two inputs are called {attack.name}"
    setattr(TableTests, test.__name__, test)


for _attack in (attack for attacks in TABLE.values() for attack in attacks):
    _attacking(_attack)


class DocumentTests(SynchronousTestCase):
    """``docs/security.rst`` has the table."""

    def test_the_same(self) -> None:
        """Each input is in the document with its answer, and no other is."""
        text = DOCUMENT.read_text()
        sections = re.split(r"^([^\n]+)\n~+\n", text, flags=re.M)[1:]
        rows = {
            name: re.findall(r"^   (.+?) \| ``(.+?)``$", part, re.M)
            for name, part in zip(sections[::2], sections[1::2], strict=True)
        }
        wanted = {
            section: [(attack.name, attack.gets) for attack in attacks]
            for section, attacks in TABLE.items()
        }
        self.assertEqual({name: rows.get(name) for name in wanted}, wanted)
        self.assertEqual(rows.keys() - wanted.keys(), set())

    def test_enough(self) -> None:
        """The table is no small one."""
        self.assertGreater(sum(map(len, TABLE.values())), 100)
