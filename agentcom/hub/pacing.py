"""When an agent is to come back should its line be lost, so that not all come at once.

A hub that dies, or a switch between, cuts every line in the same moment.  Each
agent is told a time beforehand, at random within a window that fits their
number; a goodbye tells another one, for the number that there is then.
"""

from __future__ import annotations

from collections.abc import Callable, Sized

COMEBACKS_A_SECOND = 500
"""Agents that are to come back in each second of the window."""

LONGEST_S = 20.0
"""Seconds of the longest window: less than a task is held by default."""

LEAST_REFUSED_MS = 1_000
"""Milliseconds for which one that was not let in is sent away at the least."""


class Pacing:
    """Spreads those who come back.

    :param connected: what has one entry for each connected agent.
    :param fraction: gives numbers from 0 to 1.
    """

    def __init__(self, connected: Sized, fraction: Callable[[], float]) -> None:
        self._connected = connected
        self._fraction = fraction

    def retry_after_ms(self) -> int:
        """Milliseconds, anew for each that asks."""
        window_s = min(LONGEST_S, len(self._connected) / COMEBACKS_A_SECOND)
        return int(self._fraction() * window_s * 1000)

    def refused_ms(self) -> int:
        """The same for one that finds no room: others must go first."""
        return LEAST_REFUSED_MS + self.retry_after_ms()


def told(reason: str, retry_after_ms: int) -> str:
    """The reason of a close, with the time at which to come back."""
    return f"{reason}; retry_after_ms={retry_after_ms}"
