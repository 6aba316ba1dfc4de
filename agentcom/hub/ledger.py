"""The live tasks, and the one way to change one.

A change is applied in memory, handed to the store with the events that
explain it, and answered by ``then`` after the commit.  Progress may wait and
merge; any other change of its task takes it along first, so that the log
keeps the order in which things were said.

When very many tasks wait, the later ones are parked: memory keeps only their
place in the queue, and their rows are read back when their turn comes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.core.changes import Change, Progress
from agentcom.core.events import Draft
from agentcom.core.task import Status, Task, apply
from agentcom.store.interface import Store, Unit, task_weight

PROGRESS_WAIT_S = 0.25
"""Seconds that progress may wait to be merged (PROTOCOL.md section 5)."""

MERGED_OUTPUT = 64 * 1024
"""Characters of waiting output after which it waits no longer."""

ENDED_KEPT = 4_096
"""Ended tasks remembered without their bodies, to judge late reports."""

WARM_TASKS = 20_000
WARM_BYTES = 64 * 1024 * 1024
"""Queued tasks kept whole in memory, and their texts; beyond either they are parked."""

# Kept, because a member is found in the time of some comparisons.
_QUEUED = Status.QUEUED

Moved = Callable[[Task | None, Task], None]


class _Together:
    """The changes that become one unit."""

    log = Logger()

    def __init__(self) -> None:
        self.new: dict[str, Task] = {}
        self.tasks: dict[str, Task] = {}
        self.drafts: list[Draft] = []
        self.thens: list[Callable[[], None]] = []

    def put(
        self, task: Task, new: bool, drafts: list[Draft], then: Callable[[], None] | None
    ) -> None:
        into = self.new if new or task.id in self.new else self.tasks
        into[task.id] = task
        self.drafts.extend(drafts)
        if then is not None:
            self.thens.append(then)

    def unit(self) -> Unit:
        return Unit(list(self.tasks.values()), list(self.new.values()), self.drafts, (), self._then)

    def _then(self) -> None:
        for then in self.thens:
            try:
                then()
            except Exception:
                self.log.failure("after a commit")


class _Warm:
    """The queued tasks that are in memory whole, and how much that is."""

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        self._bytes = 0

    def put(self, task: Task) -> bool:
        """One more, or the same again; whether there are more now than should be."""
        weight = task_weight(task)
        self._bytes += weight - self._weights.get(task.id, 0)
        self._weights[task.id] = weight
        return len(self._weights) > WARM_TASKS or self._bytes > WARM_BYTES

    def drop(self, task_id: str) -> None:
        """One less, if it is there."""
        self._bytes -= self._weights.pop(task_id, 0)


class Ledger:
    """Holds every task that has not ended.

    :param now: Unix milliseconds.
    :ivar live: those in memory whole: all that agents hold, and queued ones.
    :ivar forgotten: how many ended ones were deleted.
    """

    def __init__(self, store: Store, clock: IReactorTime, now: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._now = now
        self.live: dict[str, Task] = {}
        self.forgotten = 0
        self._ended: OrderedDict[str, Task] = OrderedDict()
        self._progress: dict[str, Progress] = {}
        self._listeners: list[Moved] = []
        self._waiting: Container[str] = ()
        self._together: _Together | None = None
        self._warm = _Warm()

    def on_move(self, moved: Moved) -> None:
        """Hear of each change of a task: the old state (``None``: new), the new.

        In the order in which listeners came; one may change tasks itself, so
        the ones after it may hear of later changes first.
        """
        self._listeners.append(moved)

    def parked_in(self, waiting: Container[str]) -> None:
        """Say where the ids of all queued tasks are, parked ones included."""
        self._waiting = waiting

    def load(self, tasks: list[Task]) -> None:
        """Take in what agents hold, at start."""
        for task in tasks:
            self.live[task.id] = task
            self._tell(None, task)

    def get(self, task_id: str) -> Task | None:
        """A task that has not ended; one that is parked is read back."""
        if (task := self.peek(task_id)) is not None and task_id not in self.live:
            self.live[task_id] = task
            self._warm.put(task)
        return task

    def peek(self, task_id: str) -> Task | None:
        """Like :meth:`get`, to look at only: what is parked stays so."""
        if (task := self.live.get(task_id)) is None and task_id in self._waiting:
            task = self._store.fetch(task_id)
        return task

    def live_task(self, task_id: str) -> Task:
        """Like :meth:`get`, of a task that is known not to have ended.

        :raises KeyError: it has.
        """
        if (task := self.get(task_id)) is None:
            raise KeyError(task_id)
        return task

    def find(self, task_id: str) -> Task | None:
        """A live task, or one that ended lately (then without its bodies)."""
        return self.live.get(task_id) or self.peek(task_id) or self._ended.get(task_id)

    def add(self, task: Task, drafts: list[Draft], then: Callable[[], None] | None = None) -> None:
        """Take a new task."""
        self.live[task.id] = task
        self._write(task, True, drafts, then)
        self._tell(None, task)

    def revive(self, task: Task, change: Change) -> Task:
        """Change a task that has ended, as the store has it, so that it lives again."""
        self._ended.pop(task.id, None)
        self.live[task.id] = task
        return self.change(task.id, change)

    def forget(self, task_id: str) -> None:
        """An ended task is deleted."""
        self.forgotten += 1
        self._ended.pop(task_id, None)

    def together(self, work: Callable[[], None]) -> None:
        """What ``work`` adds and changes is written as one unit."""
        if self._together is not None:
            work()
            return
        unit = self._together = _Together()
        try:
            work()
        finally:
            self._together = None
            self._store.commit(unit.unit())

    def change(self, task_id: str, change: Change, then: Callable[[], None] | None = None) -> Task:
        """Change a live task; ``then`` runs after the commit.

        What it makes room for may be assigned before this returns.

        :raises IllegalTransition: the task's status does not allow it.
        """
        task = self.live.get(task_id) or self.live_task(task_id)
        now = self._now()
        waiting = self._progress.pop(task_id, None) if self._progress else None
        if waiting is None:
            new, drafts = apply(task, change, now)
        else:
            merged, told = apply(task, waiting, now)
            new, drafts = apply(merged, change, now)
            drafts = told + drafts
        if new is task and not drafts:
            self.answer(then)
            return task
        if task.status is _QUEUED:
            self._warm.drop(task_id)
        if new.status.ended:
            del self.live[task_id]
            self.remember(new)
        else:
            self.live[task_id] = new
        self._write(new, False, drafts, then)
        self._tell(task, new)
        return new

    def progress(self, task_id: str, progress: Progress) -> None:
        """Progress of a live task; it may wait a little and merge."""
        if self.live[task_id].status is not Status.WORKING:
            self.change(task_id, progress)
            return
        waiting = self._progress.get(task_id)
        if waiting is not None:
            progress = _merge(waiting, progress)
        elif not self._progress:
            self._clock.callLater(PROGRESS_WAIT_S, self.flush)
        if progress.output is not None and len(progress.output) > MERGED_OUTPUT:
            self._progress.pop(task_id, None)
            self.change(task_id, progress)
        else:
            self._progress[task_id] = progress

    def flush(self) -> None:
        """Write all progress that waits."""
        waiting, self._progress = self._progress, {}
        for task_id, progress in waiting.items():
            self.change(task_id, progress)

    def answer(self, then: Callable[[], None] | None) -> None:
        """Run ``then`` after all that was handed to the store before it."""
        if then is None:
            return
        if self._together is not None:
            self._together.thens.append(then)
        else:
            self._store.commit(Unit(then=then))

    def settled(self) -> Deferred[None]:
        """Fires when all that was handed to the store so far is committed."""
        done: Deferred[None] = Deferred()
        self.answer(lambda: done.callback(None))
        return done

    def remember(self, task: Task) -> None:
        """Keep what is needed to judge a late report on an ended task."""
        self._ended[task.id] = msgspec.structs.replace(
            task, description="", metadata=b"{}", result=None
        )
        self._ended.move_to_end(task.id)
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    def _write(
        self, task: Task, new: bool, drafts: list[Draft], then: Callable[[], None] | None
    ) -> None:
        if task.status is _QUEUED and self._warm.put(task):
            then = self._parking(task, then)
        if self._together is not None:
            self._together.put(task, new, drafts, then)
        elif new:
            self._store.commit(Unit((), (task,), drafts, (), then))
        else:
            self._store.commit(Unit((task,), (), drafts, (), then))

    def _parking(self, task: Task, then: Callable[[], None] | None) -> Callable[[], None]:
        """Park a task once its row is on disk, unless it has moved on by then."""

        def committed() -> None:
            if self.live.get(task.id) is task:
                del self.live[task.id]
                self._warm.drop(task.id)
            if then is not None:
                then()

        return committed

    def _tell(self, old: Task | None, new: Task) -> None:
        for moved in self._listeners:
            moved(old, new)


def _merge(first: Progress, second: Progress) -> Progress:
    output = first.output
    if second.output is not None:
        output = second.output if output is None else output + second.output
    return Progress(
        first.progress if second.progress is None else second.progress,
        second.message or first.message,
        output,
        second.cost or first.cost,
    )
