"""Values of options that click takes too easily, or refuses in words of its own.

What is wrong here is a usage error, before any hub is asked.  Nothing is
imported that a ``--help`` would wait for.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from agentcom.core.ids import MAX_INTEGER, RESERVED_AGENT_IDS, valid_new_agent_id

MOST_S = 1e9
"""Seconds that any duration of a task may have, as ``agentcom.wire.tasks`` has it."""

_CURSOR = re.compile(r"(?:[^:\s]+:)?[0-9]{1,16}")
_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])"
_DURATION = re.compile(f"(?:{_PART})+")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

# Smaller numbers may be meant as seconds.
_FIRST_MS = 10**11


class Number(click.FloatRange):
    """A finite number within bounds."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if _number(value) is None:
            self.fail(f"{value!r} is not a number", param, ctx)
        return float(super().convert(value, param, ctx))


class Seconds(click.types.FloatParamType):
    """A duration: seconds, or a text like ``90s`` or ``1h30m``.

    Its bounds are in no help: they are there for slips of the hand.

    :param zero: none at all is one too.
    """

    def __init__(self, most: float = math.inf, *, zero: bool = False) -> None:
        self._most = most
        self._zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = _duration(value) if isinstance(value, str) else None
        seconds = _number(value) if found is None else found
        if seconds is None:
            told = "a number of seconds, nor a duration like 90s or 1h30m"
            self.fail(f"{value!r} is not {told}", param, ctx)
        if seconds < 0 or (seconds == 0 and not self._zero):
            self.fail(f"{value!r} is too short", param, ctx)
        if seconds > self._most:
            self.fail(f"{value!r} is longer than {self._most:g} seconds", param, ctx)
        return seconds


@dataclass(frozen=True)
class Moment:
    """A time in milliseconds: since 1970, or from whenever it is used."""

    ms: int
    from_now: bool

    def at(self, now_s: float) -> int:
        """Unix milliseconds."""
        return int(now_s * 1000) + self.ms if self.from_now else self.ms


class Count(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        return int(super().convert(value, param, ctx))


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> Moment | None:
    """A time: ``10m`` from now, an ISO time, or Unix milliseconds."""
    if value is None:
        return None
    text = value.strip()
    from_now = _duration(text)
    if from_now is not None and from_now <= MOST_S:
        return Moment(int(from_now * 1000), True)
    if text.isdecimal() and _FIRST_MS <= int(text[:20]) <= MAX_INTEGER:
        return Moment(int(text), False)
    try:
        # A number is no date here, though 20300101 could be one.
        found = None if text.isdecimal() else datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None or found.timestamp() < 0:
        example = "10m (from now), 2030-01-31T09:00, or Unix milliseconds"
        raise click.BadParameter(f"{value!r} is not a time like {example}", ctx, param)
    return Moment(int(found.timestamp() * 1000), False)


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


def texts(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[str]:
    """The same for each of several."""
    return [text for text in value if utf8(ctx, param, text)]


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


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _duration(text: str) -> float | None:
    """Seconds of a text like ``1h30m``."""
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in re.findall(_PART, text))


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
