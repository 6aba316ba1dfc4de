"""The calls on mailboxes and history: what each asks of the hub."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.errors import HubError
from tests.unit.client.fakes import FakeHub, start

MESSAGE = {
    "seq": 1,
    "id": "m",
    "from": "a",
    "message_type": "chat",
    "payload": {"n": 1},
    "timestamp": 5,
    "new": True,
}


class MailCallTests(SynchronousTestCase):
    """Each call is one request, and gives the hub's answer."""

    def setUp(self) -> None:
        self.hub = FakeHub()
        self.client = self.hub.client()

    def ask(self, coroutine: Any, answer: Any) -> tuple[str, Any]:
        """Await a call that gets this answer; what was asked."""
        self.hub.default = 200, answer
        self.assertEqual(self.successResultOf(start(coroutine)), answer)
        return self.hub.requests[-1]

    def test_mailbox(self) -> None:
        """A mailbox is read from a place on, waiting or not."""
        answer = {"agent_id": "b", "messages": [MESSAGE], "last_seq": 1, "count": 1, "dropped": 0}
        asked = self.ask(self.client.mailbox("b"), answer)
        self.assertEqual(asked, ("GET /api/mailbox/b", None))
        asked = self.ask(self.client.mailbox("b", since=3, limit=2, wait_s=9), answer)
        self.assertEqual(asked, ("GET /api/mailbox/b?since=3&limit=2&wait=9", None))

    def test_acknowledge(self) -> None:
        """An acknowledgement names the last ``seq``."""
        asked = self.ask(self.client.ack_mailbox("b", 7), {"status": "acked", "up_to": 7})
        self.assertEqual(asked, ("POST /api/mailbox/b/ack", {"seq": 7}))

    def test_history(self) -> None:
        """Only the filters that are given are sent."""
        answer = {"messages": [MESSAGE], "cursor": "1"}
        asked = self.ask(self.client.messages(sender="a", start_time=5, cursor="9"), answer)
        self.assertEqual(asked, ("GET /api/messages?from=a&start_time=5&cursor=9", None))

    def test_thread(self) -> None:
        """A thread is asked for by any of its messages."""
        answer = {"root": "m", "messages": [MESSAGE], "count": 1, "cursor": None}
        asked = self.ask(self.client.thread("m"), answer)
        self.assertEqual(asked, ("GET /api/threads/m", None))

    def test_nobody(self) -> None:
        """What cannot be there is told as what the hub does not know."""
        self.hub.default = 404, {"error": "not_found"}
        for call, code in (
            (self.client.mailbox("a/b"), "agent_not_found"),
            (self.client.thread("a/b"), "message_not_found"),
        ):
            error = self.failureResultOf(start(call), HubError).value
            self.assertEqual(error.code, code)
