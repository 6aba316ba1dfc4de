"""How connections of HTTP end: nothing is asked of a line that is gone, and who says no
more is answered.

Time is the test's.  Some lines are as with TLS: a goodbye waits for the peer's, and what is
asked after the end raises.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.interfaces import IHalfCloseableProtocol

from agentcom.http.events import HANG_UP_S
from agentcom.httpchannel import LAST_WITHIN_S, READ_WITHIN_S
from agentcom.site import LINGER_S
from agentcom.testing import HttpClient
from tests.unit.http.support import HttpCase

HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
TASK = (
    b"POST /api/tasks HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer TOKEN\r\n"
    b'Content-Length: 19\r\n\r\n{"description":"x"}'
)
STREAM = b"GET /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer TOKEN\r\n\r\n"
TOO_LONG = b"POST /api/tasks HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\nxx"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class LineCase(HttpCase):
    """One connection to a hub."""

    def setUp(self) -> None:
        super().setUp()
        self.token = self.hub.token("v")
        self.other = self.raw(HEALTH)
        self.before = self.calls()
        self.client = HttpClient()
        self.server: Any = self.hub.join(self.client).serverIO

    def say(self, data: bytes) -> None:
        transport: Any = self.client.transport
        transport.write(data.replace(b"TOKEN", self.token.encode()))
        self.hub.settle()

    def revoke(self) -> None:
        """Its token is revoked, on a line that was there before."""
        signed = b"Authorization: Bearer " + self.hub.admin_token.encode()
        transport: Any = self.other.transport
        transport.write(b"DELETE /admin/tokens/v HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n" % signed)
        self.hub.settle()

    def calls(self) -> set[str]:
        """What the clock will call."""
        return {repr(call.func) for call in self.hub.clock.getDelayedCalls()}

    def successes(self) -> int:
        return self.client.received.count(b"HTTP/1.1 20")


class GoneTests(LineCase):
    """A line as with TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []
        self.gone = False
        self.server.loseConnection = lambda: self.tell("lose")
        self.server.abortConnection = lambda: self.tell("abort")

    def tell(self, what: str) -> None:
        if self.gone:
            raise AttributeError("'NoneType' object has no attribute 'shutdown'")
        self.told.append(what)

    def leave(self) -> None:
        """The client is gone: nothing may be planned, nor come, any more."""
        transport: Any = self.client.transport
        transport.loseConnection()
        self.hub.settle()
        self.gone = True
        self.assertEqual(self.calls() - self.before, set())
        told = list(self.told)
        self.hub.advance(2 * READ_WITHIN_S, step=1)
        self.assertEqual((self.told, self.flushLoggedErrors()), (told, []))

    def test_after_a_refusal(self) -> None:
        """A client that leaves while its refused body is still read is forgotten."""
        self.say(TOO_LONG)
        self.assertIn(b"HTTP/1.1 401", self.client.received)
        self.leave()
        self.assertEqual(self.told, [])

    def test_after_the_goodbye(self) -> None:
        """So is one that leaves after it."""
        self.say(TOO_LONG)
        self.hub.advance(LINGER_S + 0.5)
        self.assertEqual(self.told, ["lose"])
        self.leave()

    def test_after_the_end_of_its_stream(self) -> None:
        """So is one whose stream was cut."""
        self.say(STREAM)
        self.revoke()
        self.assertIn(b"token_revoked", self.client.received)
        self.assertEqual(self.told, ["lose"])
        self.leave()

    def test_said_after_the_end(self) -> None:
        """Whatever is asked for a line that is gone is not done, nor planned."""
        self.say(HEALTH)
        channel = self.server.protocol
        self.leave()
        channel.loseConnection()
        channel.hang_up(1)
        channel.linger(1)
        channel.readConnectionLost()
        self.assertEqual(self.calls() - self.before, set())

    def test_no_goodbye_back(self) -> None:
        """A peer that never says goodbye is dropped in time, once."""
        self.say(TOO_LONG)
        self.hub.advance(LINGER_S + READ_WITHIN_S - 1, step=1)
        self.server.protocol.loseConnection()
        self.server.protocol.linger(1)
        self.assertEqual(self.told, ["lose"])
        self.hub.advance(2)
        self.assertEqual(self.told, ["lose", "abort"])
        self.leave()

    def test_no_goodbye_back_from_a_stream(self) -> None:
        """Sooner, where it was a stream that was cut."""
        self.say(STREAM)
        self.revoke()
        self.hub.advance(HANG_UP_S - 0.5)
        self.assertEqual(self.told, ["lose"])
        self.hub.advance(1)
        self.assertEqual(self.told, ["lose", "abort"])


class HalfTests(LineCase):
    """A peer that shuts its sending side down."""

    def shut(self) -> None:
        """As Twisted tells who wants to know."""
        IHalfCloseableProtocol(self.server.protocol).readConnectionLost()
        self.hub.settle()

    def assert_ended(self, answers: int) -> None:
        self.assertEqual((self.successes(), self.client.lost), (answers, True))
        self.assertEqual(self.calls() - self.before, set())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_between_requests(self) -> None:
        """Where nothing is under way the line ends, when all is sent."""
        self.say(HEALTH)
        self.shut()
        self.assert_ended(1)

    def test_in_a_request(self) -> None:
        """A request that is not whole is none."""
        for part in (HEALTH[:10], TASK[:-5]):
            self.setUp()
            self.say(part)
            self.shut()
            self.assert_ended(0)

    def test_answer_under_way(self) -> None:
        """An answer that comes later is given, and ends the line."""
        self.commits.holding = True
        self.say(TASK)
        self.shut()
        self.hub.advance(LAST_WITHIN_S - 1)
        self.assertEqual((self.successes(), self.client.lost), (0, False))
        self.commits.release()
        self.hub.settle()
        self.assert_ended(1)
        self.assertIn(b"201 Created", self.client.received)

    def test_together(self) -> None:
        """All that came whole is answered."""
        self.commits.holding = True
        self.say(TASK + HEALTH + TASK + HEALTH[:10])
        self.shut()
        self.commits.release()
        self.hub.settle()
        self.assert_ended(3)

    def test_too_late(self) -> None:
        """An answer that takes long is not waited for: its peer may have left."""
        self.commits.holding = True
        self.say(TASK)
        self.shut()
        self.hub.advance(LAST_WITHIN_S - 1)
        # Told again when the line is read on.
        self.shut()
        self.hub.advance(2)
        self.assert_ended(0)
        self.commits.release()
        self.hub.settle()
        stats = self.get("/api/tasks/stats").body
        self.assertEqual(stats["by_status"]["queued"], 1)

    def test_stream(self) -> None:
        """A stream ends at once, and counts no more."""
        self.say(STREAM)
        self.shut()
        self.assert_ended(1)
        self.assertEqual(self.hub.parts.factory.watchers.open_streams().get("sse", 0), 0)

    def test_stream_that_is_not_read(self) -> None:
        """Nothing is written to it any more, and it is dropped soon."""
        told: list[str] = []
        written: list[bytes] = []
        self.say(STREAM)
        self.server.loseConnection = lambda: told.append("lose")
        self.server.abortConnection = lambda: told.append("abort")
        self.server.write = self.server.writeSequence = written.append
        self.shut()
        self.hub.agent("a")
        self.hub.push("a")
        self.hub.advance(LAST_WITHIN_S - 0.5)
        self.assertEqual((told, written), (["lose"], []))
        self.hub.advance(1)
        self.assertEqual(told, ["lose", "abort"])

    def test_handshake(self) -> None:
        """What becomes a WebSocket is no longer HTTP's to end."""
        self.commits.holding = True
        self.say(TASK + HANDSHAKE)
        self.shut()
        channel = self.server.protocol
        self.commits.release()
        self.hub.settle()
        self.assertIn(b"101 Switching", self.client.received)
        self.assertIsNot(self.server.protocol, channel)
        self.assertNotIn(repr(channel), "".join(self.calls()))


class PlainHalfTests(HalfTests):
    """Without the shortcuts."""

    settings: ClassVar[dict[str, Any]] = {"shortcuts": frozenset()}


class PlainGoneTests(GoneTests):
    """Without the shortcuts."""

    settings: ClassVar[dict[str, Any]] = {"shortcuts": frozenset()}
