"""How much of one line is served in one turn of the reactor.

The bytes go straight into the hub's side of a line, as one read brings them; time stands still.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from twisted.internet.task import Clock

from agentcom.hub.load import BACKLOG
from agentcom.store.interface import Unit
from agentcom.testing import STARTED_AT, FakeAgent, MemoryHub
from agentcom.ws.turns import AFTER_CLOSE, FROM_AGENT, FROM_STRANGER, TURN_S
from tests.contract.helpers import HubTests
from tests.unit.ws.test_shortcuts import client_frame

PING = client_frame(b"hi", 0x89)
BAD = client_frame(b"[")


def said(number: int) -> bytes:
    """A frame that is answered with its number."""
    return client_frame(b'{"type":"ping","ref":"%d"}' % number)


class SlowClock(Clock):
    """A clock that goes on whenever it is looked at, if it is told to.

    :ivar step_s: by so much.
    """

    step_s = 0.0

    def seconds(self) -> float:
        self.rightNow += self.step_s
        return super().seconds()


class TurnTests(HubTests):
    """What the tests of this module share."""

    settings: ClassVar[dict[str, Any]] = {}

    def line(self, agent: FakeAgent) -> Any:
        """The hub's end, whose transport notes whether it is read from."""
        line: Any = agent.pump.serverIO.protocol
        self.reads = True
        transport = line.transport

        def reading(reads: bool) -> Any:
            def note() -> None:
                self.reads = reads

            return note

        transport.pauseProducing = reading(False)
        transport.resumeProducing = reading(True)
        return line

    def turn(self) -> None:
        """One turn: ``advance`` would also run what is planned meanwhile."""
        clock = self.hub.clock
        due = [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]
        for call in due:
            work, args, fields = call.func, call.args, call.kw
            call.cancel()
            work(*args, **fields)

    def answered(self, agent: FakeAgent) -> list[int]:
        """The numbers that were answered so far."""
        agent.pump.flush()
        return [int(frame["ref"]) for frame in agent.of("pong")]


class AgentTests(TurnTests):
    """An agent's burst."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")
        self.served = self.line(self.agent)
        self.hub.advance(1)
        self.turned: list[int] = []
        receive = self.served.onMessage

        def count(payload: bytes, binary: bool) -> None:
            self.turned.append(int(json.loads(payload)["ref"]))
            receive(payload, binary)

        self.served.onMessage = count

    def test_share(self) -> None:
        """A burst is served by its shares, in order, and read on from after the last one."""
        burst = 2 * FROM_AGENT + 10
        self.served.dataReceived(b"".join(map(said, range(burst))))
        for served in (FROM_AGENT, 2 * FROM_AGENT, burst):
            self.assertEqual(self.turned, list(range(served)))
            self.assertEqual(self.reads, served == burst)
            self.turn()
        self.assertEqual(self.answered(self.agent), list(range(burst)))

    def test_few(self) -> None:
        """A line that says little is never held."""
        self.served.transport.pauseProducing = self.fail
        for number in range(1_000):
            self.served.dataReceived(said(number))
            self.hub.clock.advance(TURN_S / 100)
        self.assertEqual(self.turned, list(range(1_000)))

    def test_mixed_and_cut(self) -> None:
        """Pings, fragments and frames in pieces keep their order across turns."""
        data = b""
        for number in range(3 * FROM_AGENT):
            text = b'{"type":"ping","ref":"%d"}' % number
            if number % 3 == 0:
                data += PING
            if number % 5 == 0:
                data += client_frame(text[:7], 0x01) + PING + client_frame(text[7:], 0x80)
            else:
                data += client_frame(text)
        for at in range(0, len(data), 9_001):
            self.served.dataReceived(data[at : at + 9_001])
            if at % 2:
                self.turn()
        self.hub.settle()
        self.assertEqual(self.turned, list(range(3 * FROM_AGENT)))
        self.assertTrue(self.reads)

    def test_comes_while_held(self) -> None:
        """What still comes of a read is kept behind what waits."""
        self.served.dataReceived(b"".join(map(said, range(FROM_AGENT + 5))))
        self.served.dataReceived(said(FROM_AGENT + 5))
        self.assertEqual(len(self.turned), FROM_AGENT)
        self.hub.settle()
        self.assertEqual(self.turned, list(range(FROM_AGENT + 6)))

    def test_goodbye_behind_a_burst(self) -> None:
        """A close frame counts after all that was said before it."""
        burst = FROM_AGENT + 5
        data = b"".join(map(said, range(burst)))
        self.served.dataReceived(data + client_frame(b"\x03\xe8", 0x88))
        self.assertIn("a", self.hub.parts.factory.agents)
        self.hub.settle()
        self.assertEqual(len(self.turned), burst)
        self.assertEqual(self.agent.closed, (1000, None))
        self.assertNotIn("a", self.hub.parts.factory.agents)

    def test_line_breaks(self) -> None:
        """What an agent had said before its line broke still counts, once."""
        burst = 2 * FROM_AGENT + 5
        self.served.dataReceived(b"".join(map(said, range(burst))))
        self.hub.cut(self.agent)
        self.hub.settle()
        self.assertEqual(self.turned, list(range(burst)))

    def test_behind(self) -> None:
        """A line that is held back by the store too is served when that has caught up."""
        for _ in range(BACKLOG + 1):
            self.hub.store.commit(Unit())
        burst = FROM_AGENT + 5
        self.served.dataReceived(b"".join(map(said, range(burst))))
        self.turn()
        self.assertEqual((len(self.turned), self.reads), (FROM_AGENT, False))
        self.hub.advance(1)
        self.assertEqual(self.turned, list(range(burst)))
        self.assertTrue(self.reads)

    def test_silence(self) -> None:
        """A line that waited was heard when its turn came."""
        self.served.dataReceived(b"".join(map(said, range(FROM_AGENT + 5))))
        self.hub.clock.advance(5)
        self.assertEqual(self.served.heard_ago_s(), 0)

    def test_closed_meanwhile(self) -> None:
        """Nothing is heard any more of a line that was closed while it waited."""
        self.served.dataReceived(b"".join(map(said, range(FROM_AGENT + 5))))
        self.served.close(4003, "token revoked")
        self.hub.settle()
        self.assertEqual(self.agent.closed and self.agent.closed[0], 4003)
        self.assertEqual(len(self.answered(self.agent)), FROM_AGENT)


class SlowTests(TurnTests):
    """Frames that take long."""

    def setUp(self) -> None:
        self.clock = SlowClock()
        self.clock.advance(STARTED_AT)
        self.hub = MemoryHub(clock=self.clock)

    def test_time(self) -> None:
        """A turn ends after its time, however few frames it was."""
        agent = self.hub.agent("a")
        line = self.line(agent)
        self.clock.step_s = TURN_S / 10
        line.dataReceived(b"".join(map(said, range(100))))
        self.clock.step_s = 0
        self.assertLess(len(self.answered(agent)), 11)
        self.assertFalse(self.reads)
        self.hub.settle()
        self.assertEqual(self.answered(agent), list(range(100)))


class StrangerTests(TurnTests):
    """A burst of somebody who has not said who it is."""

    def setUp(self) -> None:
        super().setUp()
        self.peer = self.hub.connect()
        self.served = self.line(self.peer)

    def test_pings(self) -> None:
        """Pings are frames."""
        answered: list[bytes] = []
        self.patch(self.served, "sendPong", answered.append)
        self.served.dataReceived(PING * 40)
        for turn in (16, 32, 40):
            self.assertEqual((FROM_STRANGER, len(answered)), (16, turn))
            self.assertEqual(self.reads, turn == 40)
            self.turn()

    def test_records(self) -> None:
        """A share is of the turn, not of each piece in which TLS hands over a read."""
        answered: list[bytes] = []
        self.patch(self.served, "sendPong", answered.append)
        for _ in range(40):
            self.served.dataReceived(PING)
        self.assertEqual(len(answered), FROM_STRANGER)
        self.hub.settle()
        self.assertEqual(len(answered), 40)

    def test_many_take_turns(self) -> None:
        """Each line that waits gets its share before another gets a second one."""
        order: list[int] = []
        lines = [self.line(self.hub.connect()) for _ in range(3)]
        for number, line in enumerate(lines):
            self.patch(line, "sendPong", lambda _, number=number: order.append(number))
            line.dataReceived(PING * FROM_STRANGER * 3)
        self.hub.settle()
        self.assertEqual(order[::FROM_STRANGER], [0, 1, 2] * 3)

    def test_after_the_close(self) -> None:
        """Of what comes after the hub's close only so much is looked at, and none is answered."""
        looked: list[int] = []
        process = self.served.processControlFrame
        self.patch(
            self.served,
            "processControlFrame",
            lambda: looked.append(self.served.state) or process(),
        )
        self.served.dataReceived(BAD * 10 + PING * (AFTER_CLOSE + 500))
        self.assertLess(len(looked), FROM_STRANGER)
        while self.served._waiting is not None:
            self.turn()
        self.assertLessEqual(len(looked), AFTER_CLOSE + 1)
        self.assertGreater(len(looked), AFTER_CLOSE - 10)
        self.served.dataReceived(PING * 100)
        self.assertLessEqual(len(looked), AFTER_CLOSE + 1)
        self.assertTrue(self.reads)
        self.assertEqual(len(self.served.data), 0)

    def test_goodbye_after_the_close(self) -> None:
        """The peer's answer to a close ends the line, also behind many frames."""
        self.served.dataReceived(BAD * 10 + PING * 200 + client_frame(b"\x03\xf0", 0x88))
        self.hub.settle()
        self.assertNotIn(self.served, self.hub.parts.factory.connections)
        self.assertEqual(self.peer.closed and self.peer.closed[0], 1008)

    def test_identifies_in_a_burst(self) -> None:
        """An agent that identifies and goes on in one breath loses nothing."""
        token = self.hub.token("a")
        hello = json.dumps({"type": "identify", "agent_id": "a", "name": "a", "token": token})
        self.served.dataReceived(client_frame(hello.encode()) + b"".join(map(said, range(600))))
        self.assertEqual(len(self.answered(self.peer)), FROM_AGENT - 1)
        self.hub.settle()
        self.assertEqual(self.answered(self.peer), list(range(600)))
