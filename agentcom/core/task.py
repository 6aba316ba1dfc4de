"""The life of a task: its states, and :func:`apply`, which alone changes it.

Whoever asks (an agent's report, an operator, a timer), the change is a value
of ``core/changes.py``, :data:`TRANSITIONS` says from which states it is legal, and
``apply`` gives the new task with the events that explain it.  Whether an
agent's report may ask at all is decided before, in ``core/fence.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from agentcom.core import events
from agentcom.core.changes import (
    Accept,
    Assign,
    Cancel,
    Change,
    Complete,
    Expire,
    Fail,
    Progress,
    Reassign,
    Recover,
    Reject,
    Requeue,
)
from agentcom.core.events import Draft, payload

MAX_REQUEUES = 100
"""Requeues that are nobody's fault, before ``requeue_limit`` (section 3.2)."""

OUTPUT_KEPT = 4 * 1024 * 1024
"""Bytes of output kept of one task (section 5)."""

DESCRIPTION_IN_EVENT = 200
"""Characters of the description that ``task_submitted`` shows."""


class Status(StrEnum):
    """Where a task is in its life (PROTOCOL.md section 4, Task object)."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    WORKING = "working"
    COMPLETED = "completed"
    DEAD_LETTER = "dead_letter"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the task by itself."""
        return self in ENDED

    @property
    def held(self) -> bool:
        """Whether an agent has the task now."""
        return self in HELD


ENDED = frozenset({Status.COMPLETED, Status.DEAD_LETTER, Status.CANCELLED, Status.EXPIRED})
HELD = frozenset({Status.ASSIGNED, Status.WORKING})


class Priority(StrEnum):
    """What goes first when several tasks wait."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Ending(msgspec.Struct, frozen=True):
    """The report that ended the last attempt, for rule 2 of section 3.2.

    :ivar kind: the report's type.
    :ivar answer: what it was answered, to be said again to a repetition.
    """

    kind: str
    agent_id: str
    generation: int
    answer: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task.  Times are Unix milliseconds.

    :ivar metadata: JSON object, as it came.
    :ivar result: JSON value that the agent sent when the last attempt ended.
    :ivar pinned: the only agent that may have it, ``None`` for any.
    :ivar agent_id: the assignee; while queued, the agent that had it last.
    :ivar generation: the fencing token: 0 before the first assignment.
    :ivar attempts: attempts begun and not given back.
    :ivar requeues: requeues that were nobody's fault and count to the limit.
    :ivar recover_due: when the attempt fails unless something is heard of it.
    :ivar hold_s: seconds that a vanished agent keeps the task.
    """

    id: str
    description: str
    submitted_by: str
    created_at: int
    updated_at: int
    status: Status = Status.QUEUED
    metadata: bytes = b"{}"
    priority: Priority = Priority.NORMAL
    origin: str = "push"
    pinned: str | None = None
    agent_id: str | None = None
    generation: int = 0
    attempts: int = 0
    max_attempts: int = 1
    progress: float | None = None
    result: bytes | None = None
    tokens_used: int | None = None
    last_error: str | None = None
    assigned_at: int | None = None
    hold_s: float = 30.0
    requeues: int = 0
    recover_due: int | None = None
    output_bytes: int = 0
    ending: Ending | None = None
    idempotency_key: str | None = None
    body_hash: str | None = None


Applied = tuple[Task, list[Draft]]


class IllegalTransition(Exception):
    """The change is not legal from the task's status."""


TRANSITIONS: dict[type, frozenset[Status]] = {
    Assign: frozenset({Status.QUEUED}),
    Accept: HELD,
    Progress: HELD,
    Complete: HELD | {Status.QUEUED},
    Fail: HELD | {Status.QUEUED},
    Reject: frozenset({Status.ASSIGNED}),
    Recover: HELD | {Status.QUEUED},
    Reassign: HELD,
    Requeue: HELD,
    Cancel: HELD | {Status.QUEUED},
    Expire: frozenset({Status.QUEUED}),
}

# An agent that is away says nothing of the task, so these cost a task that
# waits for just that agent nothing (section 3.2, Rejected).
_ABSENCE = frozenset({"hold_expired", "token_revoked"})


def submitted(task: Task) -> list[Draft]:
    """The event of a new task."""
    return [
        _draft(
            task,
            events.TASK_SUBMITTED,
            payload(
                description=task.description[:DESCRIPTION_IN_EVENT],
                priority=task.priority,
                submitted_by=task.submitted_by,
                origin=task.origin,
                pinned=task.pinned,
                max_attempts=task.max_attempts,
            ),
        )
    ]


def apply(task: Task, change: Change, now: int) -> Applied:
    """Change a task.

    :param now: Unix milliseconds.
    :returns: the new task, and the events that explain the change.
    :raises IllegalTransition: where :data:`TRANSITIONS` does not allow it.
    """
    kind = type(change)
    if task.status not in TRANSITIONS[kind]:
        raise IllegalTransition(f"{kind.__name__} of task {task.id}, which is {task.status}")
    return _STEPS[kind](task, change, now)


def _assign(task: Task, change: Assign, now: int) -> Applied:
    new = msgspec.structs.replace(
        task,
        status=Status.ASSIGNED,
        agent_id=change.agent_id,
        generation=task.generation + 1,
        attempts=task.attempts + 1,
        progress=None,
        assigned_at=now,
        updated_at=now,
        recover_due=None,
    )
    return new, [_draft(new, events.TASK_ASSIGNED, b'{"attempt":%d}' % new.attempts)]


def _accept(task: Task, change: Accept, now: int) -> Applied:
    if task.status is Status.WORKING:
        # A repeated assignment may be accepted again: nothing has changed.
        return task, []
    new = msgspec.structs.replace(task, status=Status.WORKING, updated_at=now)
    return new, [_draft(new, events.TASK_ACCEPTED)]


def _progress(task: Task, change: Progress, now: int) -> Applied:
    output = change.output
    kept = task.output_bytes
    truncated = False
    if output is not None:
        encoded = output.encode("utf-8", "replace")
        room = max(0, OUTPUT_KEPT - kept)
        truncated = kept <= OUTPUT_KEPT < kept + len(encoded)
        if len(encoded) > room:
            output = encoded[:room].decode("utf-8", "ignore")
        # One over the cap marks "truncated was told": it is told once.
        kept = min(kept + len(encoded), OUTPUT_KEPT + 1)
    new = msgspec.structs.replace(
        task,
        status=Status.WORKING,
        progress=task.progress if change.progress is None else change.progress,
        output_bytes=kept,
        updated_at=now,
    )
    drafts = []
    if task.status is not Status.WORKING:
        drafts.append(_draft(new, events.TASK_ACCEPTED, payload(implied_by=events.TASK_PROGRESS)))
    told = payload(
        progress=change.progress, message=change.message, output=output or None, cost=change.cost
    )
    if told != b"{}":
        drafts.append(_draft(new, events.TASK_PROGRESS, told))
    if truncated:
        drafts.append(_draft(new, events.OUTPUT_TRUNCATED, payload(kept_bytes=OUTPUT_KEPT)))
    return new, drafts


def _complete(task: Task, change: Complete, now: int) -> Applied:
    new = msgspec.structs.replace(
        task,
        status=Status.COMPLETED,
        attempts=_attempts_at_end(task),
        result=change.result,
        tokens_used=change.tokens_used,
        updated_at=now,
        recover_due=None,
        ending=_ending(task, events.TASK_COMPLETE, "complete"),
    )
    told = b"{}" if change.tokens_used is None else b'{"tokens_used":%d}' % change.tokens_used
    return new, [_draft(new, events.TASK_COMPLETE, told)]


def _fail(task: Task, change: Fail, now: int) -> Applied:
    attempts = _attempts_at_end(task)
    again = change.retryable and attempts < task.max_attempts
    new = msgspec.structs.replace(
        task,
        status=Status.QUEUED if again else Status.DEAD_LETTER,
        attempts=attempts,
        last_error=change.error,
        result=change.result,
        updated_at=now,
        recover_due=None,
        # What the hub decided bears no report's name, so no report repeats it.
        ending=_ending(
            task,
            events.TASK_FAILED if change.reported else change.error,
            "retried" if again else "dead_letter",
        ),
    )
    failed = payload(
        error=change.error, reason=change.reason, retryable=change.retryable, attempt=attempts
    )
    why = "attempts_exhausted" if change.retryable else "not_retryable"
    end = (
        _draft(new, events.TASK_REQUEUED, payload(reason="retry"))
        if again
        else _draft(new, events.TASK_DEAD_LETTER, payload(reason=why, error=change.error))
    )
    return new, [_draft(new, events.TASK_FAILED, failed), end]


def _reject(task: Task, change: Reject, now: int) -> Applied:
    ended = msgspec.structs.replace(task, ending=_ending(task, events.TASK_REJECTED, "rejected"))
    new, drafts = _back(ended, "rejected", now)
    return new, [_draft(task, events.TASK_REJECTED, payload(reason=change.reason), now), *drafts]


def _recover(task: Task, change: Recover, now: int) -> Applied:
    new = msgspec.structs.replace(
        task,
        # It goes on, so whatever was said to end it did not.
        ending=None,
        status=Status.WORKING,
        attempts=_attempts_at_end(task),
        recover_due=change.due,
        updated_at=now,
    )
    told = payload(outcome="continue", via=change.via, last_status=change.last_status)
    return new, [_draft(new, events.TASK_RECOVERING, told)]


def _reassign(task: Task, change: Reassign, now: int) -> Applied:
    ended = msgspec.structs.replace(task, ending=_ending(task, events.TASK_RECOVERING, "reassign"))
    new, drafts = _back(ended, "reassign", now)
    told = payload(outcome="reassign", last_status=change.last_status)
    return new, [_draft(task, events.TASK_RECOVERING, told, now), *drafts]


def _requeue(task: Task, change: Requeue, now: int) -> Applied:
    return _back(task, change.reason, now)


def _cancel(task: Task, change: Cancel, now: int) -> Applied:
    new = msgspec.structs.replace(task, status=Status.CANCELLED, updated_at=now, recover_due=None)
    return new, [_draft(new, events.TASK_CANCELLED, payload(by=change.by, reason=change.reason))]


def _expire(task: Task, change: Expire, now: int) -> Applied:
    new = msgspec.structs.replace(task, status=Status.EXPIRED, updated_at=now)
    return new, [_draft(new, events.TASK_EXPIRED, payload(reason=change.reason))]


_STEPS: dict[type, Callable[[Task, Any, int], Applied]] = {
    Assign: _assign,
    Accept: _accept,
    Progress: _progress,
    Complete: _complete,
    Fail: _fail,
    Reject: _reject,
    Recover: _recover,
    Reassign: _reassign,
    Requeue: _requeue,
    Cancel: _cancel,
    Expire: _expire,
}


def _back(task: Task, reason: str, now: int) -> Applied:
    """To the queue at nobody's fault: the attempt is given back, the requeue counted."""
    counts = not (task.pinned is not None and reason in _ABSENCE)
    requeues = task.requeues + counts
    over = requeues > MAX_REQUEUES
    new = msgspec.structs.replace(
        task,
        status=Status.DEAD_LETTER if over else Status.QUEUED,
        attempts=task.attempts - 1,
        requeues=requeues,
        last_error="requeue_limit" if over else task.last_error,
        updated_at=now,
        recover_due=None,
    )
    if over:
        end = payload(reason="requeue_limit", last_requeue=reason)
        return new, [_draft(new, events.TASK_DEAD_LETTER, end)]
    return new, [_draft(new, events.TASK_REQUEUED, payload(reason=reason, requeues=requeues))]


def _attempts_at_end(task: Task) -> int:
    """An attempt that goes on, or ends, after it was given back counts again."""
    if task.status is not Status.QUEUED:
        return task.attempts
    ending = task.ending
    spent = (
        ending is not None
        and ending.generation == task.generation
        and ending.kind not in (events.TASK_REJECTED, events.TASK_RECOVERING)
    )
    return task.attempts + (not spent)


def _ending(task: Task, kind: str, answer: str) -> Ending:
    return Ending(kind, task.agent_id or "", task.generation, answer)


def _draft(task: Task, event: str, told: bytes = b"{}", at: int | None = None) -> Draft:
    return Draft(
        events.TASKS,
        event,
        task.updated_at if at is None else at,
        task.id,
        task.agent_id,
        task.generation,
        told,
    )
