"""``agentcom agents``: who is connected, or how one of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentcom.cli import alive, show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient


@click.command()
@click.argument("agent_id", required=False, metavar="[AGENT]")
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def agents(ctx: click.Context, agent_id: str | None, as_json: bool) -> None:
    """List the agents that are connected, or show one agent.

    The list is open to all who reach the hub: no token is asked for, and a
    wrong one is not noticed here.

    Of one AGENT, also one that is away, it is shown whether its connection
    is open, whether it takes work, and what its tasks do.  A token is needed.

    \b
    Example:
      agentcom agents
      agentcom agents bot-1
      agentcom agents --json | jq -r '.agents[].agent_id'
    """

    async def run(hub: HubClient) -> int:
        if agent_id is None:
            await _list(hub, as_json)
            return 0
        found = await hub.agent(agent_id)
        if as_json:
            show.echo_json(found, indent=2)
        else:
            alive.echo(dict(found))
        return 0

    run_with_hub(ctx, run)


async def _list(hub: HubClient, as_json: bool) -> None:
    reply = await hub.agents()
    if as_json:
        show.echo_json(reply)
    elif not reply["agents"]:
        click.echo("no agent is connected")
    else:
        rows = [
            (
                agent["agent_id"],
                agent["name"],
                agent.get("state", ""),
                f"{agent.get('running', 0)}/{agent.get('slots', 1)}",
                agent["status"],
                " ".join(agent["capabilities"]),
                show.when(agent["connected_at"]),
            )
            for agent in reply["agents"]
        ]
        columns = ("AGENT", "NAME", "STATE", "RUNS", "STATUS", "CAPABILITIES", "SINCE")
        show.table(columns, rows)
