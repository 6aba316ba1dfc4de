"""Answers about messages, mailboxes and channels."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agentcom.wire.answers.fields import (
    AgentRef,
    ChannelRef,
    Count,
    ListCursor,
    MessageRef,
    Millis,
)
from agentcom.wire.channels import StoredMessage
from agentcom.wire.messages import ShownMessage

Seq = Annotated[int, Meta(ge=0, examples=[17])]


class MessageSent(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is on disk.

    :ivar note: ``unknown_recipient`` where it is for an id that never had a token.
    """

    status: Literal["sent"]
    id: MessageRef
    note: str | UnsetType = UNSET


class MessageList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of messages, newest first."""

    messages: list[ShownMessage]
    cursor: ListCursor | None


class ThreadShown(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a thread, oldest first."""

    root: MessageRef
    messages: list[ShownMessage]
    count: Count
    cursor: ListCursor | None


class RepliesShown(ThreadShown, frozen=True, kw_only=True):
    """A page of the direct answers to a message, oldest first."""

    message_id: MessageRef


class RootShown(msgspec.Struct, frozen=True, kw_only=True):
    """The first message of a thread."""

    root: MessageRef
    message: ShownMessage


class MailboxShown(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in a mailbox, oldest first.

    :ivar last_seq: to acknowledge, and to look on from.
    :ivar dropped: messages that it had no room for.
    """

    agent_id: AgentRef
    messages: list[ShownMessage]
    last_seq: Seq
    count: Count
    dropped: Count


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """What a mailbox need not keep any more."""

    status: Literal["acked"]
    up_to: Seq


class ChannelShown(msgspec.Struct, frozen=True, kw_only=True):
    """A channel."""

    name: ChannelRef
    description: str
    subscriber_count: Count
    created_at: Millis
    created_by: AgentRef


class ChannelWithSubscribers(ChannelShown, frozen=True, kw_only=True):
    """A channel with those that subscribe it."""

    subscribers: list[AgentRef]


class ChannelList(msgspec.Struct, frozen=True, kw_only=True):
    """All channels, oldest first."""

    channels: list[ChannelShown]


class ChannelCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A channel was made; its name is as it is stored."""

    status: Literal["created"]
    channel: ChannelRef


class SubscribedChannel(msgspec.Struct, frozen=True, kw_only=True):
    """An agent subscribes a channel.

    :ivar note: ``already_subscribed`` where it did before.
    """

    status: Literal["subscribed"]
    channel: ChannelRef
    agent_id: AgentRef
    note: str | UnsetType = UNSET


class UnsubscribedChannel(msgspec.Struct, frozen=True, kw_only=True):
    """An agent subscribes a channel no more."""

    status: Literal["unsubscribed"]
    channel: ChannelRef
    agent_id: AgentRef


class PublishedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was published and is on disk."""

    status: Literal["published"]
    channel: ChannelRef
    seq: Seq
    id: MessageRef


class ChannelHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What was published, oldest first.

    :ivar last_seq: to go on ``since``.
    :ivar more: whether there are messages after it.
    """

    channel: ChannelRef
    messages: list[StoredMessage]
    count: Count
    last_seq: Seq
    more: bool


class SubscriptionList(msgspec.Struct, frozen=True, kw_only=True):
    """The channels that an agent subscribes."""

    agent_id: AgentRef
    subscriptions: list[ChannelRef]
