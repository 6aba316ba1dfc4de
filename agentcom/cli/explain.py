"""``agentcom explain``: why a task waits, who has it, or who decided its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from agentcom.cli import show
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient

# Shown in their own way, or said by the summary already.
TOLD = ("task_id", "status", "waiting", "summary", "reasons", "agents", "agents_total", "by_rule")


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answer as JSON.")
@hub_options
@click.pass_context
def explain(ctx: click.Context, task_id: str, as_json: bool) -> None:
    """Say why a task waits, or who has it, or who decided its end and when.

    Of a task that waits, each connected agent is shown with every rule that
    keeps the task from it.

    \b
    Example:
      agentcom explain task-0123456789abcdef
    """

    async def run(hub: HubClient) -> int:
        found = await hub.explain(task_id)
        if as_json:
            show.echo_json(found, indent=2)
        else:
            _echo(dict(found))
        return 0

    run_with_hub(ctx, run)


def _echo(found: dict[str, Any]) -> None:
    status = click.style(found["status"], fg=show.STATUS_COLOURS.get(found["status"]), bold=True)
    click.echo(f"{show.line(found['task_id'])}  {status}")
    click.echo(show.line(found["summary"]))
    for name, value in found.items():
        if name in TOLD or value in (None, "", {}, []):
            continue
        if name == "event" and _is_event(value):
            shown = show.event_line(value, with_task=False)
        elif show.is_time(name) or name == "since":
            shown = show.when(value)
        else:
            shown = show.line(_plain(value))
        click.echo(f"  {name + ':':16} {shown}")
    _echo_reasons(found)
    _echo_agents(found)


def _echo_agents(found: dict[str, Any]) -> None:
    agents = found.get("agents")
    if not isinstance(agents, list) or not agents:
        return
    click.echo("\nagents:")
    for agent in agents:
        if not isinstance(agent, dict):
            continue
        rules = [_rule(rule) for rule in _objects(agent.get("rules"))]
        told = "; ".join(rules) or "nothing keeps it from this one"
        click.echo(show.line(f"  {agent.get('agent_id')}: {told}"))
    total = found.get("agents_total")
    if isinstance(total, int) and total > len(agents):
        counts = found.get("by_rule")
        rules = [f"{rule} {n}" for rule, n in counts.items()] if isinstance(counts, dict) else []
        because = f"; of all {total}: {', '.join(rules)}" if rules else ""
        click.echo(show.line(f"  and {total - len(agents)} more{because}"))


def _echo_reasons(found: dict[str, Any]) -> None:
    reasons = _objects(found.get("reasons"))
    if len(reasons) == 1 and str(reasons[0].get("detail")) in found["summary"]:
        return
    if reasons:
        click.echo("\nreasons:")
    for reason in reasons:
        click.echo(show.line(f"  {_rule(reason)}"))


def _rule(rule: Mapping[str, Any]) -> str:
    """A rule: its detail, or what is needed and what is found."""
    if rule.get("detail"):
        return f"{rule.get('rule')}: {rule['detail']}"
    told = str(rule.get("rule"))
    if rule.get("needed") is not None:
        told += f": needs {rule['needed']}, has {rule.get('found') or 'nothing'}"
    return told


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return value if isinstance(value, str) else show.as_json(value)


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_event(value: object) -> bool:
    return (
        isinstance(value, dict)
        and {"event", "timestamp", "payload"} <= value.keys()
        and isinstance(value["payload"], dict)
    )
