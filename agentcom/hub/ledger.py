"""The live tasks, and the one way to change one.

A change is applied in memory, handed to the store with the events that
explain it, and answered by ``then`` after the commit.  Progress may wait and
merge; any other change of its task takes it along first, so that the log
keeps the order in which things were said.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec
from twisted.internet.interfaces import IReactorTime

from agentcom.core.changes import Change, Progress
from agentcom.core.events import Draft
from agentcom.core.task import Status, Task, apply
from agentcom.store.interface import Store, Unit

PROGRESS_WAIT_S = 0.25
"""Seconds that progress may wait to be merged (PROTOCOL.md section 5)."""

MERGED_OUTPUT = 64 * 1024
"""Characters of waiting output after which it waits no longer."""

ENDED_KEPT = 4_096
"""Ended tasks remembered without their bodies, to judge late reports."""

Moved = Callable[[Task | None, Task], None]


class Ledger:
    """Holds every task that has not ended.

    :param now: Unix milliseconds.
    """

    def __init__(self, store: Store, clock: IReactorTime, now: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._now = now
        self.live: dict[str, Task] = {}
        self._ended: OrderedDict[str, Task] = OrderedDict()
        self._progress: dict[str, Progress] = {}
        self._moved: Moved = lambda old, new: None

    def on_move(self, moved: Moved) -> None:
        """Hear of each change of a task: the old state (``None``: new), the new."""
        self._moved = moved

    def load(self, tasks: list[Task]) -> None:
        """Take in what the store has, at start."""
        for task in tasks:
            self.live[task.id] = task
            self._moved(None, task)

    def find(self, task_id: str) -> Task | None:
        """A live task, or one that ended lately (then without its bodies)."""
        return self.live.get(task_id) or self._ended.get(task_id)

    def add(self, task: Task, drafts: list[Draft], then: Callable[[], None] | None = None) -> None:
        """Take a new task."""
        self.live[task.id] = task
        self._store.commit(Unit((task,), True, drafts, (), then))
        self._moved(None, task)

    def change(self, task_id: str, change: Change, then: Callable[[], None] | None = None) -> Task:
        """Change a live task; ``then`` runs after the commit.

        What the change makes room for may be assigned before this returns.

        :raises IllegalTransition: the task's status does not allow it.
        """
        task = self.live[task_id]
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
        self._store.commit(Unit((new,), False, drafts, (), then))
        if new.status.ended:
            del self.live[task_id]
            self.remember(new)
        else:
            self.live[task_id] = new
        self._moved(task, new)
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
        if then is not None:
            self._store.commit(Unit(then=then))

    def remember(self, task: Task) -> None:
        """Keep what is needed to judge a late report on an ended task."""
        self._ended[task.id] = msgspec.structs.replace(
            task, description="", metadata=b"{}", result=None
        )
        self._ended.move_to_end(task.id)
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)


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
