"""The calls on channels: what each asks of the hub."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.errors import HubError
from tests.unit.client.fakes import FakeHub, start

CHANNEL = {"name": "c", "description": "", "subscriber_count": 0, "created_at": 1, "new": 1}


class ChannelCallTests(SynchronousTestCase):
    """Each call is one request, and gives the hub's answer."""

    def setUp(self) -> None:
        self.hub = FakeHub()
        self.client = self.hub.client()

    def ask(self, coroutine: Any, answer: Any) -> tuple[str, Any]:
        """Await a call that gets this answer; what was asked."""
        self.hub.default = 200, answer
        self.assertEqual(self.successResultOf(start(coroutine)), answer)
        return self.hub.requests[-1]

    def test_list_and_info(self) -> None:
        """All channels, or one by its name as people write it."""
        asked = self.ask(self.client.channels(), {"channels": [CHANNEL]})
        self.assertEqual(asked, ("GET /api/channels", None))
        asked = self.ask(self.client.channel("#C d"), CHANNEL)
        self.assertEqual(asked, ("GET /api/channels/%23C%20d", None))

    def test_create(self) -> None:
        """A channel is made with what was given."""
        reply = {"status": "created", "channel": "c"}
        asked = self.ask(self.client.create_channel("c"), reply)
        self.assertEqual(asked, ("POST /api/channels", {"name": "c"}))
        asked = self.ask(self.client.create_channel("c", description="d"), reply)
        self.assertEqual(asked[1], {"name": "c", "description": "d"})

    def test_subscriptions(self) -> None:
        """Subscriptions begin and end for the token's agent, or for another one."""
        for call, below in (
            (self.client.subscribe, "subscribe"),
            (self.client.unsubscribe, "unsubscribe"),
        ):
            reply = {"status": below + "d", "channel": "c", "agent_id": "a"}
            asked = self.ask(call("c"), reply)
            self.assertEqual(asked, (f"POST /api/channels/c/{below}", {}))
            self.assertEqual(self.ask(call("c", agent_id="b"), reply)[1], {"agent_id": "b"})
        asked = self.ask(self.client.subscriptions("a"), {"agent_id": "a", "subscriptions": ["c"]})
        self.assertEqual(asked, ("GET /api/agents/a/subscriptions", None))

    def test_publish(self) -> None:
        """A message is published with what was given."""
        reply = {"status": "published", "channel": "c", "seq": 7, "id": "m"}
        asked = self.ask(self.client.publish("c", {"x": 1}), reply)
        self.assertEqual(asked, ("POST /api/channels/c/publish", {"payload": {"x": 1}}))
        asked = self.ask(self.client.publish("c", {}, message_type="t", reply_to="m"), reply)
        self.assertEqual(asked[1], {"payload": {}, "message_type": "t", "reply_to": "m"})

    def test_history(self) -> None:
        """A history is read from where the reader is."""
        reply = {"channel": "c", "messages": [], "last_seq": 0, "more": False}
        asked = self.ask(self.client.channel_history("c"), reply)
        self.assertEqual(asked[0], "GET /api/channels/c/history?since=0")
        asked = self.ask(self.client.channel_history("c", since=5, limit=2), reply)
        self.assertEqual(asked[0], "GET /api/channels/c/history?since=5&limit=2")

    def test_no_such_channel(self) -> None:
        """A name that makes no path of the hub is a channel that it does not have."""
        for coroutine in (
            self.client.channel("a/b"),
            self.client.subscribe("a/b"),
            self.client.publish("a/b", {}),
            self.client.channel_history("a/b"),
        ):
            error = self.failureResultOf(start(coroutine), HubError).value
            self.assertEqual(error.code, "channel_not_found")
