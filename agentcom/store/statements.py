"""Every statement of the store, compiled once, and rows to values and back.

SQLAlchemy Core writes the SQL (one text for SQLite and PostgreSQL, kept by
others); the driver's own ``execute`` and ``executemany`` run it, because
SQLAlchemy's execution costs more than the statement (DESIGN.md, "How a task
flows", 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ClauseElement, bindparam, func, insert, select, update
from sqlalchemy.dialects import sqlite

from agentcom.core.events import Event
from agentcom.core.task import Ending, Priority, Status, Task
from agentcom.core.tokens import Token
from agentcom.store import schema
from agentcom.store.interface import TaskFilter

_DIALECT = sqlite.dialect(paramstyle="qmark")

TASK_COLUMNS = tuple(c.name for c in schema.tasks.c if c.name != "number")
"""In the order of a row of :func:`task_row`."""

CHANGING = (
    "status",
    "agent_id",
    "generation",
    "attempts",
    "progress",
    "result",
    "tokens_used",
    "last_error",
    "updated_at",
    "assigned_at",
    "requeues",
    "recover_due",
    "output_bytes",
    "ending",
)
"""What can change after the insert; description and metadata are written once."""

LIVE = (Status.QUEUED.value, Status.ASSIGNED.value, Status.WORKING.value)

Row = tuple[Any, ...]


def _sql(statement: ClauseElement) -> tuple[str, tuple[str, ...]]:
    compiled = statement.compile(dialect=_DIALECT)
    return str(compiled), tuple(getattr(compiled, "positiontup", None) or ())


def prepare(statement: ClauseElement) -> tuple[str, list[Any]]:
    """SQL and parameters of a statement that was built for one call."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    positions: Sequence[str] = getattr(compiled, "positiontup", None) or ()
    values = compiled.params
    return str(compiled), [values[name] for name in positions]


_t, _e, _k = schema.tasks, schema.events, schema.tokens
_task_cols = [_t.c[name] for name in TASK_COLUMNS]
_event_cols = [_e.c[name] for name in Event.__struct_fields__]
_token_cols = [_k.c[name] for name in Token.__struct_fields__]

INSERT_TASK, _insert_order = _sql(insert(_t).values({n: bindparam(n) for n in TASK_COLUMNS}))
UPDATE_TASK, _update_order = _sql(
    update(_t).where(_t.c.id == bindparam("b_id")).values({n: bindparam(n) for n in CHANGING})
)
INSERT_EVENT, _event_order = _sql(
    insert(_e).values({c.name: bindparam(c.name) for c in _event_cols})
)
UPSERT_TOKEN, _token_order = _sql(
    insert(_k).prefix_with("OR REPLACE").values({c.name: bindparam(c.name) for c in _token_cols})
)
SET_SEQ, _ = _sql(update(schema.meta).values(last_seq=bindparam("last")))
INSERT_META, _meta_order = _sql(
    insert(schema.meta).values(
        id=bindparam("id"), epoch=bindparam("epoch"), last_seq=bindparam("last")
    )
)
SELECT_META, _ = _sql(select(schema.meta.c.epoch, schema.meta.c.last_seq))
SELECT_TASK, _ = _sql(select(*_task_cols).where(_t.c.id == bindparam("b_id")))
SELECT_BY_KEY, _ = _sql(
    select(*_task_cols).where(
        _t.c.submitted_by == bindparam("who"), _t.c.idempotency_key == bindparam("key")
    )
)
SELECT_TOKENS, _ = _sql(select(*_token_cols).order_by(_k.c.created_at))
COUNT_TOKENS, _ = _sql(select(func.count()).select_from(_k))
SELECT_TASK_EVENTS, _ = _sql(
    select(*_event_cols)
    .where(_e.c.task_id == bindparam("b_id"), _e.c.seq > bindparam("after"))
    .order_by(_e.c.seq)
    .limit(bindparam("most"))
)
SELECT_EVENTS, _ = _sql(
    select(*_event_cols)
    .where(_e.c.seq > bindparam("after"))
    .order_by(_e.c.seq)
    .limit(bindparam("most"))
)
SELECT_FIRST_SEQ, _ = _sql(select(func.min(_e.c.seq)))

# The rows below are built in these orders: a change of the schema that
# breaks them must not start.
for _order, _expected in (
    (_insert_order, TASK_COLUMNS),
    (_update_order, (*CHANGING, "b_id")),
    (_event_order, Event.__struct_fields__),
    (_token_order, Token.__struct_fields__),
    (_meta_order, ("id", "epoch", "last")),
):
    if tuple(_order) != tuple(_expected):
        raise AssertionError(f"statement parameters {_order} are not {_expected}")


def select_live() -> tuple[str, list[Any]]:
    """All tasks that have not ended, in the order in which they came."""
    return prepare(select(*_task_cols).where(_t.c.status.in_(LIVE)).order_by(_t.c.number))


def select_tasks(wanted: TaskFilter) -> tuple[str, list[Any]]:
    """Tasks with their numbers first, newest first."""
    query = select(_t.c.number, *_task_cols).order_by(_t.c.number.desc()).limit(wanted.limit)
    for name in ("status", "agent_id", "priority", "submitted_by"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(_t.c[name] == value)
    if wanted.before is not None:
        query = query.where(_t.c.number < wanted.before)
    return prepare(query)


def task_row(task: Task) -> Row:
    """The values of :data:`INSERT_TASK`."""
    return (
        task.id,
        task.status.value,
        task.description,
        task.metadata.decode(),
        task.priority.value,
        task.origin,
        task.pinned,
        task.agent_id,
        task.generation,
        task.attempts,
        task.max_attempts,
        task.progress,
        _text(task.result),
        task.tokens_used,
        task.last_error,
        task.submitted_by,
        task.created_at,
        task.updated_at,
        task.assigned_at,
        task.hold_s,
        task.requeues,
        task.recover_due,
        task.output_bytes,
        _ending_text(task.ending),
        task.idempotency_key,
        task.body_hash,
    )


def change_row(task: Task) -> Row:
    """The values of :data:`UPDATE_TASK`."""
    return (
        task.status.value,
        task.agent_id,
        task.generation,
        task.attempts,
        task.progress,
        _text(task.result),
        task.tokens_used,
        task.last_error,
        task.updated_at,
        task.assigned_at,
        task.requeues,
        task.recover_due,
        task.output_bytes,
        _ending_text(task.ending),
        task.id,
    )


def event_row(event: Event) -> Row:
    """The values of :data:`INSERT_EVENT`."""
    return (
        event.seq,
        event.topic,
        event.event,
        event.task_id,
        event.agent_id,
        event.generation,
        event.timestamp,
        bytes(event.payload).decode(),
    )


def token_row(token: Token) -> Row:
    """The values of :data:`UPSERT_TOKEN`."""
    return (
        token.hash,
        token.agent_id,
        token.prefix,
        " ".join(token.scopes),
        token.created_at,
        token.expires_at,
        token.revoked_at,
    )


def to_task(row: Row) -> Task:
    """A row of :data:`TASK_COLUMNS` as a task."""
    fields = dict(zip(TASK_COLUMNS, row, strict=True))
    fields["status"] = Status(fields["status"])
    fields["priority"] = Priority(fields["priority"])
    fields["metadata"] = fields["metadata"].encode()
    if fields["result"] is not None:
        fields["result"] = fields["result"].encode()
    if fields["ending"] is not None:
        fields["ending"] = _decode_ending(fields["ending"])
    return Task(**fields)


def to_event(row: Row) -> Event:
    """A row of the event log as an event."""
    values: list[Any] = [*row[:-1], msgspec.Raw(row[-1].encode())]
    return Event(*values)


def to_token(row: Row) -> Token:
    """A row of the token table as a token."""
    fields = dict(zip(Token.__struct_fields__, row, strict=True))
    fields["scopes"] = tuple(fields["scopes"].split())
    return Token(**fields)


_encode = msgspec.json.Encoder().encode
_decode_ending = msgspec.json.Decoder(Ending).decode


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _ending_text(ending: Ending | None) -> str | None:
    return None if ending is None else _encode(ending).decode()
