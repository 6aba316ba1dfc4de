"""``agentcom send``: a message to an agent, or to everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.values import utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient

EVERYBODY = "broadcast"


@click.command()
@click.argument("agent", callback=utf8)
@click.argument("text", callback=utf8)
@click.option("--type", "message_type", metavar="TYPE", help="[default: chat]")
@click.option("--reply-to", metavar="ID", help="The message that this one answers.")
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def send(
    ctx: click.Context,
    agent: str,
    text: str,
    message_type: str | None,
    reply_to: str | None,
    as_json: bool,
) -> None:
    """Send a message to an agent, or to all with AGENT `broadcast`.

    An agent that is away finds it in its mailbox.

    \b
    Example:
      agentcom send laptop-3 'the branch is merged'
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.send_message(
            {"text": text}, to=agent, message_type=message_type, reply_to=reply_to
        )
        if as_json:
            show.echo_json(reply)
        else:
            to = "everybody" if agent == EVERYBODY else show.line(agent)
            click.echo(f"message {reply['id']} sent to {to}")
            if reply.get("note") == "unknown_recipient":
                click.echo(
                    f"no agent was ever called {to}: nobody will find it but in the history",
                    err=True,
                )
        return 0

    run_with_hub(ctx, run)
