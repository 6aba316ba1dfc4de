"""Tasks in numbers, and those of one agent."""

from __future__ import annotations

from typing import Any

from agentcom.core.state import Status
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.ledger import Ledger
from agentcom.hub.totals import Totals
from agentcom.store.interface import Store


class Overview:
    """What people see before they look at one task."""

    def __init__(self, store: Store, ledger: Ledger, dispatch: Dispatch) -> None:
        self._store = store
        self._ledger = ledger
        self._dispatch = dispatch

    def tasks_of(self, agent_id: str, most: int) -> list[dict[str, Any]]:
        """What an agent has, and some of what waits for it alone, in short."""
        queue, live = self._dispatch.queue, self._ledger.live
        ids = self._dispatch.holdings.running(agent_id)[:most]
        for group in queue.pinned_to(agent_id):
            ids += queue.some_of(group, most - len(ids))
        # What is parked is not read for this: its texts may be large.
        found = ((task_id, live.get(task_id)) for task_id in ids)
        return [
            {
                "task_id": task_id,
                "status": Status.QUEUED if task is None else task.status,
                "generation": None if task is None else task.generation,
                "progress": None if task is None else task.progress,
            }
            for task_id, task in found
        ]

    async def stats(self, totals: Totals) -> dict[str, dict[str, int]]:
        """How many tasks there are of each status, and wait at each priority.

        :param totals: what is known of those that have ended.
        """
        if totals.known:
            held = await self._store.held_counts()
            waiting = {Status.QUEUED.value: len(self._dispatch.queue)}
            counts = {**held, **waiting, **totals.ended()}
        else:
            counts = await self._store.counts()
        return {
            "by_status": {status.value: counts.get(status.value, 0) for status in Status},
            "by_priority": self._dispatch.queue.by_priority(),
        }
