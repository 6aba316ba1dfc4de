"""``agentcom agent``: be an agent that runs a command for each task."""

from __future__ import annotations

import os
import shlex
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from agentcom.cli.runtime import Runtime, run_reactor
from agentcom.cli.settings import Settings, hub_options
from agentcom.cli.values import Count, Seconds, not_empty

MOST_DRAIN_S = 30 * 86_400.0


def _command(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    try:
        command = shlex.split(value)
    except ValueError as e:
        raise click.BadParameter(f"{value!r} cannot be split into words: {e}", ctx, param) from None
    if not command:
        raise click.BadParameter("name a command", ctx, param)
    if shutil.which(command[0]) is None:
        raise click.BadParameter(f"there is no command {command[0]!r}", ctx, param)
    return command


def _labels(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for text in value:
        name, equals, label = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not like os=linux", ctx, param)
        labels[name] = label
    return dict(_checked("labels_of", ctx, param, labels))


def _checked(check: str, ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """A value as the settings of ``twistd agentcom-agent`` check it."""
    from agentcom.sidecar import settings

    try:
        return getattr(settings, check)(param.opts[0], value)
    except (TypeError, ValueError) as e:
        raise click.BadParameter(str(e), ctx, param) from None


def _capabilities(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> Any:
    return _checked("capabilities_of", ctx, param, value)


def _name(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    return None if value is None else _checked("name_of", ctx, param, value)


@click.command()
@click.option(
    "--agent-id", required=True, callback=not_empty, metavar="ID", help="Who the agent is."
)
@click.option(
    "--exec",
    "command",
    required=True,
    callback=_command,
    metavar="COMMAND",
    help="Run for each task, without a shell; the task is on its standard input.",
)
@click.option(
    "--slots",
    type=Count(1, 10_000),
    default=1,
    show_default=True,
    help="How many tasks it works on at a time.",
)
@click.option("--name", callback=_name, metavar="NAME", help="Shown to people.  [default: the id]")
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    callback=_capabilities,
    metavar="C",
    help="May be repeated.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=_labels,
    metavar="K=V",
    help="What it is like, for tasks that ask for it.  May be repeated.",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Its journal and what its commands print.  [default: agents/ID in the data directory]",
)
@click.option(
    "--drain-limit",
    type=Seconds(MOST_DRAIN_S, zero=True),
    default=0.0,
    metavar="TIME",
    help="How long running tasks may go on when it is stopped, like 10m.  [default: 0s]",
)
@hub_options
@click.pass_context
def agent(
    ctx: click.Context,
    agent_id: str,
    command: list[str],
    slots: int,
    name: str | None,
    capabilities: tuple[str, ...],
    labels: dict[str, str],
    state_dir: Path | None,
    drain_limit: float,
) -> None:
    """Run an agent: a command for each task that the hub hands it.

    It stays connected for ever.  Ctrl-C or SIGTERM ends it and what it runs,
    after the drain limit if there is one; each further one is a step faster.
    If it is killed, its commands go on, and the next start takes them up.
    For a hub on this machine it makes its own token and keeps it in the data
    directory.

    \b
    Example:
      agentcom agent --agent-id laptop-3 --exec 'python review.py'
      agentcom agent --agent-id ci-1 --exec ./build --slots 4 --label os=linux
    """
    settings = Settings.of(ctx)
    runtime = ctx.find_object(Runtime) or Runtime()

    async def run(reactor: Any) -> int:
        from agentcom import process
        from agentcom.cli.logs import log_to_stderr
        from agentcom.client.hub import HubClient
        from agentcom.sidecar.agent import Access, Sidecar, runner_for
        from agentcom.sidecar.connector import GiveUp, TokenSource
        from agentcom.sidecar.session import Identity
        from agentcom.sidecar.state import State, default_state_dir

        def admin() -> HubClient:
            return runtime.connect(reactor, settings.url, settings.admin_token)

        async def given(renew: bool) -> str:
            assert settings.token is not None
            return settings.token

        tokens: TokenSource
        if settings.token is not None:
            tokens, renewable = given, False
        elif settings.admin_token is not None:
            from agentcom.cli.minted import MintedToken

            tokens, renewable = MintedToken(agent_id, settings.data_dir, admin), True
        else:
            raise click.ClickException(
                f"an agent needs a token; make one with `agentcom token create {agent_id}` "
                "and give it with --token or $AGENTCOM_TOKEN"
            )
        log_to_stderr()
        process.steady_timers(reactor)
        try:
            state = State.open(
                state_dir or default_state_dir(settings.data_dir, agent_id), agent_id
            )
            with closing(state):
                sidecar = Sidecar(
                    reactor,
                    Access(settings.url, tokens, renewable),
                    Identity(agent_id, name, capabilities, labels),
                    runner_for(reactor, command, os.environ, agent_id, state.path),
                    state.journal,
                    slots=slots,
                    drain_limit_s=drain_limit,
                )
                runtime.on_signals(reactor, sidecar.stop)
                await sidecar.run()
        except GiveUp as e:
            raise click.ClickException(str(e)) from None
        return 0

    run_reactor(ctx, run)
