"""An agent's token on the hub's own machine, made without asking anybody.

Who can read the hub's ``admin.token`` may make tokens anyway; this does it
once for an agent and keeps the token beside it for the next start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from agentcom.cli.settings import read_token
from agentcom.cli.values import check_new_agent_id
from agentcom.client.hub import HubClient


class MintedToken:
    """A token source for ``sidecar.connector``.

    :param admin: makes a client with the admin token as it is now.
    """

    def __init__(self, agent_id: str, data_dir: Path, admin: Callable[[], HubClient]) -> None:
        # It becomes part of a path.
        check_new_agent_id(agent_id)
        self._agent_id = agent_id
        self._admin = admin
        self.path = data_dir / "agents" / f"{agent_id}.token"

    async def __call__(self, renew: bool) -> str:
        kept = None if renew else read_token(self.path)
        if kept is not None:
            return kept
        created = await self._admin().create_token(self._agent_id)
        self._keep(created["token"])
        return created["token"]

    def _keep(self, token: str) -> None:
        new = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(token + "\n")
            new.replace(self.path)
        except OSError as e:
            # The token works all the same; the next start makes another.
            click.echo(f"the token of {self._agent_id} could not be kept: {e}", err=True)
