"""``agentcom restore``: put a backup in the place of a hub's database."""

from __future__ import annotations

from pathlib import Path

import click

from agentcom.cli import show
from agentcom.cli.bar import bar, human, tasks
from agentcom.cli.runtime import Interrupted, interruptible
from agentcom.cli.settings import ADMIN_TOKEN, Settings, hub_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Show what was restored as JSON.")
@hub_options
@click.pass_context
def restore(ctx: click.Context, file: Path, as_json: bool) -> None:
    """Restore the backup FILE to the hub's data directory.

    The hub must be stopped.  The database that is there is kept beside the
    restored one.  It works on the hub's machine only, as the user that the
    hub runs as; an empty or missing data directory will do.

    \b
    Example:
      agentcom restore /backup/agentcom-monday.db --data-dir /var/lib/agentcom
    """
    data_dir = Settings.of(ctx).data_dir
    try:
        with interruptible(), bar("Restoring", as_json) as told:
            from agentcom.cli.local import restore as put

            done = put(file, data_dir, told)
    except Interrupted:
        raise click.ClickException("interrupted: the database is as it was") from None
    facts = done.facts
    if as_json:
        show.echo_json(
            {
                "data_dir": str(data_dir),
                "tasks": facts.tasks,
                "held": done.held,
                "epoch": facts.epoch,
                "last_seq": facts.last_seq,
                "schema": facts.revision,
                "kept": None if done.kept is None else str(done.kept),
            }
        )
        return
    click.echo(
        f"{data_dir}: {human(facts.size)}, {tasks(facts.tasks)},"
        f" events to {facts.epoch}:{facts.last_seq}"
    )
    if done.kept is not None:
        click.echo(f"The database that was there is {done.kept}")
    if done.held:
        click.echo(f"Agents had {tasks(done.held)}: begun anew when they are back.")
    click.echo("Tokens that were revoked since the backup are good again: revoke them again.")
    click.echo("Tokens that were made since are unknown, and browsers must sign in again.")
    if done.kept is None and not (data_dir / ADMIN_TOKEN).exists():
        click.echo(f"For an admin token: agentcom token create --admin --data-dir {data_dir}")
