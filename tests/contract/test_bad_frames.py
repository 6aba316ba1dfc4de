"""Frames that are no frames: PROTOCOL.md section 3, first rows of the table."""

import json
import random

from agentcom.testing import FakeAgent
from tests.contract.helpers import HubTests


class NotJsonTests(HubTests):
    """What is not a JSON object in a text frame."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def assert_invalid_json(self, text: bytes, binary: bool = False) -> None:
        self.assert_error(self.agent.say_text(text, binary), "invalid_json")
        self.assert_answer(self.agent.say("ping"), "pong")

    def test_not_json(self) -> None:
        """Text that is not JSON is answered ``invalid_json`` and the line stays open."""
        self.assert_invalid_json(b"hello")

    def test_empty(self) -> None:
        """An empty text frame is not JSON."""
        self.assert_invalid_json(b"")

    def test_trailing_text(self) -> None:
        """JSON followed by more is not JSON."""
        self.assert_invalid_json(b'{"type":"ping"} {"type":"ping"}')

    def test_not_a_number(self) -> None:
        """``NaN`` is not JSON."""
        self.assert_invalid_json(b'{"type":"ping","x":NaN}')

    def test_array(self) -> None:
        """A JSON array is not a frame."""
        self.assert_invalid_json(b'[{"type":"ping"}]')

    def test_scalars(self) -> None:
        """JSON that is no object is not a frame, whatever else it is."""
        for text in (b"null", b"true", b"1", b'"ping"'):
            self.assert_invalid_json(text)

    def test_binary(self) -> None:
        """A binary frame is no frame, even with JSON in it."""
        self.assert_invalid_json(b'{"type":"ping"}', binary=True)

    def test_too_deep(self) -> None:
        """An object nested 65 deep is refused, wherever the depth is."""
        deep = b'{"type":"ping","x":' + b"[" * 64 + b"]" * 64 + b"}"
        self.assert_invalid_json(deep)
        self.assert_invalid_json(deep.replace(b'"x"', b'"ref"'))

    def test_far_too_deep(self) -> None:
        """Nesting of any depth is refused without harm."""
        self.assert_invalid_json(b'{"a":' * 100_000)
        self.assert_invalid_json(b"[" * 500_000)

    def test_deep_enough(self) -> None:
        """An object nested 64 deep is a frame."""
        deep = b'{"type":"ping","x":' + b"[" * 63 + b"]" * 63 + b"}"
        self.assert_answer(self.agent.say_text(deep), "pong")

    def test_brackets_in_strings(self) -> None:
        """Brackets in a string are not depth."""
        text = json.dumps({"type": "ping", "x": "[{" * 200 + '\\"[['}).encode()
        self.assert_answer(self.agent.say_text(text), "pong")

    def test_before_identify(self) -> None:
        """Nonsense before ``identify`` is answered the same way."""
        self.agent = self.hub.connect()
        self.assert_error(self.agent.say_text(b"hello"), "invalid_json")
        self.assertIsNone(self.agent.closed)


class BadUtf8Tests(HubTests):
    """Text that is not UTF-8."""

    def test_bad_utf8(self) -> None:
        """Text that is not UTF-8 closes the connection with 1007."""
        for text in (b"\xff", b'{"type":"ping","x":"\xc3("}', b'{"type":"ping"}\xed\xa0\x80'):
            agent = self.hub.agent("a")
            agent.say_text(text)
            assert agent.closed is not None
            self.assertEqual(agent.closed[0], 1007, text)

    def test_before_identify(self) -> None:
        """So it does before ``identify``."""
        agent = self.hub.connect()
        agent.say_text(b"\x80")
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 1007)

    def test_nothing_after_it_counts(self) -> None:
        """What follows bad UTF-8 on the same line is not served."""
        agent = self.hub.agent("a")
        agent.sendFrame(opcode=1, payload=b"\xff")
        agent.sendFrame(opcode=1, payload=b'{"type":"ping"}')
        self.hub.settle()
        self.assertEqual(agent.of("pong"), [])


class UnknownTypeTests(HubTests):
    """Types that there are not."""

    def test_unknown(self) -> None:
        """An unknown ``type`` is named in its error, and the line stays open."""
        agent = self.hub.agent("a")
        self.assert_error(
            agent.say("no_such_thing"), "unknown_message_type", message_type="no_such_thing"
        )
        self.assert_answer(agent.say("ping"), "pong")

    def test_types_of_the_hub(self) -> None:
        """Types that only the hub says are unknown from an agent."""
        agent = self.hub.agent("a")
        for name in ("identified", "pong", "task_assign", "task_ack", "error"):
            self.assert_error(agent.say(name), "unknown_message_type", message_type=name)

    def test_before_identify(self) -> None:
        """An unknown type before ``identify`` is an error and no drop."""
        agent = self.hub.connect()
        answers = agent.say("no_such_thing")
        self.assertEqual([a["type"] for a in answers], ["error"])
        self.assertIsNone(agent.closed)

    def test_no_type(self) -> None:
        """A frame without a type lacks a required field."""
        agent = self.hub.agent("a")
        for text, what in ((b"{}", "required"), (b'{"type":7}', "wrong_type")):
            told = self.assert_error(agent.say_text(text), "validation_failed")
            self.assertEqual([(e["field"], e["error"]) for e in told["errors"]], [("type", what)])


class TooManyBadMessagesTests(HubTests):
    """10 bad messages within 60 s."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def bad(self, times: int, text: bytes = b"hello") -> None:
        for _ in range(times):
            self.assertEqual(self.agent.say_text(text)[0]["type"], "error")

    def test_ten(self) -> None:
        """The tenth bad message within 60 s closes with 1008; nine do not."""
        self.bad(9)
        self.assertIsNone(self.agent.closed)
        self.agent.say_text(b"hello")
        assert self.agent.closed is not None
        self.assertEqual(self.agent.closed[0], 1008)

    def test_each_is_answered(self) -> None:
        """Each bad message gets its error, the one that closes too."""
        self.bad(10)
        self.assertEqual(len(self.agent.of("error")), 10)

    def test_slowly(self) -> None:
        """Ten bad messages over more than 60 s close nothing."""
        self.bad(9)
        self.hub.advance(60.5)
        self.bad(9)
        self.assertIsNone(self.agent.closed)

    def test_good_ones_between(self) -> None:
        """Good messages between the bad ones forgive nothing."""
        for _ in range(10):
            self.agent.say("ping")
            self.agent.say_text(b"hello")
        assert self.agent.closed is not None
        self.assertEqual(self.agent.closed[0], 1008)

    def test_all_kinds_count(self) -> None:
        """Every kind of bad message counts to the same ten."""
        other = self.hub.token("b")
        again = json.dumps({"type": "identify", "agent_id": "b", "token": other}).encode()
        for text in (b"x", b"[]", b'{"type":"?"}', b'{"type":"status"}', again):
            self.bad(2 if text is not again else 1, text)
        self.assertIsNone(self.agent.closed)
        self.agent.say_text(b"{}", binary=True)
        assert self.agent.closed is not None
        self.assertEqual(self.agent.closed[0], 1008)

    def test_before_identify(self) -> None:
        """Ten messages before ``identify`` close with 1008."""
        self.agent = self.hub.connect()
        self.bad(10, b'{"type":"ping"}')
        assert self.agent.closed is not None
        self.assertEqual(self.agent.closed[0], 1008)

    def test_refused_reports_do_not_count(self) -> None:
        """Refused reports are not bad messages, however many there are."""
        task_id = self.hub.push("a")
        self.agent.say("task_complete", task_id=task_id)
        for _ in range(30):
            answers = self.agent.say("task_failed", task_id=task_id)
            self.assert_error(answers, "invalid_state")
        for _ in range(30):
            answers = self.agent.say("task_accepted", task_id=task_id, generation=9)
            self.assert_error(answers, "stale_generation")
        self.assertIsNone(self.agent.closed)

    def test_its_tasks_are_held(self) -> None:
        """An agent that was closed for bad messages keeps its tasks as any that vanished."""
        task_id = self.accepted(self.agent)
        self.bad(10)
        self.assert_task(task_id, status="working")
        self.hub.advance(31)
        self.assert_task(task_id, status="queued")


class ArbitraryBytesTests(HubTests):
    """Whatever a peer writes: an answer or a close code, and no traceback."""

    def assert_code(self, agent: FakeAgent) -> None:
        if agent.closed is not None:
            code = agent.closed[0]
            self.assertTrue(code is not None and code not in (1005, 1006), agent.closed)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_random_bytes_on_the_line(self) -> None:
        """Random bytes after the handshake end in a close code and no traceback."""
        for seed in range(60):
            agent = self.hub.connect() if seed % 2 else self.hub.agent("a")
            agent.transport.write(random.Random(seed).randbytes(300))
            self.hub.settle()
            self.assert_code(agent)

    def test_random_text_frames(self) -> None:
        """Random text in well-formed frames is answered or closed with a code."""
        chars = '{}[]":,\\u0dtypeping-1e9 \x00\u20ac'
        for seed in range(200):
            chance = random.Random(seed)
            agent = self.hub.connect()
            agent.say_text("".join(chance.choices(chars, k=40)).encode())
            self.assertEqual([f["type"] for f in agent.frames], ["error"])
            self.assert_code(agent)

    def test_mangled_frames(self) -> None:
        """Good frames with a few bytes changed are answered or closed with a code."""
        good = json.dumps(
            {"type": "task_complete", "task_id": "t", "result": [1, {"a": "b\u20ac"}], "ref": "r"}
        ).encode()
        for seed in range(200):
            chance = random.Random(seed)
            text = bytearray(good)
            for _ in range(3):
                text[chance.randrange(len(text))] = chance.randrange(256)
            agent = self.hub.agent("a")
            agent.say_text(bytes(text))
            self.assertTrue(agent.closed or len(agent.frames) == 2, bytes(text))
            self.assert_code(agent)

    def test_protocol_errors(self) -> None:
        """Broken framing (no mask, reserved bits, a stray continuation) closes with 1002."""
        for raw in (b"\x81\x02{}", b"\xf1\x80\x00\x00\x00\x00", b"\x80\x80\x00\x00\x00\x00"):
            agent = self.hub.agent("a")
            agent.transport.write(raw)
            self.hub.settle()
            assert agent.closed is not None
            self.assertEqual(agent.closed[0], 1002)

    def test_half_characters(self) -> None:
        """An escaped half of a character is refused by an answer, in any field."""
        agent = self.hub.agent("a")
        for text in (
            b'{"type":"status","status":"\\ud800"}',
            b'{"type":"message","payload":{"x":"\\udc00 \\ud800"}}',
            b'{"type":"task_complete","task_id":"t","result":"\\ud83d"}',
        ):
            self.assertEqual([a["type"] for a in agent.say_text(text)], ["error"], text)
        self.assertIsNone(agent.closed)

    def test_fragments(self) -> None:
        """A message in several fragments, with a ping between them, is one message."""
        agent = self.hub.agent("a")
        agent.sendFrame(opcode=1, payload=b'{"type":', fin=False)
        agent.sendFrame(opcode=9, payload=b"still here")
        agent.sendFrame(opcode=0, payload=b'"ping"}')
        self.hub.settle()
        self.assertEqual(len(agent.of("pong")), 1)
