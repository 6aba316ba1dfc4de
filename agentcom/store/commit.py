"""Group commit: many changes, one fsync, and nobody answered before it.

Units are collected; a batch of them is one transaction.  While one batch is
being committed, the next fills.  A batch that fails is tried again unchanged:
memory is never rolled back (PROTOCOL.md section 1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.drain import Drain
from agentcom.core.events import Event, numbered
from agentcom.core.session import BrowserSession
from agentcom.core.task import Task
from agentcom.core.tokens import Token
from agentcom.store.interface import Post, Unit
from agentcom.store.measures import CommitMeasures

BATCH = 192
"""Changes in one transaction at the most: making their rows holds up the reactor for
some 3 ms.  What a commit costs by itself, some 0.3 ms of a processor, is shared by all."""

TELL_S = 0.005
"""Seconds of one turn of the reactor in which units are told that they are committed."""

RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds between tries of a batch that fails; the last one repeats."""

UNWELL_AFTER_S = 0.5
"""Seconds of failing before new work is refused: another process may just
be holding the file for a moment."""

STUCK_AFTER_S = 5.0
"""Seconds that one commit may take before new work is refused."""

GIVE_UP_AFTER_S = 60.0
"""Seconds of failing before the process ends and recovers from disk."""


EVENTS_PER_CHANGE = 5
"""Forgotten events that hold up the reactor as long as a written task and its
event do: some 3 µs each to some 15."""


class Batch:
    """One transaction's worth of units, with their places in the log.

    :ivar numbers: of the tasks of the events, one for each.
    """

    def __init__(self, units: list[Unit], last_seq: int) -> None:
        self.units = units
        self.inserts: dict[str, Task] = {}
        self.updates: dict[str, Task] = {}
        self.events: list[Event] = []
        self.numbers: list[int | None] = []
        self.tokens: list[Token] = []
        self.drains: dict[str, Drain | None] = {}
        self.sessions: dict[str, BrowserSession | None] = {}
        self.forgotten: list[str] = []
        self.forgotten_events: list[int] = []
        self.posts: list[Post] = []
        for unit in units:
            for task in unit.new:
                self.inserts[task.id] = task
            for task in unit.tasks:
                if task.id in self.inserts:
                    self.inserts[task.id] = task
                else:
                    self.updates[task.id] = task
            for draft in unit.drafts:
                last_seq += 1
                self.events.append(numbered(draft, last_seq))
                self.numbers.append(draft.number)
            self.tokens.extend(unit.tokens)
            if unit.drains is not None:
                self.drains.update(unit.drains)
            if unit.sessions is not None:
                self.sessions.update(unit.sessions)
            if unit.post is not None:
                self.posts.append(unit.post)
            self.forgotten.extend(unit.forgotten)
            self.forgotten_events.extend(unit.forgotten_events)
        self.last_seq = last_seq


BYTES_PER_CHANGE = 16 * 1024
"""Bytes that count for one more change, so that a batch of several units has some 3 MiB."""


def size(unit: Unit) -> int:
    """How many changes a unit counts for, by the time that it takes.

    A task's row is in as many indexes when it goes as when it comes; events
    that go lie side by side.  What has no tasks is one change as well.
    """
    gone = len(unit.forgotten_events) // EVENTS_PER_CHANGE
    changes = len(unit.new) + len(unit.tasks) + len(unit.forgotten) + gone
    return max(1, changes) + _bytes(unit) // BYTES_PER_CHANGE


def _bytes(unit: Unit) -> int:
    """About what clients have said of it."""
    said = 0
    for task in unit.new:
        said += len(task.description) + len(task.metadata)
    for task in unit.tasks:
        if task.result is not None:
            said += len(task.result)
    for draft in unit.drafts:
        said += len(draft.payload)
    if unit.post is not None:
        for message in unit.post.messages:
            said += len(message.payload)
    return said


Commit = Callable[[Batch], Deferred[None]]
"""Writes a batch in one transaction.  What it gives fires when the batch is durable; when
it fails, nothing of the batch is in the database."""


class GroupCommit:
    """Collects units and commits them in batches, in order.

    :param commit: writes a batch; asked for one at a time.
    :param committed: gives what tells of a batch after its commit, a step at a time.
    :param give_up: called once when the store has failed for a minute.
    :ivar measures: what the commits so far took.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        commit: Commit,
        last_seq: int,
        committed: Callable[[Batch], Iterator[None]],
        give_up: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._commit = commit
        self._committed = committed
        self._give_up = give_up
        self._last_seq = last_seq
        self._waiting: deque[Unit] = deque()
        self._busy = False
        self._telling: deque[Iterator[None]] = deque()
        self._held = False
        self._failing_since: float | None = None
        self._began: float | None = None
        self._tries = 0
        self._idle: list[Deferred[None]] = []
        self.measures = CommitMeasures()

    def add(self, unit: Unit) -> None:
        """Hand over a unit; it goes with the next batch."""
        self._waiting.append(unit)
        if not self._busy:
            self._busy = True
            # Not now: what arrives in this turn of the reactor goes along.
            self._clock.callLater(0, self._next)

    def unwell(self) -> bool:
        """Whether commits have been failing, or one hangs, long enough to tell."""
        now = self._clock.seconds()
        if self._failing_since is not None:
            return now - self._failing_since >= UNWELL_AFTER_S
        return self._began is not None and now - self._began >= STUCK_AFTER_S

    def check(self) -> None:
        """Give up on a commit that hangs: a disk may block instead of failing."""
        began = self._began
        if began is not None and self._clock.seconds() - began >= GIVE_UP_AFTER_S:
            self.log.critical("a commit has hung for 60 s; the hub ends to recover from disk")
            self._give_up()

    @property
    def backlog(self) -> int:
        """Units that wait for their batch."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a batch is waiting or under way, or not told of."""
        return self._busy or bool(self._telling)

    def idle(self) -> Deferred[None]:
        """Fires when nothing waits any more."""
        waiter: Deferred[None] = Deferred()
        if self.busy:
            self._idle.append(waiter)
        else:
            waiter.callback(None)
        return waiter

    def _next(self) -> None:
        if len(self._telling) > 1:
            # More would be told of late, where nobody counts it: let it wait where it is counted.
            self._held = True
            return
        units: list[Unit] = []
        changes = 0
        while self._waiting and changes < BATCH:
            more = size(self._waiting[0])
            if units and changes + more > BATCH:
                break
            units.append(self._waiting.popleft())
            changes += more
        self._try(Batch(units, self._last_seq))

    def _try(self, batch: Batch) -> None:
        self._began = self._clock.seconds()
        self._commit(batch).addCallbacks(
            self._done, self._failed, callbackArgs=(batch,), errbackArgs=(batch,)
        ).addErrback(lambda f: self.log.failure("after a commit", f))

    def _done(self, _: object, batch: Batch) -> None:
        if self._began is not None:
            self.measures.seconds.add(self._clock.seconds() - self._began)
        self.measures.units.add(len(batch.units))
        self._began = None
        if self._failing_since is not None:
            self.log.info(
                "the store works again after {seconds:.1f} s",
                seconds=self._clock.seconds() - self._failing_since,
            )
            self._failing_since = None
            self._tries = 0
        self._last_seq = batch.last_seq
        if self._waiting:
            self._clock.callLater(0, self._next)
        else:
            self._busy = False
        self._telling.append(self._committed(batch))
        if len(self._telling) == 1:
            self._tell()

    def _tell(self) -> None:
        """Tell of batches in their order; what is too much for this turn has the next."""
        until = self._clock.seconds() + TELL_S
        while self._telling:
            try:
                for _ in self._telling[0]:
                    if self._clock.seconds() >= until:
                        self._clock.callLater(0, self._tell)
                        return
            except Exception:
                self.log.failure("after a commit")
            self._telling.popleft()
            if self._held:
                self._held = False
                self._clock.callLater(0, self._next)
        if not self._busy:
            waiters, self._idle = self._idle, []
            for waiter in waiters:
                waiter.callback(None)

    def _failed(self, failure: Failure, batch: Batch) -> None:
        self.measures.failures += 1
        self._began = None
        now = self._clock.seconds()
        if self._failing_since is None:
            self._failing_since = now
            self.log.error(
                "a commit failed and is tried again: {error}", error=failure.getErrorMessage()
            )
        if now - self._failing_since >= GIVE_UP_AFTER_S:
            self.log.critical("the store has failed for 60 s; the hub ends to recover from disk")
            self._give_up()
            return
        wait = RETRY_S[min(self._tries, len(RETRY_S) - 1)]
        self._tries += 1
        self._clock.callLater(wait, self._try, batch)
