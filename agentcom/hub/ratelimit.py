"""How fast an agent may send: one bucket for each."""

from __future__ import annotations

from collections.abc import Callable

from agentcom.errors import RateLimited

BURST_S = 4.0
"""Seconds' worth of messages that may come at once."""

REMEMBERED = 4_096
"""Buckets after which those that are full again are forgotten."""


ROUNDED_S = 1e-6
"""What sums of many short times may be wrong by, in seconds."""


class RateLimits:
    """Takes one from an agent's bucket for each message that it sends.

    :param rate: messages a second, ``None`` for no limit.
    :param seconds: a steady clock.
    :ivar refused: how many messages were too many.
    """

    def __init__(self, rate: float | None, seconds: Callable[[], float]) -> None:
        self._rate = rate or 0.0
        self._burst = max(1.0, self._rate * BURST_S)
        self._seconds = seconds
        self.refused = 0
        # When each bucket would be full: one number says all of it.
        self._full_at: dict[str, float] = {}
        self._sweep_at = REMEMBERED

    def take(self, agent_id: str) -> None:
        """An agent sends a message.

        :raises RateLimited: it has sent too many lately.
        """
        if not self._rate:
            return
        now = self._seconds()
        full_at = max(now, self._full_at.get(agent_id, now)) + 1 / self._rate
        over_s = full_at - now - self._burst / self._rate
        if over_s > ROUNDED_S:
            self.refused += 1
            raise RateLimited(max(1, round(over_s * 1000 + 0.5)))
        self._full_at[agent_id] = full_at
        if len(self._full_at) > self._sweep_at:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
            self._sweep_at = max(REMEMBERED, 2 * len(self._full_at))
