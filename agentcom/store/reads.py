"""What is read of the database: each function asks one connection, and blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from agentcom.core.drain import Drain
from agentcom.core.events import Event
from agentcom.core.session import BrowserSession
from agentcom.core.state import Status, Task
from agentcom.core.tokens import Token
from agentcom.store import crossing, rows, search
from agentcom.store import statements as sql
from agentcom.store.interface import (
    PAGE_BYTES,
    EventPage,
    TaskFilter,
    TaskPage,
    Waiting,
    event_weight,
    task_weight,
)

T = TypeVar("T")
Db = sqlite3.Connection


def task(db: Db, task_id: str) -> Task | None:
    """One task."""
    row = db.execute(sql.SELECT_TASK, (task_id,)).fetchone()
    return None if row is None else rows.to_task(row)


def held(db: Db) -> list[Task]:
    """Tasks that agents have, oldest first."""
    return [rows.to_task(row) for row in db.execute(sql.SELECT_HELD)]


def waiting(db: Db) -> Iterator[Waiting]:
    """Tasks that are queued, oldest first; read as they are asked for."""
    return rows.to_waiting(db.execute(sql.SELECT_WAITING))


def last_event(db: Db, task_id: str) -> Event | None:
    """A task's newest event."""
    row = db.execute(sql.SELECT_LAST_EVENT, (task_id,)).fetchone()
    return None if row is None else rows.to_event(row)


def tasks_by_keys(db: Db, submitted_by: str, keys: Sequence[str]) -> dict[str, Task]:
    """Tasks of one submitter by their idempotency keys."""
    found = {}
    for start in range(0, len(keys), sql.KEYS):
        some = keys[start : start + sql.KEYS]
        # One statement for any number: a repeated key finds nothing more.
        values = (submitted_by, *some, *[some[-1]] * (sql.KEYS - len(some)))
        for task in map(rows.to_task, db.execute(sql.SELECT_BY_KEYS, values)):
            if task.idempotency_key is not None:
                found[task.idempotency_key] = task
    return found


def tasks(db: Db, wanted: TaskFilter) -> TaskPage:
    """A page of tasks, newest first."""
    if wanted.search is not None:
        return search.tasks(db, wanted)
    if crossing.is_for(wanted):
        return crossing.tasks(db, wanted)
    statement, values = sql.select_tasks(wanted, wanted.limit + 1)
    page, more = _page(map(rows.to_task, db.execute(statement, values)), task_weight, wanted.limit)
    return TaskPage(page, page[-1].number if more else None)


def newest_number(db: Db) -> int:
    """The highest number that a task ever had; 0 where there was none."""
    return int(db.execute(sql.SELECT_NEWEST_NUMBER).fetchone()[0])


def task_events(db: Db, task_id: str, after: int, limit: int) -> EventPage:
    """A page of a task's events, oldest first."""
    found = db.execute(sql.SELECT_TASK_EVENTS, (task_id, after, limit + 1))
    page, more = _page(map(rows.to_event, found), event_weight, limit)
    return EventPage(page, page[-1].seq if more else None)


def events(db: Db, after: int, limit: int, weight: int = PAGE_BYTES) -> list[Event]:
    """Events of the log, oldest first, up to the one that fills a page."""
    found = db.execute(sql.SELECT_EVENTS, (after, limit))
    return _page(map(rows.to_event, found), event_weight, limit, weight)[0]


def first_seq(db: Db) -> int:
    """The oldest sequence number; 0 where there is none."""
    return int(db.execute(sql.SELECT_FIRST_SEQ).fetchone()[0] or 0)


def expired(db: Db, now: int, limit: int) -> list[str]:
    """Ids of tasks that are due to end by themselves, earliest first."""
    return [task_id for (task_id,) in db.execute(sql.SELECT_EXPIRED, (now, limit))]


def counts(db: Db) -> dict[str, int]:
    """How many tasks there are of each status that some have."""
    found: dict[str, int] = dict(db.execute(sql.COUNT_TASKS))
    completed = found.pop(sql.EVERY) - sum(found.values())
    if completed:
        found[Status.COMPLETED.value] = completed
    return found


def held_counts(db: Db) -> dict[str, int]:
    """How many tasks agents have, of each status that some have."""
    return dict(db.execute(sql.COUNT_HELD))


def tokens(db: Db) -> list[Token]:
    """All tokens, oldest first."""
    return [rows.to_token(row) for row in db.execute(sql.SELECT_TOKENS)]


def drains(db: Db) -> dict[str, Drain]:
    """All drains of agents, by their ids, oldest first."""
    return dict(map(rows.to_drain, db.execute(sql.SELECT_DRAINS)))


def sessions(db: Db) -> list[BrowserSession]:
    """All sessions of browsers, oldest first."""
    return [BrowserSession(*row) for row in db.execute(sql.SELECT_SESSIONS)]


def tokens_beyond(db: Db, known: int) -> list[Token]:
    """All tokens, where their number is not the known one; else none."""
    count = db.execute(sql.COUNT_TOKENS).fetchone()[0]
    return [] if count == known else tokens(db)


def _page(
    found: Iterable[T], weight: Callable[[T], int], limit: int, full: int = PAGE_BYTES
) -> tuple[list[T], bool]:
    """What fits into a page, and whether there is more."""
    page: list[T] = []
    total = 0
    for row in found:
        if len(page) >= limit or total >= full:
            return page, True
        page.append(row)
        total += weight(row)
    return page, False
