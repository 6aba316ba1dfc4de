"""What people and programs do with tasks: push, cancel, take back.

Every answer is given once what it says is on disk.  What can be done to tasks
that have ended is in :mod:`.archive`, how they come into the queue in
:mod:`.submissions`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred

from agentcom.core.changes import Assign, Requeue
from agentcom.core.ids import Ids
from agentcom.core.state import Task
from agentcom.core.task import apply, submitted
from agentcom.errors import (
    AgentDraining,
    AgentNotConnected,
    InvalidState,
    TaskNotFound,
)
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.idempotency import IdempotencyKeys, check_same, hash_of
from agentcom.hub.interventions import Interventions
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Roster
from agentcom.hub.willingness import Willingness
from agentcom.store.interface import Store
from agentcom.wire.http import PushTask


class Tasks:
    """What is asked for from the outside, of tasks that have not ended.

    :param check_open: raises when nothing new can be kept.
    :param check_running: raises while the hub drains.
    :param now: Unix milliseconds.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        dispatch: Dispatch,
        interventions: Interventions,
        willingness: Willingness,
        roster: Roster,
        keys: IdempotencyKeys,
        ids: Ids,
        now: Callable[[], int],
        check_open: Callable[[], None],
        check_running: Callable[[], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._dispatch = dispatch
        self._interventions = interventions
        self._willingness = willingness
        self._roster = roster
        self._ids = ids
        self._now = now
        self._check_open = check_open
        self._check_running = check_running
        self._keys = keys

    async def push(self, submitter: str, body: PushTask) -> tuple[Task, bool]:
        """Order a task to an agent that is connected now (section 4, push-task).

        :returns: the task once it is on disk, and whether it is new.
        :raises AgentNotConnected: the agent is not in the map.
        :raises AgentDraining: the agent takes nothing more.
        :raises IdempotencyConflict: the key was used with another body.
        """
        if body.idempotency_key is None:
            return await self._push(submitter, body, None), True
        body_hash = hash_of([body.agent_id, body.description, body.metadata or {}])
        async with self._keys.reserve(submitter, [body.idempotency_key]) as known:
            for task in known.values():
                check_same(task, body_hash)
                return task, False
            return await self._push(submitter, body, body_hash), True

    def _push(self, submitter: str, body: PushTask, body_hash: str | None) -> Deferred[Task]:
        self._check_open()
        link = self._roster.get(body.agent_id)
        if link is None:
            raise AgentNotConnected(agent_id=body.agent_id)
        if self._dispatch.is_draining(body.agent_id):
            raise AgentDraining(agent_id=body.agent_id)
        now = self._now()
        task = _pushed(self._ids.task(), submitter, body, body_hash, now)
        new, drafts = apply(task, Assign(body.agent_id), now)
        on_disk: Deferred[Task] = Deferred()

        def committed() -> None:
            on_disk.callback(new)
            self._dispatch.send(new, link)

        self._ledger.add(new, submitted(task) + drafts, committed)
        return on_disk

    async def cancel(self, task_id: str, by: str, reason: str | None) -> None:
        """End a task that nobody wants any more; an agent that runs it is told.

        :raises TaskNotFound: there is none.
        :raises InvalidState: it has ended.
        """
        self._check_running()
        await self._live(task_id)
        self._check_running()
        done: Deferred[None] = Deferred()
        self._interventions.cancel(task_id, by, reason, lambda: done.callback(None))
        await done

    async def requeue(self, task_id: str, by: str, reason: str | None) -> Task:
        """Take a task back from the agent that has it; that one pauses a while.

        :raises TaskNotFound: there is none.
        :raises InvalidState: no agent has it.
        """
        self._check_running()
        task = await self._live(task_id)
        if not task.status.held:
            await self._refuse(task)
        done: Deferred[None] = Deferred()
        # First the pause, or the very same agent might be given it again.
        self._willingness.rejected(task.agent_id or "")
        change = Requeue("operator", by, reason)
        self._interventions.take_back(task_id, change, lambda: done.callback(None))
        await done
        return task

    async def _live(self, task_id: str) -> Task:
        """A task that has not ended, at the moment of the return."""
        task = self._ledger.find(task_id)
        while task is None:
            # Not in memory, so it has ended long ago.
            await self._ledger.settled()
            stored = await self._store.task(task_id)
            if stored is None:
                raise TaskNotFound(task_id=task_id)
            if stored.status.ended and self._ledger.find(task_id) is None:
                raise InvalidState(task_id=task_id, status=stored.status.value)
            task = self._ledger.find(task_id)
        if task.status.ended:
            await self._refuse(task)
        return task

    async def _refuse(self, task: Task) -> None:
        # What it is may not be on disk yet, and is told only then.
        await self._ledger.settled()
        raise InvalidState(task_id=task.id, status=task.status.value)


def _pushed(task_id: str, submitter: str, body: PushTask, body_hash: str | None, now: int) -> Task:
    return Task(
        id=task_id,
        description=body.description,
        metadata=msgspec.json.encode(body.metadata or {}),
        submitted_by=submitter,
        pinned=body.agent_id,
        created_at=now,
        updated_at=now,
        idempotency_key=body.idempotency_key,
        body_hash=body_hash,
    )
