"""Lines that end: readers that are too slow, tokens that are revoked, peers that are silent."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.integration.processes import HubProcess, ProcessTestCase, until
from tests.integration.rawsocket import RawSocket, frame

LIMIT = 8 * 1024 * 1024
"""The default of ``--send-buffer``."""


def say(raw: RawSocket, type: str, **fields: Any) -> None:
    """Send a frame."""
    raw.send(frame(json.dumps({"type": type, **fields}).encode()))


class SlowReaderTests(ProcessTestCase):
    """An agent that does not read what it is sent."""

    def _flooded(self, hub: HubProcess) -> tuple[RawSocket, str, int]:
        """A peer that stopped reading, its task, and bytes sent until the hub had enough."""
        token = hub.token("slow")
        raw = RawSocket(hub.port, receive_buffer=64 * 1024).open()
        self.addCleanup(raw.close)
        say(raw, "identify", agent_id="slow", token=token)
        raw.text()
        http = self.http(hub)
        task_id = http.push("slow")
        sender = self.agent(hub, "sender", presence="none")
        sent, size = 0, 256 * 1024
        flood = {"text": "x" * size}
        # The kernel holds some megabytes beside what the hub holds.
        while sent < 10 * LIMIT:
            sender.say("message", to="slow", payload=flood)
            sender.next("message_sent")
            sent += size
            if sent > LIMIT and self._closing(hub, sender):
                break
        return raw, task_id, sent

    def _closing(self, hub: HubProcess, sender: Any) -> bool:
        sender.say("list_agents")
        return "slow" not in {a["agent_id"] for a in sender.next("agents")["agents"]}

    def test_a_reader_that_never_reads(self) -> None:
        """It is ended soon after its limit; its task is held, and everybody else is served."""
        hub = self.hub()
        _, task_id, sent = self._flooded(hub)
        http = self.http(hub)
        until(lambda: http.ok("GET", "/health")["agents_connected"] == 1, "closed", seconds=10.0)
        self.assertGreater(sent, LIMIT)
        task = http.task(task_id)
        self.assertEqual((task["status"], task["agent_id"]), ("assigned", "slow"))
        other = self.agent(hub, "other")
        second = http.push("other")
        other.next("task_assign", task_id=second)
        back = self.agent(hub, "slow")
        back.next("task_assign", task_id=task_id)
        self.assert_clean_log(hub)

    def test_a_reader_that_wakes_up(self) -> None:
        """When it reads again it finds the close frame with 1013."""
        hub = self.hub()
        token = hub.token("slow")
        raw = RawSocket(hub.port, receive_buffer=64 * 1024).open()
        self.addCleanup(raw.close)
        say(raw, "identify", agent_id="slow", token=token)
        raw.text()
        sender = self.agent(hub, "sender", presence="none")
        for _ in range(100):
            sender.say("message", to="slow", payload={"text": "x" * 256 * 1024})
            sender.next("message_sent")
        self.assertEqual(raw.close_code(), 1013)
        self.assertLess(len(raw.frames.texts), 100)
        self.assert_clean_log(hub)

    def test_memory_is_given_back(self) -> None:
        """What was held for slow readers is free again when they are gone."""
        hub = self.hub()
        for _ in range(3):
            raw, _, _ = self._flooded(hub)
            raw.close()
        http = self.http(hub)
        until(lambda: http.ok("GET", "/health")["agents_connected"] <= 3, "gone")
        self.assertLess(resident(hub), 250 * 2**20)


class RevocationTests(ProcessTestCase):
    """Tokens that are revoked while they are used."""

    def test_revoked_lines_are_closed(self) -> None:
        """Lines that were opened with a revoked token get 4003 within a second."""
        hub = self.hub()
        agent, other = self.agent(hub, "worker"), self.agent(hub, "other")
        http = self.http(hub)
        task_id = http.push("worker")
        agent.next("task_assign")
        began = time.monotonic()
        self.assertEqual(http.request("DELETE", "/admin/tokens/worker").status, 200)
        self.assertEqual(agent.close_code(), 4003)
        self.assertLess(time.monotonic() - began, 5.0, "a second, and slack for a busy machine")
        until(lambda: http.task(task_id)["status"] == "queued", "given back")
        other.say("ping")
        other.next("pong")


class SilenceTests(ProcessTestCase):
    """Peers that say nothing."""

    def test_a_silent_agent_is_closed(self) -> None:
        """An agent that answers no ping is closed with 1002 after the limit."""
        hub = self.hub("--ping-interval", "0.5", "--silence-limit", "2")
        token = hub.token("silent")
        raw = RawSocket(hub.port).open()
        self.addCleanup(raw.close)
        say(raw, "identify", agent_id="silent", token=token)
        answering = self.agent(hub, "answering")
        # Until an agent must have identified there is no other watch.
        self.assertEqual(raw.close_code(20), 1002)
        answering.say("ping")
        answering.next("pong")

    def test_a_peer_that_never_identifies(self) -> None:
        """A line on which nobody identifies is closed with 4008."""
        hub = self.hub()
        raw = RawSocket(hub.port).open()
        self.addCleanup(raw.close)
        began = time.monotonic()
        self.assertEqual(raw.close_code(15), 4008)
        self.assertGreater(time.monotonic() - began, 9.0)


def resident(hub: HubProcess) -> int:
    """Bytes of memory that the hub's process has now."""
    with open(f"/proc/{hub.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
