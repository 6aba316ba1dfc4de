"""A task as a function of the agent's author gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentcom.sidecar.jobs import Frame


@dataclass(frozen=True)
class Task:
    """One attempt at a task.

    :ivar id: the task; all its attempts share it.
    :ivar description: what is to be done, in words.
    :ivar metadata: whatever the submitter gave along, a JSON object.
    :ivar generation: the fencing token.  It grows with every assignment of the
        task: pass it to what you write to, so that an attempt that was given to
        somebody else meanwhile can be refused there.
    :ivar attempt: which attempt this is, from 1.
    :ivar priority: ``urgent``, ``high``, ``normal`` or ``low``.
    :ivar submitted_by: the agent, or ``admin``, whose token submitted it.
    :ivar submitted_at: Unix milliseconds.
    :ivar assigned_at: Unix milliseconds.
    :ivar deadline: Unix milliseconds after which nobody wants it any more.
    :ivar resumed: an earlier process of this agent began this very attempt and
        died; only functions that ask for it see this (``@agent.task(resume=True)``).
    """

    id: str
    description: str
    metadata: dict[str, Any]
    generation: int
    attempt: int
    priority: str
    submitted_by: str
    submitted_at: int
    assigned_at: int
    deadline: int | None = None
    resumed: bool = False


def task_of(frame: Frame, *, resumed: bool) -> Task:
    """What a ``task_assign`` says, which the session has checked."""
    return Task(
        id=frame["task_id"],
        description=frame["description"],
        metadata=dict(frame["metadata"] or {}),
        generation=frame["generation"],
        attempt=frame["attempt"],
        priority=frame["priority"],
        submitted_by=frame["submitted_by"],
        submitted_at=frame["submitted_at"],
        assigned_at=frame["assigned_at"],
        deadline=frame.get("deadline"),
        resumed=resumed,
    )
