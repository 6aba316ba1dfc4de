"""A message between agents, as it is stored; what is sent of it is in ``wire``."""

from __future__ import annotations

import msgspec

DIRECT = "direct"
BROADCAST = "broadcast"
CHANNEL = "channel"

CHAT = "chat"
"""The ``message_type`` of a message that names none."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message.

    :ivar seq: its place among all messages; it grows and never repeats.
    :ivar kind: ``direct``, ``broadcast`` or ``channel``.
    :ivar to: the receiver of a direct message.
    :ivar channel: where it was published.
    :ivar payload: JSON, always an object.
    :ivar root: the id of its thread's first message; ``None`` where it answers none.
    :ivar timestamp: Unix milliseconds.
    """

    seq: int
    id: str
    kind: str
    sender: str
    to: str | None
    channel: str | None
    message_type: str
    payload: bytes
    reply_to: str | None
    root: str | None
    timestamp: int


class Mailbox(msgspec.Struct, frozen=True):
    """What is stored of a mailbox beside the direct messages that wait in it.

    :ivar floor: all up to and including this ``seq`` were acknowledged or dropped.
    :ivar dropped: messages that went unread: too many, or too old.
    :ivar away_since: broadcasts after this ``seq`` were not delivered to the agent.
    :ivar absences: earlier times in which it was away, oldest first: broadcasts
        after the first ``seq`` of each, up to and including the second.
    """

    floor: int
    dropped: int
    away_since: int
    absences: tuple[tuple[int, int], ...] = ()
