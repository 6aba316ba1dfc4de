"""``agentcom backup``: a copy of the hub's database, while the hub runs."""

from __future__ import annotations

from pathlib import Path

import click

from agentcom.cli import show
from agentcom.cli.bar import bar, human, tasks
from agentcom.cli.runtime import Interrupted, interruptible
from agentcom.cli.settings import Settings, hub_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE where it is there already.")
@click.option("--json", "as_json", is_flag=True, help="Show what was backed up as JSON.")
@hub_options
@click.pass_context
def backup(ctx: click.Context, file: Path, force: bool, as_json: bool) -> None:
    """Back up the hub's database to FILE, also while the hub runs.

    It works on the hub's machine only, from its data directory.  FILE is one
    state of everything: tasks, events, messages, hashes of tokens.  It is
    checked, and comes into being when it is whole.

    \b
    Example:
      agentcom backup /backup/agentcom-monday.db --data-dir /var/lib/agentcom
    """
    if str(file) == "-":
        raise click.UsageError("a backup goes to a file: it is checked before it is shown", ctx)
    data_dir = Settings.of(ctx).data_dir
    try:
        with interruptible(), bar("Backing up", as_json) as told:
            from agentcom.cli.local import back_up

            facts = back_up(data_dir, file, force, told)
    except Interrupted:
        raise click.ClickException("interrupted: there is no backup") from None
    if as_json:
        show.echo_json(
            {
                "file": str(file.absolute()),
                "size": facts.size,
                "tasks": facts.tasks,
                "epoch": facts.epoch,
                "last_seq": facts.last_seq,
                "schema": facts.revision,
            }
        )
        return
    click.echo(
        f"{file}: {human(facts.size)}, {tasks(facts.tasks)},"
        f" events to {facts.epoch}:{facts.last_seq}, checked"
    )
