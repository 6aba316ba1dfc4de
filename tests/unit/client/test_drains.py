"""The calls about drains: what each asks of the hub."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.errors import HubError
from tests.unit.client.fakes import FakeHub, start

STATE = {"status": "draining", "running": 2, "drained": False, "note": None, "new": 1}


class DrainCallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hub = FakeHub()
        self.client = self.hub.client()

    def ask(self, coroutine: Any, answer: Any) -> tuple[str, Any]:
        """Await a call that gets this answer; what was asked."""
        self.hub.default = 200, answer
        self.assertEqual(self.successResultOf(start(coroutine)), answer)
        return self.hub.requests[-1]

    def test_agent(self) -> None:
        """An agent is drained with what was given, looked at, and resumed."""
        asked = self.ask(self.client.drain("a b"), STATE)
        self.assertEqual(asked, ("POST /api/agents/a%20b/drain", {}))
        asked = self.ask(self.client.drain("a", deadline_s=1.5, note="n"), STATE)
        self.assertEqual(asked[1], {"deadline_s": 1.5, "note": "n"})
        asked = self.ask(self.client.drain_of("a"), STATE)
        self.assertEqual(asked, ("GET /api/agents/a/drain", None))
        asked = self.ask(self.client.resume("a"), {"status": "resumed", "agent_id": "a"})
        self.assertEqual(asked, ("POST /api/agents/a/resume", None))

    def test_hub(self) -> None:
        """The hub is drained, looked at, and resumed at one place."""
        asked = self.ask(self.client.drain_hub(note="n"), STATE)
        self.assertEqual(asked, ("POST /api/admin/drain", {"note": "n"}))
        asked = self.ask(self.client.drain_of_hub(), {**STATE, "agents": []})
        self.assertEqual(asked, ("GET /api/admin/drain", None))
        asked = self.ask(self.client.resume_hub(), {"status": "resumed"})
        self.assertEqual(asked, ("DELETE /api/admin/drain", None))

    def test_disconnect(self) -> None:
        """An agent is disconnected with what was given."""
        reply = {"status": "disconnected", "agent_id": "a"}
        asked = self.ask(self.client.disconnect("a"), reply)
        self.assertEqual(asked, ("POST /api/agents/a/disconnect", {}))
        asked = self.ask(self.client.disconnect("a", reason="r", retry_after_s=0), reply)
        self.assertEqual(asked[1], {"reason": "r", "retry_after_s": 0})

    def test_no_such_agent(self) -> None:
        """An id that makes no path of the hub is an agent that it does not know."""
        for call in (self.client.drain, self.client.resume, self.client.disconnect):
            error = self.failureResultOf(start(call("a/b")), HubError).value
            self.assertEqual(error.code, "agent_not_found")
