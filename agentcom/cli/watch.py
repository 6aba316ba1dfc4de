"""``agentcom watch``: events as they happen, across restarts of the hub."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.values import cursor, topics, utf8

if TYPE_CHECKING:
    from rich.console import Console

    from agentcom.client.hub import HubClient
    from agentcom.client.replies import EventReply, Gap

COLOURS = {
    "task_complete": "green",
    "task_failed": "red",
    "task_dead_letter": "bright_red",
    "task_cancelled": "yellow",
    "task_expired": "yellow",
    "task_rejected": "yellow",
    "task_requeued": "yellow",
    "task_submitted": "blue",
    "task_assigned": "cyan",
    "task_accepted": "cyan",
    "hub_started": "magenta",
}


@click.command()
@click.option(
    "--topics",
    "names",
    callback=topics,
    metavar="LIST",
    help="tasks, presence or both with a comma.",
)
@click.option(
    "--after",
    callback=cursor,
    metavar="CURSOR",
    help="From after this event, EPOCH:NUMBER or NUMBER; 0: the oldest kept.",
)
@click.option("--task", "task_id", callback=utf8, metavar="TASK", help="Only what concerns it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@hub_options
@click.pass_context
def watch(
    ctx: click.Context, names: list[str], after: str | None, task_id: str | None, as_json: bool
) -> None:
    """Watch events as they happen, until Ctrl-C.

    When the hub restarts it goes on where it was.  With --json each line has
    the event's `cursor`, from which --after resumes.

    \b
    Example:
      agentcom watch
      agentcom watch --topics tasks --after 0 --json
    """

    async def run(hub: HubClient) -> int:
        await hub.events(Lines(as_json), topics=names, after=after, task_id=task_id).run()
        return 0

    run_with_hub(ctx, run, interrupted=None)


class Lines:
    """Shows each event in a line, or in a few where it carries output."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._lost = False
        self._console = None if as_json else _console()

    def opened(self) -> None:
        if self._lost:
            self._lost = False
            click.echo("the line to the hub is back", err=True)

    def lost(self, why: str) -> None:
        self._lost = True
        click.echo(f"{why}; trying again until it is back", err=True)

    def gap(self, gap: Gap) -> None:
        if self._as_json:
            show.echo_json({"event": "gap", **gap})
        else:
            click.echo(show.line(_missing(gap)))

    def event(self, cursor: str | None, event: EventReply) -> None:
        if self._as_json:
            click.echo(json.dumps({**event, "cursor": cursor}, ensure_ascii=False))
            return
        self._line(show.event_line(event), COLOURS.get(event["event"], ""))
        for text in (show.output_of(event) or "").splitlines():
            self._line("    | " + text, "dim")

    def _line(self, text: str, style: str) -> None:
        if self._console is None:
            click.echo(text)
        else:
            self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _missing(gap: Gap) -> str:
    first, last, told = str(gap["first"]), str(gap.get("last")), str(gap.get("cursor"))
    epoch, _, number = told.rpartition(":")
    known, _, newest = last.rpartition(":")
    if epoch not in ("", known) or (
        number.isdecimal() and newest.isdecimal() and int(number) > int(newest)
    ):
        return f"the cursor {told} is not from this hub's log; events follow from {first} on"
    return f"events are missing here: those before {first} are gone"


def _console() -> Console | None:
    from rich.console import Console

    console = Console(file=sys.stdout)
    return console if console.is_terminal else None
