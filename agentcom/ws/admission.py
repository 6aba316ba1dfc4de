"""Who may come in, and how many at a time.

Everything that a stranger can make the hub hold has a limit: connections in
all, and those that have not said who they are.  Past it they are told when to
come again.  A handshake costs a thousand times what an API call can wait for,
so of those that come at once only some are served in each turn of the reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sized

from twisted.internet.interfaces import IReactorTime

from agentcom.hub.counts import Counts

AT_A_TIME = 16
"""Handshakes in one turn of the reactor."""

KEPT_FOR_HTTP = 0.1
KEPT_FOR_HTTP_MOST = 256
"""The share of all connections, and how many at the most, that agents leave to the API."""

CONNECTIONS = "connections"
UNIDENTIFIED = "unidentified"
STOPPING = "stopping"


class Admission:
    """Counts connections and lets them in.

    :param agents: the WebSocket connections.
    :param strangers: those of them that have not identified.
    :param most: connections in all, those of HTTP included.
    :param most_unidentified: WebSocket connections that have not identified.
    :ivar http: open connections that speak HTTP.
    :ivar stopping: no WebSocket is let in any more.
    """

    def __init__(
        self,
        clock: IReactorTime,
        counts: Counts,
        agents: Sized,
        strangers: Sized,
        most: int,
        most_unidentified: int,
    ) -> None:
        self._clock = clock
        self._counts = counts
        self._agents = agents
        self._strangers = strangers
        self.most = most
        self.most_unidentified = most_unidentified
        self.http = 0
        self.stopping = False
        self._waiting: deque[Callable[[], None]] = deque()
        self._served = 0
        self._turning = False

    @property
    def open(self) -> int:
        """Connections in all."""
        return self.http + len(self._agents)

    @property
    def unidentified(self) -> int:
        """WebSocket connections, begun or open, of nobody known."""
        return len(self._waiting) + len(self._strangers)

    def has_room(self) -> bool:
        """Whether one more connection may be there; counts those that may not."""
        if self.open < self.most:
            return True
        self._refuse(CONNECTIONS)
        return False

    def refusal(self) -> str | None:
        """What keeps one more WebSocket out, or ``None``."""
        if self.stopping:
            return STOPPING
        kept = min(KEPT_FOR_HTTP_MOST, int(self.most * KEPT_FOR_HTTP))
        if len(self._agents) + len(self._waiting) >= self.most - kept:
            return self._refuse(CONNECTIONS)
        if self.unidentified >= self.most_unidentified:
            return self._refuse(UNIDENTIFIED)
        return None

    def in_turn(self, serve: Callable[[], None]) -> None:
        """Serve a handshake: at once, or behind those that wait."""
        if self._served < AT_A_TIME and not self._waiting:
            self._served += 1
            self._plan()
            serve()
        else:
            self._waiting.append(serve)

    def _plan(self) -> None:
        if not self._turning:
            self._turning = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turning = False
        self._served = min(AT_A_TIME, len(self._waiting))
        batch = [self._waiting.popleft() for _ in range(self._served)]
        if batch:
            self._plan()
        for serve in batch:
            serve()

    def _refuse(self, limit: str) -> str:
        self._counts.refused[limit] += 1
        return limit
