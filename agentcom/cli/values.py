"""Values of options that click takes too easily, or refuses in words of its own.

What is wrong here is a usage error, before any hub is asked.  Nothing is
imported that a ``--help`` would wait for.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import click

from agentcom.core.ids import MAX_INTEGER, RESERVED_AGENT_IDS, valid_new_agent_id

_CURSOR = re.compile(r"(?:[^:\s]+:)?[0-9]{1,16}")


class Seconds(click.FloatRange):
    """A duration: a finite number above 0."""

    def __init__(self, most: float | None = None) -> None:
        super().__init__(0, most, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            finite = math.isfinite(float(value))
        except ValueError:
            finite = False
        if not finite:
            self.fail(f"{value!r} is not a number", param, ctx)
        return float(super().convert(value, param, ctx))


class Count(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        return int(super().convert(value, param, ctx))


def not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A text with something in it; most often an unset variable is behind another."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty", ctx, param)
    return value


def utf8(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The same for a text that goes into JSON."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not UTF-8", ctx, param) from None
    return not_empty(ctx, param, value)


def json_object(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> dict[str, Any] | None:
    """A JSON object that every hub takes."""
    if value is None:
        return None
    try:
        found = json.loads(
            value, parse_constant=_no_number, parse_float=_finite, parse_int=_bounded
        )
        json.dumps(found, ensure_ascii=False).encode()
    except OverflowError:
        raise click.BadParameter("it has a number beyond 2^53", ctx, param) from None
    except (ValueError, RecursionError):
        raise click.BadParameter(f"{value!r} is not JSON", ctx, param) from None
    if not isinstance(found, dict):
        example = '{"path": "."}'
        raise click.BadParameter(f"{value!r} is no JSON object like {example}", ctx, param)
    return found


def cursor(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Where a stream of events begins."""
    if value is not None and _CURSOR.fullmatch(value) is None:
        raise click.BadParameter(
            f"{value!r} is not 0, a number or EPOCH:NUMBER, as `watch --json` shows it", ctx, param
        )
    return value


def topics(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str]:
    """Names of topics with commas between."""
    from agentcom.core.events import TOPICS

    if value is None:
        return []
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name not in TOPICS:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(TOPICS)}", ctx, param)
    return names


def check_new_agent_id(agent_id: str) -> None:
    """Whether a token could be made for this id.

    :raises click.UsageError: it could not.
    """
    if agent_id in RESERVED_AGENT_IDS:
        raise click.UsageError(f"the id {agent_id!r} is reserved; choose another one")
    if not valid_new_agent_id(agent_id):
        raise click.UsageError(
            f"{agent_id!r} cannot be an agent's id: use up to 128 letters, digits and ._:@-"
        )


def _no_number(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise OverflowError
    return found


def _bounded(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise OverflowError
    return int(digits)
