"""``agentcom agents``: who is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def agents(ctx: click.Context, as_json: bool) -> None:
    """List the agents that are connected.

    The list is open to all who reach the hub: no token is asked for, and a
    wrong one is not noticed here.

    \b
    Example:
      agentcom agents
      agentcom agents --json | jq -r '.agents[].agent_id'
    """

    async def run(hub: HubClient) -> int:
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
        return 0

    run_with_hub(ctx, run)
