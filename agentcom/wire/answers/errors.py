"""The bodies of errors."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """What every error has.

    :ivar error: the code, which never changes.
    :ivar detail: what is wrong, for people.
    :ivar hint: what to do.
    """

    error: str
    detail: str | UnsetType = UNSET
    hint: str | UnsetType = UNSET


class WrongField(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a body, or a parameter, that is wrong.

    :ivar field: its name; ``tasks[3].priority`` is a field within a field.
    """

    field: Annotated[str, Meta(examples=["description"])]
    error: Literal["required", "wrong_type", "too_long", "invalid_value"]
    detail: Annotated[str, Meta(examples=["this field is required"])]


class WrongFields(Error, frozen=True, kw_only=True):
    """An error with all the fields that are wrong."""

    errors: list[WrongField]


class MissingScope(Error, frozen=True, kw_only=True):
    """An error of a token that may not do this.

    :ivar required_scope: the scope that it takes.
    """

    required_scope: str | UnsetType = UNSET


class ComeAgain(Error, frozen=True, kw_only=True):
    """An error that goes away; the header ``Retry-After`` has the seconds to wait.

    :ivar retry_after_ms: milliseconds to wait.
    """

    retry_after_ms: Annotated[int, Meta(ge=0, examples=[1000])] | UnsetType = UNSET
