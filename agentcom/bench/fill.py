"""Give a hub that is stopped a past: tasks written straight into its SQLite file.

    python -m agentcom.bench.fill DATA/agentcom.db ended 1000000
    python -m agentcom.bench.fill DATA/agentcom.db queued 1000000

`ended` tasks went to one of the benchmark's agents and were completed; `queued` ones need what no
agent has. They are made and changed by the hub's own `core` and become rows by its own `store`, so
each has the events and the columns that it would have after a life in the hub. Only the file's
fsyncs are left out, and put back at the end.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from agentcom.core.changes import Accept, Assign, Complete
from agentcom.core.events import Draft, numbered
from agentcom.core.ids import Ids
from agentcom.core.matching import NOTHING, Needs
from agentcom.core.task import Task, apply, submitted
from agentcom.store import reads, rows
from agentcom.store import statements as sql

SUBMITTERS = 20
AGENTS = 32
AT_A_TIME = 10_000
STEP_MS = 2
"""Between one task and the next; the youngest is as old as this program's start."""

NOBODY = Needs(capabilities=("nobody-has-this",))
CACHE_KIB = 512 * 1024

Life = tuple[Task, list[Draft]]


def made(ids: Ids, number: int, now: int, text: str, needs: Needs) -> Task:
    """A task as it was submitted."""
    return Task(
        id=ids.task(),
        number=number,
        description=f"{text}: {number:010d}",
        submitted_by=f"submitter-{number % SUBMITTERS}",
        created_at=now,
        updated_at=now,
        origin="submit",
        max_attempts=3,
        needs=needs,
    )


def queued(ids: Ids, number: int, now: int) -> Life:
    """A task that fits nobody."""
    task = made(ids, number, now, "benchmark task, waiting for nobody", NOBODY)
    return task, submitted(task)


def ended(ids: Ids, number: int, now: int) -> Life:
    """A task with its whole life behind it: four events."""
    task = made(ids, number, now, "benchmark task, as short as a chat line", NOTHING)
    drafts = submitted(task)
    agent_id = f"bench-{number % AGENTS}"
    for change in (Assign(agent_id), Accept(), Complete(b'{"ok":1}', None)):
        task, more = apply(task, change, now)
        drafts += more
    return task, drafts


KINDS: dict[str, Callable[[Ids, int, int], Life]] = {"ended": ended, "queued": queued}


def lives(kind: str, tasks: int, newest: int) -> Iterator[Life]:
    """Tasks in the order in which they came, the last of them a moment ago.

    :param newest: the highest number that a task has already.
    """
    ids = Ids(os.urandom)
    first = time.time_ns() // 1_000_000 - tasks * STEP_MS
    make = KINDS[kind]
    return (make(ids, newest + n, first + n * STEP_MS) for n in range(1, tasks + 1))


def fill(path: Path, kind: str, tasks: int) -> None:
    """Write so many tasks, and leave the file as a hub that stopped would."""
    database = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    seq: int = database.execute(sql.SELECT_META).fetchone()[1]
    source = lives(kind, tasks, reads.newest_number(database))
    while some := list(islice(source, AT_A_TIME)):
        events = [draft for _, drafts in some for draft in drafts]
        database.execute("BEGIN IMMEDIATE")
        database.executemany(sql.INSERT_TASK, [rows.task_row(task) for task, _ in some])
        database.executemany(
            sql.INSERT_EVENT,
            [
                rows.event_row(numbered(draft, seq + n), draft.number)
                for n, draft in enumerate(events, 1)
            ],
        )
        seq += len(events)
        database.execute(sql.SET_SEQ, (seq,))
        database.execute("COMMIT")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill the database of a hub that is stopped.")
    parser.add_argument("database", type=Path, help="made by starting the hub once")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("tasks", type=int)
    options = parser.parse_args()
    if not 0 <= options.tasks <= 10_000_000:
        parser.error("tasks go from 0 to 10000000")
    if not options.database.is_file():
        parser.error(f"{options.database} is not there: start the hub once")
    fill(options.database, options.kind, options.tasks)


if __name__ == "__main__":
    main()
