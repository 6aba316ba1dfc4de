"""The queue: submit tasks, one or many, and take one back from its agent."""

from __future__ import annotations

from collections.abc import Awaitable

from agentcom.core.task import Task
from agentcom.core.tokens import ADMIN, SUBMIT
from agentcom.errors import (
    AgentDraining,
    AgentNotConnected,
    HubDraining,
    IdempotencyConflict,
    InvalidState,
    QueueFull,
    TaskNotFound,
)
from agentcom.http.route import Answer, Call, Later, Route
from agentcom.hub.hub import Hub
from agentcom.wire.answers.tasks import Pushed, Requeued, Submitted, SubmittedAll
from agentcom.wire.codec import cut, encode
from agentcom.wire.http import PushTask
from agentcom.wire.tasks import RequeueTask, SubmitBatch, SubmitTask, too_large

BATCH_BODY = 16 * 1024 * 1024
"""Bytes of a batch (PROTOCOL.md section 4)."""


class QueueRoutes:
    """What brings tasks into the queue, or back into it.

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
                example={"agent_id": "builder-1", "description": "say hello"},
                answers={200: Pushed},
                refuses=(AgentNotConnected, AgentDraining, IdempotencyConflict, HubDraining),
                handler=self.push,
            ),
            Route(
                method="POST",
                path="/api/tasks",
                name="submit_task",
                scope=SUBMIT,
                body=SubmitTask,
                example={"description": "build it", "priority": "high", "capabilities": ["gpu"]},
                answers={201: Submitted, 200: Submitted},
                refuses=(IdempotencyConflict, QueueFull),
                handler=self.submit,
            ),
            Route(
                method="POST",
                path="/api/tasks/batch",
                name="submit_batch",
                scope=SUBMIT,
                body=SubmitBatch,
                example={"tasks": [{"description": "build it"}, {"description": "test it"}]},
                answers={201: SubmittedAll, 200: SubmittedAll},
                refuses=(IdempotencyConflict, QueueFull),
                max_body=BATCH_BODY,
                handler=self.submit_batch,
            ),
            Route(
                method="POST",
                path="/api/tasks/<task_id>/requeue",
                name="requeue_task",
                scope=ADMIN,
                body=RequeueTask,
                body_optional=True,
                example={"reason": "its machine is slow"},
                answers={200: Requeued},
                refuses=(TaskNotFound, InvalidState),
                handler=self.requeue,
            ),
        ]

    def push(self, call: Call) -> Later | Awaitable[Answer]:
        """Order a task to a connected agent; answered once it is on disk."""
        self._check_size(call)
        if call.body.idempotency_key is not None:
            return self._push_keyed(call)
        later = Later()
        self._hub.pushes.take(call.caller, call.body, lambda task: later.give(_pushed(task)))
        return later

    async def _push_keyed(self, call: Call) -> Answer:
        task, _ = await self._hub.pushes.push(call.caller, call.body)
        return _pushed(task)

    def submit(self, call: Call) -> Later | Awaitable[Answer]:
        """Take a task into the queue; answered once it is on disk."""
        self._check_size(call)
        if call.body.idempotency_key is not None:
            return self._submit_keyed(call)
        later = Later()
        self._hub.submissions.take(
            call.caller, call.body, lambda task: later.give(_submitted(task, True))
        )
        return later

    async def _submit_keyed(self, call: Call) -> Answer:
        return _submitted(*await self._hub.submissions.submit(call.caller, call.body))

    async def submit_batch(self, call: Call) -> Answer:
        """Take all of these tasks into the queue, or none."""
        body: SubmitBatch = call.body
        if call.size > self._max_task:
            large = [n for n, task in enumerate(body.tasks) if _size(task) > self._max_task]
            if large:
                raise too_large(self._max_task, *(f"tasks[{n}].metadata" for n in large))
        made = await self._hub.submissions.submit_all(call.caller, list(body.tasks))
        return Answer(
            201 if any(new for _, new in made) else 200,
            {"task_ids": [task.id for task, _ in made]},
        )

    async def requeue(self, call: Call) -> Answer:
        """Take a task from its agent and put it back into the queue."""
        task = await self._hub.tasks.requeue(
            call.args["task_id"], call.caller, cut(call.body.reason)
        )
        return Answer(200, {"status": "requeued", "task_id": task.id, "priority": task.priority})

    def _check_size(self, call: Call) -> None:
        if call.size > self._max_task:
            raise too_large(self._max_task, "metadata")


def _pushed(task: Task) -> Answer:
    return Answer(200, {"status": "pushed", "task_id": task.id, "agent_id": task.pinned})


def _submitted(task: Task, new: bool) -> Answer:
    return Answer(
        201 if new else 200,
        {
            # Of a new one as it was submitted, though an idle agent may have it already.
            "status": task.status,
            "task_id": task.id,
            "priority": task.priority,
            "created_at": task.created_at,
        },
    )


def _size(task: SubmitTask) -> int:
    """About the bytes of one task of a batch: what is not counted has small bounds."""
    return len(encode([task.description, task.metadata, task.labels]))
