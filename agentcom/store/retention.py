"""What is old enough to be forgotten, found in short looks (:class:`.interface.Old`).

One walk goes along the tasks by number and names those that ended, with their
events; another goes along the log and names what belongs to no task.  Both
only read: ``hub/`` decides, and the commit of a :class:`.interface.Unit` forgets.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from operator import itemgetter

from agentcom.store import statements as sql
from agentcom.store.interface import Old

Db = sqlite3.Connection
Times = tuple[int, int]
"""From when on a row is too young, and the time now."""


def old(db: Db, before: int, now: int, place: tuple[int, int], limit: int) -> Old:
    """One look.

    :param before: Unix milliseconds.
    :param now: the same; rows of a later time say nothing of those behind them.
    :param place: the task number and the sequence number looked at so far.
    :param limit: at least 1: rows that each walk looks at, events named in all.
    """
    tasks: list[str] = []
    events: list[int] = []
    statuses: Counter[str] = Counter()
    with _one_moment(db):
        number, tasks_through = _look_at_tasks(
            db, (before, now), place[0], limit, tasks, events, statuses
        )
        seq, events_through = _look_at_events(db, (before, now), place[1], limit, events)
    through = tasks_through and events_through
    return Old(tasks, events, None if through else (number, seq), statuses)


def _look_at_tasks(
    db: Db,
    young: Times,
    place: int,
    limit: int,
    tasks: list[str],
    events: list[int],
    statuses: Counter[str],
) -> tuple[int, bool]:
    """Gather ended tasks; gives the place to go on from, and whether this is the end."""
    until, through = _reach(db, sql.SELECT_TASK_AT, sql.SELECT_LAST_NUMBER, young, place, limit)
    found = db.execute(sql.SELECT_OLD_TASKS, (place, until, young[0]))
    for (number, task_id, status), group in groupby(found, itemgetter(0, 1, 2)):
        room = limit - len(events)
        # A task without events is one row without a number.
        seqs = [row[3] for row in islice(group, room + 1) if row[3] is not None]
        events += seqs[:room]
        if len(seqs) > room:
            # Not named, and looked at again: the rest of its events is to go first.
            return number - 1, False
        tasks.append(task_id)
        statuses[status] += 1
    return until, through


def _look_at_events(
    db: Db, young: Times, place: int, limit: int, events: list[int]
) -> tuple[int, bool]:
    """The same for events that belong to no task, or to one whose row is gone."""
    until, through = _reach(db, sql.SELECT_EVENT_AT, sql.SELECT_LAST_SEQ, young, place, limit)
    room = limit - len(events)
    found = db.execute(sql.SELECT_OLD_EVENTS, (place, until, young[0], room + 1))
    seqs = [seq for (seq,) in found]
    events += seqs[:room]
    if len(seqs) > room:
        return seqs[room] - 1, False
    return until, through


def _reach(
    db: Db, row_at: str, last: str, young: Times, place: int, limit: int
) -> tuple[int, bool]:
    """How far a look goes, and whether there is nothing old after it.

    Both tables grow with time, so behind a row that is too young there are
    only younger ones; but for one of the future, for then the clock was wrong.
    """
    row = db.execute(row_at, (place, limit - 1)).fetchone()
    if row is not None:
        return row[0], young[0] <= row[1] <= young[1]
    # Fewer rows than the limit: to the end, or nowhere where the end went.
    return max(place, db.execute(last).fetchone()[0] or 0), True


@contextmanager
def _one_moment(db: Db) -> Iterator[None]:
    """Let several statements see one state: a task may be tried again between them."""
    if db.in_transaction:
        # In memory the writing connection reads too, and is in the midst of a batch.
        yield
        return
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")
