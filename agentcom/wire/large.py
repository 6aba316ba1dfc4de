"""Large JSON bodies, looked at piece by piece: sixteen megabytes at once would hold up everybody.

What :func:`.codec.decode` does in one go, as a generator: between two steps
its caller lets others have a turn.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from agentcom.errors import ValidationFailed
from agentcom.wire.codec import MAX_DEPTH, big_number, brackets_of
from agentcom.wire.explain import explain

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

LARGE = 256 * 1024
"""Bytes from which on a body is worth several turns."""

PIECE = 512 * 1024
"""Bytes that are looked at in one step: some 3 ms."""

_REACH = 64
"""Bytes before a piece of which the last may belong to its first number."""

_OF_NUMBERS = b"0123456789.eE+-"

_ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_utf8 = getincrementaldecoder("utf-8")


def settled(data: bytes, decoder: msgspec.json.Decoder[S]) -> Iterator[S | None]:
    """Decode in steps; yields ``None`` after each, and the Struct at last.

    Ends without one where the text is no JSON, or needs a closer look: :func:`.codec.decode`
    says which.

    :raises ValidationFailed: JSON, and some fields are missing or wrong.
    """
    text, nesting = _utf8(), _Nesting()
    begin = 0
    while begin < len(data):
        piece = _piece(data, begin)
        end = begin + len(piece)
        try:
            text.decode(piece)
        except UnicodeDecodeError:
            return
        if _big_number(data, begin, end) or nesting.over(piece):
            return
        begin = end
        yield None
    found = _tried(data, decoder)
    if found is not None:
        yield found
        return
    yield None
    value = _tried(data, _ANYTHING)
    if isinstance(value, dict):
        yield None
        struct: type[S] = decoder.type
        errors = explain(value, struct)
        if errors:
            raise ValidationFailed(errors)


def _tried(data: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def _piece(data: bytes, begin: int) -> bytes:
    """What is looked at next; an escape is whole in it."""
    piece = data[begin : begin + PIECE]
    backslashes = len(piece) - len(piece.rstrip(b"\\"))
    return data[begin : begin + PIECE + 1] if backslashes % 2 else piece


def _big_number(data: bytes, begin: int, end: int) -> bool:
    """Whether a number that ends in a piece may be too big."""
    before = data[max(0, begin - _REACH) : begin]
    if len(before) == _REACH and not before.strip(_OF_NUMBERS):
        return True
    # With what stands before it, and its sign.
    return big_number(data[max(0, begin - _REACH - 2) : end])


class _Nesting:
    """How deep the brackets of a text nest, of which the pieces come one by one.

    A backslash outside of a string is no JSON, so what is said of such a text does not matter.
    """

    def __init__(self) -> None:
        self._inside = False
        self._open = b""

    def over(self, piece: bytes) -> bool:
        """Whether they may nest too deep, or do not match."""
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        brackets = self._open + brackets_of(b"".join(parts[self._inside :: 2]))
        self._inside ^= len(parts) % 2 == 0
        for _ in range(MAX_DEPTH - len(self._open)):
            fewer = brackets.replace(b"()", b"")
            if len(fewer) == len(brackets):
                break
            brackets = fewer
        self._open = brackets
        return len(brackets) > MAX_DEPTH or b")" in brackets
