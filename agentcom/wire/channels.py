"""What is said of channels, one Struct each: frames to agents, bodies of the HTTP API.

What agents say is in :mod:`.frames`, with all that they may send.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from agentcom.core.message import Message
from agentcom.wire.frames import ChannelName, JSONObject, MessageId, MessageType, ToAgent
from agentcom.wire.tasks import AgentId

HISTORY = 50
"""Messages of a history, unless it is asked for more or less."""

HISTORY_MOST = 1_000

Purpose = Annotated[str, Meta(max_length=1_000)]
"""What a channel is for."""


class CreateChannel(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/channels``."""

    name: ChannelName
    description: Purpose | None = None


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/channels/:ch/subscribe`` and ``…/unsubscribe``; the body may be absent.

    ``agent_id`` is the token's agent unless an admin says otherwise.
    """

    agent_id: AgentId | None = None


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/channels/:ch/publish``; the sender is the token's agent.

    ``type`` is another name of ``message_type``, as in ``POST /api/message``.
    """

    payload: JSONObject
    message_type: MessageType | None = None
    type: MessageType | None = None
    reply_to: MessageId | None = None


class ChannelSubscribed(ToAgent, frozen=True, kw_only=True, tag="channel_subscribed"):
    channel: str
    note: str | None = None


class ChannelUnsubscribed(ToAgent, frozen=True, kw_only=True, tag="channel_unsubscribed"):
    channel: str


class ChannelPublished(ToAgent, frozen=True, kw_only=True, tag="channel_published"):
    channel: str
    seq: int
    id: str


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a channel as its history shows it.  ``timestamp`` is Unix milliseconds."""

    id: str
    sender: str = msgspec.field(name="from")
    channel: str
    message_type: str
    payload: Raw
    reply_to: str | None
    timestamp: int


class ChannelMessage(ToAgent, frozen=True, kw_only=True, tag="channel_message"):
    """The same as it is sent to subscribers; ``reply_to`` may be null."""

    channel: str
    seq: int
    id: str
    sender: str = msgspec.field(name="from")
    message_type: str
    payload: Raw
    reply_to: str | msgspec.UnsetType | None = msgspec.UNSET
    timestamp: int


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a history.  ``stored_at`` is Unix milliseconds."""

    seq: int
    message: Published
    stored_at: int


class ChannelHistoryReply(ToAgent, frozen=True, kw_only=True, tag="channel_history"):
    """``more`` says whether there are messages after ``last_seq``, to go on ``since``."""

    channel: str
    messages: list[StoredMessage]
    count: int
    last_seq: int
    more: bool


class ChannelAgentJoined(ToAgent, frozen=True, kw_only=True, tag="channel_agent_joined"):
    channel: str
    agent_id: str


def channel_message(message: Message) -> ChannelMessage:
    """The frame of a message that was published."""
    return ChannelMessage(
        channel=message.channel or "",
        seq=message.seq,
        id=message.id,
        sender=message.sender,
        message_type=message.message_type,
        payload=Raw(message.payload),
        reply_to=message.reply_to,
        timestamp=message.timestamp,
    )


def stored(messages: Iterable[Message]) -> list[StoredMessage]:
    """Messages as a history shows them."""
    return [
        StoredMessage(
            seq=message.seq,
            message=Published(
                id=message.id,
                sender=message.sender,
                channel=message.channel or "",
                message_type=message.message_type,
                payload=Raw(message.payload),
                reply_to=message.reply_to,
                timestamp=message.timestamp,
            ),
            stored_at=message.timestamp,
        )
        for message in messages
    ]
