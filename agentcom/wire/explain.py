"""What is wrong with a body or frame: every field of it, not only the first.

The slow second pass of :mod:`.codec`, over the plain JSON value and the
fields of the Struct that it should have been.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import inspect

from agentcom.core.ids import MAX_INTEGER

ERRORS_TOLD = 50
DETAIL_LENGTH = 200

Told = list[dict[str, str]]


def explain(value: dict[str, Any], struct: type[msgspec.Struct]) -> Told:
    """Every field that is missing or wrong, as PROTOCOL.md section 3 lists them.

    A field within a field is named by its path: ``tasks[3].priority``.
    """
    errors: Told = []
    _explain(value, struct, "", errors)
    return errors


class _Inner(msgspec.Struct, frozen=True):
    """What a field holds that has fields of its own.

    :ivar around: the type of the list that holds several, with its bounds.
    """

    struct: type[msgspec.Struct]
    around: Any = None


@cache
def _fields(
    struct: type[msgspec.Struct],
) -> tuple[tuple[msgspec.structs.FieldInfo, _Inner | None], ...]:
    """The fields of a Struct; finding them costs more than checking them."""
    shown: Any = inspect.type_info(struct)
    kinds = {field.encode_name: field.type for field in shown.fields}
    return tuple((f, _inner(kinds[f.encode_name])) for f in msgspec.structs.fields(struct))


def _inner(kind: inspect.Type) -> _Inner | None:
    for one in kind.types if isinstance(kind, inspect.UnionType) else (kind,):
        if isinstance(one, inspect.StructType):
            return _Inner(one.cls)
        if isinstance(one, inspect.ListType) and isinstance(one.item_type, inspect.StructType):
            bounds = msgspec.Meta(min_length=one.min_length, max_length=one.max_length)
            return _Inner(one.item_type.cls, Annotated[list[Any], bounds])
    return None


def _explain(value: dict[str, Any], struct: type[msgspec.Struct], where: str, errors: Told) -> None:
    for field, inner in _fields(struct):
        if len(errors) >= ERRORS_TOLD:
            return
        name = where + field.encode_name
        given = value.get(field.encode_name)
        if given is None:
            if field.required:
                errors.append(_error(name, "required", "this field is required"))
        elif inner is not None:
            if not _explain_inner(given, inner, name, errors):
                _check(given, field.type, name, errors)
        else:
            unstorable = _unstorable(given)
            if unstorable:
                errors.append(_error(name, "invalid_value", unstorable))
            elif field.type is not msgspec.Raw:
                _check(given, field.type, name, errors)


def _explain_inner(given: Any, inner: _Inner, name: str, errors: Told) -> bool:
    """Look at the fields within a field; whether that found something."""
    before = len(errors)
    if inner.around is None:
        if isinstance(given, dict):
            _explain(given, inner.struct, f"{name}.", errors)
    elif _check(given, inner.around, name, errors):
        for number, one in enumerate(given):
            if len(errors) >= ERRORS_TOLD:
                break
            path = f"{name}[{number}]"
            if isinstance(one, dict):
                _explain(one, inner.struct, f"{path}.", errors)
            else:
                _check(one, inner.struct, path, errors)
    return len(errors) > before


def _check(given: Any, kind: Any, name: str, errors: Told) -> bool:
    """Whether a value is of a type; what is wrong with it is told."""
    try:
        msgspec.convert(given, kind)
    except (msgspec.ValidationError, ValueError, RecursionError) as e:
        errors.append(_error(name, _kind(str(e)), str(e)))
        return False
    return True


def _unstorable(value: object) -> str | None:
    """Why a value could not be kept and given back unchanged, if so.

    A plain stack: the depth was bounded before, the width was not.
    """
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, bool):
            continue
        if isinstance(item, int):
            if abs(item) > MAX_INTEGER:
                return "an integer beyond 2**53"
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return None


def _kind(message: str) -> str:
    if "length <=" in message:
        return "too_long"
    if message.startswith("Expected `") and ", got `" in message:
        return "wrong_type"
    return "invalid_value"


def _error(field: str, kind: str, detail: str) -> dict[str, str]:
    return {"field": field, "error": kind, "detail": detail[:DETAIL_LENGTH]}
