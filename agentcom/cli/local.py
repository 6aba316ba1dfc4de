"""What works on the hub's machine without asking the hub.

The one part of the command line that touches the store: with the last admin
token lost, no hub would answer.
"""

from __future__ import annotations

from pathlib import Path

import click
from twisted.python.runtime import seconds


def create_admin_token(data_dir: Path) -> str:
    """A new admin token, put straight into the hub's database.

    :raises click.ClickException: the database is not there or not writable.
    """
    from agentcom.store.local import create_admin_token as create

    if not data_dir.is_dir():
        raise click.ClickException(
            f"{data_dir} is no data directory; name the hub's with --data-dir"
        )
    try:
        return create(data_dir, int(seconds() * 1000))
    except Exception as e:
        raise click.ClickException(f"no admin token could be made in {data_dir}: {e}") from None
