"""The answers of the HTTP API that a client reads, and the check that they are so.

They stay the JSON objects that came, further fields included, because
``--json`` shows all that the hub said; the types here name what is relied on.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict, TypeVar, cast

import msgspec


class Made(TypedDict):
    """What every answer to a new task has."""

    status: str
    task_id: str


class Pushed(Made):
    """``POST /api/admin/push-task``."""

    agent_id: str


class Queued(Made):
    """``POST /api/tasks``."""

    priority: str
    created_at: int


class BatchQueued(TypedDict):
    """``POST /api/tasks/batch``: the ids in the order of the tasks."""

    task_ids: list[str]


class TaskReply(TypedDict):
    """``GET /api/tasks/:id``, and the members of lists."""

    id: str
    description: str
    status: str
    created_at: int
    metadata: NotRequired[dict[str, Any]]
    priority: NotRequired[str]
    agent_id: NotRequired[str | None]
    generation: NotRequired[int]
    attempts: NotRequired[int]
    max_attempts: NotRequired[int]
    series: NotRequired[int]
    progress: NotRequired[float | None]
    result: NotRequired[Any]
    last_error: NotRequired[str | None]
    submitted_by: NotRequired[str]
    updated_at: NotRequired[int]


class Tasks(TypedDict):
    """``GET /api/tasks``."""

    tasks: list[TaskReply]
    cursor: NotRequired[str | None]
    searched: NotRequired[int]


class EventReply(TypedDict):
    """One event of the log (PROTOCOL.md section 5)."""

    seq: int | None
    topic: str
    event: str
    timestamp: int
    task_id: NotRequired[str | None]
    agent_id: NotRequired[str | None]
    generation: NotRequired[int | None]
    payload: dict[str, Any]


class Events(TypedDict):
    """``GET /api/tasks/:id/events``."""

    events: list[EventReply]
    cursor: NotRequired[str | None]


class AgentReply(TypedDict):
    """AgentInfo; ``state``, ``slots`` and ``running`` are newer than version 1."""

    agent_id: str
    name: str
    status: str
    capabilities: list[str]
    connected_at: Any
    state: NotRequired[str]
    slots: NotRequired[int]
    running: NotRequired[int]


class Agents(TypedDict):
    """``GET /api/agents``; events go on from ``cursor``."""

    agents: list[AgentReply]
    cursor: NotRequired[str]


class AgentShown(TypedDict):
    """``GET /api/agents/:id``; what else it has is for people to read."""

    agent_id: str
    state: NotRequired[str]
    tasks: NotRequired[list[dict[str, Any]]]
    liveness: NotRequired[dict[str, Any]]


class TokenCreated(TypedDict):
    """``POST /admin/tokens``: the only time that the token is shown."""

    agent_id: str
    token: str


class TokenInfo(TypedDict):
    """A token as it is listed."""

    agent_id: str
    token_prefix: str
    scopes: NotRequired[list[str]]
    created_at: NotRequired[int | None]
    expires_at: NotRequired[int | None]


class Tokens(TypedDict):
    """``GET /admin/tokens``."""

    tokens: list[TokenInfo]


class Revoked(TypedDict):
    """``DELETE /admin/tokens/:agent_id``."""

    status: str
    agent_id: str


class DrainState(TypedDict):
    """An agent, or the hub: whether it is drained and how far it is.

    ``status`` is ``draining`` or ``serving``; ``agents`` are those that are drained,
    in the answer for the hub.
    """

    status: str
    running: int
    drained: bool
    agent_id: NotRequired[str]
    connected: NotRequired[bool]
    by: NotRequired[str | None]
    note: NotRequired[str | None]
    since: NotRequired[int | None]
    deadline: NotRequired[int | None]
    agents: NotRequired[list[dict[str, Any]]]
    agents_total: NotRequired[int]


class Resumed(TypedDict):
    """``POST /api/agents/:id/resume`` and ``DELETE /api/admin/drain``."""

    status: str
    agent_id: NotRequired[str]


class Disconnected(TypedDict):
    """``POST /api/agents/:id/disconnect``."""

    status: str
    agent_id: str


class Cancelled(TypedDict):
    """``POST /api/tasks/:id/cancel``."""

    status: str
    task_id: str


class Requeued(TypedDict):
    """``POST /api/tasks/:id/retry`` and ``…/requeue``."""

    status: str
    task_id: str
    priority: NotRequired[str]


class Retried(TypedDict):
    """``POST /api/tasks/dead-letter/retry``."""

    retried: int
    skipped: NotRequired[int]


class Deleted(TypedDict):
    """``DELETE /api/tasks/:id``."""

    status: str
    task_id: str


class DeletedMany(TypedDict):
    """``POST /api/tasks/dead-letter/delete``."""

    deleted: int
    skipped: NotRequired[int]


class Stats(TypedDict):
    """``GET /api/tasks/stats``."""

    by_status: dict[str, int]
    by_priority: dict[str, int]


class Explained(TypedDict):
    """``GET /api/tasks/:id/explain``; what else it has is for people to read."""

    task_id: str
    status: str
    summary: str
    waiting: NotRequired[bool]


class Sent(TypedDict):
    """``POST /api/message``."""

    status: str
    id: str


MessageReply = TypedDict(
    "MessageReply",
    {
        "seq": int,
        "id": str,
        "from": str,
        "to": NotRequired[str | None],
        "channel": NotRequired[str | None],
        "message_type": str,
        "payload": dict[str, Any],
        "reply_to": NotRequired[str | None],
        "timestamp": int,
    },
)
"""A message of a mailbox, a history or a thread."""


class Letters(TypedDict):
    """``GET /api/mailbox/:id``; it goes on since ``last_seq``."""

    agent_id: str
    messages: list[MessageReply]
    last_seq: int
    dropped: NotRequired[int]


class Acked(TypedDict):
    """``POST /api/mailbox/:id/ack``."""

    status: str
    up_to: int


class Messages(TypedDict):
    """``GET /api/messages``."""

    messages: list[MessageReply]
    cursor: str | None


class Thread(TypedDict):
    """``GET /api/threads/:id``."""

    root: str
    messages: list[MessageReply]
    cursor: NotRequired[str | None]


class ChannelReply(TypedDict):
    """A channel as it is listed; one that is shown alone has its ``subscribers``."""

    name: str
    description: str
    subscriber_count: int
    created_at: int
    created_by: NotRequired[str]
    subscribers: NotRequired[list[str]]


class ChannelList(TypedDict):
    """``GET /api/channels``."""

    channels: list[ChannelReply]


class ChannelCreated(TypedDict):
    """``POST /api/channels``: the name as it is stored."""

    status: str
    channel: str


class Subscribed(TypedDict):
    """``POST /api/channels/:ch/subscribe`` and ``…/unsubscribe``."""

    status: str
    channel: str
    agent_id: NotRequired[str]
    note: NotRequired[str]


class PublishedReply(TypedDict):
    """``POST /api/channels/:ch/publish``."""

    status: str
    channel: str
    seq: int
    id: str


class PublishedMessage(TypedDict):
    """A message of a channel."""

    id: str
    message_type: str
    payload: dict[str, Any]
    timestamp: int
    reply_to: NotRequired[str | None]


class StoredMessage(TypedDict):
    """An entry of a channel's history."""

    seq: int
    message: PublishedMessage
    stored_at: int


class ChannelHistory(TypedDict):
    """``GET /api/channels/:ch/history``; with ``more`` it goes on since ``last_seq``."""

    channel: str
    messages: list[StoredMessage]
    last_seq: NotRequired[int]
    more: NotRequired[bool]


class Subscriptions(TypedDict):
    """``GET /api/agents/:id/subscriptions``."""

    agent_id: str
    subscriptions: list[str]


class Gap(TypedDict):
    """``event: gap``: what came before ``first`` is not to be had."""

    first: Any
    last: NotRequired[Any]
    cursor: NotRequired[Any]


class ErrorReply(TypedDict):
    """Every answer that is not 2xx."""

    error: str


T = TypeVar("T")


def checked(value: object, shape: type[T]) -> T:
    """The value itself, if it has the shape.

    :raises msgspec.ValidationError: it has not.
    """
    msgspec.convert(value, shape)
    return cast(T, value)
