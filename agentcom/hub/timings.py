"""What becomes of tasks and how long it takes, counted as the ledger changes them.

The ledger's listeners are given a task before and after each change, and a
task knows its own times: so nothing is remembered of any of them, whether ten
or a million wait.  A change is counted when it is decided, one batch of the
store before it is on disk; what the store takes is measured apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agentcom.core.histogram import Histogram, Spread
from agentcom.core.state import Status, Task

WAIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 3600, 21600)
"""Bounds of what may be a millisecond or an afternoon, in seconds."""

RUN_S = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
"""Bounds of the time that work takes, in seconds."""

# Kept, because a member is found in the time of some comparisons.
_ASSIGNED, _WORKING = Status.ASSIGNED, Status.WORKING

TOGETHER = 1_000
"""Times that may wait to be counted: most of them are alike, and counted as one."""


class Times:
    """How long one kind of thing takes."""

    __slots__ = ("_histogram", "_lately", "_new")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._new: list[int] = []
        self._histogram = Histogram(bounds)
        self._lately = Spread()

    def add(self, ms: int) -> None:
        """It took so many milliseconds this time."""
        self._new.append(ms)
        if len(self._new) >= TOGETHER:
            self._count()

    def histogram(self) -> Histogram:
        """All of them, in seconds."""
        self._count()
        return self._histogram

    def lately(self) -> Spread:
        """Those since somebody cleared it, in milliseconds."""
        self._count()
        return self._lately

    def _count(self) -> None:
        new, self._new = self._new, []
        for ms, times in Counter(new).items():
            self._histogram.add(ms / 1000, times)
            self._lately.add(ms, times)


class Timings:
    """Follows all tasks; see :meth:`.ledger.Ledger.on_move`.

    :param working: how many tasks are worked on already.
    :ivar working: how many are now.
    :ivar submitted: new tasks, by where they come from.
    :ivar started: tasks that were given to an agent for the first time.
    :ivar ended: ends of tasks by status; one that is retried by hand may end again.
    :ivar revived: ended tasks that live again, by the status that they had.
    :ivar waited: from ready to each assignment.
    :ivar first: from the submission to the first assignment.
    :ivar accepted: from an assignment to its acceptance.
    :ivar ran: from an assignment to the end of its attempt.
    """

    def __init__(self, working: int = 0) -> None:
        self.working = working
        self.submitted: Counter[str] = Counter()
        self.started = 0
        self.ended: Counter[Status] = Counter()
        self.revived: Counter[Status] = Counter()
        self.waited = Times(WAIT_S)
        self.first = Times(WAIT_S)
        self.accepted = Times(WAIT_S)
        self.ran = Times(RUN_S)

    def follow(self, old: Task | None, new: Task) -> None:
        """A task has changed, or is new."""
        if old is None:
            self.submitted[new.origin] += 1
            if new.status is _ASSIGNED:
                # An order never waits, nor does what an agent has room for.
                self._assigned(new, new)
            return
        before, after = old.status, new.status
        if before is after:
            return
        if before is _WORKING:
            self.working -= 1
        elif after is _WORKING:
            self.working += 1
        if after is _ASSIGNED:
            self._assigned(old, new)
            return
        if before is _ASSIGNED and after is _WORKING:
            if new.assigned_at is not None:
                self.accepted.add(new.updated_at - new.assigned_at)
            return
        if after.ended:
            self.ended[after] += 1
        elif before.ended:
            self.revived[before] += 1
        if before.held and old.assigned_at is not None and new.attempts == old.attempts:
            # Attempts that are given back, as after a rejection, were none.
            self.ran.add(new.updated_at - old.assigned_at)

    def _assigned(self, old: Task, new: Task) -> None:
        now = new.updated_at
        # A task that waits is not changed, so this is when it came or came back.
        ready = old.updated_at if old.ready_at is None else max(old.updated_at, old.ready_at)
        self.waited.add(now - ready)
        if new.generation == 1:
            self.started += 1
            self.first.add(now - new.created_at)
