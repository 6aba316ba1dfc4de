"""How late the reactor is: what waits for it waits as long again.

A timer that is due every tenth of a second notes how much later it came.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from agentcom.core.histogram import Histogram

EVERY_S = 0.1
"""Seconds between two looks."""

LAG_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Bounds of the lag, in seconds."""

WINDOW_S = 60.0
"""Seconds for which a great lag is remembered, twice that at the most."""


class LoopLag:
    """Looks at the reactor's clock while it runs.

    :ivar seconds: how late each look came.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._due = 0.0
        self._window_ends = 0.0
        self._worst = 0.0
        self._worst_before = 0.0
        self.seconds = Histogram(LAG_S)

    def start(self) -> None:
        """Begin to look."""
        self._window_ends = self._clock.seconds() + WINDOW_S
        self._again()

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def worst_s(self) -> float:
        """The greatest lag of the last minute or two, in seconds; one that is going on counts."""
        going_on = 0.0 if self._call is None else self._clock.seconds() - self._due
        return max(self._worst, self._worst_before, going_on)

    def _again(self) -> None:
        self._due = self._clock.seconds() + EVERY_S
        self._call = self._clock.callLater(EVERY_S, self._look)

    def _look(self) -> None:
        now = self._clock.seconds()
        lag = max(0.0, now - self._due)
        self.seconds.add(lag)
        if now >= self._window_ends:
            self._window_ends = now + WINDOW_S
            self._worst_before, self._worst = self._worst, 0.0
        self._worst = max(self._worst, lag)
        self._again()
