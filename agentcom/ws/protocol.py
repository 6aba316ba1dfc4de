"""The Autobahn protocol of one agent: four thin hooks around a session.

Autobahn propagates what a hook raises by cutting the line without a close
code, so each hook catches everything and closes with 1011.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from agentcom.core.agent import Agent
from agentcom.core.tokens import Token
from agentcom.hub.link import Link
from agentcom.ws.outbound import Outbound
from agentcom.ws.session import (
    GONE_QUIET,
    INTERNAL,
    NOT_IDENTIFIED_IN_TIME,
    OVERRUN,
    REPLACED,
    Session,
)
from agentcom.ws.shortcuts import PlainFrames

if TYPE_CHECKING:
    from agentcom.ws.factory import AgentFactory


LOOK_AGAIN_S = 0.1
"""Seconds between looks whether a peer may be read from again."""


class AgentProtocol(WebSocketServerProtocol):
    """One connection.  It registers itself in the factory's agent map."""

    # Not ``log``: Autobahn would put its own debugging there.
    _log = Logger()
    factory: AgentFactory
    agent: Agent
    token: Token

    def __init__(self) -> None:
        super().__init__()
        self.newest: dict[str, msgspec.Raw] = {}
        self._session: Session | None = None
        self._outbound: Outbound | None = None
        self._timer: IDelayedCall | None = None
        self._heard_at = self._ping_at = 0.0
        self._deaf = self._held_back = False
        self._plain: PlainFrames | None = None

    # -- what the hub asks of a link --------------------------------------

    def send(self, frame: bytes) -> None:
        """Send a frame, if the line is still open."""
        if self._outbound is not None:
            self._outbound.send(frame)

    def close(self, code: int, reason: str) -> None:
        """Close with a code, and leave the agent map at once.

        Nothing more is heard, but for the reports of a replaced connection.
        """
        if code != REPLACED:
            self._deaf = True
        elif self._session is not None:
            self._session.replaced = True
        if self._outbound is not None:
            self._outbound.close(code, reason)
        self.leave()

    def abort(self) -> None:
        """Drop the line now."""
        if self._outbound is not None:
            self._outbound.drop()

    def register(self, agent: Agent, token: Token) -> Link | None:
        """Enter the agent map; gives the connection that was there, if any."""
        self.agent = agent
        self.token = token
        older = self.factory.agents.get(agent.agent_id)
        self.factory.agents[agent.agent_id] = self
        self.maxMessagePayloadSize = self.maxFramePayloadSize = self.factory.limits.max_frame_bytes
        return older

    def leave(self) -> None:
        """Leave the agent map; a replaced connection is not in it any more."""
        if self._session is None or not self._session.identified:
            return
        agent_id = self.agent.agent_id
        if self.factory.agents.get(agent_id) is self:
            del self.factory.agents[agent_id]
            self.factory.hub.gone(agent_id)

    # -- Autobahn's hooks -------------------------------------------------

    def onConnect(self, request: object) -> None:
        """The handshake is good: take over the transport from the HTTP channel."""
        try:
            # The channel stays registered as producer and would get ours refused.
            transport: Any = self.transport
            transport.unregisterProducer()
            limit = self.factory.limits.send_buffer_bytes
            outbound = Outbound(
                self, self.factory.clock, limit, partial(self.close, OVERRUN, "reads too slowly")
            )
            transport.registerProducer(outbound, True)
            self._outbound = outbound
        except Exception:
            self._log.failure("while taking over a connection")
            raise ConnectionDeny(500, "internal error") from None

    def onOpen(self) -> None:
        factory = self.factory
        try:
            self._heard_at = factory.clock.seconds()
            self._ping_at = self._heard_at + factory.limits.ping_interval_s
            self._session = Session(factory.hub, self, factory.clock, factory.limits)
            self._timer = factory.clock.callLater(factory.identify_within_s, self._late)
            factory.connections.add(self)
            self._plain = PlainFrames(self) if factory.shortcuts else None
        except Exception:
            self._broken("while opening a connection")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._deaf or self._session is None:
            return
        try:
            if isBinary:
                self._session.received_binary()
            else:
                self._session.received(payload)
            if self._session.behind and not self._held_back:
                self._hold_back()
        except Exception:
            self._broken("while serving a frame")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.connections.discard(self)
        try:
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            if self._outbound is not None:
                self._outbound.lost()
            self.leave()
            self.factory.hub.revocation.closed(self)
        except Exception:
            self._log.failure("while closing a connection")

    # -- liveness, on our own clock ---------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Any byte is a sign of life."""
        self._heard_at = self.factory.clock.seconds()
        rest = data if self._plain is None else self._plain.take(data)
        if rest:
            # Autobahn's own method formats a log line for each read, told or not.
            self._dataReceived(rest)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Write; as Autobahn does, without a log line formatted for each write."""
        if sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            transport: Any = self.transport
            transport.write(data)

    def onPing(self, payload: bytes) -> None:
        """Answer, unless the peer does not read: pongs cannot be held."""
        if self._outbound is not None and not self._outbound.paused:
            self.sendPong(payload)  # type: ignore[no-untyped-call]  # Autobahn

    def onCloseFrame(self, code: int, reasonRaw: bytes) -> bool | None:
        """The peer says goodbye: it is gone now, however long its line drains."""
        self._deaf = True
        self.leave()
        done: bool | None = super().onCloseFrame(code, reasonRaw)
        if self._outbound is not None:
            self._outbound.closing = True
            self._outbound.await_close()
        return done

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        """Autobahn fails the connection (1002, 1007, 1009): hear no more, end it in time."""
        self._deaf = True
        super()._fail_connection(code, reason)
        if self._outbound is not None:
            self._outbound.closing = True
            self._outbound.await_close()
        self.leave()

    def _late(self) -> None:
        if self._session is not None and self._session.identified:
            self._watch()
        else:
            self.close(NOT_IDENTIFIED_IN_TIME, "no identify in time")

    def _watch(self) -> None:
        """Ping now and then; close when nothing at all has come for long."""
        limits = self.factory.limits
        now = self.factory.clock.seconds()
        silent = now - self._heard_at
        if silent >= limits.silence_limit_s:
            self.close(GONE_QUIET, "silent for too long")
            return
        if now >= self._ping_at:
            self._ping_at = now + limits.ping_interval_s
            if self.state == WebSocketProtocol.STATE_OPEN:
                self.sendPing()
        wait = min(self._ping_at - now, limits.silence_limit_s - silent)
        self._timer = self.factory.clock.callLater(wait, self._watch)

    def _hold_back(self) -> None:
        """Read no more from this peer until the hub has caught up."""
        now = self.factory.clock.seconds()
        self._heard_at = now
        transport: Any = self.transport
        if self._session is not None and self._session.behind:
            if not self._held_back:
                self._held_back = True
                transport.pauseProducing()
            self.factory.clock.callLater(LOOK_AGAIN_S, self._hold_back)
        else:
            self._held_back = False
            if self.state != WebSocketProtocol.STATE_CLOSED:
                transport.resumeProducing()

    def _broken(self, what: str) -> None:
        named = self._session is not None and self._session.identified
        who = self.agent.agent_id if named else "an unidentified peer"
        self._log.failure(what + " of {agent_id}", agent_id=who)
        self.close(INTERNAL, "internal error")
