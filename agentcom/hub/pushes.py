"""The push: an order to one agent that is connected now.

It ignores slots, pauses and ``unresponsive``; the task is its agent's for
life and has one attempt (PROTOCOL.md section 4, push-task).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred

from agentcom.core.changes import Assign
from agentcom.core.ids import Ids
from agentcom.core.state import Task
from agentcom.core.task import apply, submitted
from agentcom.errors import AgentDraining, AgentNotConnected
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.holdings import Holding
from agentcom.hub.idempotency import IdempotencyKeys, check_same, hash_of
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Roster
from agentcom.wire.http import PushTask


class Pushes:
    """Takes pushes.

    :param roster: the factory-level agent map.
    :param now: Unix milliseconds.
    :param check_open: raises when nothing new can be kept.
    :param next_number: gives each new task its number.
    """

    def __init__(
        self,
        ledger: Ledger,
        dispatch: Dispatch,
        roster: Roster,
        keys: IdempotencyKeys,
        ids: Ids,
        now: Callable[[], int],
        check_open: Callable[[], None],
        next_number: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._roster = roster
        self._keys = keys
        self._ids = ids
        self._now = now
        self._check_open = check_open
        self._next_number = next_number

    async def push(self, submitter: str, body: PushTask) -> tuple[Task, bool]:
        """Order a task to an agent that is connected now.

        :returns: the task once it is on disk, and whether it is new.
        :raises AgentNotConnected: the agent is not in the map.
        :raises AgentDraining: the agent takes nothing more.
        :raises IdempotencyConflict: the key was used with another body.
        """
        on_disk: Deferred[Task] = Deferred()
        if body.idempotency_key is None:
            self.take(submitter, body, on_disk.callback)
            return await on_disk, True
        body_hash = hash_of([body.agent_id, body.description, body.metadata or {}])
        async with self._keys.reserve(submitter, [body.idempotency_key]) as known:
            for task in known.values():
                check_same(task, body_hash)
                return task, False
            self.take(submitter, body, on_disk.callback, body_hash)
            return await on_disk, True

    def take(
        self,
        submitter: str,
        body: PushTask,
        done: Callable[[Task], None],
        body_hash: str | None = None,
    ) -> None:
        """Take a push without an idempotency key, the way of nearly all, or whose key is reserved.

        :param done: called after the commit, before the agent is told.
        :raises AgentNotConnected: the agent is not in the map.
        :raises AgentDraining: the agent takes nothing more.
        """
        self._check_open()
        link = self._roster.get(body.agent_id)
        if link is None:
            raise AgentNotConnected(agent_id=body.agent_id)
        holding = self._dispatch.holdings.get(body.agent_id)
        if holding is not None and holding.draining:
            raise _draining(body.agent_id, holding)
        now = self._now()
        number, task_id = self._next_number(), self._ids.task()
        task = _pushed(number, task_id, submitter, body, body_hash, now)
        new, drafts = apply(task, Assign(body.agent_id), now)

        def committed() -> None:
            try:
                done(new)
            finally:
                self._dispatch.send(new, link)

        self._ledger.add(new, submitted(task) + drafts, committed)


def _draining(agent_id: str, holding: Holding) -> AgentDraining:
    drain, why = holding.drain, "it asked for no more work until it connects anew"
    if drain is not None:
        why = f"it is drained {drain.words()}"
    return AgentDraining(
        f"{why}; push to another agent, or submit the task and it waits",
        agent_id=agent_id,
        note=holding.asked if drain is None else drain.note,
        deadline=None if drain is None else drain.deadline,
    )


def _pushed(
    number: int, task_id: str, submitter: str, body: PushTask, body_hash: str | None, now: int
) -> Task:
    return Task(
        id=task_id,
        number=number,
        description=body.description,
        metadata=msgspec.json.encode(body.metadata or {}),
        submitted_by=submitter,
        pinned=body.agent_id,
        created_at=now,
        updated_at=now,
        idempotency_key=body.idempotency_key,
        body_hash=body_hash,
    )
