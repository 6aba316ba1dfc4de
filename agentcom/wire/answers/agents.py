"""Answers about agents, and about the hub itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agentcom.core.state import Status
from agentcom.wire.answers.fields import (
    AgentRef,
    Count,
    EventCursor,
    Millis,
    Seconds,
    TaskRef,
)

State = Literal["idle", "busy", "draining", "unresponsive"]
Note = Annotated[str, Meta(examples=["new disk"])]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"]
    service: Literal["agent_com"]
    agents_connected: Count


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """New work is taken."""

    status: Literal["ready"]


class NotReady(msgspec.Struct, frozen=True, kw_only=True):
    """No new work is taken, and why."""

    status: Literal["not_ready"]
    reason: Annotated[str, Meta(examples=["stopping"])]


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A connected agent.

    :ivar slots: how many tasks it takes at a time.
    :ivar running: how many it has.
    """

    agent_id: AgentRef
    name: Annotated[str, Meta(examples=["Builder 1"])]
    status: Annotated[str, Meta(examples=["connected"])]
    capabilities: list[str]
    connected_at: Millis
    state: State
    slots: Annotated[int, Meta(ge=0, examples=[1])]
    running: Count
    labels: dict[str, str]


class AgentList(msgspec.Struct, frozen=True, kw_only=True):
    """The connected agents.

    :ivar cursor: from here on, ``GET /api/events?after=`` tells what changes.
    """

    agents: list[AgentInfo]
    cursor: EventCursor


class DrainOfAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Who drains an agent, and why.

    :ivar deadline: when what still runs goes back to the queue.
    :ivar drained: whether nothing runs there any more.
    """

    by: AgentRef
    note: Note | None
    since: Millis | None
    deadline: Millis | None
    drained: bool


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an agent's connection is open."""

    state: Literal["open", "held", "away"]
    since: Millis | None
    heard_at: Millis | None
    silence_ends_at: Millis | None
    ping_interval_s: Seconds
    silence_limit_s: Seconds
    held_until: Millis | None
    contested: bool


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an agent is offered work.

    :ivar ignored: assignments in a row that it did not answer.
    """

    state: str
    since: Millis | None
    slots: int | None
    running: Count
    answered_at: Millis | None
    ignored: Count
    pause_ends_at: Millis | None
    quiet_ends_at: Millis | None
    probe: dict[str, Any] | None


class TaskMoves(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a task of an agent moves; its limits are Unix milliseconds or null."""

    task_id: TaskRef
    status: Status
    generation: Count
    progress: float | None
    assigned_at: Millis | None
    heard_at: Millis | None


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """Three questions: is the line open, is work taken, do the tasks move?

    :ivar at: now, by the hub's clock.
    """

    at: Millis
    connection: Connection
    work: Work
    tasks: list[TaskMoves]


class TaskOfAgent(msgspec.Struct, frozen=True, kw_only=True):
    """A task that an agent has."""

    task_id: TaskRef
    status: Status
    generation: Count | None
    progress: float | None


class AgentShown(msgspec.Struct, frozen=True, kw_only=True):
    """An agent with its tasks; of one that is away there is no AgentInfo."""

    agent_id: AgentRef
    state: Literal["idle", "busy", "draining", "unresponsive", "away"]
    drain: DrainOfAgent | None
    liveness: Alive
    tasks: list[TaskOfAgent]
    name: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    capabilities: list[str] | UnsetType = UNSET
    connected_at: Millis | UnsetType = UNSET
    slots: int | UnsetType = UNSET
    running: Count | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET


class DrainState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an agent drains.

    :ivar running: tasks that still run there.
    :ivar drained: it drains, and nothing runs there any more.
    """

    status: Literal["serving", "draining"]
    agent_id: AgentRef
    connected: bool
    running: Count
    by: AgentRef | None
    note: Note | None
    since: Millis | None
    deadline: Millis | None
    drained: bool


class HubDrainState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the hub drains.

    :ivar running: tasks that still run, in all.
    :ivar agents: agents that operators drain.
    """

    status: Literal["serving", "draining"]
    running: Count
    by: AgentRef | None
    note: Note | None
    since: Millis | None
    deadline: Millis | None
    deadline_passed: bool
    drained: bool
    agents: list[DrainState] | UnsetType = UNSET
    agents_total: Count | UnsetType = UNSET


class AgentResumed(msgspec.Struct, frozen=True, kw_only=True):
    """An agent is given work again."""

    status: Literal["resumed"]
    agent_id: AgentRef
    was_drained: bool


class HubResumed(msgspec.Struct, frozen=True, kw_only=True):
    """The hub assigns again."""

    status: Literal["resumed"]
    was_drained: bool


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's connection was closed."""

    status: Literal["disconnected"]
    agent_id: AgentRef
