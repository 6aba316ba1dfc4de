"""Peers that are read from no further until the hub has caught up."""

from __future__ import annotations

from typing import Any

from agentcom.ws.session import Session

LOOK_AGAIN_S = 0.1
"""Seconds between looks whether a peer may be read from again."""


class BackPressure:
    """The brake of one connection.

    :param protocol: the Autobahn protocol.
    :param session: says whether it is ``behind``, and its peer must wait.
    :ivar held: whether it is not read from now.
    """

    __slots__ = ("_protocol", "_session", "held")

    def __init__(self, protocol: Any, session: Session) -> None:
        self._protocol = protocol
        self._session = session
        self.held = False

    def look(self) -> None:
        """What one read brought was served: read no more, until the session is not behind."""
        if not self.held and self._session.behind:
            self.held = True
            self._protocol.transport.pauseProducing()
            self._wait()

    def _wait(self) -> None:
        protocol = self._protocol
        # Nothing can come from a peer that is not read from: it is not silent.
        protocol.heard_at = protocol.factory.clock.seconds()
        if self._session.behind:
            protocol.factory.clock.callLater(LOOK_AGAIN_S, self._wait)
            return
        self.held = False
        protocol.read_on()
