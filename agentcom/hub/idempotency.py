"""One task for one idempotency key, also while the first is being written."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from agentcom.core.state import Task
from agentcom.errors import IdempotencyConflict
from agentcom.store.interface import Store
from agentcom.wire.codec import canonical


class IdempotencyKeys:
    """Reserves keys in memory before the store is asked for them.

    A second request with a key, in the same batch too, waits for what became
    of the first and then finds it in the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reserved: dict[tuple[str, str], list[Deferred[None]]] = {}

    @asynccontextmanager
    async def reserve(self, submitter: str, keys: Sequence[str]) -> AsyncIterator[dict[str, Task]]:
        """Keep a submitter's keys to oneself; gives the tasks that have one already.

        All keys are taken at once, so that two batches never wait for each other.
        """
        names = [(submitter, key) for key in keys]
        while (taken := next((n for n in names if n in self._reserved), None)) is not None:
            turn: Deferred[None] = Deferred()
            self._reserved[taken].append(turn)
            await turn
        for name in names:
            self._reserved[name] = []
        try:
            yield await self._store.tasks_by_keys(submitter, keys)
        finally:
            for name in names:
                for waiter in self._reserved.pop(name):
                    waiter.callback(None)


def hash_of(asked: object) -> str:
    """What is compared to tell one request from another with the same key."""
    return hashlib.sha256(canonical(asked)).hexdigest()


def check_same(task: Task, body_hash: str) -> None:
    """Whether a task was made by just this request.

    :raises IdempotencyConflict: it was not.
    """
    if task.body_hash != body_hash:
        raise IdempotencyConflict("the idempotency key was used with another body", task_id=task.id)
