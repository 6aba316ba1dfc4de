"""One task for one idempotency key, also while the first is being written."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from agentcom.core.state import Task
from agentcom.errors import IdempotencyConflict
from agentcom.store.interface import Store
from agentcom.wire.codec import canonical

Name = tuple[str, str]
"""A submitter, and one of its keys."""

Waiters = deque[Deferred[None]]


class IdempotencyKeys:
    """Reserves keys in memory before the store is asked for them.

    A second request with a key, in the same batch too, waits for what became
    of the first and then finds it in the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reserved: dict[Name, Waiters] = {}
        self._passed_on: dict[Name, Waiters] = {}
        self._to_wake: deque[Name] = deque()
        self._waking = False

    @asynccontextmanager
    async def reserve(self, submitter: str, keys: Sequence[str]) -> AsyncIterator[dict[str, Task]]:
        """Keep a submitter's keys to oneself; gives the tasks that have one already.

        All keys are taken at once, so that two batches never wait for each
        other.  Those who wait for a key are served one after the other.
        """
        names = [(submitter, key) for key in keys]
        while (taken := self._first_taken(names)) is not None:
            await self._turn(taken)
            if self._first_taken(names) is not None:
                # It cannot use its turn yet: somebody else may.
                self._wake(taken)
        for name in names:
            self._reserved[name] = self._passed_on.pop(name, deque())
        try:
            yield await self._store.tasks_by_keys(submitter, keys)
        finally:
            for name in names:
                self._passed_on[name] = self._reserved.pop(name)
            for name in names:
                self._wake(name)

    def _first_taken(self, names: Sequence[Name]) -> Name | None:
        return next((name for name in names if name in self._reserved), None)

    async def _turn(self, name: Name) -> None:
        turn: Deferred[None] = Deferred()
        self._reserved[name].append(turn)
        try:
            await turn
        except BaseException:
            # It gave up; a turn that it was just given goes to the next one.
            for waiters in (self._reserved.get(name), self._passed_on.get(name)):
                if waiters is not None and turn in waiters:
                    waiters.remove(turn)
                    break
            else:
                self._wake(name)
            raise

    def _wake(self, name: Name) -> None:
        """Give the next one that waits for a key its turn.

        Not from within another's turn: thousands may wait.
        """
        self._to_wake.append(name)
        if self._waking:
            return
        self._waking = True
        try:
            while self._to_wake:
                self._give_turn(self._to_wake.popleft())
        finally:
            self._waking = False

    def _give_turn(self, name: Name) -> None:
        waiters = self._passed_on.get(name)
        if waiters is None:
            return
        if waiters:
            waiters.popleft().callback(None)
        if not self._passed_on.get(name, True):
            del self._passed_on[name]


def hash_of(asked: object) -> str:
    """What is compared to tell one request from another with the same key."""
    return hashlib.sha256(canonical(asked)).hexdigest()


def check_same(task: Task, body_hash: str) -> None:
    """Whether a task was made by just this request.

    :raises IdempotencyConflict: it was not.
    """
    if task.body_hash != body_hash:
        raise IdempotencyConflict("the idempotency key was used with another body", task_id=task.id)
