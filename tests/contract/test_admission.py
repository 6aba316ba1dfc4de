"""Who is let in: limits on connections, and handshakes some at a time."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.task import Clock

from agentcom import door
from agentcom.hub.counts import Counts
from agentcom.testing import FakeAgent, HttpClient
from agentcom.ws import admission
from tests.contract.helpers import HubTests

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


class LimitTests(HubTests):
    """A hub with room for ten connections, three of them of nobody known."""

    settings = {"max_connections": 10, "max_unidentified": 3}  # noqa: RUF012

    def handshake(self) -> HttpClient:
        client = self.hub.open_http()
        transport = client.transport
        assert transport is not None
        transport.write(UPGRADE)
        self.hub.settle()
        return client

    def assert_refused(self, client: HttpClient, limit: str) -> None:
        head = client.received.partition(b"\r\n\r\n")[0]
        self.assertRegex(
            head.splitlines()[0], rb"^HTTP/1.1 503 Service Unavailable; retry_after_ms=\d{4,5}$"
        )
        self.assertRegex(head.lower(), rb"retry-after: \d+")
        self.assertIn(b'"too_many_connections"', client.received)
        self.assertIn(b"--max-" + limit.encode(), client.received)
        self.assertEqual(self.hub.hub.counts.refused, {limit: 1})

    def test_nobody_known(self) -> None:
        """Past the limit of those who have not identified, one is sent away with a time."""
        for _ in range(3):
            self.assertIn(b" 101 ", self.handshake().received)
        self.assert_refused(self.handshake(), "unidentified")

    def test_known_ones_count_no_more(self) -> None:
        """One that identifies, or leaves, makes room."""
        agents = [self.hub.connect() for _ in range(3)]
        agents[0].say("identify", agent_id="a", token=self.hub.token("a"))
        self.assertIn(b" 101 ", self.handshake().received)
        agents[1].vanish()
        self.assertIn(b" 101 ", self.handshake().received)
        self.assert_refused(self.handshake(), "unidentified")

    def test_agents_leave_room_for_the_api(self) -> None:
        """Agents fill nine of ten connections; the API still answers on the last."""
        for number in range(9):
            self.hub.agent(f"a{number}")
        self.assert_refused(self.handshake(), "connections")

    def test_full(self) -> None:
        """With every connection taken a new one is told so, whatever it wanted to say."""
        for number in range(9):
            self.hub.agent(f"a{number}")
        kept = self.hub.open_http()
        late = self.hub.open_http()
        self.hub.settle()
        self.assert_refused(late, "connections")
        self.drop(kept)
        self.assertEqual(self.hub.request("GET", "/health").status, 200)

    def drop(self, client: HttpClient) -> None:
        transport = client.transport
        assert transport is not None
        transport.loseConnection()
        self.hub.settle()

    def test_every_end_gives_its_place_back(self) -> None:
        """Whoever comes and goes, HTTP or WebSocket, leaves nothing behind in the count."""
        counted = self.hub.parts.factory.admission
        # Requests of this test's own set-up are open still, as clients keep them.
        before = counted.open
        for number in range(30):
            agent = self.hub.agent(f"a{number}")
            agent.sendClose(1000)
            self.hub.settle()
            self.drop(self.hub.open_http())
            self.hub.connect().vanish()
        self.assertEqual((counted.open, counted.unidentified), (before, 0))

    def test_reconnecting_agent(self) -> None:
        """An agent that comes back on a full hub is told the time in what its client shows."""
        for number in range(9):
            self.hub.agent(f"a{number}")
        late = self.hub.connect()
        assert late.closed is not None
        self.assertTrue(re.search(r"retry_after_ms=\d+", late.closed[1] or ""), late.closed)


class InTurnTests(HubTests):
    """Many shake hands at once."""

    def test_some_at_a_time(self) -> None:
        """Of a crowd only some are served in a turn of the reactor, in order, all in the end."""
        clock = Clock()
        door = admission.Admission(clock, Counts(), [], [], 1_000, 1_000)
        served: list[int] = []
        for number in range(3 * admission.AT_A_TIME):
            door.in_turn(lambda number=number: served.append(number))
        for turn in (1, 2, 3):
            self.assertEqual(served, list(range(turn * admission.AT_A_TIME)))
            self.assertEqual(door.unidentified, (3 - turn) * admission.AT_A_TIME)
            self.turn(clock)
        self.assertEqual(clock.getDelayedCalls(), [])

    def turn(self, clock: Clock) -> None:
        """One turn of a reactor: what is planned in it comes in the next."""
        (call,) = clock.getDelayedCalls()
        serve, args = call.func, call.args
        call.cancel()
        serve(*args)

    def test_one_that_leaves_while_it_waits(self) -> None:
        """A peer that is gone when its turn comes harms nobody."""
        crowd: list[HttpClient] = []
        for _ in range(admission.AT_A_TIME + 2):
            client = self.hub.open_http()
            assert client.transport is not None
            client.transport.write(UPGRADE)
            crowd.append(client)
        for pump in list(self.hub._pumps):
            pump.flush()
        self.hub._pumps[-2].server.connectionLost(_gone())
        self.hub.settle()
        self.assertIn(b" 101 ", crowd[-1].received)
        self.assertEqual(self.hub.parts.factory.admission.unidentified, len(crowd) - 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_hub_that_stops(self) -> None:
        """Whoever waits for its turn, and whoever knocks, when the hub stops is told so: nobody is
        let in to be cut."""
        for _ in range(admission.AT_A_TIME + 1):
            client = self.hub.open_http()
            assert client.transport is not None
            client.transport.write(UPGRADE)
        for pump in list(self.hub._pumps):
            pump.flush()
        self.hub.parts.factory.admission.stopping = True
        self.hub.settle()
        late = self.hub.connect()
        for told in (client.received, (late.closed or (0, ""))[1]):
            self.assertIn("503", told.decode() if isinstance(told, bytes) else str(told))
            self.assertIn("retry_after_ms=", str(told))
        self.assertIn(b'"stopping"', client.received)
        self.assertEqual(self.hub.hub.counts.refused, {})

    def test_alone(self) -> None:
        """One that comes alone is served at once."""
        agent = self.hub.connect()
        self.assertIsInstance(agent, FakeAgent)
        self.assertIsNone(agent.closed)


class PacingTests(HubTests):
    """When to come back."""

    def test_identified_says_when(self) -> None:
        """``identified`` says how long to wait should the line be lost: within a window that
        grows with the number of agents, and not all the same."""
        told = []
        for number in range(200):
            agent = self.hub.connect()
            answers = agent.say("identify", agent_id=f"a{number}", token=self.hub.token("x"))
            self.assert_error(answers, "token_agent_mismatch")
            answers = agent.say(
                "identify", agent_id=f"a{number}", token=self.hub.token(f"a{number}")
            )
            told.append(answers[0]["retry_after_ms"])
        for number, wait in enumerate(told):
            self.assertLessEqual(wait, (number + 1) * 1000 / 500)
            self.assertGreaterEqual(wait, 0)
        self.assertGreater(len(set(told[100:])), 50)
        self.assertGreater(max(told), 200)

    def test_goodbye_says_when(self) -> None:
        """A hub that stops spreads its agents over the window that fits their number."""
        agents = [self.hub.agent(f"a{number}") for number in range(100)]
        self.hub.hub.stop()
        self.hub.settle()
        waits = []
        for agent in agents:
            assert agent.closed is not None
            self.assertEqual(agent.closed[0], 1001)
            found = re.fullmatch(r"hub stopping; retry_after_ms=(\d+)", agent.closed[1] or "")
            assert found is not None, agent.closed
            waits.append(int(found[1]))
        self.assertLessEqual(max(waits), 200)
        self.assertGreater(len(set(waits)), 30)
        self.assertGreater(max(waits), 120)
        self.assertLess(min(waits), 80)


def _gone() -> object:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    return Failure(ConnectionDone())


class NeverEndsTests(HubTests):
    """Peers that never end what was refused, as over TLS, where a goodbye waits for theirs."""

    settings = {"max_connections": 10, "max_unidentified": 3}  # noqa: RUF012

    def deaf(self, said: bytes) -> Any:
        """A connection whose transport does not end by itself; gives the server's end."""
        client = self.hub.open_http()
        server = self.hub._pumps[-1].serverIO
        server.loseConnection = lambda *_: None
        assert client.transport is not None
        client.transport.write(said)
        self.hub.settle()
        return server

    def assert_ends(self, server: Any, within_s: float) -> None:
        counted = self.hub.parts.factory.admission
        before = counted.open
        self.hub.advance(within_s - 1)
        self.assertEqual((server.disconnected, counted.open), (False, before))
        self.hub.advance(2)
        self.assertEqual((bool(server.disconnected), counted.open), (True, before - 1))

    def test_refused_handshake(self) -> None:
        """One that finds no room is counted until it is gone, and dropped in some seconds."""
        for _ in range(3):
            self.hub.connect()
        self.assert_ends(self.deaf(UPGRADE), 5)

    def test_refused_connection(self) -> None:
        """So is one that finds no room for any connection."""
        for number in range(9):
            self.hub.agent(f"a{number}")
        self.hub.open_http()
        late = self.hub.open_http()
        server: Any = self.hub._pumps[-1].serverIO
        server.loseConnection = lambda *_: None
        self.hub.settle()
        self.assertIsNotNone(late)
        self.hub.advance(6)
        self.assertTrue(server.disconnected)

    def test_handshake_that_autobahn_refuses(self) -> None:
        """One whose handshake has a fault that only Autobahn sees ends, too."""
        wrong = UPGRADE.replace(b"Sec-", b"Sec-WebSocket-Protocol: a, a\r\nSec-", 1)
        self.assert_ends(self.deaf(wrong), 10)

    def test_too_many_of_them(self) -> None:
        """Of very many that are refused at a time the last are dropped without a word."""
        self.patch(door, "MOST_REFUSED", 2)
        for _ in range(3):
            self.hub.connect()
        kept = [self.deaf(UPGRADE) for _ in range(3)]
        self.assertEqual([bool(server.disconnected) for server in kept], [False, False, True])
