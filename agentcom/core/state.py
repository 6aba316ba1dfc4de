"""A task as a value: where it is in its life, and what was asked for it.

``core/task.py`` has the one function that changes it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from agentcom.core.matching import NOTHING, Needs
from agentcom.core.retry import Backoff


class Status(StrEnum):
    """Where a task is in its life (PROTOCOL.md section 4, Task object).

    :ivar ended: whether nothing more happens to the task by itself.
    :ivar held: whether an agent has the task now.
    """

    ended: bool
    held: bool

    QUEUED = "queued"
    ASSIGNED = "assigned"
    WORKING = "working"
    COMPLETED = "completed"
    DEAD_LETTER = "dead_letter"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


ENDED = frozenset({Status.COMPLETED, Status.DEAD_LETTER, Status.CANCELLED, Status.EXPIRED})
HELD = frozenset({Status.ASSIGNED, Status.WORKING})

for _status in Status:
    # Kept, because each report asks several times.
    _status.ended = _status in ENDED
    _status.held = _status in HELD


class Priority(StrEnum):
    """What goes first when several tasks wait."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class OnDisconnect(StrEnum):
    """What becomes of a task whose agent stays away longer than ``hold_s``."""

    REQUEUE = "requeue"
    FAIL = "fail"
    KEEP = "keep"


class Ending(msgspec.Struct, frozen=True, gc=False):
    """The report that ended the last attempt, for rule 2 of section 3.2.

    :ivar kind: the report's type.
    :ivar answer: what it was answered, to be said again to a repetition.
    """

    kind: str
    agent_id: str
    generation: int
    answer: str


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What else was asked for at submission; it never changes.

    :ivar not_before: Unix milliseconds before which it is given to nobody.
    :ivar deadline: Unix milliseconds after which it is of no use; it counts in
        the first series of attempts only.
    :ivar queue_timeout_s: seconds that it may wait, each time it is ready.
    :ivar accept_timeout_s: seconds that an agent has to accept it.
    :ivar attempt_timeout_s: seconds that an attempt may take from its assignment.
    """

    backoff: Backoff = Backoff()
    not_before: int | None = None
    deadline: int | None = None
    queue_timeout_s: float | None = None
    accept_timeout_s: float = 60.0
    attempt_timeout_s: float | None = None
    on_disconnect: OnDisconnect = OnDisconnect.REQUEUE


USUAL = Terms()
"""Nothing else was asked for."""


PUSH, SUBMIT = "push", "submit"
"""Where a task comes from."""


class Task(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One task.  Times are Unix milliseconds.

    :ivar number: its place among all tasks, in the order in which they were made.
    :ivar metadata: JSON object, as it came.
    :ivar result: JSON value that the agent sent when the last attempt ended.
    :ivar origin: ``push`` for an order to one agent, ``submit`` for the queue.
    :ivar pinned: the only agent that may have it, ``None`` for any.
    :ivar agent_id: the assignee; while queued, the agent that had it last.
    :ivar generation: the fencing token: 0 before the first assignment.
    :ivar attempts: attempts begun and not given back, in this series.
    :ivar series: 1, and one more for each retry of a dead letter.
    :ivar requeues: requeues that were nobody's fault and count to the limit.
    :ivar ready_at: while queued: not given to anybody before, ``None`` for now.
    :ivar expires_at: when it ends by itself unless something happens first.
    :ivar recover_due: when the attempt fails unless something is heard of it.
    :ivar hold_s: seconds that a vanished agent keeps the task.
    """

    id: str
    number: int
    description: str
    submitted_by: str
    created_at: int
    updated_at: int
    status: Status = Status.QUEUED
    metadata: bytes = b"{}"
    priority: Priority = Priority.NORMAL
    origin: str = PUSH
    pinned: str | None = None
    needs: Needs = NOTHING
    terms: Terms = USUAL
    agent_id: str | None = None
    generation: int = 0
    attempts: int = 0
    max_attempts: int = 1
    series: int = 1
    progress: float | None = None
    result: bytes | None = None
    tokens_used: int | None = None
    last_error: str | None = None
    assigned_at: int | None = None
    hold_s: float = 30.0
    requeues: int = 0
    ready_at: int | None = None
    expires_at: int | None = None
    recover_due: int | None = None
    output_bytes: int = 0
    ending: Ending | None = None
    idempotency_key: str | None = None
    body_hash: str | None = None

    @property
    def deadline(self) -> int | None:
        """When it is of no use any more; a retry by hand drops it."""
        return self.terms.deadline if self.series == 1 else None
