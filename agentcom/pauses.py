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
from collections.abc import Callable, Mapping
from time import thread_time

from twisted.internet.interfaces import IDelayedCall, IReactorTime

YOUNG, MIDDLE, FULL_AFTER = 1_000, 5, 2
"""Objects made until a pass over these, such passes until one over the middle-aged, and
those until a full one.  Python's own are 700, 10, 10: what a frame or a request makes is
nearly all gone before 1 000 are there, and a full pass costs what has been made since the last
one, some 18 000 objects here, which is 3 ms."""

LOOK_EVERY_S = 0.25
BUSY_S = 0.05
"""Seconds between looks at whether a full pass is due, and seconds of a processor after which
it is.  Python counts what was made less what was freed, and agents that
come free as many objects of older times as they make: without this one pass found what two
seconds had made, and took 24 ms."""

LONG_S = 0.002
"""Seconds of a full pass after which what it found is set aside."""

MOST_ASIDE = 128
"""Times that something is set aside until everything is looked at: that pass is the one long
pause there is, and the garbage of a few hundred requests each time does no harm."""

SETTLED_AFTER_S = 30.0
"""Seconds before it in which nothing was: a storm of agents has other troubles."""

WHOLE_EVERY_S = 6 * 3_600.0
"""Seconds between two passes over everything, should there be cycles all the same."""


class Pauses:
    """The collector's settings, which are the process's, while the hub runs.

    :param cpu: seconds of a processor that this thread has used.
    """

    def __init__(self, clock: IReactorTime, cpu: Callable[[], float] = thread_time) -> None:
        self._clock = clock
        self._cpu = cpu
        self._looks: IDelayedCall | None = None
        self._whole_at: float | None = None
        self._thresholds = gc.get_threshold()
        self._aside = 0
        self._aside_at = 0.0
        self._began = self._looked_at = 0.0

    def start(self) -> None:
        """What is there now stays: set it aside, and from now on what stays alive."""
        self._whole()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(YOUNG, MIDDLE, FULL_AFTER)
        gc.callbacks.append(self._passed)
        self._looks = self._clock.callLater(LOOK_EVERY_S, self._look)

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
        if self._looks is not None:
            self._looks.cancel()
            self._looks = None
        if self._whole_at is not None:
            self._whole_at = None
            gc.callbacks.remove(self._passed)
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()

    def _look(self) -> None:
        """See that what is new does not become too much for one pass."""
        self._looks = self._clock.callLater(LOOK_EVERY_S, self._look)
        now = self._cpu()
        if now - self._looked_at >= BUSY_S:
            self._looked_at = now
            gc.collect()

    def _whole(self) -> None:
        gc.collect()
        gc.freeze()
        self._aside = 0
        self._whole_at = self._clock.seconds() + WHOLE_EVERY_S

    def _passed(self, phase: str, info: Mapping[str, int]) -> None:
        if info["generation"] != 2:
            return
        now = self._cpu()
        if phase == "start":
            self._began = now
        elif now - self._began >= LONG_S:
            gc.freeze()
            self._aside += 1
            self._aside_at = self._clock.seconds()
