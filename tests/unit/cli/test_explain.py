"""``explain``: the summary first, then everything that the hub had to say."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.cli.fakes import CommandTestCase
from tests.unit.client.fakes import event

WAITS: dict[str, Any] = {
    "task_id": "task-1",
    "status": "queued",
    "waiting": True,
    "summary": "It waits: none of the 2 agents fits it.",
    "since": 1_700_000_000_000,
    "reasons": [{"rule": "no_agent_fits", "detail": "none of the 2 agents fits it"}],
    "agents": [
        {
            "agent_id": "bot",
            "rules": [
                {"rule": "capability", "detail": "it lacks gpu", "needed": "gpu", "found": None},
                {"rule": "slots", "detail": "1 of its 1 slots are taken"},
            ],
        },
        {"agent_id": "free", "rules": []},
    ],
    "agents_total": 2,
    "by_rule": {"capability": 1, "slots": 1},
    "queue": {"waiting": 7, "alike": 2},
}


class ExplainTests(CommandTestCase):
    def explain(self, reply: dict[str, Any]) -> list[str]:
        self.hub.answers["GET /api/tasks/task-1/explain"] = 200, reply
        return self.output_of("explain", "task-1").splitlines()

    def test_waits(self) -> None:
        """The summary comes first, then a line for each agent with all its rules."""
        lines = self.explain(WAITS)
        self.assertEqual(lines[:2], ["task-1  queued", WAITS["summary"]])
        self.assertIn("  bot: capability: it lacks gpu; slots: 1 of its 1 slots are taken", lines)
        self.assertIn("  free: nothing keeps it from this one", lines)
        self.assertTrue(any(line.split() == "queue: waiting 7, alike 2".split() for line in lines))
        self.assertNotIn("reasons:", lines)

    def test_reasons(self) -> None:
        """Reasons that the summary does not say are listed."""
        more = {"rule": "hub_stopping", "detail": "the hub is stopping"}
        lines = self.explain({**WAITS, "reasons": [more, *WAITS["reasons"]]})
        self.assertIn("  hub_stopping: the hub is stopping", lines)

    def test_many_agents(self) -> None:
        """Where not all agents are told, their number is, by rule."""
        lines = self.explain({**WAITS, "agents_total": 250, "by_rule": {"label": 249}})
        self.assertIn("  and 248 more; of all 250: label 249", lines)

    def test_held(self) -> None:
        """Of a task that runs it is told who has it and since when."""
        lines = self.explain(
            {
                "task_id": "task-1",
                "status": "working",
                "waiting": False,
                "summary": "bot works on it, attempt 1 of 3.",
                "agent_id": "bot",
                "since": 1_700_000_000_000,
                "agent_connected": True,
            }
        )
        self.assertEqual(lines[1], "bot works on it, attempt 1 of 3.")
        told = {line.split(":")[0].strip(): line for line in lines[2:]}
        self.assertIn("2023-11-1", told["since"])
        self.assertEqual(told["agent_connected"].split()[-1], "true")

    def test_ended(self) -> None:
        """Of a task that has ended it is told who decided what and when."""
        ended = {
            "task_id": "task-1",
            "status": "dead_letter",
            "waiting": False,
            "summary": "Bot failed it in the last of its 3 attempts: x.",
            "decided_by": "bot",
            "decided_at": 1_700_000_000_000,
            "decision": "attempts_exhausted",
            "event": event(9, "task_dead_letter", reason="attempts_exhausted"),
            "error": None,
        }
        shown = "\n".join(self.explain(ended))
        for told in ("decided_by:", "task_dead_letter  bot  reason=attempts_exhausted"):
            self.assertIn(told, shown)
        self.assertRegex(shown, r"decided_at: +2023-11-1")
        self.assertNotIn("error", shown)

    def test_tolerant(self) -> None:
        """Forms that this version does not know are shown, and break nothing."""
        odd = {
            "task_id": "task-1",
            "status": "queued",
            "summary": "s",
            "reasons": "none",
            "agents": ["bot", {"rules": None}, {"agent_id": "b", "rules": [7, {"rule": "new"}]}],
            "agents_total": "many",
            "event": {"odd": [1]},
            "new": "\x1b[2J",
        }
        shown = "\n".join(self.explain(odd))
        self.assertIn("  b: new", shown)
        self.assertIn("odd [1]", shown)
        self.assertNotIn("\x1b", shown)

    def test_rule_without_detail(self) -> None:
        """A rule that only says what is needed is told so."""
        rules = [{"rule": "label", "needed": "os=linux", "found": "mac"}]
        lines = self.explain({**WAITS, "agents": [{"agent_id": "bot", "rules": rules}]})
        self.assertIn("  bot: label: needs os=linux, has mac", lines)

    def test_json(self) -> None:
        """--json shows all that the hub said."""
        self.hub.answers["GET /api/tasks/task-1/explain"] = 200, WAITS
        self.assertEqual(json.loads(self.output_of("explain", "task-1", "--json")), WAITS)

    def test_unknown(self) -> None:
        """A task that does not exist is a failure."""
        self.assertIn("knows no such task", self.error_of("explain", "task-2"))
