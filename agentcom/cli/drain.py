"""``agentcom drain``, ``resume`` and ``disconnect``: agents, or the hub, out of service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.values import MOST_S, Seconds, not_empty, utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient

MOST_AWAY_S = 86_400.0
"""Seconds that an agent may be asked to stay away, as ``agentcom.wire.http`` has it."""

agent_argument = click.argument("agent_id", metavar="[AGENT]", required=False, callback=not_empty)
json_option = click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")


def _one_of(ctx: click.Context, agent_id: str | None, whole_hub: bool) -> None:
    if (agent_id is None) is not whole_hub:
        both = "not both" if whole_hub else "one of the two"
        raise click.UsageError(f"name an AGENT, or give --all for the whole hub: {both}", ctx)


@click.command()
@agent_argument
@click.option("--all", "whole_hub", is_flag=True, help="The whole hub, until its process ends.")
@click.option(
    "--deadline",
    type=Seconds(MOST_S),
    metavar="TIME",
    help="What runs may take so long, like 10m; then, but for --all, it is queued again.",
)
@click.option("--note", callback=utf8, metavar="TEXT", help="Why, for those who wonder.")
@click.option("--wait", is_flag=True, help="Wait until nothing runs there any more.")
@click.option(
    "--timeout", type=Seconds(MOST_S), metavar="TIME", help="Wait no longer.  [default: for ever]"
)
@click.option("--list", "listed", is_flag=True, help="Show what is drained, and change nothing.")
@json_option
@hub_options
@click.pass_context
def drain(
    ctx: click.Context,
    agent_id: str | None,
    whole_hub: bool,
    deadline: float | None,
    note: str | None,
    wait: bool,
    timeout: float | None,
    listed: bool,
    as_json: bool,
) -> None:
    """Give an agent no more work, and let it finish what it has.

    The hub remembers it, also when the agent or the hub is started again,
    until `agentcom resume AGENT`.  Given again, it replaces deadline and note.

    With --all the hub gives work to nobody and refuses pushes; submissions
    wait.  That ends with `agentcom resume --all`, or when the hub is stopped.

    An admin's token is needed.  With --wait the exit code is 0 when nothing
    runs there any more, and 1 when the timeout passed before; with --all also
    when the deadline did.

    \b
    Example:
      agentcom drain build-7 --note 'new kernel' --deadline 30m --wait
      agentcom drain --all --note 'upgrade at noon' --wait --timeout 10m
      agentcom drain --list
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait", ctx)
    if not listed:
        _one_of(ctx, agent_id, whole_hub)
    elif agent_id or whole_hub or wait or note is not None or deadline is not None:
        raise click.UsageError("--list goes with no other option but --json", ctx)

    async def run(hub: HubClient) -> int:
        from agentcom.cli import drained

        if listed:
            drained.echo_list(await hub.drain_of_hub(), as_json)
            return 0
        if agent_id is None:
            state = await hub.drain_hub(deadline_s=deadline, note=note)
        else:
            state = await hub.drain(agent_id, deadline_s=deadline, note=note)
        if wait:
            return await drained.Wait(hub, agent_id, as_json).until_drained(state, timeout)
        show.answer(state, drained.told(agent_id, state), as_json)
        return 0

    run_with_hub(ctx, run, "interrupted; it stays drained, `agentcom drain --list` shows it")


def _resumed(who: str, reply: Mapping[str, Any], told: str) -> str:
    return f"{who} {told}" if reply.get("was_drained", True) else f"{who} was not drained"


@click.command()
@agent_argument
@click.option("--all", "whole_hub", is_flag=True, help="The whole hub.")
@json_option
@hub_options
@click.pass_context
def resume(ctx: click.Context, agent_id: str | None, whole_hub: bool, as_json: bool) -> None:
    """Give an agent work again, whether an operator drained it or it asked for that.

    With --all the hub gives work again; agents that are drained one by one
    stay so.  An admin's token is needed.

    \b
    Example:
      agentcom resume build-7
      agentcom resume --all
    """
    _one_of(ctx, agent_id, whole_hub)

    async def run(hub: HubClient) -> int:
        if agent_id is None:
            reply = await hub.resume_hub()
            show.answer(reply, _resumed("the hub", reply, "gives work again"), as_json)
        else:
            reply = await hub.resume(agent_id)
            told = _resumed(show.line(agent_id), reply, "is given work again")
            show.answer(reply, told, as_json)
        return 0

    run_with_hub(ctx, run)


@click.command()
@click.argument("agent_id", metavar="AGENT", callback=not_empty)
@click.option("--reason", callback=utf8, metavar="TEXT", help="Told to the agent; 80 bytes of it.")
@click.option(
    "--retry-after",
    type=Seconds(MOST_AWAY_S, zero=True),
    metavar="TIME",
    help="Ask it to stay away so long, like 5m.",
)
@json_option
@hub_options
@click.pass_context
def disconnect(
    ctx: click.Context, agent_id: str, reason: str | None, retry_after: float | None, as_json: bool
) -> None:
    """Close an agent's connection.

    Its tasks are kept for it as when a line breaks, and it may come back at
    once: to keep work from it, drain it; to keep it out, revoke
    its token (on the hub's own machine it makes another: stop it).
    An admin's token is needed.

    \b
    Example:
      agentcom disconnect build-7 --reason 'the network is changed' --retry-after 2m
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.disconnect(agent_id, reason=reason, retry_after_s=retry_after)
        show.answer(reply, f"{show.line(agent_id)} is disconnected", as_json)
        return 0

    run_with_hub(ctx, run)
