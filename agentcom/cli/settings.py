"""Which hub and which token: options before environment before the machine's own.

The options work before and after the name of a command, as people type them.
The admin token that a hub left on this machine is sent to a loopback hub only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from agentcom.client.urls import DEFAULT_HUB, HubURL

F = TypeVar("F", bound=Callable[..., Any])
ADMIN_TOKEN = "admin.token"
_KEY = "agentcom."


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[f"{_KEY}{param.name}"] = value


def hub_options(function: F) -> F:
    """Add ``--hub``, ``--token`` and ``--data-dir`` to a command."""
    told: dict[str, Any] = {"callback": _keep, "expose_value": False}
    for add in (
        click.option(
            "--data-dir",
            metavar="DIR",
            help="The hub's data directory.  [default: $AGENTCOM_HOME or ~/.agentcom]",
            **told,
        ),
        click.option("--token", metavar="TOKEN", help="[default: $AGENTCOM_TOKEN]", **told),
        click.option(
            "--hub",
            metavar="URL",
            help=f"Where the hub is.  [default: $AGENTCOM_HUB or {DEFAULT_HUB}]",
            **told,
        ),
    ):
        function = add(function)
    return function


@dataclass(frozen=True)
class Settings:
    """What a command was told, and what follows from it.

    :ivar token: given by option or environment; ``None`` if neither.
    :ivar named: whether the hub was named by an option.
    """

    url: HubURL
    token: str | None
    data_dir: Path
    named: bool = False

    @classmethod
    def of(cls, ctx: click.Context) -> Settings:
        """Read them for the command that runs.

        :raises click.UsageError: the hub's address is none.
        """
        given = {name: ctx.meta.get(_KEY + name) for name in ("hub", "token", "data_dir")}
        hub = given["hub"] or os.environ.get("AGENTCOM_HUB") or DEFAULT_HUB
        try:
            url = HubURL.parse(hub)
        except ValueError as e:
            raise click.UsageError(str(e), ctx) from None
        home = given["data_dir"] or os.environ.get("AGENTCOM_HOME") or "~/.agentcom"
        token = given["token"] or os.environ.get("AGENTCOM_TOKEN") or None
        return cls(url, token, Path(home).expanduser(), given["hub"] is not None)

    @property
    def any_token(self) -> str | None:
        """The token that was given, else the machine's own for a hub on it."""
        return self.token or self.admin_token

    @property
    def admin_token(self) -> str | None:
        """The admin token of a hub on this machine, where it may be read."""
        return read_token(self.data_dir / ADMIN_TOKEN) if self.url.loopback else None


def read_token(path: Path) -> str | None:
    """A token kept in a file, ``None`` where there is none to read."""
    try:
        return path.read_text("ascii").strip() or None
    except (OSError, ValueError):
        return None
