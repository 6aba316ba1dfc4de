"""What can happen to a task, as values; ``core/task.py`` says what each does."""

from __future__ import annotations

from typing import Any

import msgspec


class Assign(msgspec.Struct, frozen=True):
    """The hub gives the task to an agent: a new generation begins."""

    agent_id: str


class Accept(msgspec.Struct, frozen=True):
    """The agent has begun."""


class Progress(msgspec.Struct, frozen=True):
    """The agent tells how far it is; ``output`` is what it printed since."""

    progress: float | None = None
    message: str | None = None
    output: str | None = None
    cost: dict[str, Any] | None = None


class Complete(msgspec.Struct, frozen=True):
    """The agent has finished.  ``result`` is JSON."""

    result: bytes | None = None
    tokens_used: int | None = None


class Fail(msgspec.Struct, frozen=True):
    """The attempt failed; ``reported`` unless the hub itself decided so.

    ``result`` is JSON: what it found out all the same.

    :ivar jitter: from 0 to 1, for the wait before the next attempt.
    """

    error: str
    reason: str | None = None
    retryable: bool = True
    reported: bool = True
    result: bytes | None = None
    jitter: float = 1.0


class Reject(msgspec.Struct, frozen=True):
    """The agent will not take it now: back to the queue, no attempt spent."""

    reason: str | None = None


class Recover(msgspec.Struct, frozen=True):
    """The agent is back and still works on it.

    :ivar via: the message that said so.
    :ivar due: when silence fails the attempt, ``None`` for never.
    """

    via: str
    last_status: str | None = None
    due: int | None = None


class Reassign(msgspec.Struct, frozen=True):
    """The agent is back and had not begun: back to the queue."""

    last_status: str | None = None


class Requeue(msgspec.Struct, frozen=True):
    """The task is taken back at nobody's fault.  ``reason`` is told in the event.

    :ivar by: who asked for it, ``None`` where the hub decided.
    :ivar note: why, in the words of whoever asked.
    """

    reason: str
    by: str | None = None
    note: str | None = None


class Retry(msgspec.Struct, frozen=True):
    """A dead letter is given a new series of attempts."""

    by: str


class Cancel(msgspec.Struct, frozen=True):
    """Somebody wants it no more."""

    by: str
    reason: str | None = None


class Expire(msgspec.Struct, frozen=True):
    """Its time ran out.  ``reason`` is ``deadline`` or ``queue_timeout``."""

    reason: str


Change = (
    Assign
    | Accept
    | Progress
    | Complete
    | Fail
    | Reject
    | Recover
    | Reassign
    | Requeue
    | Retry
    | Cancel
    | Expire
)
