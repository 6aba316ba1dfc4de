"""``agentcom inbox``: what waits in an agent's mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.values import Count, utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient


@click.command()
@click.argument("agent", callback=utf8)
@click.option("--since", type=Count(0), default=0, metavar="SEQ", help="Only what came after it.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--ack", is_flag=True, help="Take what is shown out of the mailbox.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@hub_options
@click.pass_context
def inbox(
    ctx: click.Context, agent: str, since: int, follow: bool, ack: bool, as_json: bool
) -> None:
    """Show what waits for AGENT, oldest first.

    It goes on waiting, unless it is taken with --ack.  --follow goes on where
    it was when the hub restarts.

    \b
    Example:
      agentcom inbox laptop-3
      agentcom inbox laptop-3 --follow --ack --json
    """

    async def run(hub: HubClient) -> int:
        from agentcom.cli.mailbox import WAIT_S, Reading

        reading = Reading(hub, agent, since, ack, as_json)
        while await reading.go_on(WAIT_S if follow else None) or follow:
            pass
        if not reading.shown and not as_json:
            click.echo(f"nothing waits for {show.line(agent)}")
        return 0

    run_with_hub(ctx, run, interrupted=None if follow else "interrupted")
