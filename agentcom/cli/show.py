"""How things are shown: JSON for programs, tables and lines for people.

What comes from others is cleaned of control characters before a terminal
sees it.  rich is imported only where a table is drawn.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from agentcom.cli import words

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

STATUS_COLOURS = {
    "completed": "green",
    "dead_letter": "red",
    "cancelled": "yellow",
    "expired": "yellow",
    "working": "cyan",
    "assigned": "cyan",
}


ID_WIDTH = 24
"""Characters that a task's id, or a short agent's, may have."""


def clean(text: object) -> str:
    """Text that cannot move the cursor, change colours or reorder itself."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def line(text: object) -> str:
    """The same in one line."""
    return clean(text).replace("\n", " ").replace("\t", " ")


def echo_json(value: object, *, indent: int | None = None) -> None:
    """One JSON value; without ``indent`` in one line."""
    click.echo(as_json(value, indent=indent))


def answer(reply: object, told: str, as_json: bool) -> None:
    """What the hub answered: as JSON, or in words."""
    if as_json:
        echo_json(reply)
    else:
        click.echo(told)


def as_json(value: object, *, indent: int | None = None) -> str:
    """The same as a text."""
    return json.dumps(value, indent=indent, ensure_ascii=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table that fits the terminal, or plain columns where there is none."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        # What reads a pipe wants every value whole, however wide.
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(line(cell) for cell in row))
        return
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        # What is copied from a list should be in one piece.
        whole = place == 0 and all(len(str(row[0])) <= ID_WIDTH for row in rows)
        drawn.add_column(column, overflow="fold", no_wrap=whole)
    for row in rows:
        cells = [line(cell) for cell in row]
        drawn.add_row(*(Text(cell, style=STATUS_COLOURS.get(cell, "")) for cell in cells))
    console.print(drawn)


def when(ms: object, *, day: bool = True) -> str:
    """A time of the wire in the reader's own time zone."""
    if not isinstance(ms, (int, float)):
        return "" if ms is None else line(ms)
    try:
        local = datetime.fromtimestamp(ms / 1000, UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return line(ms)
    return local.strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")


def percent(progress: object) -> str:
    """Progress as the agent gave it; most give per cent, some a fraction."""
    return f"{progress:g}" if isinstance(progress, (int, float)) else ""


def event_line(event: Mapping[str, Any], *, with_task: bool = True) -> str:
    """An event in one line."""
    parts = [when(event["timestamp"], day=False), event["event"]]
    if with_task and event.get("task_id"):
        parts.append(event["task_id"])
    if event.get("agent_id"):
        parts.append(event["agent_id"])
    told = [_told(k, v) for k, v in event["payload"].items() if k != "output" and v != ""]
    return line("  ".join([*parts, " ".join(told)]).rstrip())


def attempts(task: Mapping[str, Any]) -> str:
    """How often a task was tried, and how often it may be."""
    told = f"{task.get('attempts', 0)} of {task.get('max_attempts', 1)}"
    series = task.get("series", 1)
    return told if series == 1 else f"{told} (series {series})"


TIMES = ("not_before", "deadline")
"""Fields that are times and do not end in ``_at``."""


def is_time(name: str) -> bool:
    """Whether a field of the wire has Unix milliseconds."""
    return name.endswith("_at") or name in TIMES


def output_of(event: Mapping[str, Any]) -> str | None:
    """The output that a progress event carries, if any."""
    output = event["payload"].get("output")
    return clean(output) if isinstance(output, str) and output else None


def _told(name: str, value: object) -> str:
    """A field of an event."""
    if isinstance(value, dict) and name == "agent":
        return _short(words.agent(value))
    if isinstance(value, dict) and name == "needs":
        return f"needs=[{_short(words.needs(value.get('capabilities'), value.get('labels')))}]"
    return f"{name}={when(value) if is_time(name) else _short(value)}"


def _short(value: object, limit: int = 160) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
