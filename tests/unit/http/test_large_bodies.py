"""Bodies that are looked at in several turns of the reactor; their limits are small here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agentcom.http import routing
from agentcom.wire import large
from tests.unit.http.support import HttpCase

TASKS = "/api/tasks"
BATCH = TASKS + "/batch"


class LargeBodyTests(HttpCase):
    """A batch that is large.

    :ivar turns: how often somebody let others have a turn.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(routing, "LARGE", 500)
        self.patch(large, "PIECE", 100)
        self.turns = 0
        self.meanwhile: dict[int, Callable[[], object]] = {}
        begin_later = self.hub.clock.callLater

        def call_later(seconds: float, *what: Any, **more: Any) -> Any:
            if not seconds:
                self.turns += 1
                self.meanwhile.get(self.turns, lambda: None)()
            return begin_later(seconds, *what, **more)

        self.patch(self.hub.clock, "callLater", call_later)

    def batch(self, count: int, **fields: Any) -> bytes:
        return json.dumps({"tasks": [{"description": "x" * 40, **fields}] * count}).encode()

    def test_in_turns(self) -> None:
        """A large body takes a turn more for each piece, and what is answered is the same."""
        small, body = self.batch(3), self.batch(30)
        self.answers(self.post(BATCH, small), 201)
        others, self.turns = self.turns, 0
        answer = self.post(BATCH, body)
        self.assertEqual(len(self.answers(answer, 201)["task_ids"]), 30)
        self.assertEqual(self.turns - others, -(-len(body) // 100) + 1)
        self.assertEqual(self.get(TASKS + "/stats").body["by_status"]["queued"], 33)
        self.assertEqual(self.hub.parts.api.in_progress, 0)

    def test_refused(self) -> None:
        """What is wrong with a large body is told as of a small one."""
        for body in (self.batch(30)[:-1], b"[" * 70 + b"1," * 500, b"\xff" * 600):
            self.answers(self.post(BATCH, body), 400, error="invalid_json")
        told = self.wrong_fields(self.post(BATCH, self.batch(30, priority="huge")))
        self.assertEqual(told[0], ("tasks[0].priority", "invalid_value"))
        missing = self.post("/api/admin/push-task", json.dumps({"agent_id": "x" * 600}).encode())
        self.assertIn("missing required fields", self.answers(missing, 400)["error"])
        self.assertEqual(self.get(TASKS + "/stats").body["by_status"]["queued"], 0)

    def test_one(self) -> None:
        """One large task is taken likewise, answered once it is on disk."""
        self.commits.holding = True
        client = self.begin("POST", TASKS, {"description": "x" * 600})
        self.assertEqual((client.received, self.hub.parts.api.in_progress), (b"", 1))
        self.commits.release()
        self.hub.settle()
        self.assertIn(b" 201 ", client.received.partition(b"\r\n")[0])

    def test_revoked_meanwhile(self) -> None:
        """Whose token is revoked while its body is looked at is refused."""
        token = self.hub.token("mallory", ("submit",))
        self.meanwhile[3] = lambda: self.hub.hub.auth.revoke("mallory")
        self.answers(self.post(BATCH, self.batch(30), token=token), 401)
        self.assertEqual(self.get(TASKS + "/stats").body["by_status"]["queued"], 0)
