"""``submit`` and ``submit --wait``: what is asked of the hub, and how waiting looks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived

from agentcom.cli.asked import ON_DISCONNECT, PRIORITIES
from agentcom.cli.follow import EXPLAIN_AFTER_S
from agentcom.cli.values import MOST_S
from agentcom.core.state import OnDisconnect, Priority
from agentcom.wire import tasks as wire
from agentcom.wire.explain import explain
from tests.unit.cli.fakes import CommandTestCase
from tests.unit.client.fakes import event, sse

QUEUED = {"status": "queued", "task_id": "task-1", "priority": "normal", "created_at": 1}
ENDED = {"id": "task-1", "description": "d", "status": "completed", "created_at": 1}
SUBMIT = "POST /api/tasks"


class SubmitTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hub.answers[SUBMIT] = 201, QUEUED

    def body_of(self, *arguments: str) -> Any:
        self.output_of("submit", *arguments)
        return self.hub.requests[-1][1]

    def test_submit(self) -> None:
        """A submission says which task it made; --json says it as the hub did."""
        self.assertEqual(self.output_of("submit", "do"), "task-1 queued with priority normal\n")
        self.assertEqual(self.hub.requests, [(SUBMIT, {"description": "do"})])
        self.assertEqual(json.loads(self.output_of("submit", "do", "--json")), QUEUED)

    def test_all_options(self) -> None:
        """Every option becomes the field that the hub reads, and nothing else is sent."""
        self.hub.clock.advance(1_000)
        body = self.body_of(
            "do", "--agent", "bot", "--capability", "a", "--capability", "b",
            "--label", "os=linux", "--label", "!slow", "--priority", "high",
            "--metadata", '{"a": 1}', "--max-attempts", "5", "--not-before", "10m",
            "--deadline", "2100-01-01T00:00Z", "--queue-timeout", "2h",
            "--accept-timeout", "5", "--attempt-timeout", "30m", "--hold", "0",
            "--on-disconnect", "keep", "--backoff-initial", "500ms", "--backoff-factor", "3",
            "--backoff-max", "1m",
        )  # fmt: skip
        self.assertEqual(
            body,
            {
                "description": "do",
                "agent_id": "bot",
                "capabilities": ["a", "b"],
                "labels": {"os": "linux", "slow": {"exists": False}},
                "priority": "high",
                "metadata": {"a": 1},
                "max_attempts": 5,
                "not_before": 1_600_000,
                "deadline": 4_102_444_800_000,
                "queue_timeout_s": 7_200.0,
                "accept_timeout_s": 5.0,
                "attempt_timeout_s": 1_800.0,
                "hold_s": 0.0,
                "on_disconnect": "keep",
                "backoff": {"initial_s": 0.5, "factor": 3.0, "max_s": 60.0},
            },
        )
        self.assertEqual(explain(body, wire.SubmitTask), [])
        known = {field.name for field in msgspec.structs.fields(wire.SubmitTask)}
        self.assertEqual(known - body.keys(), {"needed_capabilities", "idempotency_key"})
        self.assertEqual(self.body_of("do", "--idempotency-key", "k")["idempotency_key"], "k")

    def test_names_of_the_wire(self) -> None:
        """What is written out for a quick --help is what the hub knows."""
        self.assertEqual(PRIORITIES, tuple(Priority))
        self.assertEqual(ON_DISCONNECT, tuple(OnDisconnect))
        self.assertEqual(MOST_S, wire.MOST_S)

    def test_perhaps(self) -> None:
        """When the answer is lost, it is told that the task may exist."""
        self.hub.down = ResponseNeverReceived([Failure(ValueError())])
        self.assertIn("may have been submitted all the same", self.error_of("submit", "do"))
        self.hub.down = ConnectionRefusedError()
        self.assertNotIn("all the same", self.error_of("submit", "do"))

    def test_refused(self) -> None:
        """A refusal names the field that is wrong."""
        wrong = {"field": "deadline", "error": "invalid_value", "detail": "it is over"}
        self.hub.answers[SUBMIT] = 422, {"error": "validation_failed", "errors": [wrong]}
        self.assertIn("deadline: it is over", self.error_of("submit", "do"))


class WaitTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.log: list[dict[str, Any]] = []
        self.hub.answers[SUBMIT] = 201, QUEUED
        self.hub.answers["GET /api/tasks/task-1"] = 200, ENDED
        self.hub.answers["GET /api/tasks/task-1/events"] = lambda _: (200, {"events": self.log})
        explained = {**QUEUED, "summary": "It waits: no agent\x1b is connected."}
        self.hub.answers["GET /api/tasks/task-1/explain"] = 200, explained

    def live(self, *events: dict[str, Any]) -> Any:
        return lambda: self.hub.stream(b"".join(map(sse, events)))

    def later(self, seconds: float = EXPLAIN_AFTER_S) -> Any:
        return lambda: self.hub.clock.advance(seconds)

    def explained(self) -> int:
        return sum(request.endswith("explain") for request, _ in self.hub.requests)

    def test_waits(self) -> None:
        """A task that nobody is given is explained, once; then it is followed to its end."""
        self.runtime.script = [
            self.live(event(1, "task_submitted")),
            self.later(),
            self.later(),
            self.live(event(2, "task_assigned"), event(3, "task_complete")),
        ]
        result = self.invoke("submit", "do", "--wait")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(
            result.stderr, "It waits: no agent\N{REPLACEMENT CHARACTER} is connected.\n"
        )
        lines = result.stdout.splitlines()
        self.assertEqual(lines[0], "task-1 queued with priority normal")
        self.assertEqual(lines[-1], "completed")
        self.assertEqual(self.explained(), 1)

    def test_assigned_soon(self) -> None:
        """A task that an agent gets soon needs no explanation."""
        self.runtime.script = [
            self.live(event(1, "task_assigned")),
            self.later(),
            self.live(event(2, "task_complete")),
        ]
        self.output_of("submit", "do", "--wait")
        self.assertEqual(self.explained(), 0)

    def test_assigned_before(self) -> None:
        """Nor does one that had begun before the answer came."""
        self.log = [event(1, "task_assigned")]
        self.runtime.script = [self.later(), self.live(event(2, "task_complete"))]
        self.output_of("submit", "do", "--wait")
        self.assertEqual(self.explained(), 0)

    def test_cannot_be_explained(self) -> None:
        """An explanation that fails is no reason to stop waiting."""
        self.hub.answers["GET /api/tasks/task-1/explain"] = 503, {"error": "stopping"}
        self.runtime.script = [self.later(), self.live(event(2, "task_complete"))]
        self.assertIn("completed", self.output_of("submit", "do", "--wait"))
        self.assertEqual(self.explained(), 1)

    def test_retried_dead_letter(self) -> None:
        """A key leads to a task that died and was retried: its old end is not its end."""
        self.log = [event(1, "task_dead_letter"), event(2, "task_requeued", reason="retried")]
        self.runtime.script = [self.live(event(3, "task_assigned"), event(4, "task_complete"))]
        shown = self.output_of("submit", "do", "--wait", "--idempotency-key", "k")
        self.assertIn("task_complete", shown)

    def test_json(self) -> None:
        """--json shows the ended task on standard output and nothing else there."""
        self.runtime.script = [self.later(), self.live(event(2, "task_complete"))]
        shown = self.output_of("submit", "do", "--wait", "--json")
        self.assertEqual(json.loads(shown), ENDED)

    def test_timeout(self) -> None:
        """After the timeout the command fails and the task goes on."""
        self.runtime.script = [self.later(120)]
        result = self.invoke("submit", "do", "--wait", "--timeout", "2m")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("task-1 had not ended after 120 s; it goes on", result.stderr)

    def test_interrupted(self) -> None:
        """Ctrl-C stops the waiting only, and no timer is left behind."""
        result = self.invoke("submit", "do", "--wait")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("what was submitted goes on", result.stderr)
