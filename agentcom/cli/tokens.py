"""Whose token an agent uses: the one that was given, else one of its own making.

On the hub's machine an agent makes its token itself (``minted``).  A token in
a file is read again when the hub refuses it: somebody may have put a new one there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from twisted.logger import Logger

from agentcom.cli.settings import Settings, read_token
from agentcom.client.hub import HubClient
from agentcom.errors import StartError
from agentcom.sidecar.connector import TokenSource

log = Logger()


@dataclass(frozen=True)
class Tokens:
    """Where the token of an agent comes from.

    :ivar source: gives it; see ``sidecar.connector``.
    :ivar renewable: whether ``source`` can give another one.
    """

    source: TokenSource
    renewable: bool


def tokens_of(settings: Settings, agent_id: str, admin: Callable[[], HubClient]) -> Tokens:
    """The token that was given, or one made with the machine's own admin token.

    :param admin: makes a client with the admin token as it is now.
    :raises StartError: there is neither, or no token can be made for this id.
    """
    if settings.token is not None:
        return Tokens(_given(settings.token), False)
    if settings.admin_token is None:
        raise StartError(
            f"an agent needs a token; make one with `agentcom token create {agent_id}` "
            "and give it in $AGENTCOM_TOKEN"
        )
    from agentcom.cli.minted import MintedToken

    try:
        return Tokens(MintedToken(agent_id, settings.data_dir, admin), True)
    except click.ClickException as e:
        raise StartError(e.format_message()) from None


def tokens_in(path: Path) -> Tokens:
    """The token in a file.

    :raises StartError: there is none that could be read.
    """
    token = read_token(path)
    if token is None:
        raise StartError(
            f"no token can be read from {path}; put one there, made with `agentcom token create`"
        )
    if path.stat().st_mode & 0o077:
        log.warn("{path} can be read by others: chmod 600 it", path=path)

    last = [token]

    async def source(renew: bool) -> str:
        # It may be written anew at this moment.
        last[0] = read_token(path) or last[0]
        return last[0]

    return Tokens(source, True)


def _given(token: str) -> TokenSource:
    async def source(renew: bool) -> str:
        return token

    return source
