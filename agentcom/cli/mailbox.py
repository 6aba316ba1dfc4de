"""Reads one mailbox for the command line, hub restarts included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from twisted.internet.task import deferLater

from agentcom.cli import show
from agentcom.client.errors import ClientError, HubError, HubUnreachable

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import Letters, MessageReply

WAIT_S = 20
"""Seconds that one look waits for a message with ``--follow``."""

AGAIN_S = 1.0
"""Seconds until the next look at a hub that does not answer."""


class Reading:
    """Reads one mailbox from front to back.

    :ivar shown: how many messages were.
    """

    def __init__(self, hub: HubClient, agent: str, since: int, ack: bool, as_json: bool) -> None:
        self._hub = hub
        self._agent = agent
        self._since = since
        self._ack = ack
        self._as_json = as_json
        self._lost = False
        self.shown = 0

    async def go_on(self, wait_s: int | None) -> bool:
        """Show the next page; gives whether there was anything.

        :param wait_s: seconds to wait for it; ``None`` to fail where the hub
            does not answer.
        """
        try:
            page = await self._hub.mailbox(self._agent, since=self._since, wait_s=wait_s)
            self._lost = False
            self._show(page)
            if self._ack and page["messages"]:
                await self._hub.ack_mailbox(self._agent, page["last_seq"])
        except ClientError as e:
            passes = isinstance(e, HubUnreachable) or (isinstance(e, HubError) and e.passing)
            if wait_s is None or not passes:
                raise
            if not self._lost:
                self._lost = True
                click.echo(f"{e}; trying again", err=True)
            await deferLater(self._hub.clock, AGAIN_S)
            return True
        return bool(page["messages"])

    def _show(self, page: Letters) -> None:
        for message in page["messages"]:
            self._since = message["seq"]
            self.shown += 1
            if self._as_json:
                show.echo_json(message)
            else:
                click.echo(_told(message))


def _told(message: MessageReply) -> str:
    payload = message["payload"]
    text = payload.get("text")
    if set(payload) != {"text"} or not isinstance(text, str):
        text = json.dumps(payload, ensure_ascii=False)
    kind = "" if message["message_type"] == "chat" else f" ({message['message_type']})"
    to = "" if message.get("to") else " to all"
    return show.line(
        f"{message['seq']}  {show.when(message['timestamp'])}  {message['from']}{to}{kind}: {text}"
    )
