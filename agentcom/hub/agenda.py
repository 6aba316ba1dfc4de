"""What must happen at a time, and one timer that sees to it.

Entries are named by kind and key, so that the newest time for a name counts.
The tick comes at least once a second, runs everything that is due and
survives whatever an entry raises: a timer that stops is how tasks get lost.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

TICK_S = 1.0
"""Seconds between looks, however far away the next entry is."""

AT_A_TIME = 200
"""Entries run in one turn: many may be due together, such as holds after a restart."""

_ENOUGH_STALE = 1_000


class Agenda:
    """Runs named entries when they are due.

    :param clock: seconds and ``callLater``.
    :ivar seconds: what its clock says: good for how long ago a thing was, also when
        the time is set.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        self._due: dict[tuple[str, str], float] = {}
        self._heap: list[tuple[float, str, str]] = []
        self._steps: dict[str, Callable[[str], None]] = {}
        self._every_tick: list[Callable[[], None]] = []
        self._call: IDelayedCall | None = None

    def on(self, kind: str, step: Callable[[str], None]) -> None:
        """Say what to do with the entries of a kind; it is given the key."""
        self._steps[kind] = step

    def every_tick(self, step: Callable[[], None]) -> None:
        """Run something at each tick, about once a second."""
        self._every_tick.append(step)

    def after(self, kind: str, key: str, seconds: float) -> None:
        """Put an entry so many seconds ahead, in place of an older one."""
        due = self._clock.seconds() + seconds
        self._due[kind, key] = due
        heapq.heappush(self._heap, (due, kind, key))
        if len(self._heap) > 2 * len(self._due) + _ENOUGH_STALE:
            self._heap = [(when, *name) for name, when in self._due.items()]
            heapq.heapify(self._heap)
        if self._call is not None and due < self._call.getTime():
            self._call.reset(max(0.0, seconds))

    def cancel(self, kind: str, key: str) -> None:
        """Forget an entry, if it is there."""
        self._due.pop((kind, key), None)

    def cancel_all(self, kinds: Iterable[str], key: str) -> None:
        """Forget the entries of several kinds, those that are there."""
        for kind in kinds:
            self._due.pop((kind, key), None)

    def left(self, kind: str, key: str) -> float | None:
        """Seconds until an entry is due, ``None`` where there is none."""
        due = self._due.get((kind, key))
        return None if due is None else max(0.0, due - self._clock.seconds())

    def start(self) -> None:
        """Begin to tick."""
        self._call = self._clock.callLater(0, self._tick)

    def stop(self) -> None:
        """Stop ticking; entries stay and are not run."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _tick(self) -> None:
        now = self._clock.seconds()
        count = 0
        while self._heap and self._heap[0][0] <= now and count < AT_A_TIME:
            due, kind, key = heapq.heappop(self._heap)
            if self._due.get((kind, key)) != due:
                continue
            count += 1
            del self._due[kind, key]
            try:
                self._steps[kind](key)
            except Exception:
                self.log.failure("while running {kind} of {key}", kind=kind, key=key)
        for step in self._every_tick:
            try:
                step()
            except Exception:
                self.log.failure("in the sweep")
        if self._call is None:
            return
        wait = TICK_S
        if self._heap:
            wait = min(wait, max(0.0, self._heap[0][0] - self._clock.seconds()))
        self._call = self._clock.callLater(wait, self._tick)
