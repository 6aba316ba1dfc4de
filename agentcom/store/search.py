"""Looking for a text in tasks: the newest first, a bounded number of them at a time.

No index serves it, because one of texts would make every commit dearer.  So
a page looks at so many tasks, says how many those were, and where to look on.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, case, cast, func, or_, select

from agentcom.core.state import Status, Task
from agentcom.store import rows, schema
from agentcom.store import statements as sql
from agentcom.store.interface import PAGE_BYTES, TaskFilter, TaskPage, task_weight

LOOKED_AT = 5_000
"""Tasks that one page looks at, some 1 µs each."""

LOOKED_AT_WEIGHT = 64 * 1024 * 1024
"""Characters of texts that one page looks at, beside those of its last step."""

STEP = 200
"""Tasks of one statement: other threads go on only between statements."""

_t = schema.tasks
_NEWEST = 2**63 - 1
_NARROWING = ("priority", "submitted_by", "last_error")


def tasks(db: sqlite3.Connection, wanted: TaskFilter) -> TaskPage:
    """A page of the tasks in which ``wanted.search`` is found.

    The task that has exactly this id is on the first page, before all others.
    """
    search = wanted.search or ""
    statement, values = _step(wanted, search)
    before = values.index(_NEWEST)
    page: list[Task] = []
    searched = looked = weight = 0
    if wanted.before is None:
        first = _exactly(db, wanted, search)
        if first is not None:
            page.append(first)
            weight += task_weight(first)
    else:
        values[before] = wanted.before
    while searched < LOOKED_AT and looked < LOOKED_AT_WEIGHT:
        count, floor, size, found = db.execute(statement, values).fetchone()
        searched += count
        looked += size or 0
        for number in sorted(map(int, found.split(",")), reverse=True) if found else ():
            if len(page) >= wanted.limit or weight >= PAGE_BYTES:
                # Not the page's last: the task of exactly this id stands before its turn.
                return TaskPage(page, number + 1, searched)
            row = db.execute(_SELECT_NUMBER, (number,)).fetchone()
            if row is None:
                # It was deleted since the step: each statement sees the state of its moment.
                continue
            task = rows.to_task(row)
            page.append(task)
            weight += task_weight(task)
        if count < STEP:
            return TaskPage(page, None, searched)
        values[before] = floor
        if len(page) >= wanted.limit or weight >= PAGE_BYTES:
            break
    return TaskPage(page, values[before], searched)


def _exactly(db: sqlite3.Connection, wanted: TaskFilter, search: str) -> Task | None:
    statement, values = sql.prepare(
        select(*(_t.c[name] for name in sql.TASK_COLUMNS)).where(
            _t.c.id == search, *_narrowed(wanted), *_by_index(wanted)
        )
    )
    row = db.execute(statement, values).fetchone()
    return None if row is None else rows.to_task(row)


def _step(wanted: TaskFilter, search: str) -> tuple[str, list[Any]]:
    """The statement that looks at :data:`STEP` tasks, and its values, one of them
    :data:`_NEWEST`: the number before which it looks.

    It gives one row: how many they were, the lowest number, how large their
    texts are, and the numbers of those that fit, so that a thread that reads
    waits for the others once a step and not once a row.
    """
    text = or_(
        func.lower(_t.c.id).startswith(_lowered(search), autoescape=True),
        *(
            func.lower(column).contains(_lowered(search), autoescape=True)
            for column in (_t.c.description, _t.c.agent_id, _t.c.last_error)
        ),
    )
    by_index = _by_index(wanted)
    fits = and_(_t.c.id != search, text, *_narrowed(wanted), *by_index[1:])
    weight = (
        func.length(_t.c.description)
        + func.length(_t.c.metadata)
        + func.coalesce(func.length(_t.c.result), 0)
    )
    some = (
        select(
            _t.c.number,
            case((fits, cast(_t.c.number, String))).label("fit"),
            weight.label("weight"),
        )
        .where(_t.c.number < bindparam("b_before", _NEWEST), *by_index[:1])
        .order_by(_t.c.number.desc())
        .limit(STEP)
        .subquery()
    )
    return sql.prepare(
        select(
            func.count(),
            func.min(some.c.number),
            func.sum(some.c.weight),
            func.aggregate_strings(some.c.fit, ","),
        )
    )


def _by_index(wanted: TaskFilter) -> list[ColumnElement[bool]]:
    """The conditions that an index serves; only the first is asked of the rows
    that are looked at, or one that few rows meet would make a step endless."""
    found: list[ColumnElement[bool]] = []
    if wanted.status is not None and wanted.status != Status.COMPLETED:
        found.append(_t.c.status == wanted.status)
    if wanted.agent_id is not None:
        found.append(_t.c.agent_id == wanted.agent_id)
    return found


def _narrowed(wanted: TaskFilter) -> list[ColumnElement[bool]]:
    """The conditions that no index serves."""
    found: list[ColumnElement[bool]] = [
        _t.c[name] == getattr(wanted, name)
        for name in _NARROWING
        if getattr(wanted, name) is not None
    ]
    if wanted.status == Status.COMPLETED:
        found.append(_t.c.status == wanted.status)
    if wanted.task_ids is not None:
        found.append(_t.c.id.in_(wanted.task_ids))
    return found


def _lowered(text: str) -> str:
    """In small letters as SQLite's ``lower`` makes them: those of ASCII."""
    return text.encode().lower().decode()


_SELECT_NUMBER, _ = sql.compiled(
    select(*(_t.c[name] for name in sql.TASK_COLUMNS)).where(_t.c.number == bindparam("b_number"))
)
