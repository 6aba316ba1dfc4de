"""How fast an agent may send: one bucket for each."""

from __future__ import annotations

from collections.abc import Callable

from agentcom.core import bucket
from agentcom.errors import RateLimited

BURST_S = 4.0
"""Seconds' worth of messages that may come at once."""

REMEMBERED = 4_096
"""Buckets after which those that are dry again are forgotten."""


class RateLimits:
    """Takes one from an agent's bucket for each message that it sends.

    :param rate: messages a second, ``None`` for no limit.
    :param seconds: a steady clock.
    :ivar refused: how many messages were too many.
    """

    def __init__(self, rate: float | None, seconds: Callable[[], float]) -> None:
        self._rate = rate or 0.0
        self._every_s = 1 / self._rate if self._rate else 0.0
        self._room_s = max(1.0, self._rate * BURST_S) * self._every_s
        self._seconds = seconds
        self.refused = 0
        self._dry_at: dict[str, float] = {}
        self._sweep_at = REMEMBERED

    def take(self, agent_id: str) -> None:
        """An agent sends a message.

        :raises RateLimited: it has sent too many lately.
        """
        if not self._rate:
            return
        now = self._seconds()
        dry_at = bucket.with_one_more(self._dry_at.get(agent_id), now, self._every_s)
        too_early = bucket.wait_ms(dry_at, now, self._room_s)
        if too_early is not None:
            self.refused += 1
            raise RateLimited(too_early)
        self._dry_at[agent_id] = dry_at
        if len(self._dry_at) > self._sweep_at:
            self._dry_at = {name: at for name, at in self._dry_at.items() if at > now}
            self._sweep_at = max(REMEMBERED, 2 * len(self._dry_at))
