"""``agentcom token``: who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import Settings, hub_options
from agentcom.cli.values import Seconds, check_new_agent_id

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient

SCOPES = ("agent", "submit", "admin", "enroll")


@click.group()
@hub_options
def token() -> None:
    """Create, list and revoke tokens.

    \b
    Example:
      agentcom token create laptop-3
    """


@token.command()
@click.argument("agent", required=False)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="May be repeated.  [default: agent and submit]",
)
@click.option("--expires-in", "expires_in_s", type=Seconds(1e10), metavar="S")
@click.option("--admin", is_flag=True, help="A new admin token, made on the hub's own machine.")
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def create(
    ctx: click.Context,
    agent: str | None,
    scopes: tuple[str, ...],
    expires_in_s: float | None,
    admin: bool,
    as_json: bool,
) -> None:
    """Create a token for AGENT and show it, this once.

    With --admin no hub is asked: it works on the hub's machine only, from its
    data directory, also when every admin token is lost.

    \b
    Example:
      agentcom token create laptop-3
      agentcom token create ci --scope submit --expires-in 86400
      agentcom token create --admin --data-dir /var/lib/agentcom
    """
    if admin:
        if agent or scopes or expires_in_s is not None:
            raise click.UsageError("--admin goes with --data-dir only", ctx)
        from agentcom.cli.local import create_admin_token

        created = create_admin_token(Settings.of(ctx).data_dir)
        if as_json:
            show.echo_json({"agent_id": "admin", "token": created})
        else:
            click.echo(created)
        return
    if not agent:
        raise click.UsageError("name the AGENT that the token is for, or give --admin", ctx)
    if not (agent == "admin" and "admin" in scopes):
        check_new_agent_id(agent)

    async def run(hub: HubClient) -> int:
        reply = await hub.create_token(agent, scopes=scopes, expires_in_s=expires_in_s)
        if as_json:
            show.echo_json(reply)
        else:
            click.echo(reply["token"])
        return 0

    run_with_hub(ctx, run)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def list_tokens(ctx: click.Context, as_json: bool) -> None:
    """List all tokens by their first characters.

    \b
    Example:
      agentcom token list
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.tokens()
        if as_json:
            show.echo_json(reply)
        else:
            rows = [
                (
                    found["agent_id"],
                    found["token_prefix"],
                    " ".join(found.get("scopes", [])),
                    show.when(found.get("created_at")),
                    show.when(found.get("expires_at")),
                )
                for found in reply["tokens"]
            ]
            show.table(("AGENT", "TOKEN", "SCOPES", "CREATED", "EXPIRES"), rows)
        return 0

    run_with_hub(ctx, run)


@token.command()
@click.argument("agent")
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def revoke(ctx: click.Context, agent: str, as_json: bool) -> None:
    """Revoke all tokens of AGENT; its connection is closed.

    \b
    Example:
      agentcom token revoke laptop-3
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.revoke(agent)
        show.answer(reply, f"the tokens of {reply['agent_id']} are revoked", as_json)
        return 0

    run_with_hub(ctx, run)
