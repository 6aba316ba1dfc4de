"""Large bodies in pieces: what is settled so is what one look at all of it says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.errors import AgentComError, ValidationFailed
from agentcom.wire import large
from agentcom.wire.codec import MAX_DEPTH, decode
from agentcom.wire.large import settled


class Body(msgspec.Struct):
    """Anything."""

    tasks: Any


class RawBody(msgspec.Struct):
    """What is kept as it came: msgspec does not look at its numbers."""

    tasks: msgspec.Raw


class Lists(msgspec.Struct):
    """What must be a list."""

    tasks: list[int]


DECODER = msgspec.json.Decoder(Body)
LISTS = msgspec.json.Decoder(Lists)
RAW = msgspec.json.Decoder(RawBody)
# Short of the numbers that need a closer look, and with all that a string can have in it.
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9_999, 9_999) | st.text('"\\[]{}\n aé0e', max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("a[é", max_size=3), inner),
    max_leaves=12,
)


def text(tasks: object) -> bytes:
    return json.dumps({"tasks": tasks}, ensure_ascii=False).encode()


class SettledTests(SynchronousTestCase):
    """Pieces of some bytes."""

    def setUp(self) -> None:
        self.patch(large, "PIECE", 5)
        self.patch(large, "_REACH", 20)

    def settle(self, data: bytes, decoder: msgspec.json.Decoder[Any] = DECODER) -> Any:
        """What comes of it in the end."""
        found = list(settled(data, decoder))
        self.assertEqual(found[:-1], [None] * len(found[:-1]))
        return found[-1] if found else None

    @given(values)
    @example("0" * 9 + "\\" * 9)
    def test_good(self, tasks: object) -> None:
        """What is plainly good is settled, and is what it is."""
        found = self.settle(text(tasks))
        self.assertEqual(found and found.tasks, tasks)

    @given(values, st.data())
    def test_spoiled(self, tasks: object, data: st.DataObject) -> None:
        """Nothing is settled that is refused, and nothing is anything else."""
        good = text(tasks)
        at = data.draw(st.integers(0, len(good)))
        spoilt = good[:at] + data.draw(st.binary(max_size=3)) + good[at + 1 :]
        found = refused = None
        try:
            found = self.settle(spoilt)
        except ValidationFailed as e:
            refused = e.fields
        try:
            told = decode(spoilt, DECODER)
        except AgentComError as e:
            self.assertIsNone(found)
            self.assertIn(refused, (None, e.fields))
        else:
            self.assertIn(found, (None, told))
            self.assertIsNone(refused)

    def test_wrong_fields(self) -> None:
        """What is wrong with a text that is JSON is told as of a small one."""
        for data in (b'{"task":[1,2,3,4,5]}', b'{"tasks":"' + b"x" * 30 + b'"}'):
            wrong = self.assertRaises(ValidationFailed, self.settle, data, LISTS)
            self.assertEqual(
                wrong.fields, self.assertRaises(ValidationFailed, decode, data, LISTS).fields
            )
        self.assertIsNone(self.settle(b'["tasks",1,2,3]', LISTS))

    def test_depth(self) -> None:
        """What nests too deep is not settled, wherever the pieces end; what does not is."""
        for before in range(6):
            space = b" " * before
            for deep, good in ((40, True), (MAX_DEPTH - 1, True), (MAX_DEPTH, False)):
                data = b'{"tasks":' + space + b"[" * deep + b"]" * deep + b"}"
                if good:
                    self.assertEqual(decode(data, DECODER), DECODER.decode(data))
                self.assertIn(self.settle(data), (DECODER.decode(data), None) if good else (None,))
            data = b'{"tasks":' + space + b"[" * 40 + b"]" * 40 + b"}"
            self.assertIsNotNone(self.settle(data))

    def test_numbers(self) -> None:
        """A number that is too big is not settled, wherever it stands; others are."""
        far = "1." + 40 * "0" + "e400"
        for number in ("1" + 16 * "0", "-1" + 16 * "0", "1e999", "1.5E+400", "1" * 40, far):
            for before in range(25):
                data = b'{"tasks":[' + b" " * before + number.encode() + b"]}"
                self.assertIsNone(self.settle(data, RAW), data)
        for number in ("12345", "-1.25e10", "123456789012"):
            for before in range(25):
                data = b'{"tasks":[' + b" " * before + number.encode() + b"]}"
                self.assertIsNotNone(self.settle(data, RAW), data)

    def test_bad_utf8(self) -> None:
        """Bytes that are no text are not settled, at the end of a piece or of all."""
        for before in range(6):
            for bad in (b"\xff", b"\xc3", b"\xf0\x9f\x98"):
                data = b'{"tasks":"' + b"a" * before + bad + b'"}'
                self.assertIsNone(self.settle(data, RAW))

    def test_steps(self) -> None:
        """There is a step for each piece, and one for the end."""
        data = text("x" * 41)
        self.assertEqual(len(list(settled(data, DECODER))), -(-len(data) // 5) + 1)
