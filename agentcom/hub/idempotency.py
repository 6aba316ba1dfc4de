"""One task for one idempotency key, also while the first is being written."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from agentcom.core.task import Task
from agentcom.errors import IdempotencyConflict
from agentcom.store.interface import Store


class IdempotencyKeys:
    """Reserves keys in memory before the store is asked for them.

    A second request with a key, in the same batch too, waits for what became
    of the first and then finds it in the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reserved: dict[tuple[str, str], list[Deferred[None]]] = {}

    async def once(
        self, submitter: str, key: str, body_hash: str, make: Callable[[], Deferred[Task]]
    ) -> tuple[Task, bool]:
        """The submitter's task of this key, made unless it is there.

        :returns: the task, and whether it is new.
        :raises IdempotencyConflict: the key was used with another body.
        """
        name = submitter, key
        while name in self._reserved:
            turn: Deferred[None] = Deferred()
            self._reserved[name].append(turn)
            await turn
        self._reserved[name] = []
        try:
            before = await self._store.task_by_key(submitter, key)
            if before is None:
                return await make(), True
            if before.body_hash != body_hash:
                raise IdempotencyConflict(
                    "the idempotency key was used with another body", task_id=before.id
                )
            return before, False
        finally:
            for waiter in self._reserved.pop(name):
                waiter.callback(None)
