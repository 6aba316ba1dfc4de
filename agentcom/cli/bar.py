"""How far long work on the hub's own machine is, where somebody looks on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

STEPS = 1_000
"""Places of a bar: fewer than the calls that tell of progress."""


@contextmanager
def bar(label: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere; gives what is told of done, and of all."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, of: None
        return
    with click.progressbar(length=STEPS, label=label, file=sys.stderr) as shown:

        def told(done: int, of: int) -> None:
            shown.update((done * STEPS // of if of else STEPS) - shown.pos)

        yield told


def tasks(count: int) -> str:
    """So many tasks, in words."""
    return "1 task" if count == 1 else f"{count} tasks"


def human(size: int) -> str:
    """Bytes as people say them."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
