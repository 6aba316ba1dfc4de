"""``agentcom``: the command that all others hang under.

The commands are named here and imported when they are used, so that asking
for help loads neither Twisted nor rich.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from agentcom import __version__
from agentcom.cli.settings import hub_options

COMMANDS = {
    "agent": ("agentcom.cli.agent", "Run an agent: a command for each task."),
    "agents": ("agentcom.cli.agents", "List the connected agents, or show one."),
    "backup": ("agentcom.cli.backup", "Back up the hub's database, while the hub runs."),
    "bench": ("agentcom.cli.bench", "Measure the hub beside what it could be."),
    "cancel": ("agentcom.cli.task", "Cancel a task."),
    "channels": ("agentcom.cli.channels", "Publish to many, subscribe, and read back."),
    "chaos": ("agentcom.cli.chaos", "Break things on purpose, and see that nothing is lost."),
    "dead-letters": ("agentcom.cli.deadletters", "List the tasks that failed for good."),
    "check": ("agentcom.cli.check", "Look over the hub's data directory and database."),
    "delete": ("agentcom.cli.deadletters", "Delete dead letters."),
    "disconnect": ("agentcom.cli.drain", "Close an agent's connection."),
    "drain": ("agentcom.cli.drain", "Give an agent, or all, no more work."),
    "explain": ("agentcom.cli.explain", "Say why a task waits, or who decided its end."),
    "inbox": ("agentcom.cli.inbox", "Read what waits for an agent."),
    "push": ("agentcom.cli.push", "Hand a task to one connected agent."),
    "requeue": ("agentcom.cli.task", "Take a task back from the agent that has it."),
    "restore": ("agentcom.cli.restore", "Put a backup in the place of the hub's database."),
    "resume": ("agentcom.cli.drain", "Give a drained agent, or all, work again."),
    "retry": ("agentcom.cli.deadletters", "Put dead letters back into the queue."),
    "send": ("agentcom.cli.send", "Send a message to an agent, or to all."),
    "stats": ("agentcom.cli.tasks", "Count the tasks by status and priority."),
    "submit": ("agentcom.cli.submit", "Put a task into the queue."),
    "task": ("agentcom.cli.task", "Show one task and what happened to it."),
    "tasks": ("agentcom.cli.tasks", "List tasks."),
    "token": ("agentcom.cli.token", "Create, list and revoke tokens."),
    "watch": ("agentcom.cli.watch", "Watch events as they happen."),
}

INTERRUPTED = 130
"""The exit code that shells give to what Ctrl-C ended."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Ctrl-C before the work began: while modules were imported.
            ctx.exit(INTERRUPTED)

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
      agentcom submit 'Review the branch next' --capability python
    """


def main() -> None:
    """The console script."""
    cli(prog_name="agentcom")
