"""``agentcom channels``: where agents and people publish and read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.values import Count, utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import StoredMessage

F = TypeVar("F", bound=Callable[..., Any])

HISTORY = 50
PAGE = 1_000
"""Messages that the hub gives at a time at the most."""

channel_argument = click.argument("channel", callback=utf8)
json_option = click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")


def _of_agent(function: F) -> F:
    """Add ``--agent``."""
    return click.option(
        "--agent",
        "agent_id",
        callback=utf8,
        metavar="AGENT",
        help="For this agent, with an admin's token.  [default: the token's]",
    )(function)


@click.group()
@hub_options
def channels() -> None:
    """Channels: what is published to one reaches all its subscribers.

    A name may be written as people do: `#Builds` is the channel `builds`.

    \b
    Example:
      agentcom channels create builds
      agentcom channels subscribe builds --agent laptop-3
      agentcom channels publish builds 'main is green'
    """


@channels.command("list")
@json_option
@hub_options
@click.pass_context
def list_channels(ctx: click.Context, as_json: bool) -> None:
    """List all channels.

    \b
    Example:
      agentcom channels list
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.channels()
        if as_json:
            show.echo_json(reply)
        elif not reply["channels"]:
            click.echo("no channels; `agentcom channels create NAME` makes one")
        else:
            rows = [
                (
                    channel["name"],
                    channel["subscriber_count"],
                    show.when(channel["created_at"]),
                    channel["description"],
                )
                for channel in reply["channels"]
            ]
            show.table(("CHANNEL", "SUBSCRIBERS", "CREATED", "DESCRIPTION"), rows)
        return 0

    run_with_hub(ctx, run)


@channels.command()
@click.argument("name", callback=utf8)
@click.option("--description", callback=utf8, metavar="TEXT", help="What it is for.")
@json_option
@hub_options
@click.pass_context
def create(ctx: click.Context, name: str, description: str | None, as_json: bool) -> None:
    """Make a channel.

    Of the NAME, in lower case, letters, digits, - and _ are kept.

    \b
    Example:
      agentcom channels create builds --description 'what was built, and what broke'
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.create_channel(name, description=description)
        show.answer(reply, f"there is a channel {show.line(reply['channel'])} now", as_json)
        return 0

    run_with_hub(ctx, run)


@channels.command()
@channel_argument
@json_option
@hub_options
@click.pass_context
def info(ctx: click.Context, channel: str, as_json: bool) -> None:
    """Show one channel and who subscribes it.

    \b
    Example:
      agentcom channels info builds
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.channel(channel)
        if as_json:
            show.echo_json(reply)
            return 0
        subscribers = reply.get("subscribers", [])
        click.echo(f"channel      {show.line(reply['name'])}")
        if reply["description"]:
            click.echo(f"description  {show.line(reply['description'])}")
        created = f"{show.when(reply['created_at'])} by {reply.get('created_by', '')}"
        click.echo(f"created      {show.line(created)}")
        click.echo(f"subscribers  {reply['subscriber_count']}")
        for agent_id in subscribers:
            click.echo(f"  {show.line(agent_id)}")
        if len(subscribers) < reply["subscriber_count"]:
            click.echo(f"  and {reply['subscriber_count'] - len(subscribers)} more")
        return 0

    run_with_hub(ctx, run)


@channels.command()
@channel_argument
@_of_agent
@json_option
@hub_options
@click.pass_context
def subscribe(ctx: click.Context, channel: str, agent_id: str | None, as_json: bool) -> None:
    """Let an agent hear what is published; it lasts until it is ended.

    \b
    Example:
      agentcom channels subscribe builds --agent laptop-3
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.subscribe(channel, agent_id=agent_id)
        already = " already" if reply.get("note") else ""
        told = f"{reply.get('agent_id', '')} subscribes {reply['channel']}{already}"
        show.answer(reply, show.line(told), as_json)
        return 0

    run_with_hub(ctx, run)


@channels.command()
@channel_argument
@_of_agent
@json_option
@hub_options
@click.pass_context
def unsubscribe(ctx: click.Context, channel: str, agent_id: str | None, as_json: bool) -> None:
    """End an agent's subscription.

    \b
    Example:
      agentcom channels unsubscribe builds --agent laptop-3
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.unsubscribe(channel, agent_id=agent_id)
        told = f"{reply.get('agent_id', '')} does not subscribe {reply['channel']} any more"
        show.answer(reply, show.line(told), as_json)
        return 0

    run_with_hub(ctx, run)


@channels.command()
@channel_argument
@click.argument("text", callback=utf8)
@click.option("--type", "message_type", callback=utf8, metavar="TYPE", help="[default: chat]")
@click.option("--reply-to", callback=utf8, metavar="ID", help="The message that this one answers.")
@json_option
@hub_options
@click.pass_context
def publish(
    ctx: click.Context,
    channel: str,
    text: str,
    message_type: str | None,
    reply_to: str | None,
    as_json: bool,
) -> None:
    """Publish TEXT to a channel, as the token's agent.

    Subscribers that are away can read it in the channel's history.

    \b
    Example:
      agentcom channels publish builds 'main is green'
    """

    async def run(hub: HubClient) -> int:
        reply = await hub.publish(
            channel, {"text": text}, message_type=message_type, reply_to=reply_to
        )
        told = f"message {reply['id']} published to {reply['channel']} as number {reply['seq']}"
        show.answer(reply, show.line(told), as_json)
        return 0

    run_with_hub(ctx, run)


@channels.command()
@channel_argument
@click.option(
    "--since", type=Count(0), default=0, metavar="SEQ", help="Only messages after this number."
)
@click.option("--limit", type=Count(1), default=HISTORY, show_default=True)
@json_option
@hub_options
@click.pass_context
def history(ctx: click.Context, channel: str, since: int, limit: int, as_json: bool) -> None:
    """Show what was published to a channel, oldest first.

    \b
    Example:
      agentcom channels history builds
      agentcom channels history builds --since 4711 --limit 500 --json
    """

    async def run(hub: HubClient) -> int:
        messages: list[StoredMessage] = []
        last, more = since, True
        while more and len(messages) < limit:
            page = min(PAGE, limit - len(messages))
            reply = await hub.channel_history(channel, since=last, limit=page)
            messages += reply["messages"]
            last = reply.get("last_seq", last)
            more = bool(reply["messages"]) and reply.get("more", False)
        if as_json:
            told = {"messages": messages, "count": len(messages), "last_seq": last, "more": more}
            show.echo_json({"channel": reply["channel"], **told})
        elif not messages:
            click.echo("nothing was published there" + (" after that" if since else ""))
        else:
            for entry in messages:
                click.echo(_line(entry))
            if more:
                click.echo(f"there is more: --since {last}", err=True)
        return 0

    run_with_hub(ctx, run)


def _line(entry: StoredMessage) -> str:
    """A message in one line."""
    message: Any = entry["message"]
    payload = message["payload"]
    text = payload.get("text") if len(payload) == 1 else None
    told = text if isinstance(text, str) else json.dumps(payload, ensure_ascii=False)
    kind = "" if message["message_type"] == "chat" else f" [{message['message_type']}]"
    when = show.when(message["timestamp"])
    return show.line(f"{entry['seq']}  {when}  {message.get('from', '')}{kind}: {told}")
