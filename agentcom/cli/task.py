"""``agentcom task``, ``cancel`` and ``requeue``: one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agentcom.cli import show, words
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.values import utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import EventReply

reason_option = click.option(
    "--reason", callback=utf8, metavar="TEXT", help="Told to the agent and kept with the task."
)


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
@reason_option
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
        show.answer(reply, f"{reply['task_id']} is cancelled", as_json)
        return 0

    run_with_hub(ctx, run)


@click.command()
@click.argument("task_id", metavar="ID")
@reason_option
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def requeue(ctx: click.Context, task_id: str, reason: str | None, as_json: bool) -> None:
    """Take a task back from the agent that has it.

    It waits in the queue again and no attempt is spent.  An admin's token is
    needed.

    \b
    Example:
      agentcom requeue task-0123456789abcdef --reason 'the machine hangs'
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.requeue(task_id, reason)
        show.answer(reply, f"{reply['task_id']} is queued again", as_json)
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
    for name, value in _in_words(task).items():
        if name in ELSEWHERE or value in (None, "", {}, []) or value == USUAL.get(name):
            continue
        shown = show.when(value) if show.is_time(name) else show.line(value)
        click.echo(f"  {name + ':':18} {shown}")
    if task.get("result") is not None:
        click.echo("\nresult:")
        echo_result(task["result"])


ELSEWHERE = ("id", "status", "description", "result", "max_attempts", "series", "labels")

# What nobody asked for is not worth a line; --json has all.
USUAL = {
    "requeues": 0,
    "generation": 0,
    "hold_s": 30,
    "accept_timeout_s": 60,
    "on_disconnect": "requeue",
    "backoff": {"initial_s": 1, "factor": 2, "max_s": 60},
}


def _in_words(task: dict[str, Any]) -> dict[str, Any]:
    """What belongs together in one field, where a task has it."""
    told: dict[str, Any] = {}
    for name, value in task.items():
        if name == "agent_id" and task["status"] == "queued":
            told["last_agent"] = value
        elif name == "attempts":
            told[name] = show.attempts(task)
        elif name == "capabilities":
            told["needs"] = words.needs(value, task.get("labels"))
        elif name == "backoff" and isinstance(value, dict) and value != USUAL[name]:
            told[name] = words.backoff(value)
        elif name == "metadata" and value:
            told[name] = show.as_json(value)
        else:
            told[name] = value
    return told


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
