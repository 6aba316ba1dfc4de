"""What people and programs do with tasks that live: cancel, take back.

Every answer is given once what it says is on disk.  How tasks come in is in
:mod:`.pushes` and :mod:`.submissions`, what can be done to those that have
ended in :mod:`.archive`.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from agentcom.core.changes import Requeue
from agentcom.core.state import Task
from agentcom.errors import InvalidState, TaskNotFound
from agentcom.hub.interventions import Interventions
from agentcom.hub.ledger import Ledger
from agentcom.hub.willingness import Willingness
from agentcom.store.interface import Store


class Tasks:
    """What is asked for, from the outside, of tasks that have not ended.

    :param check_running: raises while the hub drains.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        interventions: Interventions,
        willingness: Willingness,
        check_running: Callable[[], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._interventions = interventions
        self._willingness = willingness
        self._check_running = check_running

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
