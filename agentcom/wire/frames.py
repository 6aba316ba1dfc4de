"""The WebSocket frames of PROTOCOL.md section 3, one Struct each.

Frames from an agent carry their limits in their types, so decoding checks
them.  :data:`FROM_AGENT` is the one table from a ``type`` to its Struct.
Fields that the hub does not know are ignored.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from agentcom.core.agent import Presence
from agentcom.core.ids import MAX_INTEGER
from agentcom.wire.tasks import AgentId, Submission

TaskId = Annotated[str, Meta(min_length=1, max_length=128)]
Token = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(max_length=256)]
StatusText = Annotated[str, Meta(max_length=256)]
ChannelName = Annotated[str, Meta(min_length=1, max_length=64)]
Capabilities = Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=1_000)]
Label = Annotated[str, Meta(max_length=256)]
Labels = Annotated[dict[Label, Label], Meta(max_length=256)]
Slots = Annotated[int, Meta(ge=0, le=10_000)]
"""0 for a program that takes no offers."""
Generation = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
NO_JSON = Raw(b"")
"""Where any JSON value may stand, and none did."""

JSONObject = dict[str, Any]
MessageType = Annotated[str, Meta(min_length=1, max_length=256)]
MessageId = Annotated[str, Meta(min_length=1, max_length=256)]


class FromAgent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every frame may carry; ``ref`` is repeated in its reply."""

    ref: Raw = NO_JSON


class TaskMention(msgspec.Struct, frozen=True):
    """A task that an agent says it is working on."""

    task_id: TaskId
    generation: Generation | None = None


class Identify(FromAgent, frozen=True, kw_only=True, tag="identify"):
    agent_id: AgentId
    token: Token
    name: Name | None = None
    status: StatusText | None = None
    capabilities: Capabilities | None = None
    slots: Slots | None = None
    labels: Labels | None = None
    tasks: Annotated[list[TaskMention], Meta(max_length=10_000)] | None = None
    mailbox: bool | None = None
    presence: Presence | None = None


class Ping(FromAgent, frozen=True, kw_only=True, tag="ping"):
    pass


class SetStatus(FromAgent, frozen=True, kw_only=True, tag="status"):
    status: StatusText


class ListAgents(FromAgent, frozen=True, kw_only=True, tag="list_agents"):
    pass


class SendMessage(FromAgent, frozen=True, kw_only=True, tag="message"):
    payload: JSONObject
    to: AgentId | None = None
    message_type: MessageType | None = None
    reply_to: MessageId | None = None


class MessageAck(FromAgent, frozen=True, kw_only=True, tag="message_ack"):
    """All messages up to and including ``seq`` need not be sent again."""

    seq: Count


class ChannelSubscribe(FromAgent, frozen=True, kw_only=True, tag="channel_subscribe"):
    channel: ChannelName


class ChannelUnsubscribe(FromAgent, frozen=True, kw_only=True, tag="channel_unsubscribe"):
    channel: ChannelName


class ChannelPublish(FromAgent, frozen=True, kw_only=True, tag="channel_publish"):
    channel: ChannelName
    payload: JSONObject
    message_type: MessageType | None = None
    reply_to: MessageId | None = None


class ChannelHistory(FromAgent, frozen=True, kw_only=True, tag="channel_history"):
    channel: ChannelName
    limit: Count | None = None
    since: Count | None = None


class ListChannels(FromAgent, frozen=True, kw_only=True, tag="list_channels"):
    pass


class Topic(StrEnum):
    """What a watch may be of; the words of :mod:`agentcom.core.events`."""

    TASKS = "tasks"
    PRESENCE = "presence"


class Watch(FromAgent, frozen=True, kw_only=True, tag="watch"):
    after: Annotated[str, Meta(max_length=128)] | None = None
    topics: Annotated[list[Topic], Meta(min_length=1, max_length=10)] | None = None
    task_id: TaskId | None = None


class Unwatch(FromAgent, frozen=True, kw_only=True, tag="unwatch"):
    pass


class Report(FromAgent, frozen=True, kw_only=True):
    """What the reports of section 3.2 share."""

    task_id: TaskId
    generation: Generation | None = None


class TaskAccepted(Report, frozen=True, kw_only=True, tag="task_accepted"):
    pass


class TaskProgress(Report, frozen=True, kw_only=True, tag="task_progress"):
    progress: float | None = None
    message: str | None = None
    output: str | None = None
    cost: JSONObject | None = None


class TaskComplete(Report, frozen=True, kw_only=True, tag="task_complete"):
    result: Raw = NO_JSON
    tokens_used: Count | None = None


class TaskFailed(Report, frozen=True, kw_only=True, tag="task_failed"):
    """``result`` is ours: what the failed attempt found out, for whoever reads the task."""

    result: Raw = NO_JSON
    error: str | None = None
    reason: str | None = None
    retryable: bool | None = None


class TaskRecovering(Report, frozen=True, kw_only=True, tag="task_recovering"):
    last_status: StatusText | None = None


class TaskRejected(Report, frozen=True, kw_only=True, tag="task_rejected"):
    reason: str | None = None


class StateReport(Report, frozen=True, kw_only=True, tag="state_report"):
    status: StatusText | None = None


class TaskSubmit(Submission, frozen=True, kw_only=True, tag_field="type", tag="task_submit"):
    """A task for the queue.

    It has the fields of :class:`FromAgent` and not its name: a Struct takes
    its fields from one base only.
    """

    ref: Raw = NO_JSON


class AgentRestarting(FromAgent, frozen=True, kw_only=True, tag="agent_restarting"):
    reason: str | None = None


class Drain(FromAgent, frozen=True, kw_only=True, tag="drain"):
    reason: str | None = None


class WakeResult(FromAgent, frozen=True, kw_only=True, tag="wake_result"):
    pass


class ResourceReport(FromAgent, frozen=True, kw_only=True, tag="resource_report"):
    pass


AnyFrame = FromAgent | TaskSubmit
"""What an agent may send."""

FRAME_TYPES: tuple[type[AnyFrame], ...] = (
    Identify,
    Ping,
    SetStatus,
    ListAgents,
    SendMessage,
    MessageAck,
    ChannelSubscribe,
    ChannelUnsubscribe,
    ChannelPublish,
    ChannelHistory,
    ListChannels,
    Watch,
    Unwatch,
    TaskAccepted,
    TaskProgress,
    TaskComplete,
    TaskFailed,
    TaskRecovering,
    TaskRejected,
    StateReport,
    TaskSubmit,
    AgentRestarting,
    Drain,
    WakeResult,
    ResourceReport,
)

FROM_AGENT: dict[str, type[AnyFrame]] = {str(cls.__struct_config__.tag): cls for cls in FRAME_TYPES}


REPORTS: tuple[type[AnyFrame], ...] = tuple(c for c in FRAME_TYPES if issubclass(c, Report))
OF_CHANNELS: tuple[type[FromAgent], ...] = (
    ChannelSubscribe,
    ChannelUnsubscribe,
    ChannelPublish,
    ChannelHistory,
)


def ref_of(frame: AnyFrame) -> Raw | UnsetType:
    """The ``ref`` that a reply to the frame repeats."""
    return UNSET if frame.ref is NO_JSON else frame.ref


class ToAgent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What the replies share: the ``ref`` of the frame that they answer."""

    ref: Raw | UnsetType = UNSET


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub allows on this connection, told in ``identified``."""

    max_frame_bytes: int
    max_task_bytes: int
    ping_interval_s: float
    silence_limit_s: float
    send_buffer_bytes: int
    hold_s: float


class Identified(ToAgent, frozen=True, kw_only=True, tag="identified"):
    """``tasks`` says for each task named in ``identify`` whether to go on.

    :ivar retry_after_ms: milliseconds to wait before connecting again, should
        the line be lost.
    """

    agent_id: str
    limits: Limits
    retry_after_ms: int
    tasks: list[dict[str, Any]] | UnsetType = UNSET


class Pong(ToAgent, frozen=True, kw_only=True, tag="pong"):
    timestamp: int


class StatusUpdated(ToAgent, frozen=True, kw_only=True, tag="status_updated"):
    pass


class Agents(ToAgent, frozen=True, kw_only=True, tag="agents"):
    agents: list[dict[str, Any]]


class MessageSent(ToAgent, frozen=True, kw_only=True, tag="message_sent"):
    id: str
    note: str | None = None


class MessageAcked(ToAgent, frozen=True, kw_only=True, tag="message_acked"):
    """Nothing up to and including ``up_to`` waits any more."""

    up_to: int


class Channels(ToAgent, frozen=True, kw_only=True, tag="channels"):
    channels: list[dict[str, Any]]


class TaskAck(ToAgent, frozen=True, kw_only=True, tag="task_ack"):
    task_id: str
    status: str
    outcome: str | None = None


class TaskSubmitted(ToAgent, frozen=True, kw_only=True, tag="task_submitted"):
    task_id: str


class TaskContinue(ToAgent, frozen=True, kw_only=True, tag="task_continue"):
    task_id: str
    generation: int


class TaskReassign(ToAgent, frozen=True, kw_only=True, tag="task_reassign"):
    task_id: str


class StateReportAck(ToAgent, frozen=True, kw_only=True, tag="state_report_ack"):
    task_id: str
    action: str


class Draining(ToAgent, frozen=True, kw_only=True, tag="draining"):
    """A reply, then without fields; or the word of an operator.

    ``deadline`` is when what still runs goes back to the queue.
    """

    by: str | None = None
    reason: str | None = None
    deadline: int | None = None


class Resumed(ToAgent, frozen=True, kw_only=True, tag="resumed"):
    by: str


class TaskAssign(ToAgent, frozen=True, kw_only=True, tag="task_assign"):
    """The first four fields are version 1."""

    task_id: str
    description: str
    metadata: Raw
    assigned_at: int
    generation: int
    attempt: int
    priority: str
    submitted_by: str
    submitted_at: int
    deadline: int | None = None


class TaskCancelled(ToAgent, frozen=True, kw_only=True, tag="task_cancelled"):
    task_id: str
    generation: int
    reason: str


class Message(ToAgent, frozen=True, kw_only=True, tag="message"):
    """``from`` is the token's agent, always; ``reply_to`` may be null.

    :ivar seq: the same when a message is sent again.
    """

    id: str
    seq: int
    sender: str = msgspec.field(name="from")
    message_type: str
    payload: Raw
    reply_to: str | UnsetType | None = UNSET
    timestamp: int


class AgentJoined(ToAgent, frozen=True, kw_only=True, tag="agent_joined"):
    agent: dict[str, Any]


class AgentLeft(ToAgent, frozen=True, kw_only=True, tag="agent_left"):
    agent_id: str


class StatusChanged(ToAgent, frozen=True, kw_only=True, tag="status_changed"):
    agent: dict[str, Any]


class PresenceDiff(ToAgent, frozen=True, kw_only=True, tag="presence_diff"):
    joined: list[dict[str, Any]]
    left: list[str]
    changed: list[dict[str, Any]]
