"""The calls on channels; ``HubClient`` in ``hub`` has them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentcom.client import replies
from agentcom.client.transport import Transport

NO_CHANNEL = "channel_not_found"


class ChannelCalls:
    """Making channels, subscribing, publishing and reading back.

    A channel's name may be written as people do, like ``#Builds``.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def channels(self) -> replies.ChannelList:
        """All channels, oldest first."""
        return await self._transport.call("GET", ("api", "channels"), replies.ChannelList)

    async def channel(self, channel: str) -> replies.ChannelReply:
        """One channel, with its subscribers."""
        path = ("api", "channels", channel)
        return await self._transport.call("GET", path, replies.ChannelReply, missing=NO_CHANNEL)

    async def create_channel(
        self, name: str, *, description: str | None = None
    ) -> replies.ChannelCreated:
        """Make a channel; stored when this returns."""
        body = _given({"name": name, "description": description})
        return await self._transport.call(
            "POST", ("api", "channels"), replies.ChannelCreated, body=body
        )

    async def subscribe(self, channel: str, *, agent_id: str | None = None) -> replies.Subscribed:
        """Let an agent hear what is published; it lasts until it is ended.

        :param agent_id: the token's agent by default; another one for admins only.
        """
        return await self._of_channel(
            channel, "subscribe", replies.Subscribed, _given({"agent_id": agent_id})
        )

    async def unsubscribe(self, channel: str, *, agent_id: str | None = None) -> replies.Subscribed:
        """End a subscription, if there is one."""
        return await self._of_channel(
            channel, "unsubscribe", replies.Subscribed, _given({"agent_id": agent_id})
        )

    async def publish(
        self,
        channel: str,
        payload: Mapping[str, Any],
        *,
        message_type: str | None = None,
        reply_to: str | None = None,
    ) -> replies.PublishedReply:
        """Send a message to a channel's subscribers; stored when this returns."""
        more = {"message_type": message_type, "reply_to": reply_to}
        return await self._of_channel(
            channel, "publish", replies.PublishedReply, {"payload": payload, **_given(more)}
        )

    async def channel_history(
        self, channel: str, *, since: int = 0, limit: int | None = None
    ) -> replies.ChannelHistory:
        """What was published after ``since``, oldest first; 50 messages unless limited."""
        return await self._transport.call(
            "GET",
            ("api", "channels", channel, "history"),
            replies.ChannelHistory,
            params={"since": since, "limit": limit},
            missing=NO_CHANNEL,
        )

    async def subscriptions(self, agent_id: str) -> replies.Subscriptions:
        """The channels that an agent subscribes."""
        path = ("api", "agents", agent_id, "subscriptions")
        return await self._transport.call("GET", path, replies.Subscriptions)

    async def _of_channel(
        self, channel: str, below: str, shape: type[replies.T], body: dict[str, Any]
    ) -> replies.T:
        path = ("api", "channels", channel, below)
        return await self._transport.call("POST", path, shape, body=body, missing=NO_CHANNEL)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
