"""JSON from strangers: decode in one pass in C, explain slowly when it fails.

msgspec checks types and lengths while it decodes.  It does not bound depth or
integers, and tells only the first error, so bytes are looked at before (cheap
scans that nearly always settle it) and walked again, by :mod:`.explain`, only
when something is wrong.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from agentcom.errors import InvalidJSON, ValidationFailed
from agentcom.wire.explain import explain

T = TypeVar("T", bound=msgspec.Struct)

MAX_DEPTH = 64
TEXT_KEPT = 2_000

# Only a number of 16 digits can be an integer past 2**53, only one with an
# exponent of three past the floats.
_BIG_NUMBER = re.compile(rb"[\s:,\[]-?(?:\d{16}|\d[\d.]*[eE]\+?\d{3})")
# With these alike, whatever it finds has one of two texts: they are found much faster.
_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_SIXTEEN_DIGITS = "0" * 16
_LONG_EXPONENT = "e000"
# Possessive, and content with an unclosed string: scanned again from each quote
# in it, one frame could hold up the reactor for minutes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_ROUND = bytes.maketrans(b"[]{}", b"()()")
_NO_BRACKET = bytes(c for c in range(256) if c not in b"[]{}")

encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_canonical = msgspec.json.Encoder(order="sorted").encode


def decode(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a body or frame into the decoder's Struct.

    :raises InvalidJSON: no JSON object, nested over 64 deep, bad UTF-8.
    :raises ValidationFailed: JSON, and some fields are missing or wrong.
    """
    found = decode_quickly(data, decoder)
    if found is not None:
        return found
    value = decode_object(data)
    struct: type[T] = decoder.type
    errors = explain(value, struct)
    if errors:
        raise ValidationFailed(errors)
    # The scan was over-careful: long digits in a string.
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as e:
        raise ValidationFailed([{"field": "", "error": "invalid_value", "detail": str(e)}]) from e


def decode_quickly(data: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    """Decode what is plainly good; ``None`` says that it needs a closer look."""
    return decode_text(data, decoder) if is_utf8(data) else None


def decode_text(data: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    """Like :func:`decode_quickly`, of bytes that are known to be UTF-8."""
    if depth_over(data, MAX_DEPTH) or big_number(data):
        return None
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode_object(data: bytes) -> dict[str, Any]:
    """Decode any JSON object, depth and UTF-8 checked.

    :raises InvalidJSON: it is none.
    """
    if not is_utf8(data):
        raise InvalidJSON("the text is not UTF-8")
    if depth_over(data, MAX_DEPTH):
        raise InvalidJSON(f"nested over {MAX_DEPTH} deep")
    try:
        value = _decode_any(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise InvalidJSON("the text is not JSON, or has a number out of range") from None
    if not isinstance(value, dict):
        raise InvalidJSON("the JSON is not an object")
    return value


def depth_over(data: bytes, limit: int) -> bool:
    """Whether brackets outside strings nest deeper than ``limit``, or do not match.

    A loop over the brackets would cost a stranger's megabyte a quarter of a
    second; each of these steps is one pass in C, which peels one level.
    """
    if data.count(b"{") + data.count(b"[") <= limit:
        return False
    # Without a backslash each second quote ends a string, which is found much faster.
    plain = b"".join(data.split(b'"')[::2]) if b"\\" not in data else _STRING.sub(b"", data)
    brackets = brackets_of(plain)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"()", b"")
    return bool(brackets)


def brackets_of(plain: bytes) -> bytes:
    """The brackets of a text without strings, as round ones."""
    return plain.translate(_ROUND, _NO_BRACKET)


def canonical(value: object) -> bytes:
    """JSON with sorted keys, for comparing what two bodies say."""
    return _canonical(value)


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def cut(text: str | None, limit: int = TEXT_KEPT) -> str | None:
    """``error`` and ``reason`` texts are cut, not refused (section 3)."""
    return text if text is None or len(text) <= limit else text[:limit]


def big_number(data: bytes) -> bool:
    """Whether a number of the text may be too big for what it is decoded into."""
    # A string, because it is searched in a third of the time that bytes take.
    alike = data.translate(_ALIKE, b"+").decode("latin-1")
    may_be = _SIXTEEN_DIGITS in alike or _LONG_EXPONENT in alike
    return may_be and _BIG_NUMBER.search(data) is not None
