"""One connection of HTTP: requests that come together, and answers that nobody reads.

The in-memory line never says that it is full; the tests say it in its place.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.httpchannel import READ_PACE, READ_WITHIN_S
from agentcom.testing import HttpClient, MemoryHub

REQUEST = b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n"


class PipelineTests(SynchronousTestCase):
    """A peer that asks and does not read."""

    def setUp(self) -> None:
        self.hub = MemoryHub()
        self.client = HttpClient()
        self.pump = self.hub.join(self.client)
        self.say(REQUEST)
        self.channel: Any = self.pump.serverIO.protocol
        self.assertEqual(self.answers(), 1)

    def say(self, data: bytes) -> None:
        transport: Any = self.client.transport
        transport.write(data)
        self.hub.settle()

    def answers(self) -> int:
        return self.client.received.count(b"HTTP/1.1 200 OK")

    def test_one_at_a_time(self) -> None:
        """While an answer is not read the next request waits, and is served when it is."""
        self.channel.pauseProducing()
        self.say(REQUEST * 3)
        self.assertEqual(self.answers(), 2)
        self.channel.resumeProducing()
        self.hub.settle()
        self.assertEqual(self.answers(), 4)
        self.say(REQUEST)
        self.assertEqual(self.answers(), 5)

    def test_never_read(self) -> None:
        """A peer that reads nothing for too long is dropped."""
        self.channel.pauseProducing()
        self.say(REQUEST * 3)
        self.hub.advance(READ_WITHIN_S - 2, step=0.5)
        self.assertFalse(self.client.lost)
        self.hub.advance(5, step=0.5)
        self.assertTrue(self.client.lost)

    def test_a_large_answer(self) -> None:
        """Who is slow over a large answer has longer, by its size."""
        self.channel.pauseProducing()
        self.say(REQUEST.replace(b"/health", b"/openapi.json") + REQUEST)
        longer = len(self.client.received) / READ_PACE
        self.assertGreater(longer, 5)
        self.hub.advance(READ_WITHIN_S + longer - 2, step=0.5)
        self.assertFalse(self.client.lost)
        self.hub.advance(5, step=0.5)
        self.assertTrue(self.client.lost)

    def test_a_large_last_answer(self) -> None:
        """So it is where the line ends after it."""
        self.say(REQUEST.replace(b"/health", b"/openapi.json"))
        before = set(self.hub.clock.getDelayedCalls())
        self.channel.loseConnection()
        (abort,) = set(self.hub.clock.getDelayedCalls()) - before
        longer = abort.getTime() - self.hub.clock.seconds() - READ_WITHIN_S
        self.assertGreater(longer, 5)

    def test_lost_while_it_waits(self) -> None:
        """A line that breaks while a request waits leaves no traceback, and is forgotten."""
        self.channel.pauseProducing()
        self.say(REQUEST * 3)
        transport: Any = self.client.transport
        transport.loseConnection()
        self.hub.settle()
        self.channel.resumeProducing()
        self.hub.settle()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.hub.parts.site.door.channels, set())
        self.assertEqual(self.hub.parts.factory.admission.http, 0)

    def test_after_a_refusal(self) -> None:
        """What follows on a refused connection is not served, also where the line is open
        still, as with TLS until its peer has said goodbye."""
        agent = self.hub.agent("worker")
        body = b'{"agent_id":"worker","description":"evil"}'
        push = (
            b"POST /api/admin/push-task HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (self.hub.admin_token.encode(), len(body), body)
        )
        self.channel.dataReceived(b"GET / HTTP/1.1\r\nno header\r\nX: y\r\n\r\n")
        self.channel.dataReceived(push)
        self.hub.settle()
        self.assertIn(b"400 Bad Request", self.client.received)
        self.assertEqual(agent.of("task_assign"), [])

    def test_many_fast_requests(self) -> None:
        """A connection that is in the middle of a request at each look is no slow one."""
        for _ in range(30):
            self.say(REQUEST + REQUEST[:20])
            self.hub.advance(1.0)
            self.say(REQUEST[20:])
        self.assertEqual(self.answers(), 61)
        self.assertFalse(self.client.lost)
