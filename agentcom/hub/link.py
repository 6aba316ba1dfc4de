"""What the hub knows of a connection: who is there, since when it is silent, what to do."""

from __future__ import annotations

from typing import Protocol

import msgspec

from agentcom.core.agent import Agent
from agentcom.core.tokens import Token

Frame = bytes
"""One encoded JSON object."""


class SharedFrame(bytes):
    """A frame for many: its form on the wire is made once, by the first that sends it."""

    wire: bytes | None = None


class Link(Protocol):
    """One connected and identified agent.

    The agent map holds exactly one for each agent id, the newest.
    """

    agent: Agent
    token: Token
    newest: dict[str, msgspec.Raw]
    """The newest ``wake_result`` and ``resource_report``."""

    def heard_ago_s(self) -> float:
        """Seconds since any byte came on this connection."""

    def send(self, frame: Frame) -> None:
        """Send a frame, if the line is still open; never raises."""

    def close(self, code: int, reason: str) -> None:
        """Close with a WebSocket close code and leave the map; never raises."""


Roster = dict[str, Link]
"""The agent map, as the hub sees it."""
