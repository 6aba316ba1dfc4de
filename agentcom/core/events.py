"""The event log's values: one :class:`Event` for everything that happens.

An event is drafted with the change that it explains and gets its ``seq`` when
the batch is written (PROTOCOL.md section 5), so a draft has none.
"""

from __future__ import annotations

from typing import Any

import msgspec

TASKS = "tasks"
PRESENCE = "presence"
TOPICS = (TASKS, PRESENCE)

TASK_SUBMITTED = "task_submitted"
TASK_ASSIGNED = "task_assigned"
TASK_ACCEPTED = "task_accepted"
TASK_PROGRESS = "task_progress"
TASK_COMPLETE = "task_complete"
TASK_FAILED = "task_failed"
TASK_REJECTED = "task_rejected"
TASK_RECOVERING = "task_recovering"
TASK_REQUEUED = "task_requeued"
TASK_CANCELLED = "task_cancelled"
TASK_DEAD_LETTER = "task_dead_letter"
TASK_EXPIRED = "task_expired"
TASK_DELETED = "task_deleted"
OUTPUT_TRUNCATED = "output_truncated"

AGENT_JOINED = "agent_joined"
AGENT_LEFT = "agent_left"
STATUS_CHANGED = "status_changed"
AGENT_DRAINING = "agent_draining"
AGENT_DRAINED = "agent_drained"
AGENT_RESUMED = "agent_resumed"
HUB_DRAINING = "hub_draining"
HUB_RESUMED = "hub_resumed"
HUB_STARTED = "hub_started"

TERMINAL_EVENTS = frozenset({TASK_COMPLETE, TASK_CANCELLED, TASK_DEAD_LETTER, TASK_EXPIRED})


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An event that is not in the log yet.

    :ivar timestamp: Unix milliseconds.
    :ivar payload: the event's own fields, already JSON, always an object.
    :ivar number: the task's; clients do not see it, the store finds events by it.
    """

    topic: str
    event: str
    timestamp: int
    task_id: str | None = None
    agent_id: str | None = None
    generation: int | None = None
    payload: bytes = b"{}"
    number: int | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event of the log, as clients see it.

    :ivar seq: its place in the log; null for what is shown to live watchers
        only (a report for a task that the hub does not know).
    """

    seq: int | None
    topic: str
    event: str
    task_id: str | None
    agent_id: str | None
    generation: int | None
    timestamp: int
    payload: msgspec.Raw


def numbered(draft: Draft, seq: int | None) -> Event:
    """The event that a draft becomes once its place in the log is known."""
    return Event(
        seq,
        draft.topic,
        draft.event,
        draft.task_id,
        draft.agent_id,
        draft.generation,
        draft.timestamp,
        msgspec.Raw(draft.payload),
    )


def payload(**fields: Any) -> bytes:
    """Encode an event's own fields; those that are ``None`` are left out."""
    return msgspec.json.encode({k: v for k, v in fields.items() if v is not None})


def payload_of(event: Event) -> dict[str, Any]:
    """An event's own fields, decoded."""
    return msgspec.json.decode(event.payload, type=dict[str, Any])
