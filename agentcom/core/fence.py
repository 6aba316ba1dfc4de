"""Whose report counts: PROTOCOL.md section 3.2, rules 1 to 4, as one function.

:func:`judge` reads the task and the report and decides; it changes nothing.
:func:`keeps` decides for agents that say what they still have (``identify``,
``state_report``, ``task_recovering``).  Only a rejection of a repetition is
seen before both, by ``Returning.rejects_repetition``: it means "busy".
The generation is the fencing token: an attempt that was superseded can still
talk, and nothing that it says is believed.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from agentcom.core.task import Status, Task


class Kind(StrEnum):
    """The frames that report on a task."""

    ACCEPTED = "task_accepted"
    PROGRESS = "task_progress"
    COMPLETE = "task_complete"
    FAILED = "task_failed"
    REJECTED = "task_rejected"
    RECOVERING = "task_recovering"
    STATE = "state_report"


# Rule 4.  ``task_recovering`` asks, and counts from the agent that holds or last
# had the task; ``state_report`` is judged by `keeps` alone.
_ALLOWED: dict[Kind, frozenset[Status]] = {
    Kind.ACCEPTED: frozenset({Status.ASSIGNED, Status.WORKING}),
    Kind.PROGRESS: frozenset({Status.ASSIGNED, Status.WORKING}),
    Kind.COMPLETE: frozenset({Status.ASSIGNED, Status.WORKING, Status.QUEUED}),
    Kind.FAILED: frozenset({Status.ASSIGNED, Status.WORKING, Status.QUEUED}),
    Kind.REJECTED: frozenset({Status.ASSIGNED}),
    Kind.RECOVERING: frozenset({Status.ASSIGNED, Status.WORKING, Status.QUEUED}),
    Kind.STATE: frozenset({Status.ASSIGNED, Status.WORKING, Status.QUEUED}),
}


_FAILED = frozenset({"retried", "dead_letter"})
"""What a failed attempt was answered, or would have been."""


class Counts(msgspec.Struct, frozen=True):
    """The report is the truth: apply it."""


class Repeated(msgspec.Struct, frozen=True):
    """Said before: give the same answer, change nothing."""

    answer: str


class Refused(msgspec.Struct, frozen=True):
    """It does not count.  ``error`` is the stable code."""

    error: str
    status: Status | None = None


Verdict = Counts | Repeated | Refused

_COUNTS = Counts()


def judge(task: Task, kind: Kind, agent_id: str, generation: int | None) -> Verdict:
    """Decide whether a report counts.

    :param generation: as the report carried it; ``None`` and 0 mean not sent.
    """
    ending = task.ending
    if (
        ending is not None
        # An attempt that the hub itself failed has failed: its agent, which was
        # told to stop, only says so too.
        and (ending.kind == kind or (kind is Kind.FAILED and ending.answer in _FAILED))
        and ending.agent_id == agent_id
        # Without a generation, an agent that has an attempt running speaks of
        # that one; only one that has none can be repeating itself.
        and (
            generation == ending.generation
            if generation
            else not (task.status.held and task.agent_id == agent_id)
        )
    ):
        return Repeated(ending.answer)
    if task.agent_id != agent_id:
        return Refused("not_assignee")
    if generation and generation != task.generation:
        return Refused("stale_generation")
    if task.status not in _ALLOWED[kind]:
        return Refused("invalid_state", task.status)
    return _COUNTS


def keeps(task: Task, agent_id: str, generation: int | None) -> bool:
    """Whether the task is still this agent's to go on with.

    True while it is assigned to the agent, and while it is back in the queue
    without the agent having said that it ended: nobody else has begun, so the
    work that goes on is kept.
    """
    if task.agent_id != agent_id or (generation and generation != task.generation):
        return False
    if task.status.held:
        return True
    ended_by_word = task.ending is not None and task.ending.generation == task.generation
    return task.status is Status.QUEUED and not ended_by_word


def unsaid(task: Task) -> bool:
    """Whether the agent that has the task, or had it last, has not said how that ended.

    Also true where the hub itself failed the attempt: while nobody else has
    begun, that agent's own word may still come, and counts.
    """
    ending = task.ending
    return ending is None or ending.generation != task.generation or ending.kind not in _REPORTS


_REPORTS = frozenset(Kind)
