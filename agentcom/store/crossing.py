"""Tasks that meet two conditions, each of which an index serves: a bounded number of looks.

Each index has the numbers of its tasks in order.  So the newest number in one
is looked for in the other, the newest there that is not above it in the first
one again, and so on: where they agree is a task that meets both.  Through one
index alone a page could have to look at a million tasks for the few it wants.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
    bindparam,
    case,
    literal_column,
    null,
    or_,
    select,
)

from agentcom.core.state import Priority, Task
from agentcom.store import rows, schema
from agentcom.store import statements as sql
from agentcom.store.interface import PAGE_BYTES, TaskFilter, TaskPage, task_weight

LOOKS = 4_000
"""Numbers that one page looks for, some 1 µs each; twice what the longest page has tasks."""

_NEWEST = 2**63 - 1
_SERVED = ("agent_id", "submitted_by", "priority", "status")
_NONE: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")
_t = schema.tasks


def is_for(wanted: TaskFilter) -> bool:
    """Whether a list has two such conditions."""
    if wanted.search is not None or wanted.last_error is not None or wanted.task_ids is not None:
        return False
    return len(_given(wanted)) >= 2


def tasks(db: sqlite3.Connection, wanted: TaskFilter) -> TaskPage:
    """A page of tasks, newest first; it can be short, and more come all the same."""
    given = _given(wanted)
    statement, order = _statement(given, wanted.priority == Priority.NORMAL)
    values: dict[str, Any] = {name: getattr(wanted, name) for name in given}
    values |= {"before": wanted.before or _NEWEST, "looks": LOOKS, "most": wanted.limit + 1}
    page: list[Task] = []
    weight = 0
    for look, at, fits, met, *columns in db.execute(statement, [values[n] for n in order]):
        if fits:
            if len(page) >= wanted.limit or weight >= PAGE_BYTES:
                return TaskPage(page, page[-1].number)
            task = rows.to_task(columns)
            page.append(task)
            weight += task_weight(task)
        if look == LOOKS and at is not None:
            return TaskPage(page, at if met else at + 1)
    return TaskPage(page, None)


def _given(wanted: TaskFilter) -> tuple[str, ...]:
    """The conditions that an index serves: of priorities, only what few have."""
    found = {name: getattr(wanted, name) for name in _SERVED}
    if found["priority"] == Priority.NORMAL:
        del found["priority"]
    return tuple(name for name in _SERVED if found.get(name) is not None)


@lru_cache(32)
def _statement(given: tuple[str, ...], normal: bool) -> tuple[str, tuple[str, ...]]:
    """The query for the first two of these conditions; the others are asked of what is found."""
    looks: BindParameter[int] = bindparam("looks")
    before: BindParameter[int] = bindparam("before")
    # As if the two had just met at the number before which it begins.
    way = select(_NONE.label("look"), before.label("prev"), before.label("at")).cte(
        "way", recursive=True
    )
    met = way.c.at == way.c.prev
    top = way.c.at - case((met, _ONE), else_=_NONE)
    first, second = (_newest(name, top) for name in given[:2])
    way = way.union_all(
        select(
            way.c.look + _ONE,
            case((met, null()), else_=way.c.at),
            case((way.c.look % literal_column("2") == _NONE, first), else_=second),
        ).where(way.c.at.is_not(None), way.c.look < looks)
    )
    rest: list[ColumnElement[bool]] = [_t.c[name] == bindparam(name) for name in given[2:]]
    if normal:
        rest.append(_t.c.priority == literal_column("'normal'"))
    met = and_(way.c.look > _NONE, way.c.at == way.c.prev)
    fits = and_(met, *rest)
    query = (
        select(way.c.look, way.c.at, fits, met, *(_t.c[name] for name in sql.TASK_COLUMNS))
        .select_from(way.outerjoin(_t, _t.c.number == way.c.at))
        .where(or_(fits, way.c.look == looks))
        .limit(bindparam("most"))
        .offset(_NONE)
    )
    return sql.compiled(query)


def _newest(name: str, top: ColumnElement[Any]) -> ColumnElement[Any]:
    """The newest number, not above this, of a task that meets a condition."""
    query = select(_t.c.number).where(_t.c[name] == bindparam(name), _t.c.number <= top)
    if name == "priority":
        # In the words of the partial index, or it is not used.
        query = query.where(_t.c.priority != literal_column("'normal'"))
    return query.order_by(_t.c.number.desc()).limit(_ONE).offset(_NONE).scalar_subquery()
