"""Short pauses for Python's garbage collector in a process with many agents.

A full pass looks at every object that is there: a fifth of a second at 5 000
agents, in which nobody is answered, and it comes again whenever their number
has grown by a quarter.  What agents' lines leave behind has no cycles and is
freed at once, so nothing is gained by it: when a full pass took long, what it
found alive is set aside, and the next looks at what is new alone.

HTTP requests do leave cycles (Klein's), and those that are under way at such a
pass are set aside with the rest.  So everything is looked at again when what
is set aside has doubled, once it has stopped growing fast.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

FULL_AFTER = 5
"""Passes over middle-aged objects until a full one: half of Python's own number,
because a full pass costs what has been made since the last."""

LONG_S = 0.004
"""Seconds of a full pass after which what it found is set aside."""

GROWN_BY = 2.0
GROWN_LEAST = 100_000
"""How many times as much, and how many objects more at the least, may be set aside."""

SETTLED_AFTER_S = 30.0
"""Seconds for which there must be so much: a storm of agents has other troubles."""

WHOLE_EVERY_S = 6 * 3_600.0
"""Seconds between two passes over everything, should there be cycles all the same."""


class Pauses:
    """The collector's settings, which are the process's, while the hub runs."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._whole_at: float | None = None
        self._thresholds = gc.get_threshold()
        self._limit = 0
        self._over_since: float | None = None
        self._began = 0.0

    def start(self) -> None:
        """What is there now stays: set it aside, and from now on what stays alive."""
        self._whole()
        self._thresholds = young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, FULL_AFTER)
        gc.callbacks.append(self._passed)

    def tick(self) -> None:
        """Look at everything once, when much was set aside or long ago."""
        if self._whole_at is None:
            return
        now = self._clock.seconds()
        if gc.get_freeze_count() <= self._limit:
            self._over_since = None
        elif self._over_since is None:
            self._over_since = now
        grown = self._over_since is not None and now - self._over_since >= SETTLED_AFTER_S
        if grown or now >= self._whole_at:
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
        aside = gc.get_freeze_count()
        self._over_since = None
        self._limit = max(int(aside * GROWN_BY), aside + GROWN_LEAST)
        self._whole_at = self._clock.seconds() + WHOLE_EVERY_S

    def _passed(self, phase: str, info: Mapping[str, int]) -> None:
        if info["generation"] != 2:
            return
        if phase == "start":
            self._began = self._clock.seconds()
        elif self._clock.seconds() - self._began >= LONG_S:
            gc.freeze()
