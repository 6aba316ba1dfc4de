"""What can still be done to tasks that have ended: retry, delete, forget.

One thing at a time: each reads what the store has, looks whether memory has
moved on, and has its own change on disk before the next begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from twisted.internet.defer import DeferredLock

from agentcom.core import events
from agentcom.core.changes import Retry
from agentcom.core.events import Draft, payload
from agentcom.core.state import Status, Task
from agentcom.errors import AgentComError, InvalidState, TaskNotFound
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.eventlog import EventLog
from agentcom.hub.ledger import Ledger
from agentcom.store.interface import Store, TaskFilter, TaskPage, Unit
from agentcom.wire.tasks import ChooseDeadLetters

AT_A_TIME = 50
"""Tasks of one step of a change of many; others go on between two steps."""

Place = tuple[int, int]
"""Where a look for what is old goes on; see :class:`.interface.Old`."""

Step = Callable[[list[Task]], None]


class Archive:
    """Tasks that have ended.

    :param now: Unix milliseconds.
    :param check_open: raises when nothing new can be kept.
    :param check_room: raises where so many more may not wait.
    :ivar deleted: how many tasks went, by the status in which they had ended.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        dispatch: Dispatch,
        event_log: EventLog,
        now: Callable[[], int],
        check_open: Callable[[], None],
        check_room: Callable[[int], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._dispatch = dispatch
        self._event_log = event_log
        self._now = now
        self._check_open = check_open
        self._check_room = check_room
        self._lock = DeferredLock()
        self.deleted: Counter[str] = Counter()

    async def retry(self, task_id: str, by: str) -> Task:
        """Give a dead letter a new series of attempts.

        :raises TaskNotFound: there is no such task.
        :raises InvalidState: it is no dead letter.
        """
        return await self._one(task_id, lambda tasks: self._retry(tasks, by))

    async def retry_many(self, choice: ChooseDeadLetters, by: str) -> tuple[int, int]:
        """Retry the dead letters that are chosen.

        :returns: how many were retried, and how many named ones were not dead letters.
        """
        return await self._each(choice, lambda tasks: self._retry(tasks, by))

    async def delete(self, task_id: str, by: str) -> None:
        """Delete a dead letter; the log keeps its events, and who deleted it.

        :raises TaskNotFound: there is no such task.
        :raises InvalidState: it is no dead letter.
        """
        await self._one(task_id, lambda tasks: self._delete(tasks, by))

    async def delete_many(self, choice: ChooseDeadLetters, by: str) -> tuple[int, int]:
        """Delete the dead letters that are chosen; see :meth:`retry_many`."""
        return await self._each(choice, lambda tasks: self._delete(tasks, by))

    async def prune(self, before: int, place: Place) -> tuple[int, Place | None]:
        """Forget some of what ended before a time.

        :param before: Unix milliseconds.
        :param place: where to look, ``(0, 0)`` to begin.
        :returns: how many tasks went, and the place to go on from.
        """
        async with self._alone():
            old = await self._store.old(before, self._now(), place, AT_A_TIME)
            if old.tasks or old.events:
                for task_id in old.tasks:
                    self._ledger.forget(task_id)
                self.deleted.update(old.statuses)
                self._event_log.forgotten(max(old.events, default=0))
                self._store.commit(Unit(forgotten=old.tasks, forgotten_events=old.events))
                await self._ledger.settled()
            return len(old.tasks), old.next

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One at a time, on what is on disk."""
        # Also before it waits: whoever has the lock may wait for a disk that hangs.
        self._check_open()
        await self._lock.acquire()
        try:
            self._check_open()
            await self._ledger.settled()
            yield
        finally:
            self._lock.release()

    async def _one(self, task_id: str, step: Step) -> Task:
        async with self._alone():
            task = await self._dead_letter(task_id)
            step([task])
            await self._ledger.settled()
            return task

    async def _each(self, choice: ChooseDeadLetters, step: Step) -> tuple[int, int]:
        done = 0
        before: int | None = None
        while True:
            try:
                page = await self._step(choice, before, step)
            except AgentComError as e:
                # What was done stays done, and is told.
                e.fields["done"] = done
                raise
            done += len(page.tasks)
            before = page.next
            if before is None:
                named = 0 if choice.task_ids is None else len(set(choice.task_ids))
                return done, max(0, named - done)

    async def _step(self, choice: ChooseDeadLetters, before: int | None, step: Step) -> TaskPage:
        wanted = TaskFilter(
            status=Status.DEAD_LETTER,
            agent_id=choice.agent_id,
            priority=None if choice.priority is None else choice.priority.value,
            submitted_by=choice.submitted_by,
            last_error=choice.last_error,
            task_ids=choice.task_ids,
            before=before,
            limit=AT_A_TIME,
        )
        async with self._alone():
            page = await self._store.tasks(wanted)
            step(page.tasks)
            await self._ledger.settled()
            return page

    async def _dead_letter(self, task_id: str) -> Task:
        live = self._ledger.peek(task_id)
        task = await self._store.task(task_id) if live is None else live
        if task is None:
            raise TaskNotFound(task_id=task_id)
        if task.status is not Status.DEAD_LETTER:
            raise InvalidState(task_id=task_id, status=task.status.value)
        return task

    def _retry(self, tasks: list[Task], by: str) -> None:
        self._check_room(len(tasks))

        def retry() -> None:
            for task in tasks:
                self._ledger.revive(task, Retry(by))

        self._dispatch.together(retry)

    def _delete(self, tasks: list[Task], by: str) -> None:
        if not tasks:
            return
        now = self._now()
        told = payload(by=by)
        drafts = [
            Draft(
                events.TASKS,
                events.TASK_DELETED,
                now,
                t.id,
                t.agent_id,
                t.generation,
                told,
                t.number,
            )
            for t in tasks
        ]
        for task in tasks:
            self._ledger.forget(task.id)
            self.deleted[task.status] += 1
        self._store.commit(Unit(drafts=drafts, forgotten=[task.id for task in tasks]))
