"""``agentcom``: the command that all others hang under.

The commands are named here and imported when they are used, so that asking
for help loads neither Twisted nor rich.
"""

from __future__ import annotations

from importlib import import_module

import click

from agentcom import __version__
from agentcom.cli.settings import hub_options

COMMANDS = {
    "agent": ("agentcom.cli.agent", "Run an agent: a command for each task."),
    "agents": ("agentcom.cli.agents", "List the agents that are connected."),
    "cancel": ("agentcom.cli.tasks", "Cancel a task."),
    "push": ("agentcom.cli.push", "Hand a task to one connected agent."),
    "send": ("agentcom.cli.send", "Send a message to an agent, or to all."),
    "task": ("agentcom.cli.tasks", "Show one task and what happened to it."),
    "tasks": ("agentcom.cli.tasks", "List tasks."),
    "token": ("agentcom.cli.token", "Create, list and revoke tokens."),
    "watch": ("agentcom.cli.watch", "Watch events as they happen."),
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in sorted(COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="agentcom")
@hub_options
def cli() -> None:
    """Hand tasks to AI agents, follow them, and be one.

    The hub is --hub or $AGENTCOM_HUB; the token --token or $AGENTCOM_TOKEN, or
    for a hub on this machine its own admin token.

    \b
    Examples:
      agentcom token create laptop-3
      agentcom agent --agent-id laptop-3 --exec 'python review.py'
      agentcom push laptop-3 'Review the branch main' --wait
    """


def main() -> None:
    """The console script."""
    cli(prog_name="agentcom")
