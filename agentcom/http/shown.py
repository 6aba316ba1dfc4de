"""Tasks as they are shown: the Task object, and lists of them by page and filter."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Raw

from agentcom.core.state import Priority, Task
from agentcom.http.route import Answer, Call, invalid_query
from agentcom.hub.hub import Hub
from agentcom.store.interface import TaskFilter
from agentcom.wire.tasks import labels_as_asked

PAGE = 100
PAGE_MOST = 1_000
CURSOR_MOST = 2**53
SEARCH_MOST = 256
"""Characters of a text that is looked for."""


def task_object(task: Task) -> dict[str, Any]:
    """The Task object of PROTOCOL.md section 4."""
    terms = task.terms
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
        "series": task.series,
        "progress": task.progress,
        "result": None if task.result is None else Raw(task.result),
        "tokens_used": task.tokens_used,
        "last_error": task.last_error,
        "submitted_by": task.submitted_by,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "assigned_at": task.assigned_at,
        "ready_at": task.ready_at,
        "expires_at": task.expires_at,
        "pinned": task.pinned,
        "origin": task.origin,
        "requeues": task.requeues,
        "capabilities": task.needs.capabilities,
        "labels": labels_as_asked(task.needs),
        "backoff": {name: getattr(terms.backoff, name) for name in _BACKOFF},
        "not_before": terms.not_before,
        "deadline": terms.deadline,
        "queue_timeout_s": terms.queue_timeout_s,
        "accept_timeout_s": terms.accept_timeout_s,
        "attempt_timeout_s": terms.attempt_timeout_s,
        "hold_s": task.hold_s,
        "on_disconnect": terms.on_disconnect,
        "idempotency_key": task.idempotency_key,
    }


async def task_list(
    hub: Hub, call: Call, status: str | None, last_error: str | None = None
) -> Answer:
    """A page of tasks, newest first, by the filters of the query string.

    :param status: the one status that the list has, ``None`` for all.
    :raises ValidationFailed: a parameter is wrong.
    """
    search = call.query("search") or None
    if search is not None and len(search) > SEARCH_MOST:
        raise invalid_query("search", f"must be at most {SEARCH_MOST} characters")
    before = call.number("cursor", 0, 0, CURSOR_MOST)
    page = await hub.store.tasks(
        TaskFilter(
            status=status,
            agent_id=call.query("agent_id"),
            priority=one_of(call, "priority", Priority),
            submitted_by=call.query("submitted_by"),
            last_error=last_error,
            before=before or None,
            limit=call.number("limit", PAGE, 1, PAGE_MOST),
            search=search,
        )
    )
    tasks = [task_object(task) for task in page.tasks]
    body: dict[str, Any] = {"tasks": tasks, "cursor": cursor(page.next)}
    if search is not None:
        body["searched"] = page.searched
    return Answer(200, body)


def cursor(next: int | None) -> str | None:
    """The cursor of a page as its client sees it."""
    return None if next is None else str(next)


def one_of(call: Call, name: str, values: type[StrEnum]) -> str | None:
    """A parameter of the query string that has few values.

    :raises ValidationFailed: it is none of them.
    """
    text = call.query(name)
    if text is not None and text not in {v.value for v in values}:
        raise invalid_query(name, "must be one of " + ", ".join(v.value for v in values))
    return text


_BACKOFF = ("initial_s", "factor", "max_s")
