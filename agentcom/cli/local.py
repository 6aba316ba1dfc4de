"""What works on the hub's machine without asking the hub.

The one part of the command line that touches the store: with the last admin
token lost, no hub would answer; and a backup is made, put back and looked
over where its file is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from twisted.python.runtime import seconds

DATABASE = "agentcom.db"


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


def back_up(data_dir: Path, target: Path, force: bool, told: Callable[[int, int], None]) -> Any:
    """A copy of the hub's database, what :class:`agentcom.store.backup.Facts` says of it.

    :param told: hears of bytes done, and bytes in all.
    :raises click.ClickException: it cannot be made.
    """
    from agentcom.store.backup import BackupError
    from agentcom.store.backup import back_up as make

    try:
        return make(data_dir / DATABASE, target.absolute(), force=force, told=told)
    except BackupError as e:
        raise click.ClickException(str(e)) from None


def restore(
    backup: Path,
    data_dir: Path,
    told: Callable[[int, int], None],
    step: Callable[[str], None] = lambda _: None,
) -> Any:
    """Put a backup in place, what :class:`agentcom.store.restore.Restored` says of it.

    :raises click.ClickException: it cannot be done.
    """
    from agentcom.core.ids import Ids
    from agentcom.errors import StartError
    from agentcom.store.backup import BackupError
    from agentcom.store.restore import restore as put

    now = seconds()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    epoch = Ids(os.urandom).epoch()
    try:
        return put(
            backup.absolute(),
            data_dir,
            epoch=epoch,
            stamp=stamp,
            now=int(now * 1000),
            told=told,
            step=step,
        )
    except BackupError as e:
        raise click.ClickException(str(e)) from None
    except StartError as e:
        raise click.ClickException(f"{e}; stop the hub first") from None


def check(data_dir: Path, min_free: int, look: Callable[[str], None]) -> Iterator[Any]:
    """What :func:`agentcom.store.checkup.check` finds, one after the other."""
    from agentcom.store.checkup import check as look_over

    return look_over(data_dir, min_free=min_free, now=int(seconds() * 1000), look=look)
