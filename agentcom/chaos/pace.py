"""The time of a plan: it stands still while somebody is late.

A busy machine may need many seconds to start a hub.  Were the plan to go on
meanwhile, its steps would meet nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

TICK_S = 0.05


class Pace:
    """Tells when it is time.

    :param late: whether the plan has to wait now.
    :ivar now: seconds of the plan that have passed.
    """

    def __init__(self, reactor: Any, late: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._late = late
        self._last = reactor.seconds()
        self._numbers = count()
        self._waiting: list[tuple[float, int, Deferred[None]]] = []
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self.now = 0.0

    def start(self) -> None:
        """Begin now."""
        self._last = self._reactor.seconds()
        self._loop.start(TICK_S)

    def stop(self) -> None:
        """Time passes no more; whoever still waits must cancel that."""
        if self._loop.running:
            self._loop.stop()

    def until(self, at_s: float) -> Deferred[None]:
        """Fires when so many seconds of the plan have passed."""
        due: Deferred[None] = Deferred()
        if at_s <= self.now:
            due.callback(None)
        else:
            heappush(self._waiting, (at_s, next(self._numbers), due))
        return due

    def _tick(self) -> None:
        now = self._reactor.seconds()
        if not self._late():
            self.now += now - self._last
        self._last = now
        while self._waiting and self._waiting[0][0] <= self.now:
            _, _, due = heappop(self._waiting)
            # One that was cancelled meanwhile passes over this.
            due.callback(None)
