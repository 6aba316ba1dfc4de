"""``agentcom tasks`` and ``stats``: what the hub has, and had, to do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentcom.cli import show
from agentcom.cli.asked import PRIORITIES
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.values import Count, utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import TaskReply, Tasks

F = TypeVar("F", bound=Callable[..., Any])

# Written out, because importing core's enum would load msgspec for a --help.
STATUSES = (
    "queued",
    "assigned",
    "working",
    "completed",
    "dead_letter",
    "cancelled",
    "expired",
)
PAGE = 100


def filter_options(function: F) -> F:
    """Add ``--agent``, ``--priority`` and ``--submitted-by``, named as the API has them."""
    for add in (
        click.option(
            "--submitted-by", callback=utf8, metavar="AGENT", help="Only what this one submitted."
        ),
        click.option("--priority", type=click.Choice(PRIORITIES), help="Only those with it."),
        click.option(
            "--agent", "agent_id", callback=utf8, metavar="AGENT", help="Only those of this agent."
        ),
    ):
        function = add(function)
    return function


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="Only tasks that are so.")
@filter_options
@click.option(
    "--search",
    callback=utf8,
    metavar="TEXT",
    help="Only those with it in their description, agent or last error, or whose id begins so.",
)
@click.option("--limit", type=Count(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def tasks(ctx: click.Context, /, limit: int, as_json: bool, **filters: str | None) -> None:
    """List tasks, newest first.

    \b
    Example:
      agentcom tasks --status queued --priority urgent
      agentcom tasks --agent laptop-3 --limit 500 --json
      agentcom tasks --search "no space left"
    """

    async def run(hub: HubClient) -> int:
        found = await some(hub.tasks, limit, filters)
        if as_json:
            show.echo_json(found)
        elif not found["tasks"]:
            click.echo("no such tasks")
        else:
            rows = [
                (
                    task["id"],
                    task["status"],
                    task.get("agent_id") or "",
                    show.percent(task.get("progress")),
                    show.when(task["created_at"]),
                    task.get("priority") or "",
                    task["description"][:80],
                )
                for task in found["tasks"]
            ]
            show.table(COLUMNS, rows)
        return 0

    run_with_hub(ctx, run)


COLUMNS = ("TASK", "STATUS", "AGENT", "PROGRESS", "CREATED", "PRIORITY", "DESCRIPTION")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def stats(ctx: click.Context, as_json: bool) -> None:
    """Count the tasks by status, and by priority.

    \b
    Example:
      agentcom stats
    """

    async def run(hub: HubClient) -> int:
        found = await hub.stats()
        if as_json:
            show.echo_json(found)
        else:
            rows = [
                (of, name, count)
                for of, counts in (
                    ("status", found["by_status"]),
                    ("priority", found["by_priority"]),
                )
                for name, count in counts.items()
            ]
            show.table(("BY", "VALUE", "TASKS"), rows)
        return 0

    run_with_hub(ctx, run)


async def some(
    ask: Callable[..., Coroutine[Any, Any, Tasks]], limit: int, filters: dict[str, str | None]
) -> Tasks:
    """As many tasks as were asked for, over as many pages as it takes."""
    found: list[TaskReply] = []
    cursor: str | None = None
    while True:
        page = min(PAGE, limit - len(found))
        reply = await ask(**filters, limit=page, cursor=cursor)
        found.extend(reply["tasks"])
        cursor = reply.get("cursor")
        # A page without any may have others behind it.
        if not cursor or len(found) >= limit:
            break
    del found[limit:]
    return {"tasks": found, "cursor": cursor}
