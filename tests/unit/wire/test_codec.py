"""JSON from strangers: what is taken, what is refused, and what the refusal tells."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Annotated, Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Raw
from twisted.trial.unittest import SynchronousTestCase

from agentcom.errors import InvalidJSON, ValidationFailed
from agentcom.wire.codec import (
    canonical,
    cut,
    decode,
    decode_object,
    decode_quickly,
    depth_over,
    is_utf8,
)
from agentcom.wire.frames import NO_JSON, Generation


class Body(msgspec.Struct, frozen=True):
    """A bit of everything that the wire's Structs use."""

    name: Annotated[str, Meta(min_length=1, max_length=4)]
    count: Generation | None = None
    share: float | None = None
    flag: bool | None = None
    anything: dict[str, Any] | None = None
    names: Annotated[list[Annotated[str, Meta(max_length=4)]], Meta(max_length=3)] | None = None
    raw: Raw = NO_JSON


DECODER = msgspec.json.Decoder(Body)


def body(**fields: Any) -> bytes:
    return json.dumps({"name": "n", **fields}).encode()


def nested(depth: int) -> str:
    """JSON with so many brackets around nothing."""
    return "[" * depth + "]" * depth


class CodecCase(SynchronousTestCase):
    def refused(self, data: bytes) -> str:
        """Why bytes are no JSON object for us; the quick way must not take them either."""
        self.assertIsNone(decode_quickly(data, DECODER), data)
        error = self.assertRaises(InvalidJSON, decode, data, DECODER)
        return str(error)

    def wrong(self, data: bytes) -> list[tuple[str, str]]:
        """Field and code of each error."""
        self.assertIsNone(decode_quickly(data, DECODER), data)
        error = self.assertRaises(ValidationFailed, decode, data, DECODER)
        told: Any = error.fields["errors"]
        for one in told:
            self.assertEqual(set(one), {"field", "error", "detail"})
        return [(one["field"], one["error"]) for one in told]


class JSONTests(CodecCase):
    """What counts as a JSON object."""

    def test_not_json(self) -> None:
        """Anything that is not JSON is refused."""
        for text in (
            b"",
            b" ",
            b"nonsense",
            b'{"name":"n"',
            b'{"name":"n"} x',
            b'{"name":"n",}',
            b'{name:"n"}',
            b"{'name':'n'}",
            b'\xef\xbb\xbf{"name":"n"}',
            b'{"name":"a\nb"}',
            b'{"name":"n","raw":01}',
            b'{"name":"n","raw":"\\x"}',
            b'{"name":"n","raw":[1,]}',
            b"\x00",
        ):
            self.refused(text)

    def test_not_an_object(self) -> None:
        """JSON that is not an object is refused."""
        for text in (b"[]", b'"name"', b"1", b"null", b"true", b'[{"name":"n"}]'):
            self.assertIn("not an object", self.refused(text))

    def test_not_utf8(self) -> None:
        """Bytes that are not UTF-8 are refused wherever they stand."""
        for text in (
            b'{"name":"\xff"}',
            b'{"name":"n","raw":"\xc3"}',
            b'{"name":"n","\xff":1}',
            b'{"name":"n","raw":"\xed\xa0\x80"}',
            b"\xff\xfe{\x00}\x00",
        ):
            self.assertIn("UTF-8", self.refused(text))

    def test_numbers_that_are_none(self) -> None:
        """NaN and infinities are no JSON, and no number grows into one."""
        for number in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-1e999",
            "1E999",
            "1e+999",
            "-9.9E+999",
            "1e0400",
            "9e99999",
        ):
            for field in ("share", "raw", "unknown"):
                text = b'{"name":"n","%s":%s}' % (field.encode(), number.encode())
                self.assertIsNone(decode_quickly(text, DECODER), text)
                self.assertRaises((InvalidJSON, ValidationFailed), decode, text, DECODER)
            nest = b'{"name":"n","anything":{"x":[%s]}}' % number.encode()
            self.assertRaises((InvalidJSON, ValidationFailed), decode, nest, DECODER)

    def test_numbers_that_grow_are_looked_at(self) -> None:
        """Whatever could be out of range is looked at closely, wherever it stands."""
        for number in (
            "1e999",
            "1E999",
            "1e+999",
            "-9.9E+999",
            "1234567890123456",
            "-90000000000000000",
        ):
            for text in (
                '{"name":"n","x":%s}',
                '{"name":"n","x":[1, %s]}',
                '{"name":"n","x":\n%s}',
            ):
                data = (text % number).encode()
                self.assertIsNone(decode_quickly(data, DECODER), data)
        for number in ("1e99", "123456789012345", '"1e999"', '"x1234567890123456"'):
            data = b'{"name":"n","x":%s}' % number.encode()
            self.assertIsNotNone(decode_quickly(data, DECODER), data)

    def test_large_floats_are_numbers(self) -> None:
        """The largest floats are taken as they are."""
        for number in (1.5e308, -1.5e308, 5e-324, 1e15):
            self.assertEqual(decode(body(share=number), DECODER).share, number)

    def test_depth(self) -> None:
        """64 levels are taken, 65 are not; brackets in strings do not count."""
        for field in ("raw", "unknown"):
            text = '{"name":"n","%s":%s}'
            decode((text % (field, nested(63))).encode(), DECODER)
            self.assertIn("64", self.refused((text % (field, nested(64))).encode()))
            self.assertIn("64", self.refused((text % (field, nested(200_000))).encode()))
        decode(body(raw='[[{{"\\' * 500), DECODER)
        decode(body(raw=[[1]] * 500), DECODER)
        unclosed = b'{"name":"n","raw":' + b"[" * 200_000
        self.refused(unclosed)

    def test_depth_of_anything(self) -> None:
        """The count of brackets is right for any nesting, and stops at the limit."""
        for depth in range(1, 6):
            text = nested(depth).encode()
            self.assertFalse(depth_over(text, depth))
            self.assertTrue(depth_over(text, depth - 1))
        self.assertFalse(depth_over(b'["[[[[[[", "\\"[[[[[["]', 1))
        self.assertFalse(depth_over(b"[] [] [] [] []", 1))
        for word in (b"", b'\\"', b"\\\\"):
            # Brackets in strings do not count, with a backslash in one of them or without.
            text = b'["[[[%b", [["]]]]"]], "[[[[' % word
            self.assertFalse(depth_over(text + b'"]', 3), text)
            self.assertTrue(depth_over(text + b'"]', 2), text)
            self.assertTrue(depth_over(text, 3), text)

    def test_depth_is_found_in_linear_time(self) -> None:
        """No text makes the look at its depth slow: 1 MiB of any kind takes well under 10 s."""
        begun = time.monotonic()
        for pattern in (b'\\"', b'"', b"\\", b'\\\\"', b'["', b'"[', b"[]", b'"\\"'):
            size = 2**20 // len(pattern)
            for text in (pattern * size + b"[" * 65, b'{"a":"' + pattern * size + b"[" * 65):
                with contextlib.suppress(InvalidJSON, ValidationFailed):
                    decode(text, DECODER)
                if time.monotonic() - begun > 10:
                    self.fail(f"too slow at {text[:20]!r} and so on")

    def test_half_a_character(self) -> None:
        """Half of a surrogate pair cannot be stored and is refused; a whole pair is taken."""
        for text in (
            '"\\ud800"',
            '"\\udc00"',
            '"\\ud800x"',
            '"\\udc00\\ud800"',
            '"\\uD83D\\uD83D"',
        ):
            for field in ("name", "raw", "unknown"):
                data = b'{"name":"n","%s":%s}' % (field.encode(), text.encode())
                self.assertRaises((InvalidJSON, ValidationFailed), decode, data, DECODER)
        taken = decode(b'{"name":"\\ud83d\\ude00"}', DECODER)
        self.assertEqual(taken.name, "\U0001f600")

    def test_duplicate_keys(self) -> None:
        """Of a key that comes twice the last one counts, the quick way and the slow way."""
        self.assertEqual(decode(b'{"name":"a","name":"b"}', DECODER).name, "b")
        self.assertEqual(
            decode(b'{"name":"a","name":"b","count":9007199254740992}', DECODER).name, "b"
        )

    def test_unknown_fields_are_ignored(self) -> None:
        """Fields that nobody knows change nothing."""
        self.assertEqual(decode(body(x=1, protocol_version=1), DECODER), decode(body(), DECODER))

    def test_raw_is_kept_as_it_came(self) -> None:
        """A value of any JSON is kept byte for byte; null is a value, absence is none."""
        data = b'{"name":"n","raw":{"b": 1.50, "a":[ ]}}'
        self.assertEqual(bytes(decode(data, DECODER).raw), b'{"b": 1.50, "a":[ ]}')
        self.assertEqual(bytes(decode(body(raw=None), DECODER).raw), b"null")
        self.assertEqual(bytes(decode(body(), DECODER).raw), b"")


class FieldTests(CodecCase):
    """Every field that is wrong is told, each with its code."""

    def test_all_of_them(self) -> None:
        """All wrong fields are told at once, in the order of the contract's table."""
        data = b'{"count":true,"share":"x","flag":0,"anything":[],"names":["a",1]}'
        self.assertEqual(
            self.wrong(data),
            [
                ("name", "required"),
                ("count", "wrong_type"),
                ("share", "wrong_type"),
                ("flag", "wrong_type"),
                ("anything", "wrong_type"),
                ("names", "wrong_type"),
            ],
        )

    def test_codes(self) -> None:
        """Each kind of mistake has its own code."""
        for fields, expected in (
            ({"name": None}, ("name", "required")),
            ({"name": 1}, ("name", "wrong_type")),
            ({"name": "12345"}, ("name", "too_long")),
            ({"name": "\u00e4" * 5}, ("name", "too_long")),
            ({"name": ""}, ("name", "invalid_value")),
            ({"count": 1.0}, ("count", "wrong_type")),
            ({"count": True}, ("count", "wrong_type")),
            ({"count": "1"}, ("count", "wrong_type")),
            ({"count": -1}, ("count", "invalid_value")),
            ({"count": 2**53 + 1}, ("count", "invalid_value")),
            ({"count": 10**30}, ("count", "invalid_value")),
            ({"share": True}, ("share", "wrong_type")),
            ({"names": ["a"] * 4}, ("names", "too_long")),
            ({"names": ["12345"]}, ("names", "too_long")),
            ({"anything": {"a": [2**53 + 1]}}, ("anything", "invalid_value")),
            ({"anything": {"a": -(2**53) - 1}}, ("anything", "invalid_value")),
            ({"raw": 2**53 + 1}, ("raw", "invalid_value")),
            ({"raw": {"x": [10**400]}}, None),
        ):
            data = body(**fields)
            if expected is None:
                self.assertRaises((InvalidJSON, ValidationFailed), decode, data, DECODER)
            else:
                self.assertEqual(self.wrong(data), [expected], fields)

    def test_limits_are_taken(self) -> None:
        """What just fits is taken: lengths count characters, integers go to 2**53."""
        self.assertEqual(decode(body(name="\u00e4" * 4), DECODER).name, "\u00e4" * 4)
        for number in (2**53, 0):
            self.assertEqual(decode(body(count=number), DECODER).count, number)
        for number in (2**53, -(2**53)):
            self.assertEqual(decode(body(anything={"a": number}), DECODER).anything, {"a": number})
        decode(body(names=["1234"] * 3), DECODER)

    def test_optional_may_be_null(self) -> None:
        """An optional field may be null."""
        nulls = dict.fromkeys(("count", "share", "flag", "anything", "names"))
        self.assertEqual(decode(body(**nulls), DECODER), decode(body(), DECODER))

    def test_digits_in_a_string(self) -> None:
        """Long digits in a string are no number, and taken."""
        text = '": 99999999999999999999, "'
        self.assertEqual(
            decode(body(raw=text, anything={"a": text}), DECODER).anything, {"a": text}
        )

    def test_explanations_are_short(self) -> None:
        """A refusal stays small whatever came."""
        error = self.assertRaises(
            ValidationFailed, decode, body(name="x" * 100_000, count="y" * 100_000), DECODER
        )
        self.assertLess(len(str(error.fields)), 2_000)


class OtherTests(SynchronousTestCase):
    """Comparing and cutting."""

    def test_canonical(self) -> None:
        """Bodies that say the same are the same, whatever the order of their keys."""
        self.assertEqual(canonical({"b": {"y": 1, "x": 2}, "a": 1}), b'{"a":1,"b":{"x":2,"y":1}}')

    def test_cut(self) -> None:
        """Texts over 2000 characters are cut, shorter ones and none are left."""
        self.assertEqual(cut("x" * 2_001), "x" * 2_000)
        self.assertEqual(cut("\u2603" * 2_000), "\u2603" * 2_000)
        self.assertIsNone(cut(None))

    def test_is_utf8(self) -> None:
        """Text is told from other bytes, surrogates and long forms included."""
        for text in (b"", b"a", "\u2603\U0001f600".encode(), b"\x00"):
            self.assertTrue(is_utf8(text), text)
        for text in (b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80"):
            self.assertFalse(is_utf8(text), text)

    def test_decode_object(self) -> None:
        """Any object is given back as Python has it."""
        self.assertEqual(decode_object(b'{"a":[1,{"b":null}]}'), {"a": [1, {"b": None}]})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


class AnyBytesTests(SynchronousTestCase):
    """Whatever comes, the answer is a Struct or one of two errors (Hypothesis)."""

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(
        st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace"))
    )
    def test_any_bytes(self, data: bytes) -> None:
        """Arbitrary bytes are decoded or refused, and never raise anything else."""
        for text in (data, b'{"name":"n","raw":' + data + b"}", b'{"name":"' + data + b'"}'):
            try:
                taken = decode(text, DECODER)
            except (InvalidJSON, ValidationFailed):
                continue
            json.loads((bytes(taken.raw) or b"null").decode("utf-8"))
            taken.name.encode("utf-8")

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(json_values, st.booleans())
    def test_any_value(self, value: Any, escaped: bool) -> None:
        """Any JSON value of sane size goes through unchanged, as an object and as it came."""
        data = json.dumps(
            {"name": "n", "raw": value, "anything": {"v": value}}, ensure_ascii=escaped
        )
        try:
            encoded = data.encode("utf-8")
        except UnicodeEncodeError:
            return
        taken = decode(encoded, DECODER)
        self.assertEqual(json.loads(bytes(taken.raw)), value)
        self.assertEqual(taken.anything, {"v": value})
