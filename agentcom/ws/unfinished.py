"""Messages that were begun and do not come to their end.

Whoever sends a byte now and then is not silent, so :mod:`.alive` lets it be;
a message must be whole in a time that fits its size.  Looked at from outside,
so that a frame that comes at once costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autobahn.websocket.protocol import WebSocketProtocol

from agentcom.ws.alive import GONE_QUIET

if TYPE_CHECKING:
    from agentcom.ws.factory import AgentFactory
    from agentcom.ws.protocol import AgentProtocol

WHOLE_WITHIN_S = 30.0
PACE = 16 * 1024
"""Seconds for a message, and one more for each so many bytes that its frames announce."""

HEAD = 6
"""Bytes that tell a frame from the next one: its mask is random."""

LOOK_EVERY_S = 5.0
"""Seconds between two looks at a connection: a limit is met that much later at the most."""

LOOKS = 10
"""Parts in which all connections are looked at, one in a turn: ten thousand are 15 ms."""


class Unfinished:
    """Watches all connections of a factory for messages that never end."""

    def __init__(self, factory: AgentFactory) -> None:
        self._factory = factory
        self._since: dict[Any, tuple[object, float]] = {}
        self._left: list[Any] = []
        self._part = 0
        self._look_at = 0.0

    def sweep(self) -> None:
        """Close what has been in the middle of one message for too long."""
        now = self._factory.clock.seconds()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S / LOOKS
        if not self._left:
            here = self._factory.connections
            self._since = {line: begun for line, begun in self._since.items() if line in here}
            self._left = list(here)
            self._part = len(self._left) // LOOKS + 1
        for line in self._left[-self._part :]:
            self._look(line, now)
        del self._left[-self._part :]

    def _look(self, line: AgentProtocol, now: float) -> None:
        known, since = self._since.pop(line, (None, now))
        begun = _begun(line)
        if begun is None:
            return
        message, size = begun
        if not _same(known, message):
            since = now
        if now - since > WHOLE_WITHIN_S + size / PACE:
            # As for silence: it may be the network, and coming back helps.
            line.close(GONE_QUIET, "message not whole in time")
        else:
            self._since[line] = message, since


def _begun(line: AgentProtocol) -> tuple[object, int] | None:
    """What stands for the message that a peer is in the middle of, and its bytes so far."""
    peer: Any = line
    held = line._backpressure is not None and line._backpressure.held
    if held or peer.state != WebSocketProtocol.STATE_OPEN:
        return None
    if line._plain is not None and line._plain.kept:
        kept = line._plain.kept
        return kept[:HEAD], len(kept)
    if peer.inside_message:
        return peer.message_data, peer.message_data_total_length
    if peer.current_frame is not None:
        return peer.current_frame, 0
    return (peer.data[:2], 0) if peer.data else None


def _same(known: object, message: object) -> bool:
    """Whether a message is the one that was begun at the last look."""
    if isinstance(known, bytes) and isinstance(message, bytes):
        # More of its head may have come since.
        return message.startswith(known)
    return known is message
