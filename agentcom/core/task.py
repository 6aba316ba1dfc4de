"""The life of a task: its states, and :func:`apply`, which alone changes it.

Whoever asks (an agent's report, an operator, a timer), the change is a value
of ``core/changes.py``, :data:`TRANSITIONS` says from which states it is legal, and
``apply`` gives the new task with the events that explain it.  Whether an
agent's report may ask at all is decided before, in ``core/fence.py``.
"""

from __future__ import annotations

from collections.abc import Callable
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
    Retry,
)
from agentcom.core.events import Draft, payload
from agentcom.core.matching import NOTHING, Needs
from agentcom.core.retry import delay_ms
from agentcom.core.state import ENDED, HELD, Ending, Priority, Status, Task

__all__ = ["ENDED", "HELD", "TRANSITIONS", "Ending", "Priority", "Status", "Task", "apply"]

DEADLINE = "deadline"
QUEUE_TIMEOUT = "queue_timeout"

MAX_REQUEUES = 100
"""Requeues that are nobody's fault, before ``requeue_limit`` (section 3.2)."""

OUTPUT_KEPT = 4 * 1024 * 1024
"""Bytes of output kept of one task (section 5)."""

DESCRIPTION_IN_EVENT = 200
"""Characters of the description that ``task_submitted`` shows."""

_encode = msgspec.json.Encoder().encode

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
    Expire: HELD | {Status.QUEUED},
    Retry: frozenset({Status.DEAD_LETTER}),
}

# An agent that is away says nothing of the task, so these cost a task that
# waits for just that agent nothing (section 3.2, Rejected).
_ABSENCE = frozenset({"hold_expired", "token_revoked"})


class _Submitted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What ``task_submitted`` tells; encoded twice as fast as a dictionary is made."""

    description: str
    priority: Priority
    submitted_by: str
    origin: str
    pinned: str | None = None
    max_attempts: int | None = None
    needs: Needs | None = None
    not_before: int | None = None
    deadline: int | None = None


def submitted(task: Task) -> list[Draft]:
    """The event of a new task."""
    terms = task.terms
    told = _Submitted(
        task.description[:DESCRIPTION_IN_EVENT],
        task.priority,
        task.submitted_by,
        task.origin,
        task.pinned,
        task.max_attempts,
        None if task.needs is NOTHING else task.needs,
        terms.not_before,
        terms.deadline,
    )
    return [_draft(task, events.TASK_SUBMITTED, _encode(told))]


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
        ready_at=None,
        expires_at=task.deadline,
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
        ready_at=None,
        expires_at=None,
        recover_due=None,
        ending=_ending(task, events.TASK_COMPLETE, "complete"),
    )
    told = b"{}" if change.tokens_used is None else b'{"tokens_used":%d}' % change.tokens_used
    return new, [_draft(new, events.TASK_COMPLETE, told)]


def _fail(task: Task, change: Fail, now: int) -> Applied:
    attempts = _attempts_at_end(task)
    again = change.retryable and attempts < task.max_attempts
    ready_at = now + delay_ms(task.terms.backoff, attempts, change.jitter) if again else None
    new = msgspec.structs.replace(
        task,
        status=Status.QUEUED if again else Status.DEAD_LETTER,
        attempts=attempts,
        last_error=change.error,
        result=change.result,
        updated_at=now,
        ready_at=ready_at,
        expires_at=expiry(task, ready_at) if ready_at is not None else None,
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
        _draft(new, events.TASK_REQUEUED, payload(reason="retry", ready_at=ready_at))
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
        ready_at=None,
        expires_at=task.deadline,
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
    return _back(task, change.reason, now, change.by, change.note)


def _retry(task: Task, change: Retry, now: int) -> Applied:
    fresh = msgspec.structs.replace(
        task,
        status=Status.QUEUED,
        series=task.series + 1,
        attempts=0,
        requeues=0,
        progress=None,
        updated_at=now,
    )
    new = msgspec.structs.replace(fresh, expires_at=expiry(fresh, now))
    told = payload(reason="retried", by=change.by, series=new.series)
    return new, [_draft(new, events.TASK_REQUEUED, told)]


def _cancel(task: Task, change: Cancel, now: int) -> Applied:
    new = _ended(task, Status.CANCELLED, now)
    return new, [_draft(new, events.TASK_CANCELLED, payload(by=change.by, reason=change.reason))]


def _expire(task: Task, change: Expire, now: int) -> Applied:
    new = _ended(task, Status.EXPIRED, now)
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
    Retry: _retry,
}


def expiry(task: Task, ready_at: int) -> int | None:
    """When a task that waits ends by itself.

    :param ready_at: from when on it may be given to somebody, Unix milliseconds.
    """
    deadline, timeout_s = task.deadline, task.terms.queue_timeout_s
    if timeout_s is None:
        return deadline
    timeout = ready_at + int(timeout_s * 1000)
    return timeout if deadline is None else min(deadline, timeout)


def expired(task: Task, now: int) -> str | None:
    """Why a task's time is over, ``None`` where it is not.

    :param now: Unix milliseconds.
    """
    if task.expires_at is None or task.expires_at > now:
        return None
    return DEADLINE if task.deadline is not None and task.deadline <= now else QUEUE_TIMEOUT


def _ended(task: Task, status: Status, now: int) -> Task:
    return msgspec.structs.replace(
        task, status=status, updated_at=now, ready_at=None, expires_at=None, recover_due=None
    )


def _back(
    task: Task, reason: str, now: int, by: str | None = None, note: str | None = None
) -> Applied:
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
        ready_at=None,
        expires_at=None if over else expiry(task, now),
        recover_due=None,
    )
    if over:
        end = payload(reason="requeue_limit", last_requeue=reason)
        return new, [_draft(new, events.TASK_DEAD_LETTER, end)]
    told = payload(reason=reason, by=by, note=note, requeues=requeues)
    return new, [_draft(new, events.TASK_REQUEUED, told)]


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
        task.number,
    )
