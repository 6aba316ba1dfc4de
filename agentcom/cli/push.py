"""``agentcom push``: a task for one agent, and with ``--wait`` its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.shown import hand_over
from agentcom.cli.values import Seconds, json_object, utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import Pushed


@click.command()
@click.argument("agent", callback=utf8)
@click.argument("text", callback=utf8)
@click.option("--wait", is_flag=True, help="Wait for the end; exit 1 unless it completes.")
@click.option(
    "--metadata", callback=json_object, metavar="JSON", help="A JSON object for the agent."
)
@click.option(
    "--idempotency-key",
    callback=utf8,
    metavar="K",
    help="Pushing again with it does nothing more.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    metavar="TIME",
    help="With --wait: give up waiting after it, like 90s; the task goes on.",
)
@click.option("--json", "as_json", is_flag=True, help="Show the push, or the ended task, as JSON.")
@hub_options
@click.pass_context
def push(
    ctx: click.Context,
    agent: str,
    text: str,
    wait: bool,
    metadata: dict[str, Any] | None,
    idempotency_key: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Hand a task to one connected agent.

    \b
    Example:
      agentcom push laptop-3 'Review the branch main' --wait
      agentcom push laptop-3 review --metadata '{"path": "/src/app"}' --json
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait", ctx)

    def told(pushed: Pushed) -> str:
        return f"{pushed['task_id']} pushed to {pushed['agent_id']}"

    async def submit(hub: HubClient) -> Pushed:
        from agentcom.client.errors import HubUnreachable

        try:
            return await hub.push(agent, text, metadata=metadata, idempotency_key=idempotency_key)
        except HubUnreachable as e:
            if not e.may_have_arrived:
                raise
            raise click.ClickException(
                f"{e}; it may have been pushed all the same, `agentcom tasks --agent {agent}` "
                "tells (with --idempotency-key it can be pushed again without harm)"
            ) from None

    async def run(hub: HubClient) -> int:
        return await hand_over(hub, submit, told, wait, timeout, as_json)

    run_with_hub(ctx, run, "stopped waiting; what was pushed goes on")
