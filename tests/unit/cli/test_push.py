"""``push`` and ``push --wait``: from the answer to the end of the task."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived

from tests.unit.cli.fakes import CommandTestCase
from tests.unit.client.fakes import event, sse

PUSHED = {"status": "pushed", "task_id": "task-1", "agent_id": "bot"}
ENDED = {"id": "task-1", "description": "d", "status": "completed", "created_at": 1}
PUSH = "POST /api/admin/push-task"


class PushTests(CommandTestCase):
    def test_push(self) -> None:
        """A push says which task it made."""
        self.hub.answers[PUSH] = 200, PUSHED
        self.assertEqual(self.output_of("push", "bot", "do"), "task-1 pushed to bot\n")
        shown = self.output_of(
            "push", "bot", "do", "--metadata", '{"a": 1}', "--idempotency-key", "k", "--json"
        )
        self.assertEqual(json.loads(shown), PUSHED)
        self.assertEqual(self.hub.requests[1][1]["metadata"], {"a": 1})

    def test_refused(self) -> None:
        """An agent that is away is a failure with a hint."""
        self.hub.answers[PUSH] = 404, {"error": "agent_not_connected", "agent_id": "bot"}
        self.assertIn("agent 'bot' is not connected", self.error_of("push", "bot", "do"))

    def test_perhaps(self) -> None:
        """When the answer is lost, it is told that the task may exist."""
        self.hub.down = ResponseNeverReceived([Failure(ValueError())])
        self.assertIn("may have been pushed all the same", self.error_of("push", "bot", "do"))
        self.hub.down = ConnectionRefusedError()
        self.assertNotIn("all the same", self.error_of("push", "bot", "do"))


class WaitTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.log: list[dict[str, Any]] = []
        self.hub.answers[PUSH] = 200, PUSHED
        self.hub.answers["GET /api/tasks/task-1"] = 200, ENDED
        self.hub.answers["GET /api/tasks/task-1/events"] = lambda _: (200, {"events": self.log})

    def live(self, *events: dict[str, Any]) -> Any:
        return lambda: self.hub.stream(b"".join(map(sse, events)))

    def test_completes(self) -> None:
        """The task is followed line by line to its result; another task is not."""
        result = {"exit_code": 0, "output": "hello\n", "data": None}
        self.hub.answers["GET /api/tasks/task-1"] = 200, {**ENDED, "result": result}
        self.runtime.script = [
            self.live(event(1, "task_submitted"), event(2, "task_submitted", "task-2")),
            self.live(event(3, "task_progress", progress=50, message="half", output="hello\n")),
            self.live(event(4, "task_progress", output="more\n")),
            self.live(event(5, "task_complete")),
        ]
        shown = self.output_of("push", "bot", "do", "--wait")
        self.assertEqual(shown.splitlines()[0], "task-1 pushed to bot")
        for told in ("  | hello", "   50  half", "  | more", "completed", '"exit_code": 0'):
            self.assertIn(told, shown)
        self.assertEqual(shown.count("hello"), 1)
        self.assertEqual(shown.count("task_submitted"), 1)

    def test_fails(self) -> None:
        """A task that does not complete makes the command fail and says why."""
        failed = {**ENDED, "status": "dead_letter", "last_error": "exit status 3"}
        self.hub.answers["GET /api/tasks/task-1"] = 200, failed
        self.runtime.script = [self.live(event(1, "task_dead_letter"))]
        result = self.invoke("push", "bot", "do", "--wait")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("failed (dead_letter)\nexit status 3", result.stdout)

    def test_json(self) -> None:
        """--json shows the ended task and nothing else."""
        self.runtime.script = [self.live(event(1, "task_progress", output="x"))]
        self.runtime.script += [self.live(event(2, "task_complete"))]
        self.assertEqual(json.loads(self.output_of("push", "bot", "do", "--wait", "--json")), ENDED)

    def test_event_before_answer(self) -> None:
        """An event that overtakes the answer to the push is not lost."""

        def answer(body: Any) -> Any:
            self.hub.streams[-1].write(sse(event(1, "task_complete")))
            return 200, PUSHED

        self.hub.answers[PUSH] = answer
        self.assertIn("completed", self.output_of("push", "bot", "do", "--wait"))

    def test_ended_long_ago(self) -> None:
        """A key that was used before leads to a task that may have ended."""
        self.log = [event(1, "task_complete")]
        shown = self.output_of("push", "bot", "do", "--wait", "--idempotency-key", "k")
        self.assertIn("completed", shown)

    def test_hub_restarts(self) -> None:
        """What happened while the line was down is read from the task's own log."""

        def missed() -> None:
            self.log = [event(1, "task_submitted"), event(2, "task_complete")]
            self.hub.clock.advance(20)

        self.runtime.script = [self.live(event(1, "task_submitted")), self.hub.cut, missed]
        result = self.invoke("push", "bot", "do", "--wait")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(result.stdout.count("task_submitted"), 1)
        self.assertIn("waiting for it", result.stderr)

    def test_agent_goes_and_comes_back(self) -> None:
        """While the task waits for its agent that is said, once; of other agents nothing is."""

        def presence(seq: int, kind: str, agent_id: str) -> dict[str, Any]:
            return {**event(seq, kind, None), "topic": "presence", "agent_id": agent_id}

        self.runtime.script = [
            self.live(presence(1, "agent_left", "bot"), event(2, "task_assigned")),
            self.live(presence(3, "agent_left", "other"), presence(4, "agent_joined", "bot")),
            self.live(presence(5, "agent_left", "bot"), presence(6, "agent_left", "bot")),
            self.live(presence(7, "agent_joined", "bot"), event(8, "task_requeued")),
            self.live(presence(9, "agent_left", "bot"), event(10, "task_complete")),
        ]
        result = self.invoke("push", "bot", "do", "--wait")
        self.assertEqual(
            result.stderr,
            "agent bot is away; the task is kept for it for a while\nagent bot is back\n",
        )

    def test_gap(self) -> None:
        """A gap in the stream is no loss: the task's own log has all."""
        gap = b'event: gap\ndata: {"first": "ep:9"}\n\n'
        self.runtime.script = [lambda: self.hub.stream(gap), self.live(event(9, "task_complete"))]
        self.assertIn("completed", self.output_of("push", "bot", "do", "--wait"))

    def test_catching_up_fails(self) -> None:
        """A failure while catching up ends the command, not the patience of its user."""

        def gone() -> None:
            answer = 404, {"error": "task_not_found"}
            self.hub.answers["GET /api/tasks/task-1/events"] = answer
            self.hub.clock.advance(20)

        self.runtime.script = [self.hub.cut, gone]
        result = self.invoke("push", "bot", "do", "--wait")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("knows no such task", result.stderr)

    def test_timeout(self) -> None:
        """After the timeout the command fails and the task goes on."""
        self.runtime.script = [lambda: self.hub.clock.advance(5)]
        result = self.invoke("push", "bot", "do", "--wait", "--timeout", "5")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("task-1 had not ended after 5 s; it goes on", result.stderr)

    def test_interrupted(self) -> None:
        """Ctrl-C stops the waiting, and says that it does not stop the task."""
        result = self.invoke("push", "bot", "do", "--wait")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("what was pushed goes on", result.stderr)

    def test_signal(self) -> None:
        """SIGTERM says the same, and nothing about the line that it breaks."""
        self.runtime.script = [self.runtime.signal]
        result = self.invoke("push", "bot", "do", "--wait")
        self.assertEqual(result.stderr, "Error: stopped waiting; what was pushed goes on\n")

    def test_hub_is_away(self) -> None:
        """With no hub to push to there is nothing to wait for."""
        self.hub.down = ConnectionRefusedError()
        self.assertIn("no hub answers", self.error_of("push", "bot", "do", "--wait"))

    def test_not_allowed(self) -> None:
        """A token that may not watch is told so before anything is pushed."""
        self.hub.stream_refusal = 403, {"error": "forbidden", "required_scope": "submit"}
        self.assertIn("'submit'", self.error_of("push", "bot", "do", "--wait"))
        self.assertNotIn(PUSH, [request for request, _ in self.hub.requests])
