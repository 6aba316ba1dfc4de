"""Every statement of the store, compiled once.

SQLAlchemy Core writes the SQL (one text for SQLite and PostgreSQL, kept by
others); the driver's own ``execute`` and ``executemany`` run it, because
SQLAlchemy's execution costs more than the statement (DESIGN.md, "How a task
flows", 1).  ``rows.py`` makes the values that go in and out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    ColumnElement,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import sqlite

from agentcom.core.drain import Drain
from agentcom.core.events import Event
from agentcom.core.session import BrowserSession
from agentcom.core.state import ENDED, HELD, Priority, Status
from agentcom.core.tokens import Token
from agentcom.store import schema
from agentcom.store.interface import TaskFilter

_DIALECT = sqlite.dialect(paramstyle="qmark")

TASK_COLUMNS = tuple(c.name for c in schema.tasks.c)
"""In the order of a row of :func:`.rows.task_row`."""

DRAIN_COLUMNS = ("agent_id", *Drain.__struct_fields__)
"""In the order of a row of :func:`.rows.drain_row`."""

SESSION_COLUMNS = BrowserSession.__struct_fields__
"""In the order of a row of :func:`.rows.session_row`."""

EVENT_COLUMNS = (*Event.__struct_fields__, "task_number")
"""In the order of a row of :func:`.rows.event_row`."""

CHANGING = (
    "status",
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
    "series",
    "ready_at",
    "expires_at",
)
"""What can change after the insert, beside the agent; description and metadata are written once."""

WAITING_COLUMNS = (
    "id",
    "priority",
    "created_at",
    "submitted_by",
    "pinned",
    "needs",
    "ready_at",
    "agent_id",
)
"""What memory keeps of a task that waits."""

_EQUAL = ("status", "agent_id", "priority", "submitted_by", "last_error")
"""Columns by which tasks are listed, as :class:`.interface.TaskFilter` names them."""

KEYS = 100
"""Idempotency keys of one :data:`SELECT_BY_KEYS`."""

EVERY = "every"
"""The row of :data:`COUNT_TASKS` that counts tasks of every status."""


def compiled(statement: ClauseElement) -> tuple[str, tuple[str, ...]]:
    """SQL of a statement, and its parameters in their order."""
    made = statement.compile(dialect=_DIALECT)
    return str(made), tuple(getattr(made, "positiontup", None) or ())


def prepare(statement: ClauseElement) -> tuple[str, list[Any]]:
    """SQL and parameters of a statement that was built for one call."""
    made = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    positions: Sequence[str] = getattr(made, "positiontup", None) or ()
    values = made.params
    return str(made), [values[name] for name in positions]


_t, _e, _k, _m = schema.tasks, schema.events, schema.tokens, schema.meta
_d, _s = schema.drains, schema.sessions
_task_cols = [_t.c[name] for name in TASK_COLUMNS]
_event_cols = [_e.c[name] for name in Event.__struct_fields__]
_token_cols = [_k.c[name] for name in Token.__struct_fields__]
_drain_cols = [_d.c[name] for name in DRAIN_COLUMNS]
_session_cols = [_s.c[name] for name in SESSION_COLUMNS]


def _status_in(statuses: Iterable[Status]) -> ColumnElement[bool]:
    return _t.c.status.in_(_words(statuses))


def _words(statuses: Iterable[Status]) -> list[ColumnElement[str]]:
    return [literal_column(f"'{name}'") for name in sorted(statuses)]


_queued = _t.c.status == literal_column("'queued'")
_ended = _status_in(ENDED)

INSERT_TASK, _insert_order = compiled(insert(_t).values({n: bindparam(n) for n in TASK_COLUMNS}))
UPDATE_TASK, _update_order = compiled(
    update(_t)
    .where(_t.c.number == bindparam("b_number"))
    .values({n: bindparam(n) for n in CHANGING})
)
# Apart, because SQLite writes an index anew for each UPDATE that names its column,
# and each agent has a page of its own in this one.
UPDATE_AGENT, _agent_order = compiled(
    update(_t)
    .where(
        _t.c.number == bindparam("b_number"),
        _t.c.agent_id.is_distinct_from(bindparam("b_agent")),
    )
    .values(agent_id=bindparam("agent"))
)
INSERT_EVENT, _event_order = compiled(insert(_e).values({n: bindparam(n) for n in EVENT_COLUMNS}))
UPSERT_TOKEN, _token_order = compiled(
    insert(_k).prefix_with("OR REPLACE").values({c.name: bindparam(c.name) for c in _token_cols})
)
UPSERT_DRAIN, _drain_order = compiled(
    insert(_d).prefix_with("OR REPLACE").values({c.name: bindparam(c.name) for c in _drain_cols})
)
DELETE_DRAIN, _ = compiled(delete(_d).where(_d.c.agent_id == bindparam("b_agent")))
UPSERT_SESSION, _session_order = compiled(
    insert(_s).prefix_with("OR REPLACE").values({n: bindparam(n) for n in SESSION_COLUMNS})
)
DELETE_SESSION, _ = compiled(delete(_s).where(_s.c.hash == bindparam("b_hash")))
# What is to go was chosen by an earlier look: a dead letter that was tried
# again since, and its events, stay.
DELETE_TASK, _ = compiled(delete(_t).where(_t.c.id == bindparam("b_id"), _ended))
DELETE_EVENT, _ = compiled(
    delete(_e).where(
        _e.c.seq == bindparam("b_seq"),
        ~exists().where(_t.c.number == _e.c.task_number, ~_ended),
    )
)
SET_SEQ, _ = compiled(update(_m).values(last_seq=bindparam("last")))
SET_PRUNED, _pruned_order = compiled(
    update(_m).values(pruned_seq=bindparam("pruned")).where(_m.c.pruned_seq < bindparam("than"))
)
# Events outlive the tasks that were deleted, and retention takes both.
_numbers = union_all(
    select(func.max(_t.c.number).label("number")),
    select(func.max(_e.c.task_number)).where(_e.c.task_number.is_not(None)),
    select(_m.c.pruned_number),
).subquery()
_newest_number = select(func.max(_numbers.c.number))
SET_PRUNED_NUMBER, _ = compiled(update(_m).values(pruned_number=_newest_number.scalar_subquery()))
SELECT_NEWEST_NUMBER, _ = compiled(_newest_number)
INSERT_META, _meta_order = compiled(
    insert(_m).values(id=bindparam("id"), epoch=bindparam("epoch"), last_seq=bindparam("last"))
)
# In the columns of every version of the schema: upgrades ask it too.
SELECT_META, _ = compiled(select(_m.c.epoch, _m.c.last_seq))
SELECT_PRUNED, _ = compiled(select(_m.c.pruned_seq))

SELECT_TASK, _ = compiled(select(*_task_cols).where(_t.c.id == bindparam("b_id")))
SELECT_HELD, _ = compiled(select(*_task_cols).where(_status_in(HELD)).order_by(_t.c.number))
SELECT_WAITING, _ = compiled(
    select(*(_t.c[name] for name in WAITING_COLUMNS)).where(_queued).order_by(_t.c.number)
)
SELECT_BY_KEYS, _keys_order = compiled(
    select(*_task_cols).where(
        _t.c.submitted_by == bindparam("who"),
        _t.c.idempotency_key.in_([bindparam(f"key_{n}") for n in range(KEYS)]),
    )
)
SELECT_EXPIRED, _expired_order = compiled(
    select(_t.c.id)
    .where(_t.c.expires_at.is_not(None), _t.c.expires_at <= bindparam("now"))
    .order_by(_t.c.expires_at)
    .limit(bindparam("most"))
    .offset(literal_column("0"))
)
# Completed tasks are all that the others are not: all rows are counted by the
# pages of an index, the others one by one.  One statement, so that sums agree.
COUNT_TASKS, _ = compiled(
    union_all(
        select(_t.c.status, func.count())
        .where(_status_in(set(Status) - {Status.COMPLETED}))
        .group_by(_t.c.status),
        select(
            literal_column(f"'{EVERY}'"), select(func.count()).select_from(_t).scalar_subquery()
        ),
    )
)
# Few at any time, and found by an index.
COUNT_HELD, _ = compiled(
    select(_t.c.status, func.count()).where(_status_in(HELD)).group_by(_t.c.status)
)

_number_of = select(_t.c.number).where(_t.c.id == bindparam("b_id")).scalar_subquery()
SELECT_TASK_EVENTS, _task_events_order = compiled(
    select(*_event_cols)
    .where(_e.c.task_number == _number_of, _e.c.seq > bindparam("after"))
    .order_by(_e.c.seq)
    .limit(bindparam("most"))
    .offset(literal_column("0"))
)
SELECT_LAST_EVENT, _ = compiled(
    select(*_event_cols)
    .where(_e.c.task_number == _number_of)
    .order_by(_e.c.seq.desc())
    .limit(literal_column("1"))
    .offset(literal_column("0"))
)
SELECT_EVENTS, _ = compiled(
    select(*_event_cols)
    .where(_e.c.seq > bindparam("after"))
    .order_by(_e.c.seq)
    .limit(bindparam("most"))
    .offset(literal_column("0"))
)
SELECT_FIRST_SEQ, _ = compiled(select(func.min(_e.c.seq)))

SELECT_TOKENS, _ = compiled(select(*_token_cols).order_by(_k.c.created_at))
SELECT_DRAINS, _ = compiled(select(*_drain_cols).order_by(_d.c.since))
SELECT_SESSIONS, _ = compiled(select(*_session_cols).order_by(_s.c.created_at))
COUNT_TOKENS, _ = compiled(select(func.count()).select_from(_k))

SELECT_TASK_AT, _task_at_order = compiled(
    select(_t.c.number, _t.c.created_at)
    .where(_t.c.number > bindparam("after"))
    .order_by(_t.c.number)
    .limit(literal_column("1"))
    .offset(bindparam("skipped"))
)
SELECT_LAST_NUMBER, _ = compiled(select(func.max(_t.c.number)))
SELECT_OLD_TASKS, _old_tasks_order = compiled(
    select(_t.c.number, _t.c.id, _t.c.status, _e.c.seq)
    .select_from(_t.outerjoin(_e, _e.c.task_number == _t.c.number))
    .where(
        _t.c.number > bindparam("after"),
        _t.c.number <= bindparam("until"),
        # Not found by the index of statuses, or they would have to be sorted.
        func.coalesce(_t.c.status, literal_column("''")).in_(_words(ENDED)),
        _t.c.updated_at < bindparam("before"),
    )
    .order_by(_t.c.number, _e.c.seq)
)
SELECT_EVENT_AT, _event_at_order = compiled(
    select(_e.c.seq, _e.c.timestamp)
    .where(_e.c.seq > bindparam("after"))
    .order_by(_e.c.seq)
    .limit(literal_column("1"))
    .offset(bindparam("skipped"))
)
SELECT_LAST_SEQ, _ = compiled(select(func.max(_e.c.seq)))
SELECT_OLD_EVENTS, _old_events_order = compiled(
    select(_e.c.seq)
    .select_from(_e.outerjoin(_t, _t.c.number == _e.c.task_number))
    .where(
        _e.c.seq > bindparam("after"),
        _e.c.seq <= bindparam("until"),
        _e.c.timestamp < bindparam("before"),
        _t.c.number.is_(None),
    )
    .order_by(_e.c.seq)
    .limit(bindparam("most"))
    .offset(literal_column("0"))
)

# Values are built in these orders: a change of the schema that breaks them
# must not start.
for _order, _expected in (
    (_insert_order, TASK_COLUMNS),
    (_update_order, (*CHANGING, "b_number")),
    (_agent_order, ("agent", "b_number", "b_agent")),
    (_event_order, EVENT_COLUMNS),
    (_token_order, Token.__struct_fields__),
    (_drain_order, DRAIN_COLUMNS),
    (_session_order, SESSION_COLUMNS),
    (_meta_order, ("id", "epoch", "last")),
    (_pruned_order, ("pruned", "than")),
    (_keys_order, ("who", *(f"key_{n}" for n in range(KEYS)))),
    (_expired_order, ("now", "most")),
    (_task_events_order, ("b_id", "after", "most")),
    (_task_at_order, ("after", "skipped")),
    (_event_at_order, ("after", "skipped")),
    (_old_tasks_order, ("after", "until", "before")),
    (_old_events_order, ("after", "until", "before", "most")),
):
    if tuple(_order) != tuple(_expected):
        raise AssertionError(f"statement parameters {_order} are not {_expected}")


def select_tasks(wanted: TaskFilter, most: int) -> tuple[str, list[Any]]:
    """Tasks, newest first.

    :param most: rows, in place of the filter's own limit.
    """
    values = {name: getattr(wanted, name) for name in (*_EQUAL, "before")}
    values = {name: value for name, value in values.items() if value is not None}
    given = (
        tuple(values),
        wanted.priority not in (None, Priority.NORMAL),
        wanted.status == Status.DEAD_LETTER and wanted.last_error is not None,
    )
    values["most"] = most
    if wanted.task_ids is not None:
        return prepare(_listing(*given, values).where(_t.c.id.in_(wanted.task_ids)))
    statement, order = _listed(*given)
    return statement, [values[name] for name in order]


def _listing(
    given: tuple[str, ...], rare: bool, dead: bool, values: Mapping[str, Any]
) -> Select[Any]:
    """The query for tasks of which this is given.

    :param rare: the priority is one that few have.
    :param dead: the last error is that of dead letters.
    """
    bound: dict[str, BindParameter[Any]] = {
        name: bindparam(name, values.get(name)) for name in (*given, "most")
    }
    query = select(*_task_cols).order_by(_t.c.number.desc())
    query = query.limit(bound.pop("most")).offset(literal_column("0"))
    if "before" in bound:
        query = query.where(_t.c.number < bound.pop("before"))
    for name, value in bound.items():
        query = query.where(_t.c[name] == value)
    # SQLite uses a partial index only where its condition stands in the query
    # in the same words; to us it says nothing new.
    if rare:
        query = query.where(_t.c.priority != literal_column("'normal'"))
    if dead:
        query = query.where(_t.c.status == literal_column("'dead_letter'"))
    return query


@lru_cache(64)
def _listed(given: tuple[str, ...], rare: bool, dead: bool) -> tuple[str, tuple[str, ...]]:
    # Kept, for to compile one takes longer than to run it.
    return compiled(_listing(given, rare, dead, {}))
