"""``agentcom dead-letters``, ``retry`` and ``delete``: what failed for good.

The last two take ids, or the filters of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.tasks import filter_options, some
from agentcom.cli.values import Count, utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient

F = TypeVar("F", bound=Callable[..., Any])
Told = tuple[object, str]
"""What the hub answered, as it came and in words."""

error_option = click.option(
    "--error", "last_error", callback=utf8, metavar="TEXT", help="Only those that ended with it."
)


@click.command()
@filter_options
@error_option
@click.option("--limit", type=Count(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def dead_letters(ctx: click.Context, /, limit: int, as_json: bool, **filters: str | None) -> None:
    """List the tasks that failed for good, newest first.

    `agentcom retry` gives them another series of attempts.

    \b
    Example:
      agentcom dead-letters
      agentcom dead-letters --error attempt_timeout --json
    """

    async def run(hub: HubClient) -> int:
        found = await some(hub.dead_letters, limit, filters)
        if as_json:
            show.echo_json(found)
        elif not found["tasks"]:
            click.echo("no dead letters")
        else:
            rows = [
                (
                    task["id"],
                    task.get("agent_id") or "",
                    show.attempts(task),
                    (task.get("last_error") or "")[:160],
                    show.when(task.get("updated_at")),
                    task["description"][:80],
                )
                for task in found["tasks"]
            ]
            show.table(("TASK", "AGENT", "ATTEMPTS", "ERROR", "ENDED", "DESCRIPTION"), rows)
        return 0

    run_with_hub(ctx, run)


def _choice(verb: str) -> Callable[[F], F]:
    """Ids or filters: the options of ``retry`` and ``delete``."""

    def add(function: F) -> F:
        for option in (
            click.option("--json", "as_json", is_flag=True, help="Show the hub's answers as JSON."),
            error_option,
            filter_options,
            click.option("--all", "every", is_flag=True, help=f"{verb} every dead letter."),
            click.argument("task_ids", metavar="[ID]...", nargs=-1, callback=_ids),
        ):
            function = option(function)
        return function

    return add


def _ids(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for task_id in value:
        utf8(ctx, param, task_id)
    return value


@click.command()
@_choice("Retry")
@hub_options
@click.pass_context
def retry(
    ctx: click.Context,
    /,
    task_ids: tuple[str, ...],
    every: bool,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Put dead letters back into the queue, each with all its attempts again.

    Name them, or choose them: by --agent, --priority, --submitted-by and
    --error, all of which must be so, or --all.

    \b
    Example:
      agentcom retry task-0123456789abcdef
      agentcom retry --agent laptop-3 --error attempt_timeout
    """
    chosen = _chosen(ctx, task_ids, every, filters)

    async def one(hub: HubClient, task_id: str) -> Told:
        reply = await hub.retry(task_id)
        return reply, f"{reply['task_id']} is queued again"

    async def many(hub: HubClient) -> Told:
        reply = await hub.retry_dead_letters(**chosen)
        return reply, _told(reply["retried"], "queued again", reply.get("skipped"))

    _change(ctx, task_ids, one, many, as_json)


@click.command()
@_choice("Delete")
@click.option("--yes", is_flag=True, help="With filters: yes, all of them.")
@hub_options
@click.pass_context
def delete(
    ctx: click.Context,
    /,
    task_ids: tuple[str, ...],
    every: bool,
    yes: bool,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Delete dead letters for good.  An admin's token is needed.

    Name them, or choose them as for `agentcom retry` and add --yes;
    `agentcom dead-letters` with the same filters lists them.

    \b
    Example:
      agentcom delete task-0123456789abcdef
      agentcom delete --submitted-by nightly --yes
    """
    chosen = _chosen(ctx, task_ids, every, filters)
    if not task_ids and not yes:
        raise click.UsageError(
            "what is deleted is gone for good; look at it with `agentcom dead-letters` and the "
            "same filters, then add --yes",
            ctx,
        )

    async def one(hub: HubClient, task_id: str) -> Told:
        reply = await hub.delete(task_id)
        return reply, f"{reply['task_id']} is deleted"

    async def many(hub: HubClient) -> Told:
        reply = await hub.delete_dead_letters(**chosen)
        return reply, _told(reply["deleted"], "deleted", reply.get("skipped"))

    _change(ctx, task_ids, one, many, as_json)


def _chosen(
    ctx: click.Context, task_ids: Sequence[str], every: bool, filters: dict[str, str | None]
) -> dict[str, Any]:
    """The body of a choice.

    :raises click.UsageError: nothing was chosen, or in two ways.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    ways = bool(task_ids) + every + bool(given)
    if not ways:
        raise click.UsageError(
            "name the dead letters by ID, or choose with --agent, --priority, --submitted-by, "
            "--error or --all",
            ctx,
        )
    if ways > 1:
        raise click.UsageError("give IDs, or filters, or --all", ctx)
    return {"all": True} if every else given


def _change(
    ctx: click.Context,
    task_ids: Sequence[str],
    one: Callable[[HubClient, str], Coroutine[Any, Any, Told]],
    many: Callable[[HubClient], Coroutine[Any, Any, Told]],
    as_json: bool,
) -> None:
    """Do it to those that are named, else to all that were chosen."""

    async def run(hub: HubClient) -> int:
        if task_ids:
            return await _each(hub, task_ids, one, as_json)
        show.answer(*await many(hub), as_json)
        return 0

    run_with_hub(ctx, run)


async def _each(
    hub: HubClient,
    task_ids: Sequence[str],
    ask: Callable[[HubClient, str], Coroutine[Any, Any, Told]],
    as_json: bool,
) -> int:
    """Do it for one after the other; a refusal of one stops no other."""
    from agentcom.client.errors import HubError

    code = 0
    for task_id in task_ids:
        try:
            show.answer(*await ask(hub, task_id), as_json)
        except HubError as e:
            # What is not about this one task would be said of each.
            if len(task_ids) == 1 or e.code not in ABOUT_ONE:
                raise
            click.echo(show.line(f"{task_id}: {e}"), err=True)
            code = 1
    return code


ABOUT_ONE = ("task_not_found", "invalid_state")


def _told(count: int, done: str, skipped: int | None) -> str:
    letters = "1 dead letter is" if count == 1 else f"{count} dead letters are"
    rest = f", {skipped} skipped because they changed meanwhile" if skipped else ""
    return f"{letters} {done}{rest}"
