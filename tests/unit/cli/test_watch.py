"""``watch``: lines for people and for programs, across restarts."""

from __future__ import annotations

import json
import sys
from typing import Any

from agentcom.cli.watch import Lines
from tests.unit.cli.fakes import CommandTestCase
from tests.unit.cli.test_commands import _Terminal
from tests.unit.client.fakes import event, sse

GAP = b'event: gap\ndata: {"first": "ep:3"}\n\n'


class WatchTests(CommandTestCase):
    def live(self, *events: dict[str, Any]) -> Any:
        return lambda: self.hub.stream(b"".join(map(sse, events)))

    def test_lines(self) -> None:
        """Each event is a line; output is shown below its event."""
        self.runtime.script = [
            self.live(event(1, "task_submitted", description="d")),
            self.live(event(2, "task_progress", output="a\nb\n")),
            lambda: self.hub.stream(GAP),
        ]
        lines = self.output_of("watch").splitlines()
        self.assertTrue(lines[0].endswith("task_submitted  task-1  bot  description=d"))
        self.assertEqual(lines[2:4], ["    | a", "    | b"])
        self.assertEqual(lines[4], "events are missing here: those before ep:3 are gone")

    def test_joined(self) -> None:
        """An agent that joins is shown in words."""
        info = {
            "agent_id": "bot", "name": "Bot", "status": "connected", "slots": 2, "state": "idle",
            "capabilities": ["a", "b"], "labels": {}, "connected_at": 1,
        }  # fmt: skip
        joined = {**event(1, "agent_joined", None, agent=info), "topic": "presence"}
        self.runtime.script = [self.live(joined)]
        shown = self.output_of("watch").rstrip()
        self.assertTrue(shown.endswith("agent_joined  bot  Bot, connected, 2 slots, can a, b"))

    def test_json(self) -> None:
        """Each line is the event with the cursor that resumes after it."""
        self.runtime.script = [self.live(event(1, "a")), lambda: self.hub.stream(GAP)]
        lines = self.output_of("watch", "--json", "--topics", "tasks, presence").splitlines()
        self.assertEqual(json.loads(lines[0]), {**event(1, "a"), "cursor": "ep:1"})
        self.assertEqual(json.loads(lines[1]), {"event": "gap", "first": "ep:3"})
        self.assertIn("topics=tasks%2Cpresence", self.hub.requests[0][0])

    def test_one_task(self) -> None:
        """With --task only that task's events are asked for."""
        self.runtime.script = [self.live(event(1, "a"))]
        self.output_of("watch", "--task", "task-1")
        self.assertIn("task_id=task-1", self.hub.requests[0][0])

    def test_why_it_was_cut(self) -> None:
        """Why the hub cut the stream is told on standard error, and it goes on."""
        told = b'id: ep:1\nevent: closed\ndata: {"reason": "slow", "cursor": "ep:1"}\n\n'
        self.runtime.script = [
            lambda: self.hub.stream(told),
            self.live(event(2, "b")),
        ]
        result = self.invoke("watch", "--json")
        self.assertIn("not read for too long", result.stderr)
        self.assertIn("the line to the hub is back", result.stderr)
        self.assertEqual(json.loads(result.stdout)["cursor"], "ep:2")

    def test_restart(self) -> None:
        """A restart is told on standard error and repeats nothing."""
        self.runtime.script = [
            self.live(event(1, "a")),
            self.hub.cut,
            lambda: self.hub.clock.advance(20),
            self.live(event(1, "a"), event(2, "b")),
        ]
        result = self.invoke("watch", "--json", "--after", "0")
        self.assertEqual([json.loads(x)["seq"] for x in result.stdout.splitlines()], [1, 2])
        self.assertIn("trying again", result.stderr)
        self.assertIn("is back", result.stderr)
        self.assertTrue(self.hub.requests[0][0].endswith("after=0"))
        self.assertTrue(self.hub.requests[1][0].endswith("after=ep%3A1"))

    def test_gap(self) -> None:
        """A gap says what is true: the events are gone, or the cursor is of no use here."""
        foreign = "is not from this hub's log; events follow from ep:3 on"
        for cursor, told in (
            ("ep:1", "those before ep:3 are gone"),
            ("1", "those before ep:3 are gone"),
            ("old:5", f"the cursor old:5 {foreign}"),
            ("ep:10", f"the cursor ep:10 {foreign}"),
            ("999999", f"the cursor 999999 {foreign}"),
        ):
            gap = json.dumps({"first": "ep:3", "last": "ep:9", "cursor": cursor}).encode()
            self.runtime.script = [
                lambda gap=gap: self.hub.stream(b"event: gap\ndata: %s\n\n" % gap)
            ]
            self.assertIn(told, self.output_of("watch", "--after", cursor))

    def test_signal(self) -> None:
        """SIGTERM ends it without a word about the line that it breaks."""
        self.runtime.script = [self.runtime.signal]
        result = self.invoke("watch")
        self.assertEqual((result.exit_code, result.output), (0, ""))

    def test_refused(self) -> None:
        """A token that may not watch is a failure."""
        self.hub.stream_refusal = 401, {"error": "unauthorized"}
        self.assertIn("does not know this token", self.error_of("watch"))

    def test_terminal(self) -> None:
        """A terminal gets colours, and no control characters of others."""
        terminal = _Terminal()
        self.patch(sys, "stdout", terminal)
        self.patch(__import__("os"), "environ", {"TERM": "xterm-256color"})
        Lines(as_json=False).event("ep:1", event(1, "task_complete", by="\x1b[2J"))  # type: ignore[arg-type]
        self.assertIn("\x1b[32m", terminal.text)
        self.assertNotIn("\x1b[2J", terminal.text)
