"""How many tasks there are of each status, known at any time without a look at the disk.

What lives is counted by those who have it.  What has ended is counted in the
store from time to time, for it may be millions, and in between by what moves.
"""

from __future__ import annotations

from collections import Counter

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.state import Status
from agentcom.hub.timings import Timings
from agentcom.store.interface import Store

ANEW_S = 600.0
"""Seconds after which all is counted anew."""


class Totals:
    """Ended tasks by status.

    What ends, or goes, in the moment in which the store counts may be missed, or counted
    twice, until it counts again.

    :param timings: knows what ends, and what lives again.
    :param deleted: tasks that went, by the status in which they had ended.
    :ivar known: whether the store was counted since the start.
    """

    log = Logger()

    def __init__(
        self, store: Store, timings: Timings, deleted: Counter[str], clock: IReactorTime
    ) -> None:
        self._store = store
        self._timings = timings
        self._deleted = deleted
        self._clock = clock
        self._stored: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._counted_at: float | None = None
        self.known = False
        self._counting = False

    def tick(self) -> None:
        """Count anew when it is time."""
        if self._counting:
            return
        now = self._clock.seconds()
        if self._counted_at is not None and now - self._counted_at < ANEW_S:
            return
        self._counting = True
        self._counted_at = now
        before = self._moved()
        self._store.counts().addCallback(self._counted, before).addErrback(self._failed)

    def ended(self) -> dict[str, int]:
        """By status, each of those that a task can end in."""
        moved, before = self._moved(), self._before
        return {
            status.value: max(0, self._stored[status] + moved[status] - before[status])
            for status in Status
            if status.ended
        }

    def _moved(self) -> Counter[str]:
        moved: Counter[str] = Counter(self._timings.ended)
        moved.subtract(self._timings.revived)
        moved.subtract(self._deleted)
        return moved

    def _counted(self, found: dict[str, int], before: Counter[str]) -> None:
        self._counting = False
        self.known = True
        self._stored = Counter(found)
        self._before = before

    def _failed(self, failure: Failure) -> None:
        self._counting = False
        self.log.failure("while counting tasks", failure)
