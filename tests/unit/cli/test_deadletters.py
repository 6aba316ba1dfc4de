"""``dead-letters``, ``retry`` and ``delete``: one by one, or chosen by filters."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.cli.fakes import CommandTestCase

LETTER: dict[str, Any] = {
    "id": "task-1",
    "description": "do",
    "status": "dead_letter",
    "created_at": 1,
    "updated_at": 1_700_000_000_000,
    "agent_id": "bot",
    "attempts": 3,
    "max_attempts": 3,
    "last_error": "exit\nstatus 3",
}
MANY = "POST /api/tasks/dead-letter/"


def requeued(task_id: str) -> dict[str, Any]:
    return {"status": "requeued", "task_id": task_id, "priority": "low"}


class ListTests(CommandTestCase):
    def test_table(self) -> None:
        """Each has a line with its error, its attempts and when it ended."""
        self.hub.answers["GET /api/tasks/dead-letter"] = 200, {"tasks": [LETTER]}
        cells = self.output_of("dead-letters").splitlines()[1].split("\t")
        self.assertEqual(cells[:4], ["task-1", "bot", "3 of 3", "exit status 3"])
        self.assertTrue(cells[4].startswith("2023-11-1"))

    def test_filters(self) -> None:
        """Filters are asked of the hub."""
        self.hub.answers["GET /api/tasks/dead-letter"] = 200, {"tasks": []}
        shown = self.output_of("dead-letters", "--agent", "bot", "--error", "x y")
        self.assertEqual(shown, "no dead letters\n")
        query = self.hub.requests[0][0].partition("?")[2].split("&")
        self.assertEqual(set(query), {"agent_id=bot", "last_error=x+y", "limit=50"})

    def test_json(self) -> None:
        """--json shows what the hub said."""
        self.hub.answers["GET /api/tasks/dead-letter"] = 200, {"tasks": [LETTER]}
        shown = json.loads(self.output_of("dead-letters", "--json"))
        self.assertEqual(shown["tasks"], [LETTER])


class RetryTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("task-1", "task-2", "task-3"):
            self.hub.answers[f"POST /api/tasks/{name}/retry"] = 200, requeued(name)

    def asked(self) -> list[str]:
        return [request for request, _ in self.hub.requests]

    def test_ids(self) -> None:
        """Each that was named is retried."""
        shown = self.output_of("retry", "task-1", "task-2")
        self.assertEqual(shown, "task-1 is queued again\ntask-2 is queued again\n")
        shown = self.output_of("retry", "task-1", "task-2", "--json")
        answers = [json.loads(line) for line in shown.splitlines()]
        self.assertEqual(answers, [requeued("task-1"), requeued("task-2")])

    def test_one_is_refused(self) -> None:
        """One that cannot be retried stops no other, and makes the command fail."""
        refused = 409, {"error": "invalid_state", "status": "working"}
        self.hub.answers["POST /api/tasks/task-2/retry"] = refused
        result = self.invoke("retry", "task-1", "task-2", "task-3")
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.stdout, "task-1 is queued again\ntask-3 is queued again\n")
        self.assertIn("task-2: that cannot be done with a task that is working", result.stderr)

    def test_all_are_refused(self) -> None:
        """A refusal that is not about one task is said once."""
        for name in ("task-1", "task-2"):
            refused = 403, {"error": "forbidden", "required_scope": "submit"}
            self.hub.answers[f"POST /api/tasks/{name}/retry"] = refused
        told = self.error_of("retry", "task-1", "task-2")
        self.assertEqual(told.count("'submit'"), 1)
        self.assertEqual(len(self.hub.requests), 1)

    def test_filters(self) -> None:
        """Filters choose, all of them together; how many is told."""
        self.hub.answers[f"{MANY}retry"] = 200, {"retried": 2, "skipped": 0}
        shown = self.output_of(
            "retry", "--agent", "bot", "--priority", "low", "--submitted-by", "ci", "--error", "x"
        )
        self.assertEqual(shown, "2 dead letters are queued again\n")
        wanted = {"agent_id": "bot", "priority": "low", "submitted_by": "ci", "last_error": "x"}
        self.assertEqual(self.hub.requests, [(f"{MANY}retry", wanted)])

    def test_all(self) -> None:
        """--all chooses every one."""
        self.hub.answers[f"{MANY}retry"] = 200, {"retried": 1, "skipped": 3}
        shown = self.output_of("retry", "--all")
        self.assertEqual(
            shown, "1 dead letter is queued again, 3 skipped because they changed meanwhile\n"
        )
        self.assertEqual(self.hub.requests[0][1], {"all": True})
        self.assertEqual(json.loads(self.output_of("retry", "--all", "--json"))["retried"], 1)


class DeleteTests(CommandTestCase):
    def test_ids(self) -> None:
        """Each that was named is deleted, without further question."""
        reply = {"status": "deleted", "task_id": "task-1"}
        self.hub.answers["DELETE /api/tasks/task-1"] = 200, reply
        self.assertEqual(self.output_of("delete", "task-1"), "task-1 is deleted\n")
        self.assertEqual(json.loads(self.output_of("delete", "task-1", "--json")), reply)

    def test_filters(self) -> None:
        """By filter they go only with --yes."""
        self.hub.answers[f"{MANY}delete"] = 200, {"deleted": 0, "skipped": 0}
        shown = self.output_of("delete", "--submitted-by", "ci", "--yes")
        self.assertEqual(shown, "0 dead letters are deleted\n")
        self.assertEqual(self.hub.requests, [(f"{MANY}delete", {"submitted_by": "ci"})])
        shown = self.output_of("delete", "--all", "--yes", "--json")
        self.assertEqual(json.loads(shown)["deleted"], 0)

    def test_unknown(self) -> None:
        """One that is not there is a failure."""
        self.assertIn("knows no such task", self.error_of("delete", "task-9"))
