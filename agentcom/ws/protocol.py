"""The Autobahn protocol of one agent: four thin hooks around a session.

Autobahn propagates what a hook raises by cutting the line without a close
code, so each hook catches everything and closes with 1011.
"""

from __future__ import annotations

from functools import partial

import msgspec
from autobahn.websocket.protocol import WebSocketProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.agent import Agent
from agentcom.core.tokens import Token
from agentcom.hub.pacing import told
from agentcom.ws.alive import NOT_IDENTIFIED_IN_TIME, Alive
from agentcom.ws.backpressure import BackPressure
from agentcom.ws.outbound import Outbound, drop
from agentcom.ws.rivals import REPLACED
from agentcom.ws.session import INTERNAL, OVERRUN, Session
from agentcom.ws.shortcuts import PlainFrames
from agentcom.ws.turns import InTurns
from agentcom.ws.watching import Watching

COME_AGAIN = (OVERRUN, NOT_IDENTIFIED_IN_TIME)
"""Close codes that many may get at once, because the hub or the net is slow."""


class AgentProtocol(InTurns):
    """One connection.  It registers itself in the factory's agent map."""

    # Not ``log``: Autobahn would put its own debugging there.
    _log = Logger()
    agent: Agent
    token: Token

    def __init__(self) -> None:
        super().__init__()
        self.newest: dict[str, msgspec.Raw] = {}
        self._session: Session | None = None
        self._outbound: Outbound | None = None
        self._alive: Alive | None = None
        self._replaced_at = 0.0

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
        if code in COME_AGAIN:
            reason = told(reason, self.factory.hub.pacing.retry_after_ms())
        if self._outbound is None:
            self.abort()
        elif self._outbound.close(code, reason):
            self.factory.hub.counts.closed[code] += 1
        self.leave()

    def abort(self) -> None:
        """Drop the line now."""
        drop(self)

    def heard_ago_s(self) -> float:
        """Seconds since any byte came."""
        return self.factory.clock.seconds() - self.heard_at

    @property
    def identified(self) -> bool:
        """Whether it has said who it is."""
        return self._session is not None and self._session.identified

    def register(self, agent: Agent, token: Token) -> None:
        """Enter the agent map, in the place of the connection that was there."""
        factory = self.factory
        self.agent = agent
        self.token = token
        older = factory.agents.get(agent.agent_id)
        factory.agents[agent.agent_id] = self
        factory.strangers.discard(self)
        self.maxMessagePayloadSize = self.maxFramePayloadSize = factory.limits.max_frame_bytes
        if older is self:
            return
        factory.hub.counts.identified += 1
        factory.identified(self.transport)
        if isinstance(older, AgentProtocol):
            older._give_way(self)

    def _give_way(self, newer: AgentProtocol) -> None:
        """A newer connection of the agent is there: only reports still count here."""
        if self._session is not None:
            self._session.replaced = True
        self._replaced_at = self.factory.clock.seconds()
        self.factory.rivals.replaced(self.agent.agent_id, self, newer)

    def leave(self) -> None:
        """Leave the agent map; a replaced connection is not in it any more."""
        if not self.identified:
            return
        agent_id = self.agent.agent_id
        if self.factory.agents.get(agent_id) is self:
            del self.factory.agents[agent_id]
            self.factory.hub.gone(agent_id)
            self.factory.rivals.vacant(agent_id)

    # -- Autobahn's hooks -------------------------------------------------

    def onConnect(self, request: object) -> None:
        """The handshake is good: take over the transport from the HTTP channel."""
        try:
            limit = self.factory.limits.send_buffer_bytes
            overrun = partial(self.close, OVERRUN, "reads too slowly")
            self._outbound = Outbound(self, self.factory.clock, limit, overrun)
            self._outbound.take_over()
        except Exception:
            self._log.failure("while taking over a connection")
            raise ConnectionDeny(500, "internal error") from None

    def connectionMade(self) -> None:
        """From here on it counts, and has a time: also one whose handshake fails."""
        factory = self.factory
        self.heard_at = factory.clock.seconds()
        self._alive = Alive(self, factory.clock, factory.limits, factory.identify_within_s)
        factory.connections.add(self)
        factory.strangers.add(self)
        super().connectionMade()

    def onOpen(self) -> None:
        factory = self.factory
        try:
            self._session = Session(factory.hub, self, factory.clock, factory.limits)
            self._session.watching = Watching(factory.watchers, self._outbound)
            self._session.peers = factory.peers
            self._backpressure = BackPressure(self, self._session)
            factory.hub.counts.opened += 1
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
        except Exception:
            self._broken("while serving a frame")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        try:
            if self._outbound is not None:
                self._outbound.lost()
            self.leave()
            if self._session is not None and self._session.replaced:
                heard = wasClean or self.heard_at > self._replaced_at
                self.factory.rivals.gone(self.agent.agent_id, self, heard)
            self.factory.hub.revocation.closed(self)
        except Exception:
            self._log.failure("while closing a connection")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The line is down: let go of what knows this connection.

        Cycles would wait for the garbage collector; see :mod:`agentcom.pauses`.
        """
        try:
            self._finish()
        except Exception:
            self._log.failure("while serving the last frames of a connection")
        self.factory.connections.discard(self)
        self.factory.strangers.discard(self)
        super().connectionLost(reason)
        if self._alive is not None:
            self._alive.stop()
        self._session = self._outbound = self._alive = self._plain = None
        self._backpressure = None

    # -- liveness, on our own clock ---------------------------------------

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
            self._outbound.end()
        return done

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        """Autobahn fails the connection (1002, 1007, 1009): hear no more, end it in time."""
        self._deaf = True
        super()._fail_connection(code, reason)
        if self._outbound is not None and self._outbound.end():
            self.factory.hub.counts.closed[code] += 1
        self.leave()

    def ping(self) -> None:
        """Ask whether the peer is there, if the line is open."""
        if self.state == WebSocketProtocol.STATE_OPEN:
            self.sendPing()

    def _broken(self, what: str) -> None:
        who = self.agent.agent_id if self.identified else "an unidentified peer"
        self._log.failure(what + " of {agent_id}", agent_id=who)
        self.close(INTERNAL, "internal error")
