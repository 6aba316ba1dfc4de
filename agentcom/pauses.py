"""Short pauses for Python's garbage collector in a process with many agents.

A full pass looks at every object that is there: a fifth of a second at 5 000
agents, in which nobody is answered, and it comes again whenever their number
has grown by a quarter.  What agents' lines leave behind has no cycles and is
freed at once, so nothing is gained by it: what a full pass has found alive is
set aside, and the next looks at what is new alone.

HTTP requests do leave cycles, and those that are under way at a full pass are
set aside with the rest.  So everything is looked at again when what is set
aside has grown by a quarter.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

FULL_AFTER = 5
"""Passes over middle-aged objects until a full one: half of Python's own number,
because a full pass costs what has been made since the last."""

GROWN_BY = 1.25
GROWN_LEAST = 50_000
"""By what share, and by how many objects at the least, what is set aside may grow."""

WHOLE_EVERY_S = 6 * 3_600.0
"""Seconds between two passes over everything, should there be cycles all the same."""


class Pauses:
    """The collector's settings, which are the process's, while the hub runs."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._whole_at: float | None = None
        self._thresholds = gc.get_threshold()
        self._limit = 0

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
        if gc.get_freeze_count() > self._limit or self._clock.seconds() >= self._whole_at:
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
        self._limit = max(int(aside * GROWN_BY), aside + GROWN_LEAST)
        self._whole_at = self._clock.seconds() + WHOLE_EVERY_S

    def _passed(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            gc.freeze()
