"""Agents' connections, without the bytes of WebSocket: text frames go straight to a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.task import Clock

from agentcom.core.agent import Agent
from agentcom.core.tokens import Token
from agentcom.hub.hub import Hub
from agentcom.wire.frames import Limits
from agentcom.ws.rivals import REPLACED
from agentcom.ws.session import Session

LIMITS = Limits(
    max_frame_bytes=2**20,
    max_task_bytes=2**19,
    ping_interval_s=20.0,
    silence_limit_s=60.0,
    send_buffer_bytes=2**23,
    hold_s=30.0,
)

Hear = Callable[["ModelLine", dict[str, Any]], None]


class ModelLine:
    """What ``ws/protocol.py`` is to a session and to the hub, and no more.

    :param hear: given each frame that reaches the agent.
    :ivar closed: the code that the hub closed it with.
    :ivar told: what the agent last said of itself.
    :ivar since: when the agent last identified, in seconds of the clock.
    """

    agent: Agent
    token: Token

    def __init__(self, agent_id: str, hub: Hub, clock: Clock, hear: Hear) -> None:
        self.agent_id = agent_id
        self.newest: dict[str, msgspec.Raw] = {}
        self.closed: int | None = None
        self.told: dict[str, Any] = {}
        self.since = clock.seconds()
        self._down = False
        self._hub = hub
        self._hear = hear
        self._session = Session(hub, self, clock, LIMITS)

    @property
    def can_speak(self) -> bool:
        """Whether anything that it says may count: also when it was replaced."""
        return not self._down and self.closed in (None, REPLACED)

    def say(self, frame: dict[str, Any]) -> None:
        """The agent sends a frame."""
        if self.can_speak:
            self._session.received(msgspec.json.encode(frame))

    def fall(self) -> None:
        """The line is down, for whatever reason."""
        if not self._down:
            self._down = True
            self.leave()
            self._hub.revocation.closed(self)

    # -- what the hub asks of a link --------------------------------------

    def send(self, frame: bytes) -> None:
        """A frame from the hub; nothing reaches the agent once the line is closing."""
        if self.closed is None and not self._down:
            self._hear(self, msgspec.json.decode(frame))

    def close(self, code: int, reason: str) -> None:
        """The hub closes; of a replaced agent it still hears reports."""
        if code == REPLACED:
            self._session.replaced = True
        if self.closed is None:
            self.closed = code
        self.leave()

    def register(self, agent: Agent, token: Token) -> None:
        """Enter the agent map; the connection that was there is closed."""
        self.agent = agent
        self.token = token
        older = self._hub.roster.get(agent.agent_id)
        self._hub.roster[agent.agent_id] = self
        if older is not None and older is not self:
            older.close(REPLACED, "replaced")

    def leave(self) -> None:
        """Leave the agent map; a replaced connection is not in it any more."""
        if self._session.identified and self._hub.roster.get(self.agent_id) is self:
            del self._hub.roster[self.agent_id]
            self._hub.gone(self.agent_id)
