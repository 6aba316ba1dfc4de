"""All channels, and who subscribes them, in memory: what :mod:`.channels` decides from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agentcom.core.channel import Channel, Subscription, normalised
from agentcom.errors import ChannelNotFound, TooManyChannels
from agentcom.wire.codec import encode

CHANNELS = 10_000
"""Channels that there may be."""

DESCRIPTIONS = 1024 * 1024
"""Bytes of all descriptions together, encoded: they are all in each list."""

SUBSCRIBED = 1_000
"""Channels that one agent may subscribe."""


class Directory:
    """The channels of one hub, with their subscribers.

    :param channels: all, as the store has them.
    :param subscriptions: the same.
    """

    def __init__(self, channels: Iterable[Channel], subscriptions: Iterable[Subscription]) -> None:
        self._channels: dict[str, Channel] = {}
        self._described = 0
        # Dicts without values: they keep the order of subscribing.
        self._subscribers: dict[str, dict[str, None]] = {}
        self._of: dict[str, dict[str, None]] = {}
        for channel in channels:
            self.add(channel)
        for subscription in subscriptions:
            self.join(subscription.channel, subscription.agent_id)

    def __contains__(self, name: str) -> bool:
        """Whether there is a channel of this stored name."""
        return name in self._channels

    def named(self, name: str) -> Channel:
        """The channel of a name, however it is written.

        :raises ChannelNotFound: there is none.
        """
        found = self._channels.get(normalised(name))
        if found is None:
            raise ChannelNotFound(channel=name)
        return found

    def shown(self, channel: Channel) -> dict[str, Any]:
        """A channel as it is listed."""
        return {
            "name": channel.name,
            "description": channel.description,
            "subscriber_count": len(self._subscribers[channel.name]),
            "created_at": channel.created_at,
            "created_by": channel.created_by,
        }

    def everything(self) -> list[dict[str, Any]]:
        """All channels as they are listed, oldest first."""
        return [self.shown(channel) for channel in self._channels.values()]

    def subscribers(self, channel: str) -> list[str]:
        """Who subscribes a channel, away or not, oldest subscription first."""
        return list(self._subscribers[channel])

    def count(self, channel: str) -> int:
        """How many subscribe a channel."""
        return len(self._subscribers[channel])

    def subscribes(self, agent_id: str, channel: str) -> bool:
        """Whether an agent subscribes a channel."""
        return agent_id in self._subscribers[channel]

    def of(self, agent_id: str) -> list[str]:
        """The channels that an agent subscribes, oldest subscription first."""
        return list(self._of.get(agent_id, ()))

    def check_room(self, description: str) -> None:
        """Whether one more channel can be kept.

        :raises TooManyChannels: it cannot.
        """
        if len(self._channels) >= CHANNELS:
            raise TooManyChannels(f"{CHANNELS} channels are the most: use one that there is")
        if self._described + _weight(description) > DESCRIPTIONS:
            raise TooManyChannels(
                f"the descriptions of all channels are at most {DESCRIPTIONS} bytes: "
                "leave this one out"
            )

    def check_subscribing(self, agent_id: str) -> None:
        """Whether an agent may subscribe one more channel.

        :raises TooManyChannels: it may not.
        """
        if len(self._of.get(agent_id, ())) >= SUBSCRIBED:
            raise TooManyChannels(
                f"an agent subscribes {SUBSCRIBED} channels at the most: end one of them"
            )

    def add(self, channel: Channel) -> None:
        """There is a new channel."""
        self._channels[channel.name] = channel
        self._subscribers[channel.name] = {}
        self._described += _weight(channel.description)

    def join(self, channel: str, agent_id: str) -> None:
        """An agent subscribes a channel."""
        self._subscribers[channel][agent_id] = None
        self._of.setdefault(agent_id, {})[channel] = None

    def leave(self, channel: str, agent_id: str) -> None:
        """An agent that subscribed a channel does so no longer."""
        del self._subscribers[channel][agent_id]
        of = self._of[agent_id]
        del of[channel]
        if not of:
            del self._of[agent_id]


def _weight(description: str) -> int:
    """Bytes of a description in a list."""
    return len(encode(description))
