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

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

STATUS_COLOURS = {
    "completed": "green",
    "dead_letter": "red",
    "cancelled": "yellow",
    "expired": "yellow",
    "working": "cyan",
    "assigned": "cyan",
}


def clean(text: object) -> str:
    """Text that cannot move the cursor, change colours or reorder itself."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def line(text: object) -> str:
    """The same in one line."""
    return clean(text).replace("\n", " ").replace("\t", " ")


def echo_json(value: object, *, indent: int | None = None) -> None:
    """One JSON value; without ``indent`` in one line."""
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False))


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
    for column in columns:
        drawn.add_column(column, overflow="fold")
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
    told = [f"{k}={_short(v)}" for k, v in event["payload"].items() if k != "output"]
    return line("  ".join([*parts, " ".join(told)]).rstrip())


def output_of(event: Mapping[str, Any]) -> str | None:
    """The output that a progress event carries, if any."""
    output = event["payload"].get("output")
    return clean(output) if isinstance(output, str) and output else None


def _short(value: object, limit: int = 160) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
