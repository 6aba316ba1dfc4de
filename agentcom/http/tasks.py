"""Push a task to an agent; read tasks; cancel one."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from agentcom.core.task import Priority, Status, Task
from agentcom.core.tokens import SUBMIT
from agentcom.errors import InvalidState, TaskNotFound, ValidationFailed
from agentcom.http.routing import Answer, Call, Route, invalid_query
from agentcom.hub.hub import Hub
from agentcom.store.interface import PAGE_BYTES, TaskFilter, event_weight, task_weight
from agentcom.wire.codec import cut
from agentcom.wire.http import CancelTask, PushTask

PAGE = 100
PAGE_MOST = 1_000


def task_object(task: Task) -> dict[str, Any]:
    """The Task object of PROTOCOL.md section 4."""
    return {
        "id": task.id,
        "description": task.description,
        "metadata": Raw(task.metadata),
        "priority": task.priority,
        "status": task.status,
        "agent_id": task.agent_id,
        "generation": task.generation,
        "attempts": task.attempts,
        "max_attempts": task.max_attempts,
        "progress": task.progress,
        "result": None if task.result is None else Raw(task.result),
        "tokens_used": task.tokens_used,
        "last_error": task.last_error,
        "submitted_by": task.submitted_by,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "assigned_at": task.assigned_at,
        "pinned": task.pinned,
        "origin": task.origin,
        "hold_s": task.hold_s,
        "requeues": task.requeues,
        "idempotency_key": task.idempotency_key,
    }


class TaskRoutes:
    """The routes under ``/api/tasks``, and push-task.

    :param max_task: bytes that a task may have, encoded.
    """

    def __init__(self, hub: Hub, max_task: int) -> None:
        self._hub = hub
        self._max_task = max_task

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            Route(
                method="POST",
                path="/api/admin/push-task",
                name="push_task",
                scope=SUBMIT,
                body=PushTask,
                required=("agent_id", "description"),
                handler=self.push,
            ),
            Route(
                method="GET", path="/api/tasks", name="list_tasks", scope=SUBMIT, handler=self.list
            ),
            Route(
                method="GET",
                path="/api/tasks/<task_id>",
                name="get_task",
                scope=SUBMIT,
                handler=self.get,
            ),
            Route(
                method="GET",
                path="/api/tasks/<task_id>/events",
                name="task_events",
                scope=SUBMIT,
                handler=self.events,
            ),
            Route(
                method="POST",
                path="/api/tasks/<task_id>/cancel",
                name="cancel_task",
                scope=SUBMIT,
                body=CancelTask,
                body_optional=True,
                handler=self.cancel,
            ),
        ]

    async def push(self, call: Call) -> Answer:
        """Order a task to a connected agent; answered once it is on disk."""
        if call.size > self._max_task:
            raise ValidationFailed(
                [
                    {
                        "field": "metadata",
                        "error": "too_long",
                        "detail": f"a task is at most {self._max_task} bytes encoded",
                    }
                ]
            )
        task, _ = await self._hub.push(call.caller, call.body)
        return Answer(200, {"status": "pushed", "task_id": task.id, "agent_id": task.pinned})

    async def list(self, call: Call) -> Answer:
        """Tasks, newest first, by page."""
        limit = call.number("limit", PAGE, 1, PAGE_MOST)
        before = call.number("cursor", 0, 0, 2**53)
        wanted = TaskFilter(
            status=_one_of(call, "status", Status),
            agent_id=call.query("agent_id"),
            priority=_one_of(call, "priority", Priority),
            submitted_by=call.query("submitted_by"),
            before=before or None,
            limit=limit,
        )
        rows = await self._hub.store.tasks(wanted)
        full = len(rows) == limit or sum(task_weight(task) for _, task in rows) >= PAGE_BYTES
        cursor = str(rows[-1][0]) if full else None
        return Answer(200, {"tasks": [task_object(task) for _, task in rows], "cursor": cursor})

    async def get(self, call: Call) -> Answer:
        """One task."""
        return Answer(200, task_object(await self._stored(call)))

    async def events(self, call: Call) -> Answer:
        """A task's events, oldest first, by page."""
        limit = call.number("limit", PAGE, 1, PAGE_MOST)
        after = call.number("cursor", 0, 0, 2**53)
        task = await self._stored(call)
        events = await self._hub.store.task_events(task.id, after, limit)
        full = len(events) == limit or sum(map(event_weight, events)) >= PAGE_BYTES
        cursor = str(events[-1].seq) if full else None
        return Answer(200, {"events": events, "cursor": cursor})

    async def cancel(self, call: Call) -> Answer:
        """End a task that nobody wants any more."""
        task_id = call.args["task_id"]
        if self._hub.ledger.find(task_id) is None:
            # Not in memory, so it has ended; its end may be on its way to disk.
            await self._hub.store.idle()
            task = await self._stored(call)
            raise InvalidState(task_id=task_id, status=task.status.value)
        await self._hub.cancel(task_id, call.caller, cut(call.body.reason))
        return Answer(200, {"status": "cancelled", "task_id": task_id})

    async def _stored(self, call: Call) -> Task:
        task_id = call.args["task_id"]
        task = await self._hub.store.task(task_id)
        if task is None:
            raise TaskNotFound(task_id=task_id)
        return task


def _one_of(call: Call, name: str, values: type[Status] | type[Priority]) -> str | None:
    text = call.query(name)
    if text is not None and text not in {v.value for v in values}:
        raise invalid_query(name, "must be one of " + ", ".join(v.value for v in values))
    return text
