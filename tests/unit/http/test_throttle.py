"""An address that shows bad tokens too often is refused, but for its good ones."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.address import IPv4Address
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.web.test.requesthelper import DummyRequest

from agentcom.errors import Unauthorized
from agentcom.hub.failures import AT_ONCE
from agentcom.testing import Answered
from tests.unit.http.support import HttpCase

JSON = {"Content-Type": "application/json"}


class AddressedCase(HttpCase):
    """A hub whose clients have an address, one that the test chooses."""

    settings: ClassVar[dict[str, Any]] = {"trusted_proxies": ("10.0.0.1",)}

    def setUp(self) -> None:
        super().setUp()
        self.address = "192.0.2.7"
        self.patch(self.hub, "join", self.join)

    def join(self, client: Any) -> IOPump:
        site: Any = self.hub.parts.site
        server = site.buildProtocol(None)
        peer = IPv4Address("TCP", self.address, 5000)
        there = FakeTransport(server, True, peerAddress=peer)
        pump: IOPump = connect(server, there, client, FakeTransport(client, False))
        self.hub._pumps.append(pump)
        return pump

    def wrong(self, times: int = AT_ONCE, **headers: str) -> list[int]:
        """Statuses of requests with a bad token."""
        return [
            self.get("/api/tasks", token="0" * 64, headers=headers).status for _ in range(times)
        ]


class HttpTests(AddressedCase):
    """Requests."""

    def test_too_many(self) -> None:
        """Past the burst a bad token is answered 429, with the time to wait; then 401 again."""
        self.assertEqual(set(self.wrong()), {401})
        answer = self.get("/api/tasks", token="0" * 64)
        body = self.answers(answer, 429, error="too_many_failures")
        self.assertTrue(0 < body["retry_after_ms"] <= 3_000, body)
        self.assertEqual(answer.headers["retry-after"], "3")
        self.hub.advance(3)
        self.assertEqual(self.wrong(2), [401, 429])
        counts = self.hub.hub.counts
        self.assertEqual(counts.auth_failures["http"], AT_ONCE + 3)
        self.assertEqual(counts.auth_throttled, 2)

    def test_good_ones_pass(self) -> None:
        """A good token, no token and what needs none are answered as ever."""
        self.wrong(AT_ONCE + 1)
        self.assertEqual(self.get("/api/tasks").status, 200)
        self.assertEqual(self.get("/health", token=None).status, 200)
        self.assertEqual(self.get("/health", token="0" * 64).status, 200)
        self.assertEqual(self.get("/api/tasks", token=None).status, 401)
        cookie = self.sign_in(self.hub.admin_token).headers["set-cookie"].partition(";")[0]
        answer = self.get("/api/tasks", token=None, headers={"Cookie": cookie})
        self.assertEqual(answer.status, 200)

    def test_looked_at_twice(self) -> None:
        """However often one request is looked at, it has failed once, and is told the same."""
        api = self.hub.parts.api
        route = next(r for r in api.routes.values() if r.path == "/api/tasks")
        for _ in range(2):
            request = DummyRequest([b""])
            request.requestHeaders.setRawHeaders(b"authorization", [b"Bearer x"])
            for _ in range(3):
                self.assertRaises(Unauthorized, api.authorize, route, request)
        self.assertEqual(self.hub.hub.counts.auth_failures["http"], 2)

    def test_nothing_shown(self) -> None:
        """Requests that show no token, an empty one or an old cookie are not counted."""
        old = {"Cookie": "agentcom_session=" + "0" * 64}
        for _ in range(AT_ONCE):
            self.get("/api/tasks", token=None)
            self.get("/api/tasks", token=None, headers={"Authorization": "Bearer "})
            self.assertEqual(self.get("/api/tasks", token=None, headers=old).status, 401)
        self.assertEqual(set(self.wrong()), {401})

    def test_in_the_query(self) -> None:
        """A bad token of a query string counts like one in the header."""
        for _ in range(AT_ONCE):
            answer = self.get("/api/mailbox/w?token=0000", token=None)
            self.assertEqual(answer.status, 401)
        self.assertEqual(self.get("/api/mailbox/w?token=0000", token=None).status, 429)

    def sign_in(self, token: str) -> Answered:
        return self.post("/api/session", {"token": token}, token=None, headers=JSON)

    def test_sign_in(self) -> None:
        """Bad tokens at the sign-in count as well."""
        for _ in range(AT_ONCE):
            self.assertEqual(self.sign_in("x").status, 401)
        self.answers(self.sign_in("x"), 429, error="too_many_failures")
        self.assertEqual(self.wrong(1), [429])
        self.assertEqual(self.sign_in(self.hub.admin_token).status, 200)
        self.assertEqual(self.hub.hub.counts.auth_failures["session"], AT_ONCE + 1)

    def test_by_address(self) -> None:
        """Others are not refused; behind a trusted proxy its word counts, of nobody else."""
        self.wrong(AT_ONCE + 1)
        self.address = "192.0.2.8"
        self.assertEqual(set(self.wrong()), {401})
        # It lies about where it is from.
        self.assertEqual(self.wrong(1, **{"X-Forwarded-For": "192.0.2.9"}), [429])
        self.address = "10.0.0.1"
        self.assertEqual(self.wrong(1, **{"X-Forwarded-For": "192.0.2.9"}), [401])
        self.assertEqual(self.wrong(1, **{"X-Forwarded-For": "192.0.2.7"}), [429])


class WebSocketTests(AddressedCase):
    """Connections."""

    def test_bad_tokens(self) -> None:
        """Each is told, the connection stays open; ten of them close it with 1008."""
        agent = self.hub.connect()
        for n in range(10):
            self.assertIsNone(agent.closed, n)
            (answer,) = agent.say("identify", agent_id="w", token="x")
            self.assertEqual((answer["type"], answer["error"]), ("error", "invalid_token"))
        self.assertEqual(agent.closed and agent.closed[0], 1008)
        self.assertEqual(self.hub.hub.counts.auth_failures["websocket"], 10)

    def test_good_after_bad(self) -> None:
        """Who finds its good token after some bad ones is let in."""
        agent = self.hub.connect()
        for _ in range(9):
            agent.say("identify", agent_id="w", token="x")
        agent.say("identify", agent_id="w", token=self.hub.token("w"))
        self.assertTrue(agent.of("identified"))

    def test_too_many_of_an_address(self) -> None:
        """Past the burst of its address the first bad token ends a connection, with the time to
        wait; good ones are let in from there."""
        self.wrong()
        agent = self.hub.connect()
        (answer,) = agent.say("identify", agent_id="w", token="x")
        self.assertEqual(answer["error"], "invalid_token")
        assert agent.closed is not None
        code, reason = agent.closed
        self.assertEqual(code, 1008)
        self.assertRegex(reason or "", "^too many bad tokens; retry_after_ms=[0-9]+$")
        self.hub.agent("w")

    def test_identified(self) -> None:
        """An agent that is connected is not cut because of its neighbours."""
        agent = self.hub.agent("w")
        self.wrong()
        (answer,) = agent.say("identify", agent_id="w", token="x")
        self.assertEqual((answer["error"], agent.closed), ("invalid_token", None))

    def test_listeners(self) -> None:
        """Who wants to know hears of each refusal, and where it came from."""
        peers = self.hub.parts.factory.peers
        assert peers is not None
        heard: list[tuple[str, str, str]] = []
        peers.listen(lambda address, agent_id, error: 1 // 0)
        peers.listen(lambda address, agent_id, e: heard.append((address, agent_id, e.code)))
        agent = self.hub.connect()
        agent.say("identify", agent_id="w", token="x")
        agent.say("identify", agent_id="w", token=self.hub.token("v"))
        self.assertEqual(
            heard,
            [("192.0.2.7", "w", "invalid_token"), ("192.0.2.7", "w", "token_agent_mismatch")],
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        # A good token of another agent is no guess.
        self.assertEqual(self.hub.hub.counts.auth_failures["websocket"], 1)
