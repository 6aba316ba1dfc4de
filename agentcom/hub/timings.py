"""What becomes of tasks and how long it takes, counted as the ledger changes them.

The ledger's listeners are given a task before and after each change, and a
task knows its own times: so nothing is remembered of any of them, whether ten
or a million wait.  A change is counted when it is decided, one batch of the
store before it is on disk; what the store takes is measured apart.
"""

from __future__ import annotations

from collections import Counter

from agentcom.core.histogram import Histogram, Spread
from agentcom.core.state import ENDED, HELD, Status, Task

WAIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 3600, 21600)
"""Bounds of what may be a millisecond or an afternoon, in seconds."""

RUN_S = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
"""Bounds of the time that work takes, in seconds."""


class Timings:
    """Follows all tasks; see :meth:`.ledger.Ledger.on_move`.

    :ivar submitted: new tasks, by where they come from.
    :ivar started: tasks that were given to an agent for the first time.
    :ivar ended: ends of tasks by status; one that is retried by hand may end again.
    :ivar revived: ended tasks that live again, by the status that they had.
    :ivar waited: seconds from ready to each assignment.
    :ivar first: seconds from the submission to the first assignment.
    :ivar accepted: seconds from an assignment to its acceptance.
    :ivar ran: seconds from an assignment to the end of its attempt.
    :ivar lately_waited: the same as ``waited``, in milliseconds, until somebody clears it.
    :ivar lately_ran: the same as ``ran``, likewise.
    """

    def __init__(self) -> None:
        self.submitted: Counter[str] = Counter()
        self.started = 0
        self.ended: Counter[Status] = Counter()
        self.revived: Counter[Status] = Counter()
        self.waited = Histogram(WAIT_S)
        self.first = Histogram(WAIT_S)
        self.accepted = Histogram(WAIT_S)
        self.ran = Histogram(RUN_S)
        self.lately_waited = Spread()
        self.lately_ran = Spread()

    def follow(self, old: Task | None, new: Task) -> None:
        """A task has changed, or is new."""
        if old is None:
            self.submitted[new.origin] += 1
            if new.status is Status.ASSIGNED:
                # An order never waits.
                self._assigned(new, new)
            return
        before, after = old.status, new.status
        if before is after:
            return
        if after is Status.ASSIGNED:
            self._assigned(old, new)
            return
        if before is Status.ASSIGNED and after is Status.WORKING:
            if new.assigned_at is not None:
                self.accepted.add((new.updated_at - new.assigned_at) / 1000)
            return
        if after in ENDED:
            self.ended[after] += 1
        elif before in ENDED:
            self.revived[before] += 1
        if before in HELD and old.assigned_at is not None and new.attempts == old.attempts:
            # Attempts that are given back, as after a rejection, were none.
            ran_ms = new.updated_at - old.assigned_at
            self.ran.add(ran_ms / 1000)
            self.lately_ran.add(ran_ms)

    def _assigned(self, old: Task, new: Task) -> None:
        now = new.updated_at
        # A task that waits is not changed, so this is when it came or came back.
        ready = old.updated_at if old.ready_at is None else max(old.updated_at, old.ready_at)
        waited_ms = now - ready
        self.waited.add(waited_ms / 1000)
        self.lately_waited.add(waited_ms)
        if new.generation == 1:
            self.started += 1
            self.first.add((now - new.created_at) / 1000)
