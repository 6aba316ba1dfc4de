"""What a submission may ask for: the options of ``agentcom submit``.

Each option bears the name of a field of ``agentcom.wire.tasks.SubmitTask``,
so that the body is made of what was given, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from agentcom.cli.labels import label_tests
from agentcom.cli.values import (
    MOST_S,
    Count,
    Moment,
    Number,
    Seconds,
    json_object,
    moment,
    texts,
    utf8,
)

F = TypeVar("F", bound=Callable[..., Any])

# Written out, because importing core's enums would load msgspec for a --help.
PRIORITIES = ("urgent", "high", "normal", "low")
ON_DISCONNECT = ("requeue", "fail", "keep")

BACKOFF = {"backoff_initial": "initial_s", "backoff_factor": "factor", "backoff_max": "max_s"}


def task_options(function: F) -> F:
    """Add the options; the command gets them as keywords."""
    for add in reversed(_OPTIONS):
        function = add(function)
    return function


def body(asked: Mapping[str, Any], now_s: float) -> dict[str, Any]:
    """The fields of a submission.

    :param asked: the options of :func:`task_options`.
    """
    made: dict[str, Any] = {}
    for name, value in asked.items():
        if value is None or value == []:
            continue
        if name in BACKOFF:
            made.setdefault("backoff", {})[BACKOFF[name]] = value
        else:
            made[name] = value.at(now_s) if isinstance(value, Moment) else value
    return made


def counts_from_now(asked: Mapping[str, Any]) -> bool:
    """Whether the same options mean something else a little later."""
    return any(isinstance(value, Moment) and value.from_now for value in asked.values())


def _duration(name: str, field: str, help: str, *, zero: bool = False) -> Callable[[F], F]:
    return click.option(name, field, type=Seconds(MOST_S, zero=zero), metavar="TIME", help=help)


_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--agent", "agent_id", callback=utf8, metavar="AGENT", help="Nobody else may have it."
    ),
    click.option(
        "--capability",
        "capabilities",
        multiple=True,
        callback=texts,
        metavar="C",
        help="The agent must have it.  May be repeated.",
    ),
    click.option(
        "--label",
        "labels",
        multiple=True,
        callback=label_tests,
        metavar="TEST",
        help="A test of the agent's labels: os=linux, os!=linux, 'os in linux,mac', "
        "gpu (it has one), '!gpu' (it has none).  May be repeated.",
    ),
    click.option(
        "--priority",
        type=click.Choice(PRIORITIES),
        help="What goes first when several wait.  [default: normal]",
    ),
    click.option(
        "--metadata", callback=json_object, metavar="JSON", help="A JSON object for the agent."
    ),
    click.option(
        "--max-attempts",
        type=Count(1, 1_000),
        metavar="N",
        help="After so many failed ones it is a dead letter.  [default: 3]",
    ),
    click.option(
        "--not-before",
        callback=moment,
        metavar="WHEN",
        help="10m (from now), 2030-01-31T09:00 or Unix milliseconds.",
    ),
    click.option(
        "--deadline",
        callback=moment,
        metavar="WHEN",
        help="When it is of no use any more: it expires.",
    ),
    _duration("--queue-timeout", "queue_timeout_s", "It expires when it waits longer, like 2h."),
    _duration(
        "--accept-timeout",
        "accept_timeout_s",
        "An agent that does not accept it by then loses it.  [default: 60s]",
    ),
    _duration(
        "--attempt-timeout", "attempt_timeout_s", "An attempt that takes longer fails, like 30m."
    ),
    _duration(
        "--hold",
        "hold_s",
        "An agent whose line breaks keeps it for so long.  [default: 30s]",
        zero=True,
    ),
    click.option(
        "--on-disconnect",
        type=click.Choice(ON_DISCONNECT),
        help="What becomes of it after that.  [default: requeue]",
    ),
    _duration(
        "--backoff-initial",
        "backoff_initial",
        "The pause after the first failed attempt.  [default: 1s]",
        zero=True,
    ),
    click.option(
        "--backoff-factor",
        type=Number(1, 1_000),
        metavar="N",
        help="By how much each pause is longer than the last.  [default: 2]",
    ),
    _duration("--backoff-max", "backoff_max", "No pause is longer.  [default: 60s]", zero=True),
    click.option(
        "--idempotency-key",
        callback=utf8,
        metavar="K",
        help="Submitting again with it does nothing more.",
    ),
]
