"""The commands that ask the hub once and show its answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from agentcom.cli import show
from tests.unit.cli.fakes import CommandTestCase
from tests.unit.client.fakes import event

TASK: dict[str, Any] = {
    "id": "task-1",
    "description": "line\nof \x1b[31mred",
    "status": "completed",
    "created_at": 1_700_000_000_000,
    "agent_id": "bot",
    "progress": 50.0,
    "last_error": None,
    "result": {"exit_code": 0, "output": "printed\nlines\n"},
}
AGENT = {
    "agent_id": "bot",
    "name": "Bot",
    "status": "fine",
    "capabilities": ["a", "b"],
    "connected_at": 1_700_000_000_000,
    "state": "busy",
    "running": 1,
    "slots": 2,
}


class AgentsTests(CommandTestCase):
    def test_table(self) -> None:
        """Each agent has a line; in a pipe the columns are tabs apart."""
        self.hub.answers["GET /api/agents"] = 200, {"agents": [AGENT]}
        lines = self.output_of("agents").splitlines()
        self.assertEqual(lines[0].split("\t")[0], "AGENT")
        self.assertEqual(lines[1].split("\t")[:6], ["bot", "Bot", "busy", "1/2", "fine", "a b"])

    def test_none(self) -> None:
        """No agents are a sentence, not an empty table."""
        self.hub.answers["GET /api/agents"] = 200, {"agents": []}
        self.assertEqual(self.output_of("agents"), "no agent is connected\n")

    def test_json(self) -> None:
        """--json shows what the hub said, unknown fields too."""
        reply = {"agents": [{**AGENT, "new": 1}]}
        self.hub.answers["GET /api/agents"] = 200, reply
        self.assertEqual(json.loads(self.output_of("agents", "--json")), reply)

    def test_hub_is_away(self) -> None:
        """A hub that is not there is one sentence on standard error."""
        self.hub.down = OSError("the cable is out")
        self.assertIn("the cable is out", self.error_of("agents"))

    def test_fault(self) -> None:
        """Even a fault of our own is a sentence."""
        self.patch(self.runtime, "connect", lambda *args: 1 / 0)
        self.assertIn("please report it: ZeroDivisionError", self.error_of("agents"))


class TasksTests(CommandTestCase):
    def test_table(self) -> None:
        """Each task has a line, whatever its description holds."""
        self.hub.answers["GET /api/tasks"] = 200, {"tasks": [TASK]}
        cells = self.output_of("tasks", "--agent", "bot").splitlines()[1].split("\t")
        self.assertEqual(cells[:4], ["task-1", "completed", "bot", "50"])
        self.assertEqual(cells[6], "line of \N{REPLACEMENT CHARACTER}[31mred")
        self.assertIn("agent_id=bot", self.hub.requests[0][0])

    def test_filters(self) -> None:
        """Filters are asked of the hub, on every page."""
        self.hub.answers["GET /api/tasks"] = 200, {"tasks": []}
        self.output_of("tasks", "--status", "queued", "--priority", "low", "--submitted-by", "ci")
        query = "status=queued&priority=low&submitted_by=ci&limit=50"
        self.assertEqual(set(self.hub.requests[0][0][15:].split("&")), set(query.split("&")))

    def test_stats(self) -> None:
        """Counts are shown by status and by priority."""
        reply = {"by_status": {"queued": 3, "working": 1}, "by_priority": {"urgent": 4}}
        self.hub.answers["GET /api/tasks/stats"] = 200, reply
        shown = self.output_of("stats")
        for line in ("status\tqueued\t3", "status\tworking\t1", "priority\turgent\t4"):
            self.assertIn(line, shown)
        self.assertEqual(json.loads(self.output_of("stats", "--json")), reply)

    def test_none(self) -> None:
        """No tasks are a sentence."""
        self.hub.answers["GET /api/tasks"] = 200, {"tasks": []}
        self.assertEqual(self.output_of("tasks"), "no such tasks\n")

    def test_pages(self) -> None:
        """As many pages are read as the limit needs, and no more."""
        pages = iter(
            [
                {"tasks": [TASK] * 100, "cursor": "one"},
                {"tasks": [TASK] * 100, "cursor": "two"},
            ]
        )
        self.hub.answers["GET /api/tasks"] = lambda body: (200, next(pages))
        shown = json.loads(self.output_of("tasks", "--limit", "150", "--json"))
        self.assertEqual((len(shown["tasks"]), shown["cursor"]), (150, "two"))
        self.assertIn("limit=50&cursor=one", self.hub.requests[1][0])

    def test_search(self) -> None:
        """A search goes on over pages without tasks, until the limit or the end."""
        pages = iter(
            [
                {"tasks": [], "cursor": "one", "searched": 20_000},
                {"tasks": [TASK], "cursor": "two", "searched": 20_000},
                {"tasks": [], "cursor": None, "searched": 5},
            ]
        )
        self.hub.answers["GET /api/tasks"] = lambda body: (200, next(pages))
        shown = json.loads(self.output_of("tasks", "--search", "no space", "--json"))
        self.assertEqual(len(shown["tasks"]), 1)
        asked = [path for path, _ in self.hub.requests]
        self.assertTrue(all("search=no+space" in path for path in asked), asked)
        self.assertEqual(len(asked), 3)

    def test_task(self) -> None:
        """One task is shown with its result and all that happened to it."""
        self.hub.answers["GET /api/tasks/task-1"] = 200, TASK
        pages = iter(
            [
                {"events": [event(1, "task_submitted", description="d")], "cursor": "c"},
                {"events": [event(2, "task_progress", output="hello\n")], "cursor": None},
            ]
        )
        self.hub.answers["GET /api/tasks/task-1/events"] = lambda body: (200, next(pages))
        shown = self.output_of("task", "task-1")
        for told in ("completed", "| printed", "task_submitted", "description=d", "| hello"):
            self.assertIn(told, shown)
        self.assertNotIn("\x1b[31m", shown)

    def test_task_of_the_queue(self) -> None:
        """What was asked for is shown in words, what is as usual is not."""
        task = {
            **TASK,
            "status": "queued",
            "attempts": 1,
            "max_attempts": 3,
            "series": 2,
            "metadata": {"path": "."},
            "capabilities": ["py"],
            "labels": {"os": "linux", "gpu": {"exists": True}},
            "ready_at": 1_700_000_000_000,
            "deadline": 1_700_000_000_000,
            "hold_s": 30.0,
            "requeues": 0,
            "backoff": {"initial_s": 0.5, "factor": 2.0, "max_s": 60.0},
            "accept_timeout_s": 5.0,
        }
        self.hub.answers["GET /api/tasks/task-1"] = 200, task
        self.hub.answers["GET /api/tasks/task-1/events"] = 200, {"events": []}
        shown = dict(
            line.strip().split(": ", 1)
            for line in self.output_of("task", "task-1").splitlines()
            if line.startswith("  ") and ": " in line and "|" not in line
        )
        shown = {name: value.strip() for name, value in shown.items()}
        self.assertEqual(shown["attempts"], "1 of 3 (series 2)")
        self.assertEqual(shown["needs"], "py, os=linux, gpu")
        self.assertEqual(shown["last_agent"], "bot")
        self.assertEqual(shown["metadata"], '{"path": "."}')
        self.assertEqual(shown["backoff"], "0.5s, each 2 times the last, at most 60s")
        self.assertEqual(shown["accept_timeout_s"], "5.0")
        for name in ("ready_at", "deadline"):
            self.assertRegex(shown[name], r"2023-11-1\d \d\d:\d\d:\d\d")
        for name in ("hold_s", "requeues", "max_attempts", "series", "labels", "agent_id"):
            self.assertNotIn(name, shown)

    def test_task_with_usual_backoff(self) -> None:
        """A pause that nobody asked for, and a task without needs, take no line."""
        usual = {"initial_s": 1.0, "factor": 2.0, "max_s": 60.0}
        task = {**TASK, "backoff": usual, "capabilities": [], "labels": {}, "attempts": 0}
        self.hub.answers["GET /api/tasks/task-1"] = 200, task
        self.hub.answers["GET /api/tasks/task-1/events"] = 200, {"events": []}
        shown = self.output_of("task", "task-1")
        self.assertIn("0 of 1", shown)
        self.assertNotIn("backoff", shown)
        self.assertNotIn("needs", shown)

    def test_task_json(self) -> None:
        """--json has the task and its events."""
        self.hub.answers["GET /api/tasks/task-1"] = 200, {**TASK, "result": [1]}
        self.hub.answers["GET /api/tasks/task-1/events"] = 200, {"events": []}
        shown = json.loads(self.output_of("task", "task-1", "--json"))
        self.assertEqual((shown["task"]["result"], shown["events"]), ([1], []))

    def test_task_with_another_result(self) -> None:
        """A result that is no object is shown as JSON."""
        self.hub.answers["GET /api/tasks/task-1"] = 200, {**TASK, "result": [1]}
        self.hub.answers["GET /api/tasks/task-1/events"] = 200, {"events": []}
        self.assertIn("[\n  1\n]", self.output_of("task", "task-1"))

    def test_unknown_task(self) -> None:
        """A task that does not exist is a failure."""
        self.hub.answers["GET /api/tasks/task-2"] = 404, {"error": "task_not_found"}
        self.assertIn("knows no such task", self.error_of("task", "task-2"))

    def test_cancel(self) -> None:
        """Cancelling says so."""
        reply = {"status": "cancelled", "task_id": "task-1"}
        self.hub.answers["POST /api/tasks/task-1/cancel"] = 200, reply
        self.assertEqual(self.output_of("cancel", "task-1"), "task-1 is cancelled\n")
        shown = self.output_of("cancel", "task-1", "--reason", "r", "--json")
        self.assertEqual(json.loads(shown), reply)
        self.assertEqual(self.hub.requests[1][1], {"reason": "r"})

    def test_cancel_ended(self) -> None:
        """A task that has ended cannot be cancelled."""
        answer = 409, {"error": "invalid_state", "status": "completed"}
        self.hub.answers["POST /api/tasks/task-1/cancel"] = answer
        self.assertIn("a task that is completed", self.error_of("cancel", "task-1"))

    def test_requeue(self) -> None:
        """Taking a task back says so, and may give a reason."""
        reply = {"status": "requeued", "task_id": "task-1", "priority": "low"}
        self.hub.answers["POST /api/tasks/task-1/requeue"] = 200, reply
        self.assertEqual(self.output_of("requeue", "task-1"), "task-1 is queued again\n")
        shown = self.output_of("requeue", "task-1", "--reason", "it hangs", "--json")
        self.assertEqual(json.loads(shown), reply)
        self.assertEqual([body for _, body in self.hub.requests], [{}, {"reason": "it hangs"}])


class SendTests(CommandTestCase):
    def test_send(self) -> None:
        """The text goes as the payload to the one agent, or to all."""
        self.hub.answers["POST /api/message"] = 200, {"status": "sent", "id": "m1"}
        self.assertEqual(self.output_of("send", "bot", "hi"), "message m1 sent to bot\n")
        self.assertIn("everybody", self.output_of("send", "broadcast", "hi"))
        shown = self.output_of("send", "bot", "hi", "--type", "t", "--reply-to", "m0", "--json")
        self.assertEqual(json.loads(shown)["id"], "m1")
        self.assertEqual(self.hub.requests[0][1], {"payload": {"text": "hi"}, "to": "bot"})


class TokenTests(CommandTestCase):
    def test_create(self) -> None:
        """The token alone is printed, so that a script can take it."""
        self.hub.answers["POST /admin/tokens"] = 201, {"agent_id": "bot", "token": "t0"}
        self.assertEqual(self.output_of("token", "create", "bot"), "t0\n")
        self.output_of("token", "create", "bot", "--scope", "submit", "--expires-in", "60")
        self.assertEqual(
            self.hub.requests[1][1],
            {"agent_id": "bot", "scopes": ["submit"], "expires_in_s": 60.0},
        )
        shown = self.output_of("token", "create", "bot", "--json")
        self.assertEqual(json.loads(shown)["token"], "t0")

    def test_list(self) -> None:
        """The list has the beginning of each token and what it may do."""
        token = {"agent_id": "bot", "token_prefix": "abcd", "scopes": ["agent"], "expires_at": None}
        self.hub.answers["GET /admin/tokens"] = 200, {"tokens": [token]}
        self.assertIn("bot\tabcd\tagent", self.output_of("token", "list"))
        self.assertEqual(json.loads(self.output_of("token", "list", "--json"))["tokens"], [token])

    def test_revoke(self) -> None:
        """Revoking says whose tokens are gone."""
        reply = {"status": "revoked", "agent_id": "bot"}
        self.hub.answers["DELETE /admin/tokens/bot"] = 200, reply
        self.assertIn("tokens of bot are revoked", self.output_of("token", "revoke", "bot"))
        self.assertEqual(json.loads(self.output_of("token", "revoke", "bot", "--json")), reply)

    def local(self, made: Any) -> None:
        from agentcom.store import local

        self.patch(local, "create_admin_token", made)

    def test_admin(self) -> None:
        """An admin token is made in the data directory, and no hub is asked."""
        asked: list[Path] = []

        def made(data_dir: Path, now: int) -> str:
            self.assertGreater(now, 1_700_000_000_000)
            asked.append(data_dir)
            return "t1"

        self.local(made)
        self.assertEqual(self.output_of("token", "create", "--admin"), "t1\n")
        shown = self.output_of("token", "create", "--admin", "--data-dir", str(self.home), "--json")
        self.assertEqual(json.loads(shown), {"agent_id": "admin", "token": "t1"})
        self.assertEqual(asked, [self.home, self.home])
        self.assertEqual(self.hub.requests, [])

    def test_admin_without_data(self) -> None:
        """Where there is no data directory, none is invented."""
        missing = str(self.home / "missing")
        told = self.error_of("token", "create", "--admin", "--data-dir", missing)
        self.assertIn("is no data directory", told)

    def test_admin_fails(self) -> None:
        """A database that cannot be used is one sentence."""

        def broken(data_dir: Path, now: int) -> str:
            raise OSError("disk full")

        self.local(broken)
        self.assertIn("disk full", self.error_of("token", "create", "--admin"))


class ShowTests(CommandTestCase):
    def test_times(self) -> None:
        """A time that is none is shown as it came."""
        self.assertEqual(show.when(None), "")
        self.assertEqual(show.when("soon"), "soon")
        self.assertEqual(show.when(10**30), str(10**30))
        self.assertRegex(show.when(1_700_000_000_000), r"2023-11-1\d \d\d:\d\d:\d\d")

    def test_table_on_a_terminal(self) -> None:
        """A terminal gets an aligned table."""
        self.patch(sys, "stdout", _Terminal())
        self.patch(sys, "argv", ["agentcom"])
        show.table(("TASK", "STATUS"), [("task-1", "completed")])
        self.assertIn("completed", sys.stdout.text)  # type: ignore[attr-defined]

    def test_ids_in_one_piece(self) -> None:
        """On a narrow terminal the first column keeps its ids whole."""
        terminal = _Terminal()
        self.patch(sys, "stdout", terminal)
        self.patch(__import__("os"), "environ", {"COLUMNS": "50", "TERM": "xterm"})
        cells = ("completed", "agent-" * 4, "2026-01-01 10:00:00", "word " * 20)
        show.table(("TASK", "B", "C", "D", "E"), [("task-0123456789abcdef", *cells)])
        self.assertIn("task-0123456789abcdef", terminal.text)

    def test_long_values(self) -> None:
        """A long value of an event is cut, a structured one is JSON."""
        told = show.event_line(event(1, "task_failed", reason="x" * 500, by={"a": 1}))
        self.assertLess(len(told), 300)
        self.assertIn('by={"a": 1}', told)

    def test_fields_in_words(self) -> None:
        """An event's agent, needs and times are shown in words."""
        wanted = {"capabilities": ["py"], "labels": [{"key": "os", "op": "=", "values": ["l"]}]}
        told = show.event_line(event(1, "task_submitted", needs=wanted, deadline=1_700_000_000_000))
        self.assertIn("needs=[py, os=l] deadline=2023-11-1", told)


class _Terminal:
    """As much of a terminal as rich asks for."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
