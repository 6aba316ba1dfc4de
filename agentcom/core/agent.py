"""What is known of an agent, and how it is shown to others.

An :class:`Agent` is what one connection said in its ``identify``; it is
replaced as a whole when the agent says something new.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Presence(StrEnum):
    """Which presence frames an agent wants (PROTOCOL.md section 3.1)."""

    AUTO = "auto"
    EVENTS = "events"
    DIFF = "diff"
    NONE = "none"


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """One connected agent.

    :ivar connected_at: Unix milliseconds of the first ``identify`` of this
        presence; a replacement of the connection keeps it.
    :ivar slots: how many tasks the agent takes at a time; 0 for one that only
        submits.
    :ivar mailbox: it takes all messages from its mailbox, over its connection.
    """

    agent_id: str
    name: str
    status: str
    capabilities: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    slots: int = 1
    presence: Presence = Presence.AUTO
    mailbox: bool = False
    connected_at: int = 0

    def info(self, *, running: int, draining: bool, unresponsive: bool) -> dict[str, Any]:
        """AgentInfo: the five fields of version 1, then state, slots, running."""
        return {
            "agent_id": self.agent_id,
            "name": self.name,
            "status": self.status,
            "capabilities": list(self.capabilities),
            "connected_at": self.connected_at,
            "state": "unresponsive"
            if unresponsive
            else "draining"
            if draining
            else "busy"
            if running
            else "idle",
            "slots": self.slots,
            "running": running,
            "labels": self.labels,
        }
