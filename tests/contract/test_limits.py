"""What the hub allows on a line, and how it ends one: PROTOCOL.md section 3."""

import json
from typing import Any, ClassVar

from agentcom.testing import FakeAgent
from tests.contract.helpers import HubTests, mute, never_closes, queue

KIB = 1024
MIB = 1024 * 1024


def frame_of(size: int) -> bytes:
    """A ``ping`` of exactly so many bytes."""
    head, tail = b'{"type":"ping","x":"', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


class FrameSizeTests(HubTests):
    """Frames over the limit."""

    def test_before_identify(self) -> None:
        """Before ``identify`` a frame over 64 KiB closes with 1009."""
        agent = self.hub.connect()
        agent.say_text(frame_of(64 * KIB + 1))
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1009)

    def test_most_before_identify(self) -> None:
        """Before ``identify`` a frame of exactly 64 KiB is served."""
        agent = self.hub.connect()
        self.assert_error(agent.say_text(frame_of(64 * KIB)), "not_identified")
        self.assertIsNone(agent.closed)

    def test_after_identify(self) -> None:
        """After ``identify`` a frame over 1 MiB closes with 1009."""
        agent = self.hub.agent("a")
        agent.say_text(frame_of(MIB + 1))
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1009)

    def test_most_after_identify(self) -> None:
        """After ``identify`` a frame of exactly 1 MiB is served."""
        agent = self.hub.agent("a")
        self.assert_answer(agent.say_text(frame_of(MIB)), "pong")

    def test_fragments(self) -> None:
        """Fragments over the limit together close with 1009, before the last one came."""
        agent = self.hub.agent("a")
        text = frame_of(2 * MIB)
        agent.sendFrame(opcode=1, payload=text[: 700 * KIB], fin=False)
        agent.sendFrame(opcode=0, payload=text[700 * KIB : 1400 * KIB], fin=False)
        self.hub.settle()
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1009)

    def test_announced(self) -> None:
        """A frame that announces too much is refused before its bytes came."""
        agent = self.hub.agent("a")
        agent.transport.write(b"\x81\xff" + (2**40).to_bytes(8, "big") + b"mask" + b"x" * 10)
        self.hub.settle()
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1009)

    def test_tasks_are_held(self) -> None:
        """An agent that was closed for it keeps its tasks as any that vanished."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        agent.say_text(frame_of(MIB + 1))
        self.assert_task(task_id, status="working")
        self.hub.advance(30)
        self.assert_task(task_id, status="queued")


class ToldLimitsTests(HubTests):
    """``identified.limits``."""

    def test_defaults(self) -> None:
        """``identified.limits`` tells the numbers of section 3."""
        limits = self.hub.agent("a").frames[0]["limits"]
        self.assertTrue({MIB, 512 * KIB, 8 * MIB, 20, 60, 30} <= set(limits.values()), limits)

    def test_as_set(self) -> None:
        """A limit that was set otherwise is told, and holds."""
        self.hub = type(self.hub)(max_frame=100 * KIB)
        agent = self.hub.agent("a")
        self.assertEqual(agent.frames[0]["limits"]["max_frame_bytes"], 100 * KIB)
        self.assert_answer(agent.say_text(frame_of(100 * KIB)), "pong")
        agent.say_text(frame_of(100 * KIB + 1))
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1009)


class SilenceTests(HubTests):
    """Peers of which nothing is heard."""

    def test_pings(self) -> None:
        """A silent peer is pinged every 20 s."""
        agent = self.hub.agent("a")
        mute(agent)
        self.hub.advance(20)
        self.assertEqual(agent.pings, 1)
        self.hub.advance(20)
        self.assertEqual(agent.pings, 2)

    def test_closed(self) -> None:
        """60 s without any traffic close with 1002, not less."""
        agent = self.hub.agent("a")
        mute(agent)
        self.hub.advance(59.5)
        self.assertIsNone(agent.closed)
        self.hub.advance(0.5)
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1002)

    def test_answered_pings_keep_it(self) -> None:
        """An agent that only answers pings is connected for ever."""
        agent = self.hub.agent("a")
        self.hub.advance(600, step=1)
        self.assertIsNone(agent.closed)
        self.assertGreaterEqual(agent.pings, 600 / 20 - 1)

    def test_any_traffic_counts(self) -> None:
        """Any frame, a bad one too, is a sign of life."""
        agent = self.hub.agent("a")
        mute(agent)
        for text in (b'{"type":"ping"}', b"hello", b'{"type":"resource_report"}'):
            self.hub.advance(55, step=1)
            agent.say_text(text)
        self.hub.advance(55, step=1)
        self.assertIsNone(agent.closed)

    def test_part_of_a_frame_counts(self) -> None:
        """A part of a frame is traffic."""
        agent = self.hub.agent("a")
        mute(agent)
        self.hub.advance(50, step=1)
        agent.transport.write(b"\x81")
        self.hub.advance(20, step=1)
        self.assertIsNone(agent.closed)

    def test_one_that_never_answers(self) -> None:
        """A silent peer that answers no close either is gone 5 s later, its tasks held."""
        other = self.hub.agent("b", presence="events")
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        mute(agent)
        never_closes(agent)
        self.hub.advance(66, step=1)
        self.assertIsNotNone(agent.closed)
        self.assertEqual(len(other.of("agent_left")), 1)
        self.assert_task(task_id, status="working")
        self.hub.advance(31, step=1)
        self.assert_task(task_id, status="queued")


class SlowReaderTests(HubTests):
    """Agents that read slower than they are written to."""

    settings: ClassVar[dict[str, Any]] = {"send_buffer": 100_000}

    def full(self, agent: FakeAgent) -> None:
        """The line takes no more."""
        agent.pump.serverIO.producer.pauseProducing()

    def pings(self, agent: FakeAgent, size: int) -> None:
        """Have the hub write that much."""
        for _ in range(size // 1_000):
            queue(agent, "ping", ref="r" * 1_000)
        self.hub.settle()

    def test_closed(self) -> None:
        """An outgoing buffer over the limit closes with 1013."""
        agent = self.hub.agent("a")
        self.full(agent)
        self.pings(agent, 101_000)
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1013)

    def test_under_the_limit(self) -> None:
        """What is under the limit waits, and comes in order when there is room."""
        agent = self.hub.agent("a")
        self.full(agent)
        self.pings(agent, 50_000)
        agent.say("ping", ref="last")
        self.assertEqual(agent.of("pong"), [])
        agent.pump.serverIO.producer.resumeProducing()
        self.hub.settle()
        self.assertEqual(len(agent.of("pong")), 51)
        self.assertEqual(agent.frames[-1]["ref"], "last")
        self.assertIsNone(agent.closed)

    def test_default(self) -> None:
        """The default limit is 8 MiB."""
        self.hub = type(self.hub)()
        agent = self.hub.agent("a")
        self.full(agent)
        text = json.dumps({"type": "ping", "ref": "r" * 999_000}).encode()
        for _ in range(8):
            agent.say_text(text)
        self.assertIsNone(agent.closed)
        agent.say_text(text)
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1013)

    def test_abort(self) -> None:
        """A slow reader that does not even read the close is cut after 5 s."""
        agent = self.hub.agent("a")
        never_closes(agent)
        self.full(agent)
        self.pings(agent, 101_000)
        self.hub.advance(4.75)
        self.assertIsNone(agent.closed)
        self.hub.advance(0.25)
        self.assertIsNotNone(agent.closed)

    def test_tasks_are_held(self) -> None:
        """Its tasks are held as for any disconnect, and are there when it is back."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.full(agent)
        self.pings(agent, 101_000)
        self.hub.advance(20)
        self.assert_task(task_id, status="working")
        back = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        self.hub.advance(31)
        self.assert_answer(back.say("task_complete", task_id=task_id), "task_ack")
        self.assert_task(task_id, status="completed", generation=1)

    def test_others_are_served(self) -> None:
        """A slow reader holds up nobody else."""
        slow, other = self.hub.agent("a"), self.hub.agent("b")
        self.full(slow)
        other.say("message", payload={"x": "x" * 10_000})
        self.assertEqual(len(other.of("message")), 1)
        self.assertEqual(slow.of("message"), [])


class StoppingTests(HubTests):
    """A hub that stops."""

    def test_closes(self) -> None:
        """A hub that stops closes its agents with 1001."""
        agents = [self.hub.agent("a"), self.hub.agent("b")]
        self.hub.hub.drain()
        self.hub.hub.stop()
        self.hub.settle()
        for agent in agents:
            assert agent.closed is not None
            self.assertEqual(agent.closed[0], 1001)

    def test_answers_first(self) -> None:
        """What was received before is answered before the close."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        queue(agent, "task_complete", task_id=task_id)
        agent.pump.flush()
        self.assertEqual(len(agent.of("task_ack")), 1)
        self.successResultOf(self.drained())
        self.hub.hub.stop()
        self.hub.settle()
        self.assertEqual(agent.of("task_ack")[-1]["status"], "complete")

    def drained(self) -> object:
        drained = self.hub.hub.drain()
        self.hub.settle()
        return drained

    def test_assigns_nothing(self) -> None:
        """A hub that stops takes no push."""
        self.hub.agent("a")
        self.hub.hub.drain()
        body = {"agent_id": "a", "description": "x"}
        answer = self.hub.request("POST", "/api/admin/push-task", body)
        self.assertEqual(answer.status, 503)


class UpgradeTests(HubTests):
    """``GET /ws`` over HTTP."""

    upgrade: ClassVar[dict[str, str]] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }

    def test_without_upgrade(self) -> None:
        """Without an upgrade it is answered 426, with a JSON body."""
        answer = self.hub.request("GET", "/ws", token=None)
        self.assertEqual(answer.status, 426)
        self.assertTrue(answer.headers["content-type"].startswith("application/json"))
        self.assertIsInstance(answer.body["error"], str)

    def test_no_compression(self) -> None:
        """Compression that is offered is not taken."""
        headers = {**self.upgrade, "Sec-WebSocket-Extensions": "permessage-deflate"}
        answer = self.hub.request("GET", "/ws", token=None, headers=headers)
        self.assertEqual(answer.status, 101)
        self.assertNotIn("sec-websocket-extensions", answer.headers)

    def test_bad_handshakes(self) -> None:
        """A handshake that is none gets an answer in JSON and no traceback."""
        for name, value in (
            ("Sec-WebSocket-Key", "short"),
            ("Sec-WebSocket-Version", "12"),
            ("Upgrade", "h2c"),
            ("Connection", "close, x"),
        ):
            answer = self.hub.request(
                "GET", "/ws", token=None, headers={**self.upgrade, name: value}
            )
            self.assertTrue(400 <= answer.status < 500, name)
            self.assertIsInstance(answer.body, dict)
