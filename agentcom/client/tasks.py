"""The calls of the HTTP API that are about tasks, each one method.

``HubClient`` in ``hub`` has them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentcom.client import replies
from agentcom.client.errors import HubError
from agentcom.client.transport import Transport

NO_TASK = "task_not_found"
TASKS = ("api", "tasks")
DEAD_LETTERS = (*TASKS, "dead-letter")

_NO_IDS = {"batch", "dead-letter", "stats"}
"""Other routes have these in the place of a task's id."""


class TaskCalls:
    """Pushing, submitting, reading and ending tasks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def push(
        self,
        agent_id: str,
        description: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> replies.Pushed:
        """Hand a task to one connected agent; it is on the hub's disk when this returns."""
        body: dict[str, Any] = {"agent_id": agent_id, "description": description}
        if metadata is not None:
            body["metadata"] = metadata
        if idempotency_key is not None:
            body["idempotency_key"] = idempotency_key
        return await self._transport.call(
            "POST", ("api", "admin", "push-task"), replies.Pushed, body=body
        )

    async def submit(self, task: Mapping[str, Any]) -> replies.Queued:
        """Put a task into the queue; it is on the hub's disk when this returns.

        :param task: the fields of ``agentcom.wire.tasks.SubmitTask``.
        """
        return await self._transport.call("POST", TASKS, replies.Queued, body=task)

    async def submit_batch(self, tasks: Sequence[Mapping[str, Any]]) -> replies.BatchQueued:
        """Put all of these tasks into the queue, or none: up to 1 000."""
        path = (*TASKS, "batch")
        return await self._transport.call("POST", path, replies.BatchQueued, body={"tasks": tasks})

    async def task(self, task_id: str) -> replies.TaskReply:
        """One task as it is now."""
        return await self._of("GET", task_id, None, replies.TaskReply)

    async def tasks(self, **filters: str | int | None) -> replies.Tasks:
        """A page of tasks; ``status``, ``agent_id``, ``priority``, ``submitted_by``,
        ``search``, ``limit`` and ``cursor`` choose.

        With ``search`` a page may be empty and still have a cursor to look on from."""
        return await self._transport.call("GET", TASKS, replies.Tasks, params=filters)

    async def dead_letters(self, **filters: str | int | None) -> replies.Tasks:
        """The same of dead letters, chosen by ``last_error`` too and not by ``status``."""
        return await self._transport.call("GET", DEAD_LETTERS, replies.Tasks, params=filters)

    async def stats(self) -> replies.Stats:
        """How many tasks there are of each status and of each priority."""
        return await self._transport.call("GET", (*TASKS, "stats"), replies.Stats)

    async def task_events(
        self, task_id: str, *, cursor: str | None = None, limit: int | None = None
    ) -> replies.Events:
        """A page of a task's events, oldest first."""
        params = {"cursor": cursor, "limit": limit}
        return await self._of("GET", task_id, "events", replies.Events, params=params)

    async def explain(self, task_id: str) -> replies.Explained:
        """Why a task waits, who has it, or who decided its end."""
        return await self._of("GET", task_id, "explain", replies.Explained)

    async def cancel(self, task_id: str, reason: str | None = None) -> replies.Cancelled:
        """Cancel a task; a running agent is told."""
        return await self._of("POST", task_id, "cancel", replies.Cancelled, body=_because(reason))

    async def retry(self, task_id: str) -> replies.Requeued:
        """Put a dead letter back into the queue."""
        return await self._of("POST", task_id, "retry", replies.Requeued, body={})

    async def requeue(self, task_id: str, reason: str | None = None) -> replies.Requeued:
        """Take a task back from the agent that has it."""
        return await self._of("POST", task_id, "requeue", replies.Requeued, body=_because(reason))

    async def delete(self, task_id: str) -> replies.Deleted:
        """Forget a dead letter for good."""
        return await self._of("DELETE", task_id, None, replies.Deleted)

    async def retry_dead_letters(self, **chosen: Any) -> replies.Retried:
        """Put dead letters back into the queue; see ``agentcom.wire.tasks.ChooseDeadLetters``."""
        path = (*DEAD_LETTERS, "retry")
        return await self._transport.call("POST", path, replies.Retried, body=_given(chosen))

    async def delete_dead_letters(self, **chosen: Any) -> replies.DeletedMany:
        """Forget dead letters for good, chosen in the same way."""
        path = (*DEAD_LETTERS, "delete")
        return await self._transport.call("POST", path, replies.DeletedMany, body=_given(chosen))

    async def _of(
        self,
        method: str,
        task_id: str,
        below: str | None,
        shape: type[replies.T],
        *,
        params: Mapping[str, str | int | None] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> replies.T:
        """A call about one task."""
        if task_id in _NO_IDS:
            raise HubError(404, NO_TASK, {})
        path = (*TASKS, task_id, below) if below else (*TASKS, task_id)
        return await self._transport.call(
            method, path, shape, params=params, body=body, missing=NO_TASK
        )


def _because(reason: str | None) -> dict[str, Any]:
    return _given({"reason": reason})


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
