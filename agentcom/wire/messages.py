"""Messages as HTTP shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from agentcom.core.ids import MAX_INTEGER
from agentcom.core.message import Message


class AckMailbox(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/mailbox/:id/ack``."""

    seq: Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class ShownMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message.

    :ivar kind: ``direct``, ``broadcast`` or ``channel``.
    :ivar root: the id of its thread's first message, null where it answers none.
    :ivar timestamp: Unix milliseconds.
    """

    seq: int
    id: str
    kind: str
    sender: str = msgspec.field(name="from")
    to: str | None
    channel: str | None
    message_type: str
    payload: Raw
    reply_to: str | None
    root: str | None
    timestamp: int


def shown(message: Message) -> ShownMessage:
    """A message, to be encoded."""
    return ShownMessage(
        seq=message.seq,
        id=message.id,
        kind=message.kind,
        sender=message.sender,
        to=message.to,
        channel=message.channel,
        message_type=message.message_type,
        payload=Raw(message.payload),
        reply_to=message.reply_to,
        root=message.root,
        timestamp=message.timestamp,
    )


def all_shown(messages: Iterable[Message]) -> list[ShownMessage]:
    """The same of several."""
    return [shown(message) for message in messages]
