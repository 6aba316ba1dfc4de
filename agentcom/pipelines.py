"""Requests that come together on one line, and the turns in which they are served.

A read of one connection can bring two thousand requests.  Served one after the
other they would keep everybody else waiting, so that only the first is served
at once and each further one when its line's turn has come.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

TURN_S = 0.01
"""Seconds that a turn of the reactor may give to such requests, of all lines together."""

AT_A_TIME = 64
"""Such requests in one turn, at the most."""


class Line(Protocol):
    """A connection on which requests wait."""

    def go_on(self) -> None:
        """Serve its next one, if it is still there; never raises."""


class Pipelines:
    """The lines whose next request has come and waits; each is there once at the most."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Line] = deque()
        self._planned = False

    def wait(self, line: Line) -> None:
        """Serve this line's next request behind those of the others."""
        self._waiting.append(line)
        self._plan()

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        # Who waits again in this turn must not plan the next one by itself.
        end = self._clock.seconds() + TURN_S
        for _ in range(AT_A_TIME):
            self._waiting.popleft().go_on()
            if not self._waiting or self._clock.seconds() >= end:
                break
        self._planned = False
        if self._waiting:
            self._plan()
