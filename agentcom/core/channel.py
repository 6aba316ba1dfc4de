"""Channels: how they are named, and what is stored of them and their subscribers."""

from __future__ import annotations

import re

import msgspec

NAME_LENGTH = 64
"""Characters of a channel's name."""

_DROPPED = re.compile(r"[^a-z0-9_-]")


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A place to publish to.

    :ivar created_by: the agent id of the token that made it.
    :ivar created_at: Unix milliseconds.
    """

    name: str
    description: str = ""
    created_by: str
    created_at: int


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's subscription to a channel; it outlives connections.

    :ivar since: when it began, Unix milliseconds; ``None`` for one that is over.
    """

    channel: str
    agent_id: str
    since: int | None


def normalised(name: str) -> str:
    """A channel's name as it is stored: ``#Builds`` is ``builds``.

    Lower case, and only ``a-z0-9-_`` of it (PROTOCOL.md section 4); empty where
    nothing is left, which names no channel.
    """
    return _DROPPED.sub("", name.lower())
