"""``agentcom tasks``, ``task`` and ``cancel``: what the hub has, and had, to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.values import Count

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import EventReply, TaskReply

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


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="Only tasks that are so.")
@click.option("--agent", metavar="AGENT", help="Only tasks of this agent.")
@click.option("--limit", type=Count(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def tasks(
    ctx: click.Context, status: str | None, agent: str | None, limit: int, as_json: bool
) -> None:
    """List tasks.

    \b
    Example:
      agentcom tasks --status working
      agentcom tasks --agent laptop-3 --limit 500 --json
    """

    async def run(hub: HubClient) -> int:
        found: list[TaskReply] = []
        cursor: str | None = None
        while True:
            page = min(PAGE, limit - len(found))
            reply = await hub.tasks(status=status, agent_id=agent, limit=page, cursor=cursor)
            found.extend(reply["tasks"])
            cursor = reply.get("cursor")
            if not cursor or not reply["tasks"] or len(found) >= limit:
                break
        del found[limit:]
        if as_json:
            show.echo_json({"tasks": found, "cursor": cursor})
        elif not found:
            click.echo("no such tasks")
        else:
            rows = [
                (
                    task["id"],
                    task["status"],
                    task.get("agent_id") or "",
                    show.percent(task.get("progress")),
                    show.when(task["created_at"]),
                    task["description"][:80],
                )
                for task in found
            ]
            show.table(("TASK", "STATUS", "AGENT", "PROGRESS", "CREATED", "DESCRIPTION"), rows)
        return 0

    run_with_hub(ctx, run)


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Show task and events as JSON.")
@hub_options
@click.pass_context
def task(ctx: click.Context, task_id: str, as_json: bool) -> None:
    """Show one task and what happened to it.

    \b
    Example:
      agentcom task task-0123456789abcdef
    """

    async def run(hub: HubClient) -> int:
        found = await hub.task(task_id)
        events = await all_events(hub, task_id)
        if as_json:
            show.echo_json({"task": found, "events": events}, indent=2)
        else:
            _echo_task(dict(found))
            click.echo("\nevents:")
            for event in events:
                click.echo("  " + show.event_line(event, with_task=False))
                for output in (show.output_of(event) or "").splitlines():
                    click.echo("    | " + output)
        return 0

    run_with_hub(ctx, run)


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Told to the agent and kept with the task.")
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def cancel(ctx: click.Context, task_id: str, reason: str | None, as_json: bool) -> None:
    """Cancel a task.

    An agent that works on it is told to stop.

    \b
    Example:
      agentcom cancel task-0123456789abcdef --reason 'wrong branch'
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.cancel(task_id, reason)
        if as_json:
            show.echo_json(reply)
        else:
            click.echo(f"{reply['task_id']} is cancelled")
        return 0

    run_with_hub(ctx, run)


async def all_events(hub: HubClient, task_id: str) -> list[EventReply]:
    """A task's whole history, however many pages it takes."""
    events: list[EventReply] = []
    cursor: str | None = None
    while True:
        reply = await hub.task_events(task_id, cursor=cursor)
        events.extend(reply["events"])
        cursor = reply.get("cursor")
        if not cursor or not reply["events"]:
            return events


def _echo_task(task: dict[str, Any]) -> None:
    title = click.style(task["status"], fg=show.STATUS_COLOURS.get(task["status"]), bold=True)
    click.echo(f"{show.line(task['id'])}  {title}")
    click.echo(show.clean(task["description"]))
    click.echo("")
    for name, value in task.items():
        if name in ("id", "status", "description", "result") or value in (None, "", {}, []):
            continue
        shown = show.when(value) if name.endswith("_at") else show.line(value)
        click.echo(f"  {name + ':':16} {shown}")
    if task.get("result") is not None:
        click.echo("\nresult:")
        echo_result(task["result"])


def echo_result(result: object, without: tuple[str, ...] = ()) -> None:
    """A result for people: its output as text, the rest as JSON."""
    if not isinstance(result, dict):
        show.echo_json(result, indent=2)
        return
    output = result.get("output")
    hidden = {*without, *(("output",) if isinstance(output, str) else ())}
    show.echo_json({k: v for k, v in result.items() if k not in hidden}, indent=2)
    if isinstance(output, str) and "output" not in without:
        for text in show.clean(output).splitlines():
            click.echo("  | " + text)
