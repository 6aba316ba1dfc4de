"""What hostile peers send: strategies for JSON, frames and HTTP that are wrong in every way.

The examples are the same in each run.  ``AGENTCOM_HOSTILE_EXAMPLES=5000``
tries more of them, ``AGENTCOM_HOSTILE_SEED=anything`` others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import hypothesis
import msgspec
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("AGENTCOM_HOSTILE_EXAMPLES", "0"))
SEED = os.environ.get("AGENTCOM_HOSTILE_SEED")

Feed = st.SearchStrategy[bytes]


def examples(number: int) -> Callable[[Any], Any]:
    """So many examples of a test, unless the environment asks for more."""
    settings = hypothesis.settings(
        max_examples=EXAMPLES or number,
        derandomize=SEED is None,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
    )
    if SEED is None:
        return settings
    seed = hypothesis.seed(SEED)
    return lambda test: seed(settings(test))


def nested(opening: bytes, closing: bytes, depth: int = 10_000) -> bytes:
    """Something deep."""
    return opening * depth + b"1" + closing * depth


NASTY_VALUES: list[bytes] = [
    b"null",
    b"true",
    b"false",
    b"0",
    b"-1",
    b"1",
    b"-0.0",
    b"0.5",
    b"1e308",
    b"1e309",
    b"-1E+400",
    b"1e-400",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"9007199254740992",
    b"9007199254740993",
    b"-9007199254740993",
    b"18446744073709551616",
    b"9" * 400,
    b"9" * 5_000,
    b"-" + b"9" * 400 + b".5",
    b"01",
    b"1.",
    b'""',
    b'" "',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\\udc00 and more"',
    b'"\\ud83d\\ude00"',
    b'"\\ud83d"',
    b'"\\ud800\\u0041"',
    b'"\\ud800 and more than that"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b'"\\x"',
    b'"a\nb"',
    b'"a\x00b"',
    b'"../../etc/passwd"',
    b'"\'; DROP TABLE tasks; --"',
    b'"broadcast"',
    b'"admin"',
    "“日本語”".encode(),
    b'"\u202e right to left"',
    b'"' + b"x" * 70_000 + b'"',
    b'"' + "é".encode() * 257 + b'"',
    b"[]",
    b"{}",
    b"[[]]",
    b'{"":""}',
    b'{"\\ud800":1}',
    b'{"a":1,"a":2}',
    b'{"__proto__":{"x":1}}',
    b'{"type":"identify"}',
    b"[" + b"1," * 20_000 + b"1]",
    b"{" + b",".join(b'"k%d":"v"' % n for n in range(2_000)) + b"}",
    b'[{"task_id":"t","generation":true}]',
    b'{"a":{}}',
    b'{"a":{"=":"b","!=":null}}',
    b'{"a":{"in":[]}}',
    b'{"a":{"in":["\\ud800"]}}',
    b'{"a":{"exists":1,"like":"b"}}',
    b'{"a":{"exists":false,"=":"b"}}',
    b'{"\\u0000":"\\u0000"}',
    b'{"initial_s":1e308,"factor":1e308,"max_s":1e308}',
    b'{"initial_s":0,"factor":1000,"max_s":1e9}',
    b'{"factor":0.999}',
    b"1e9",
    b"1700000000000",
    b'[{"description":"x"},5,{}]',
    nested(b"[", b"]"),
    nested(b'{"a":', b"}"),
    b"[" * 10_000,
    nested(b"[", b"]", 64),
    nested(b'{"a":', b"}", 65),
    b"",
    b"\x00",
    b"}",
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)

raw_values: Feed = st.sampled_from(NASTY_VALUES) | json_values.map(
    lambda value: json.dumps(value).encode("utf-8", "surrogatepass")
)


def json_text(value: str) -> bytes:
    """A string as JSON."""
    return json.dumps(value).encode()


@st.composite
def objects(draw: st.DrawFn, names: list[str], good: dict[str, bytes]) -> bytes:
    """A JSON object with some of these fields, good and bad, some of them twice.

    :param good: a value for a field with which it may pass.
    """
    pairs = []
    if names:
        for name in draw(st.lists(st.sampled_from(names), max_size=len(names) + 2)):
            value = good.get(name) if draw(st.booleans()) else None
            pairs.append((json_text(name), draw(raw_values) if value is None else value))
    # With everything that is needed the feed gets past the first check.
    if draw(st.booleans()):
        missing = [n for n in good if n in names and json_text(n) not in dict(pairs)]
        pairs += [(json_text(n), good[n]) for n in missing]
    return b"{" + b",".join(name + b":" + value for name, value in pairs) + b"}"


@st.composite
def torn(draw: st.DrawFn, whole: Feed) -> bytes:
    """A feed, now and then with some bytes gone or others put in."""
    data = draw(whole)
    if not data or draw(st.integers(0, 3)):
        return data
    at = draw(st.integers(0, min(len(data), 200)))
    return data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 3)) :]


def batches(names: list[str], good: dict[str, bytes]) -> Feed:
    """Batches of tasks, good and bad."""
    return st.lists(objects(names, good), max_size=4).map(
        lambda tasks: b'{"tasks":[' + b",".join(tasks) + b"]}"
    )


def fields_of(struct: type[msgspec.Struct]) -> list[str]:
    """The names of a Struct's fields on the wire."""
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def frames_of(kind: str, struct: type[msgspec.Struct], good: dict[str, bytes]) -> Feed:
    """Frames of one type."""
    names = fields_of(struct)
    typed = objects(names, {k: v for k, v in good.items() if k in names}).map(
        lambda body: b'{"type":' + json_text(kind) + (b"," if body != b"{}" else b"") + body[1:]
    )
    return torn(typed)


SUBMISSION: dict[str, bytes] = {
    "description": b'"x"',
    "capabilities": b'["x"]',
    "needed_capabilities": b'["y"]',
    "labels": b'{"a":"b"}',
    "priority": b'"high"',
    "metadata": b'{"a":1}',
    "max_attempts": b"2",
    "backoff": b'{"factor":3}',
    "not_before": b"1700000000500",
    "deadline": b"1700000060000",
    "queue_timeout_s": b"5",
    "accept_timeout_s": b"0.5",
    "attempt_timeout_s": b"2.5",
    "hold_s": b"0",
    "on_disconnect": b'"fail"',
    "idempotency_key": b'"key"',
}
"""A good value for each field of a task that is submitted."""

no_frames: Feed = torn(
    st.sampled_from(
        [
            b"",
            b" ",
            b"{",
            b"null",
            b"[]",
            b'"identify"',
            b'{"type":null}',
            b'{"type":1}',
            b'{"type":"\\ud800"}',
            b'{"type":"x","type":"ping"}',
            b'{"TYPE":"ping"}',
            b'\xef\xbb\xbf{"type":"ping"}',
            '{"type":"ping"}'.encode("utf-16"),
            b'{"type":"ping"}{"type":"ping"}',
            b'{"type":"ping",}',
            b'{"type":"ping"}\x00',
            b'{"type":"' + b"x" * 60_000 + b'"}',
            nested(b"[", b"]"),
            nested(b'{"type":', b"}"),
            b"[" * 60_000,
            b'{"type":"ping","ref":' + nested(b"[", b"]") + b"}",
            b'{"type":"ping","ref":' + b"9" * 5_000 + b"}",
            b'{"type":"ping","ref":"\\ud800"}',
        ]
    )
) | st.binary(max_size=60)
