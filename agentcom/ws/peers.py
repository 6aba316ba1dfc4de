"""Where connections come from, and what becomes of those that show bad tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from agentcom.errors import AgentComError, InvalidToken
from agentcom.hub.failures import Failures
from agentcom.hub.pacing import told

TOO_MANY = 1008

Heard = Callable[[str, str, AgentComError], None]
"""Told of a refused ``identify``: the address, the agent id that it gave, why."""


class Peers:
    """Counts bad tokens of connections by their address.

    A handshake says nothing of who comes, and others may come from the same
    address; so all are let in, and of an address that has shown too many bad
    tokens the next bad one ends its connection.

    :param address: from the other end of a line and its ``X-Forwarded-For``.
    """

    log = Logger()

    def __init__(self, failures: Failures, address: Callable[[object, bytes], str]) -> None:
        self._failures = failures
        self._address = address
        self._listeners: list[Heard] = []

    def listen(self, listener: Heard) -> None:
        """Hear of each ``identify`` that is refused."""
        self._listeners.append(listener)

    def address(self, line: Any) -> str:
        """Where a connection comes from: an IP address, ``unix`` or ``unknown``."""
        transport = line.transport
        if transport is None:
            return "unknown"
        forwarded = line.http_headers.get("x-forwarded-for", "")
        return self._address(transport.getPeer(), forwarded.encode("utf-8", "replace"))

    def refused(self, line: Any, agent_id: str, error: AgentComError) -> None:
        """An ``identify`` was refused, and its sender was told."""
        address = self.address(line)
        for listener in self._listeners:
            try:
                listener(address, agent_id, error)
            except Exception:
                self.log.failure("while telling of a refused identify")
        if isinstance(error, InvalidToken):
            wait_ms = self._failures.failed(address, "websocket")
            if wait_ms is not None and not line.identified:
                line.close(TOO_MANY, told("too many bad tokens", wait_ms))
