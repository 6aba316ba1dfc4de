"""The durable batch of the spine: group commit on SQLite, and nothing else.

Statements run on the reactor thread through the driver's own `executemany`; only COMMIT, which
waits for the disk, runs in a thread. While one batch is being committed the next one fills. The
hub's store works the same way, so the distance between hub and spine is what checks, authentication
and state cost.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import NamedTuple

MAX_CHANGES = 64

SCHEMA = """
CREATE TABLE tasks (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, agent_id TEXT, generation INTEGER NOT NULL,
    attempts INTEGER NOT NULL, max_attempts INTEGER NOT NULL, priority TEXT NOT NULL,
    description TEXT NOT NULL, metadata TEXT NOT NULL, progress TEXT, result TEXT, last_error TEXT,
    submitted_by TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, event TEXT NOT NULL, task_id TEXT NOT NULL,
    agent_id TEXT, generation INTEGER NOT NULL, timestamp INTEGER NOT NULL, payload TEXT NOT NULL
);
CREATE INDEX events_of_task ON events (task_id, seq);
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, sender TEXT NOT NULL, receiver TEXT,
    payload TEXT NOT NULL, timestamp INTEGER NOT NULL
);
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counter VALUES ('seq', 0);
"""
INSERT_TASK = (
    "INSERT INTO tasks VALUES (?, ?, ?, 1, 1, 1, 'normal', ?, ?, NULL, NULL, NULL, ?, ?, ?)"
)
UPDATE_TASK = "UPDATE tasks SET status = ?, generation = ?, result = ?, updated_at = ? WHERE id = ?"
INSERT_EVENT = "INSERT INTO events VALUES (?, 'tasks', ?, ?, ?, ?, ?, ?)"
INSERT_MESSAGE = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)"
UPDATE_COUNTER = "UPDATE counter SET value = ? WHERE name = 'seq'"

Row = tuple[object, ...]


class Change(NamedTuple):
    """One decision: the rows it writes, and what may leave once they are on disk."""

    inserts: Sequence[Row]
    update: Row | None
    events: Sequence[Row]
    committed: Callable[[], None]
    messages: Sequence[Row] = ()


class Commit(NamedTuple):
    """How long one COMMIT took: for the thread alone, and from hand-off until its callback ran."""

    changes: int
    thread_s: float
    total_s: float


def open_database(path: Path) -> sqlite3.Connection:
    """Create the file with what the hub promises: WAL, and an fsync for every commit."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(SCHEMA)
    return database


class Batches:
    """Collect changes, commit them in groups, then release their answers in order.

    `soon` runs a callable in the next turn of the reactor; `from_thread` brings one back to it.
    With `inline`, COMMIT runs on the reactor thread too: an experiment, not how the hub does it.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        soon: Callable[[Callable[[], None]], object],
        from_thread: Callable[[Callable[[], None]], object],
        inline: bool,
    ) -> None:
        self.commits: list[Commit] = []
        self._database = database
        self._soon = soon
        self._from_thread = from_thread
        self._inline = inline
        self._waiting: deque[Change] = deque()
        self._running = False
        self._seq = 0
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="commit", daemon=True)
        self._thread.start()

    def add(self, change: Change) -> None:
        """Put a change into the batch that is filling."""
        self._waiting.append(change)
        if not self._running:
            # One turn of patience: what else arrived in this turn shares the fsync.
            self._running = True
            self._soon(self._write)

    def close(self) -> None:
        """Let the commit that runs come to its end, then close the file."""
        self._orders.put(None)
        self._thread.join()
        self._database.close()

    def _write(self) -> None:
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(len(waiting), MAX_CHANGES))]
        inserts = [row for change in batch for row in change.inserts]
        updates = [change.update for change in batch if change.update is not None]
        seq = self._seq
        messages = [row for change in batch for row in change.messages]
        events = [(seq := seq + 1, *event) for change in batch for event in change.events]
        self._seq = seq
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        if inserts:
            database.executemany(INSERT_TASK, inserts)
        if updates:
            database.executemany(UPDATE_TASK, updates)
        if messages:
            database.executemany(INSERT_MESSAGE, messages)
        if events:
            database.executemany(INSERT_EVENT, events)
        database.execute(UPDATE_COUNTER, (seq,))
        began = perf_counter()
        if self._inline:
            database.execute("COMMIT")
            self._committed(batch, began, perf_counter() - began)
        else:
            self._orders.put(lambda: self._commit(batch, began))

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    def _commit(self, batch: list[Change], began: float) -> None:
        woken = perf_counter()
        self._database.execute("COMMIT")
        took = perf_counter() - woken
        self._from_thread(lambda: self._committed(batch, began, took))

    def _committed(self, batch: list[Change], began: float, took: float) -> None:
        self.commits.append(Commit(len(batch), took, perf_counter() - began))
        # The next batch goes to the disk first: it is written while these answers are sent.
        if not self._waiting:
            self._running = False
        elif self._inline:
            self._soon(self._write)
        else:
            self._write()
        for change in batch:
            change.committed()
