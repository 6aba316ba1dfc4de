"""Short pauses for Python's garbage collector in a process with many agents.

A full pass looks at every object that is there: a fifth of a second at 5 000
agents, in which nobody is answered, and it comes again whenever their number
has grown by a quarter.  What agents' lines leave behind has no cycles and is
freed at once, so nothing is gained by it: when a full pass took long, what it
found alive is set aside, and the next looks at what is new alone.

HTTP requests do leave cycles (Klein's), and those that are under way at such a
pass are set aside with the rest.  So everything is looked at again after so
many such passes, once no more of them come.  They are counted, not what they
set aside: to ask for the number of these objects is to walk through them all.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

YOUNG, MIDDLE, FULL_AFTER = 2_000, 5, 2
"""Objects made until a pass over these, such passes until one over the middle-aged, and
those until a full one.  Python's own are 700, 10, 10: what a frame or a request makes is
nearly all gone before 2 000 are there, and a full pass costs what has been made since the last
one, at the most 36 000 objects here, which is 4 ms."""

LONG_S = 0.003
"""Seconds of a full pass after which what it found is set aside."""

MOST_ASIDE = 64
"""Times that something is set aside until everything is looked at: that pass is the one long
pause there is, and the garbage of a few hundred requests each time does no harm."""

SETTLED_AFTER_S = 30.0
"""Seconds before it in which nothing was: a storm of agents has other troubles."""

WHOLE_EVERY_S = 6 * 3_600.0
"""Seconds between two passes over everything, should there be cycles all the same."""


class Pauses:
    """The collector's settings, which are the process's, while the hub runs."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._whole_at: float | None = None
        self._thresholds = gc.get_threshold()
        self._aside = 0
        self._aside_at = 0.0
        self._began = 0.0

    def start(self) -> None:
        """What is there now stays: set it aside, and from now on what stays alive."""
        self._whole()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(YOUNG, MIDDLE, FULL_AFTER)
        gc.callbacks.append(self._passed)

    def tick(self) -> None:
        """Look at everything once, when much was set aside or long ago."""
        if self._whole_at is None:
            return
        now = self._clock.seconds()
        many = self._aside >= MOST_ASIDE and now - self._aside_at >= SETTLED_AFTER_S
        if many or now >= self._whole_at:
            gc.unfreeze()
            self._whole()

    def stop(self) -> None:
        """Leave the collector as it was."""
        if self._whole_at is not None:
            self._whole_at = None
            gc.callbacks.remove(self._passed)
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()

    def _whole(self) -> None:
        gc.collect()
        gc.freeze()
        self._aside = 0
        self._whole_at = self._clock.seconds() + WHOLE_EVERY_S

    def _passed(self, phase: str, info: Mapping[str, int]) -> None:
        if info["generation"] != 2:
            return
        now = self._clock.seconds()
        if phase == "start":
            self._began = now
        elif now - self._began >= LONG_S:
            gc.freeze()
            self._aside += 1
            self._aside_at = now
