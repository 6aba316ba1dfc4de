"""Messages between agents that are connected now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agentcom.core.ids import Ids
from agentcom.hub.auth import Auth
from agentcom.hub.link import Roster
from agentcom.hub.presence import Presence
from agentcom.wire.codec import encode
from agentcom.wire.frames import Message

BROADCAST = "broadcast"
CHAT = "chat"

UNKNOWN_RECIPIENT = "unknown_recipient"
NOT_CONNECTED = "recipient_not_connected"


class Sent(msgspec.Struct, frozen=True):
    """A message that was routed; ``note`` says why it reached nobody."""

    id: str
    note: str | None = None


class Messaging:
    """Routes direct messages and broadcasts.

    :param now: Unix milliseconds.
    """

    def __init__(
        self, roster: Roster, presence: Presence, auth: Auth, ids: Ids, now: Callable[[], int]
    ) -> None:
        self._roster = roster
        self._presence = presence
        self._auth = auth
        self._ids = ids
        self._now = now

    def send(
        self,
        sender: str,
        to: str | None,
        message_type: str | None,
        payload: dict[str, Any],
        reply_to: str | None,
    ) -> Sent:
        """Route a message: to one agent, or to everybody, the sender included.

        :param to: an agent id; ``None`` or ``broadcast`` for everybody.
        """
        message = Message(
            id=self._ids.message(),
            sender=sender,
            message_type=message_type or CHAT,
            payload=payload,
            reply_to=reply_to,
            timestamp=self._now(),
        )
        frame = encode(message)
        if to is None or to == BROADCAST:
            self._presence.broadcast(frame, list(self._roster.values()))
            return Sent(message.id)
        link = self._roster.get(to)
        if link is not None:
            # One sender's messages keep their order, a broadcast among them too.
            self._presence.direct(frame, link)
            return Sent(message.id)
        return Sent(message.id, NOT_CONNECTED if self._auth.knows(to) else UNKNOWN_RECIPIENT)
