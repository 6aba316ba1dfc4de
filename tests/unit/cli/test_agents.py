"""``agentcom agents AGENT``: one agent in words, from what a real hub answers."""

from __future__ import annotations

import json
from typing import Any

from agentcom.cli import alive
from agentcom.testing import MemoryHub
from tests.unit.cli.fakes import CommandTestCase

PATH = "/api/agents/bot"


class OneAgentTests(CommandTestCase):
    """The command, in front of the answers of a hub in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.real = MemoryHub()

    def lines(self) -> dict[str, str]:
        """The command's lines, by their first word."""
        self.hub.answers[f"GET {PATH}"] = 200, self.real.request("GET", PATH).body
        told = self.output_of("agents", "bot").splitlines()
        return {line.split()[0].rstrip(":"): " ".join(line.split()[1:]) for line in told}

    def assert_says(self, line: str, *words: str) -> None:
        """A line has these words, one after the other."""
        rest = line
        for text in words:
            self.assertIn(text, rest, line)
            rest = rest.partition(text)[2]

    def submit(self, **fields: Any) -> str:
        body = {"description": "work", **fields}
        return str(self.real.request("POST", "/api/tasks", body).body["task_id"])

    def test_silent_work(self) -> None:
        """An hour of silent work looks well: the line, the work and the task each have a line."""
        agent = self.real.agent("bot", name="Bot", slots=2, capabilities=["gpu"])
        task_id = self.real.push("bot")
        agent.say("task_accepted", task_id=task_id)
        self.real.advance(3_605, step=5)
        lines = self.lines()
        self.assertEqual(lines["bot"], "busy")
        self.assertEqual(lines["Bot,"], "connected, 2 slots, can gpu")
        self.assert_says(lines["connection"], "open since", "5s ago", "silent for another 55s")
        self.assert_says(lines["work"], "takes work", "1 of 2 slots", "1h ago")
        self.assertEqual(lines["tasks"], "has 1")
        self.assertEqual(lines[task_id], "working, generation 1, last heard of 1h ago")

    def test_unresponsive(self) -> None:
        """Of an agent that takes no work it is said since when, and when it is tried again."""
        self.real.agent("bot")
        first = self.submit(accept_timeout_s=5)
        lines = self.lines()
        self.assert_says(lines["work"], "has no room", "1 of 1 slots")
        self.assert_says(lines[first], "assigned", "given 0s ago", "5s left to accept")
        self.real.advance(8)
        self.assert_says(
            self.lines()["work"], "UNRESPONSIVE since", "with one task in 27s", "let 1 offer pass"
        )
        self.real.advance(27)
        self.assert_says(self.lines()["work"], "UNRESPONSIVE", f"tried now with {first}")
        self.real.request("POST", f"/api/tasks/{first}/cancel")
        self.real.advance(60)
        self.assert_says(self.lines()["work"], "tried with the next task that fits")

    def test_contested(self) -> None:
        """Several agents of one id are told of."""
        for _ in range(7):
            self.real.agent("bot")
        self.assert_says(self.lines()["connection"], "open since", "FOUGHT OVER")

    def test_paused(self) -> None:
        """Of one that rejected it is said for how long it is left alone."""
        agent = self.real.agent("bot")
        agent.say("task_rejected", task_id=self.submit())
        self.real.advance(1)
        self.assert_says(self.lines()["work"], "rejected a task", "for another 4s")

    def test_away(self) -> None:
        """Of one that is away it is said since when, and for how long what it has is kept."""
        agent = self.real.agent("bot")
        task_id = self.real.push("bot")
        agent.vanish()
        self.real.advance(4)
        lines = self.lines()
        self.assertEqual(lines["bot"], "away")
        self.assert_says(lines["connection"], "away for 4s", "another 26s")
        self.assert_says(lines["work"], "unknown")
        self.assert_says(lines[task_id], "kept for another 26s")
        self.real.advance(30)
        lines = self.lines()
        self.assertNotIn("kept", lines["connection"])
        self.assertEqual(lines["tasks"], "has none; 1 more wait for it alone")

    def test_kept_for_ever(self) -> None:
        """Where nothing ends the wait, no end is told."""
        self.real.agent("bot")
        self.submit(on_disconnect="keep")
        self.real.hub.roster["bot"].close(1001, "gone")
        self.real.settle()
        self.assert_says(self.lines()["connection"], "kept for it until it is back")

    def test_drained(self) -> None:
        """A drain is told with who, why and what its deadline means."""
        self.real.agent("bot")
        self.real.request("POST", f"{PATH}/drain", {"note": "new disk", "deadline_s": 60})
        self.assert_says(
            self.lines()["work"],
            "offered nothing more",
            "drained by admin (new disk); what still runs at ",
        )

    def test_json(self) -> None:
        """--json shows what the hub said, unknown fields too."""
        self.real.agent("bot")
        reply = {**self.real.request("GET", PATH).body, "new": 1}
        self.hub.answers[f"GET {PATH}"] = 200, reply
        self.assertEqual(json.loads(self.output_of("agents", "bot", "--json")), reply)

    def test_unknown_agent(self) -> None:
        """An agent that the hub does not know is a sentence, and so is an id that is none."""
        answer = self.real.request("GET", PATH)
        self.hub.answers[f"GET {PATH}"] = answer.status, answer.body
        self.assertIn("the hub knows no such agent", self.error_of("agents", "bot"))
        self.assertIn("the hub knows no such agent", self.error_of("agents", "a/b"))

    def test_older_hub(self) -> None:
        """A hub that tells less, or more, than this command knows is shown all the same."""
        task = {"task_id": "task-1", "status": "working", "generation": 1, "progress": None}
        for reply in (
            {"agent_id": "bot", "state": "idle", "tasks": [task]},
            {"agent_id": "bot", "tasks": [{}], "liveness": {"work": {}, "connection": {}}},
            {
                "agent_id": "bot",
                "liveness": {
                    "at": "now",
                    "connection": {"state": "dreaming", "since": 3},
                    "work": {"state": "sings", "probe": 3, "slots": "many", "answered_at": "x"},
                    "tasks": [3, {"task_id": []}],
                },
                "drain": [],
            },
        ):
            self.hub.answers[f"GET {PATH}"] = 200, reply
            self.assertIn("bot", self.output_of("agents", "bot"))

    def test_clean(self) -> None:
        """What agents say of themselves cannot move the cursor."""
        self.real.agent("bot", name="\x1b[31mred", status="a\nb")
        self.hub.answers[f"GET {PATH}"] = 200, self.real.request("GET", PATH).body
        output = self.output_of("agents", "bot")
        self.assertNotIn("\x1b", output)
        self.assertIn("a b", output)


class SpanTests(CommandTestCase):
    """Lengths of time."""

    def test_span(self) -> None:
        """The two largest units are told, the smaller one where it is not nothing."""
        for ms, told in (
            (0, "0s"),
            (-5_000, "0s"),
            (1_400, "1s"),
            (60_000, "1m"),
            (61_000, "1m 1s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (90_061_000, "1d 1h"),
            (None, "an unknown time"),
        ):
            self.assertEqual(alive.span(ms), told)
