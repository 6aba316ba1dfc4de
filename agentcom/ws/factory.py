"""The factory of agent connections, and the agent map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.interfaces import IReactorTime

from agentcom.hub.hub import Hub
from agentcom.hub.link import Roster
from agentcom.hub.watching import Watchers
from agentcom.wire.frames import Limits
from agentcom.ws.admission import Admission
from agentcom.ws.peers import Peers
from agentcom.ws.protocol import AgentProtocol
from agentcom.ws.rivals import Rivals
from agentcom.ws.shortcuts import with_options
from agentcom.ws.turns import Turns

IDENTIFY_WITHIN_S = 10.0
"""Seconds in which a new connection must identify."""

BEFORE_IDENTIFY = 64 * 1024
"""Bytes of a frame from a peer that has not identified."""


class AgentFactory(WebSocketServerFactory):
    """Builds :class:`.protocol.AgentProtocol` and holds the agent map.

    :ivar agents: agent id to the newest identified connection of that agent.
        Connections enter and leave it by themselves; the dispatcher and the
        HTTP routes look agents up in it.
    :ivar connections: every open connection, identified or not.
    :ivar strangers: those that have not identified.
    :ivar admission: who may come in; :mod:`agentcom.site` asks it.
    :ivar rivals: what becomes of connections that are replaced.
    :ivar turns: connections that have more to be served than one turn allows.
    :ivar watchers: who follows the events, here and over HTTP.
    :ivar peers: where connections come from, if anybody wants to know.
    :ivar identified: told of the transport of each connection that has identified.
    :ivar shortcuts: whether plain frames are taken by :mod:`.shortcuts`.
    """

    noisy = False

    def __init__(
        self,
        hub: Hub,
        agents: Roster,
        clock: IReactorTime,
        limits: Limits,
        max_connections: int,
        max_unidentified: int,
    ) -> None:
        super().__init__(server="AgentCom", reactor=clock)  # type: ignore[no-untyped-call]  # Autobahn
        self.agents = agents
        self.hub = hub
        self.clock = clock
        self.limits = limits
        self.identify_within_s = IDENTIFY_WITHIN_S
        self.shortcuts = True
        self.identified: Callable[[Any], None] = lambda transport: None
        self.connections: set[AgentProtocol] = set()
        self.strangers: set[AgentProtocol] = set()
        self.admission = Admission(
            clock, hub.counts, self.connections, self.strangers, max_connections, max_unidentified
        )
        self.rivals = Rivals(clock, hub.counts)
        self.turns = Turns(clock)
        self.peers: Peers | None = None
        self.watchers = Watchers(hub.events, clock, hub.counts.watchers_cut)
        hub.revocation.listen(self.watchers.ended)
        self.setProtocolOptions(  # type: ignore[no-untyped-call]  # Autobahn
            # Liveness and handshake limits are ours, on our own clock:
            # Autobahn's timers go to the global reactor.
            autoPingInterval=0,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            maxMessagePayloadSize=BEFORE_IDENTIFY,
            maxFramePayloadSize=BEFORE_IDENTIFY,
            failByDrop=False,
            tcpNoDelay=True,
            perMessageCompressionAccept=lambda _: None,
        )
        self.protocol: Any = with_options(AgentProtocol, self)
