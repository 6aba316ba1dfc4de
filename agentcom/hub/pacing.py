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

LEAST_REFUSED_S = 1.0
"""Seconds over which those are spread at the least, on top of that."""


class Pacing:
    """Spreads those who come back.

    :param connected: what has one entry for each connected agent.
    :param fraction: gives numbers from 0 to 1.
    """

    def __init__(self, connected: Sized, fraction: Callable[[], float]) -> None:
        self._connected = connected
        self._fraction = fraction
        self._lately = 0
        self._refused = 0

    def retry_after_ms(self) -> int:
        """Milliseconds, anew for each that asks."""
        return self._within(self._window_s())

    def refused_ms(self) -> int:
        """The same for one that finds no room: others must go first."""
        self._refused += 1
        return LEAST_REFUSED_MS + self._within(max(LEAST_REFUSED_S, self._window_s()))

    def tick(self) -> None:
        """A second has passed: those who left or were refused lately count half."""
        self._lately = max(len(self._connected), self._lately // 2)
        self._refused //= 2

    def _window_s(self) -> float:
        coming = max(len(self._connected), self._lately) + self._refused
        return min(LONGEST_S, coming / COMEBACKS_A_SECOND)

    def _within(self, window_s: float) -> int:
        return int(self._fraction() * window_s * 1000)


def told(reason: str, retry_after_ms: int) -> str:
    """The reason of a close, with the time at which to come back."""
    return f"{reason}; retry_after_ms={retry_after_ms}"
