"""Answers about tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agentcom.core.state import OnDisconnect, Priority, Status
from agentcom.wire.answers.fields import (
    AgentRef,
    Count,
    ListCursor,
    Millis,
    Seconds,
    TaskRef,
    Words,
)

Attempts = Annotated[int, Meta(ge=1, examples=[3])]
Object = dict[str, Any]


class WaitsBetween(msgspec.Struct, frozen=True, kw_only=True):
    """The waits between attempts, in seconds."""

    initial_s: Annotated[float, Meta(examples=[1.0])]
    factor: Annotated[float, Meta(examples=[2.0])]
    max_s: Annotated[float, Meta(examples=[300.0])]


class TaskShown(msgspec.Struct, frozen=True, kw_only=True):
    """A task.

    :ivar agent_id: its assignee, null where it has none.
    :ivar generation: grows by one with each assignment: the fencing token.
    :ivar attempts: those of this series that were begun.
    :ivar series: grows with each retry by hand.
    :ivar progress: what its agent told last.
    :ivar ready_at: when it may be given to an agent, null where that is at once.
    :ivar expires_at: when it ends unless it is done.
    :ivar pinned: the only agent that may have it.
    :ivar origin: ``push`` is an order to a connected agent, ``submit`` is for the queue.
    :ivar requeues: how often it went back to the queue by nobody's fault.
    """

    id: TaskRef
    description: Words
    metadata: Object
    priority: Priority
    status: Status
    agent_id: AgentRef | None
    generation: Count
    attempts: Count
    max_attempts: Attempts
    series: int
    progress: float | None
    result: Any
    tokens_used: int | None
    last_error: str | None
    submitted_by: AgentRef
    created_at: Millis
    updated_at: Millis
    assigned_at: Millis | None
    ready_at: Millis | None
    expires_at: Millis | None
    pinned: AgentRef | None
    origin: str
    requeues: Count
    capabilities: list[str]
    labels: Object
    backoff: WaitsBetween
    not_before: Millis | None
    deadline: Millis | None
    queue_timeout_s: Seconds | None
    accept_timeout_s: Seconds | None
    attempt_timeout_s: Seconds | None
    hold_s: Seconds | None
    on_disconnect: OnDisconnect
    idempotency_key: str | None


class TaskList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tasks, newest first.

    :ivar cursor: for the next page, null at the end.
    :ivar searched: tasks that were looked at for a search.
    """

    tasks: list[TaskShown]
    cursor: ListCursor | None
    searched: int | UnsetType = UNSET


class TaskCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks there are; ``by_priority`` of those that wait."""

    by_status: dict[str, Count]
    by_priority: dict[str, Count]


class EventShown(msgspec.Struct, frozen=True, kw_only=True):
    """An event.

    :ivar seq: its number in the log.
    :ivar payload: the event's own fields.
    """

    seq: Annotated[int, Meta(examples=[4711])] | None
    topic: Literal["tasks", "presence"]
    event: Annotated[str, Meta(examples=["task_assigned"])]
    task_id: TaskRef | None
    agent_id: AgentRef | None
    generation: Count | None
    timestamp: Millis
    payload: Object


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, oldest first."""

    events: list[EventShown]
    cursor: ListCursor | None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that keeps a task from an agent, or from all of them."""

    rule: Annotated[str, Meta(examples=["no_agents"])]
    detail: Annotated[str, Meta(examples=["no agent is connected"])]


class AgentRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that keep a task from one agent; none where it is next."""

    agent_id: AgentRef
    rules: list[Rule]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task waits, who has it, or who decided what.

    :ivar waiting: whether it waits for an agent; the fields after ``summary`` differ.
    :ivar summary: a sentence for people.
    :ivar reasons: of one that waits, the strongest first.
    :ivar agents: of one that waits, the connected agents that fit best.
    :ivar decision: of one that has ended.
    """

    task_id: TaskRef
    status: Status
    waiting: bool
    summary: Annotated[str, Meta(examples=["It waits: no agent is connected."])]
    reasons: list[Rule] | UnsetType = UNSET
    agents: list[AgentRules] | UnsetType = UNSET
    agents_total: Count | UnsetType = UNSET
    rule: str | UnsetType = UNSET
    agent_id: AgentRef | UnsetType | None = UNSET
    decision: str | UnsetType = UNSET
    decided_by: str | UnsetType = UNSET
    decided_at: Millis | UnsetType = UNSET


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """A task that was ordered to an agent and is on disk."""

    status: Literal["pushed"]
    task_id: TaskRef
    agent_id: AgentRef


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A task that was taken into the queue and is on disk."""

    status: Status
    task_id: TaskRef
    priority: Priority
    created_at: Millis


class SubmittedAll(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that were taken into the queue, in the order of the request."""

    task_ids: list[TaskRef]


class Requeued(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is back in the queue."""

    status: Literal["requeued"]
    task_id: TaskRef
    priority: Priority


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """A task that was cancelled."""

    status: Literal["cancelled"]
    task_id: TaskRef


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter that was forgotten."""

    status: Literal["deleted"]
    task_id: TaskRef


class RetriedAll(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters are back in the queue, and how many named ones were none."""

    retried: Count
    skipped: Count


class DeletedAll(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters were forgotten, and how many named ones were none."""

    deleted: Count
    skipped: Count
