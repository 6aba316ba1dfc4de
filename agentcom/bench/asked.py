"""Everything that a client can ask of a hub: the lines of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from agentcom.bench.sides import Side
from agentcom.bench.steps import (
    BATCH,
    HELD,
    NOT_FOUND,
    Step,
    accept,
    cancel,
    cancel_old,
    come_and_go,
    come_back,
    complete,
    create_channel,
    create_token,
    delete,
    delete_many,
    drain_and_resume,
    drain_hub,
    fail_and_back,
    follow,
    list_dead,
    list_of_both,
    list_of_nothing,
    mailbox,
    message,
    message_away,
    ping,
    progress,
    publish,
    push,
    reads,
    requeue,
    retry,
    retry_many,
    revoke_token,
    set_status,
    show_agent,
    submit,
    submit_and_assign,
    submit_batch,
    submit_frame,
    submit_with_key,
)


class Operation(NamedTuple):
    """One line of the table.

    `share` of the usual number of times is done; `rows`: the answer is longer, or more is looked
    at, where there is more, so the cost of one row counts; `pause` is in seconds, before each time:
    an answer that is kept for so long costs nothing meanwhile.
    """

    name: str
    ready: Callable[[Side, int], Step]
    share: float = 1.0
    rows: Callable[[Side], int] | None = None
    pause: float = 0.0


def agents(side: Side) -> int:
    """How many are connected."""
    count: int = side.told("GET", "/health")["agents_connected"]
    return count


def tokens(side: Side) -> int:
    """How many tokens there are."""
    return len(side.told("GET", "/admin/tokens")["tokens"])


def looked_at(side: Side) -> int:
    """How many tasks a page of a search looks at."""
    count: int = side.told("GET", NOT_FOUND)["searched"]
    return count


OPERATIONS = (
    Operation("submit", submit),
    Operation("submit with a key", submit_with_key),
    Operation(f"submit {BATCH}", submit_batch, 0.2),
    Operation("task_submit frame", submit_frame),
    Operation("submit, assigned", submit_and_assign),
    Operation("push", push),
    Operation("accept", accept),
    Operation("progress", progress),
    Operation("complete", complete),
    Operation("fail, tried again", fail_and_back),
    Operation("cancel", cancel),
    Operation("cancel an old one", cancel_old),
    Operation("requeue", requeue),
    Operation("retry", retry),
    Operation("delete", delete),
    Operation("retry by error", retry_many, 0.2),
    Operation("delete by error", delete_many, 0.2),
    Operation("get, ended", reads("/api/tasks/{}", "completed")),
    Operation("get, queued", reads("/api/tasks/{}", "queued")),
    Operation("events of a task", reads("/api/tasks/{}/events", "completed")),
    Operation("explain, ended", reads("/api/tasks/{}/explain", "completed")),
    Operation("explain, queued", reads("/api/tasks/{}/explain?limit=20", "queued")),
    Operation("list", reads("/api/tasks?limit=50")),
    Operation("list queued", reads("/api/tasks?status=queued&limit=50")),
    Operation("list completed", reads("/api/tasks?status=completed&limit=50")),
    Operation("list cancelled", reads("/api/tasks?status=cancelled&limit=5")),
    Operation("list working", reads("/api/tasks?status=working&limit=5")),
    Operation("list of an agent", reads("/api/tasks?agent_id=bench-7&limit=20")),
    Operation("list of no agent", reads("/api/tasks?agent_id=nobody&limit=20")),
    Operation("list of a submitter", reads("/api/tasks?submitted_by=submitter-7&limit=20")),
    Operation("list, queued of one", list_of_both),
    Operation("list, queued of nobody", list_of_nothing),
    Operation("list of no submitter", reads("/api/tasks?submitted_by=nobody&limit=20"), 0.2),
    Operation("list of a priority", reads("/api/tasks?priority=normal&limit=20")),
    Operation("list, rare priority", reads("/api/tasks?priority=urgent&limit=20"), 0.2),
    Operation(f"follow {HELD} events", follow, 0.5),
    Operation("search an id", reads("/api/tasks?search={}&limit=1", "completed"), 0.2),
    Operation("search, found", reads("/api/tasks?search=operations&limit=5"), 0.2),
    Operation("search, not found", reads(NOT_FOUND), 0.2, looked_at),
    Operation("dead letters", list_dead),
    Operation("task stats", reads("/api/tasks/stats"), 0.5),
    Operation("series", reads("/api/stats/series")),
    Operation("list agents", reads("/api/agents"), 0.2, agents),
    Operation("one agent", show_agent),
    Operation("health", reads("/health")),
    Operation("ready", reads("/ready")),
    Operation("metrics", reads("/metrics"), 0.05, pause=1.05),
    Operation("message", message),
    Operation("message to one away", message_away),
    Operation("messages", reads("/api/messages?limit=20")),
    Operation("mailbox", mailbox),
    Operation("publish", publish),
    Operation("create a channel", create_channel),
    Operation("ping", ping),
    Operation("status", set_status),
    Operation("connect and leave", come_and_go),
    Operation(f"come back with {HELD}", come_back, 0.5),
    Operation("create a token", create_token),
    Operation("revoke a token", revoke_token),
    Operation("list tokens", reads("/admin/tokens"), 0.2, tokens),
    Operation("drain and resume", drain_and_resume),
    Operation("drain the hub", drain_hub),
)
