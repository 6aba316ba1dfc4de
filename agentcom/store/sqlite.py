"""The store on SQLite: one writing connection, a pool of reading ones.

WAL lets readers go on while a batch is written, and ``synchronous=FULL``
makes a commit mean that it is on disk.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.core.events import Event
from agentcom.core.task import Task
from agentcom.core.tokens import Token
from agentcom.errors import StartError
from agentcom.store import messages, migrate, reads, retention, rows
from agentcom.store import statements as sql
from agentcom.store.commit import Batch, GroupCommit
from agentcom.store.interface import (
    PAGE_BYTES,
    EventPage,
    Loaded,
    MessageReads,
    Old,
    TaskFilter,
    TaskPage,
    Unit,
    Waiting,
)
from agentcom.store.messages import SqliteMessages

T = TypeVar("T")
RunRead = Callable[[Callable[[], Any]], Deferred[Any]]

CHECKPOINT_PAGES = 4_000
"""Pages of the log, 16 MiB, after which a commit moves them into the database: a
page that many commits write is moved once, and each move costs two fsyncs."""

KNOWN_AGENTS = 20_000
"""Tasks of which it is known, without a look at the row, which agent has them."""

BUSY_MS = 50
"""Milliseconds the reactor may wait for another process's write lock."""


def connect(path: str) -> sqlite3.Connection:
    """A connection as the store wants it: WAL, FULL, explicit transactions."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    return connection


def connect_reader(path: str) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = connect(path)
    connection.execute("PRAGMA query_only=ON")
    return connection


def open_file(path: Path, epoch: Callable[[], str]) -> sqlite3.Connection:
    """Open a database file for writing, made or upgraded to this version.

    :raises StartError: it cannot be used.
    """
    try:
        # Before SQLite makes its other files: they take this one's mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.chmod(path, 0o600)
        connection = connect(str(path))
    except (sqlite3.Error, OSError) as e:
        raise StartError(f"cannot open the database {path}: {e}") from e
    try:
        migrate.prepare(path, connection, epoch)
    except BaseException:
        connection.close()
        raise
    return connection


def open_in_memory(clock: IReactorTime, give_up: Callable[[], None] = lambda: None) -> SqliteStore:
    """A whole store in memory: everything runs at once, in the calling thread."""
    connection = connect(":memory:")
    migrate.upgrade(connection, lambda: "00000000")
    return SqliteStore(clock, connection, lambda: connection, maybeDeferred, maybeDeferred, give_up)


class SqliteTransaction:
    """Writes a batch through the driver; see :class:`.commit.Transaction`."""

    log = Logger()

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # The agents in the rows of some tasks, by number: most changes keep it.
        self._agents: dict[int, str | None] = {}

    def write(self, batch: Batch) -> None:
        db = self._connection
        db.execute("BEGIN IMMEDIATE")
        if batch.inserts:
            db.executemany(sql.INSERT_TASK, map(rows.task_row, batch.inserts.values()))
        if batch.updates:
            db.executemany(sql.UPDATE_TASK, map(rows.change_row, batch.updates.values()))
            self._write_agents(batch.updates.values())
        self._know_agents(batch.inserts.values())
        if batch.events:
            db.executemany(sql.INSERT_EVENT, map(rows.event_row, batch.events, batch.numbers))
            db.execute(sql.SET_SEQ, (batch.last_seq,))
        if batch.tokens:
            db.executemany(sql.UPSERT_TOKEN, map(rows.token_row, batch.tokens))
        for agent_id, drain in batch.drains.items():
            if drain is None:
                db.execute(sql.DELETE_DRAIN, (agent_id,))
            else:
                db.execute(sql.UPSERT_DRAIN, rows.drain_row(agent_id, drain))
        for name, session in batch.sessions.items():
            if session is None:
                db.execute(sql.DELETE_SESSION, (name,))
            else:
                db.execute(sql.UPSERT_SESSION, rows.session_row(session))
        if batch.posts:
            messages.write(db, batch.posts)
        if batch.forgotten or batch.forgotten_events:
            # Before anything goes, for it may take the highest number along.
            db.execute(sql.SET_PRUNED_NUMBER)
        # Last, so that whether a task may go is asked of its last state.
        if batch.forgotten:
            db.executemany(sql.DELETE_TASK, zip(batch.forgotten))
        if batch.forgotten_events:
            db.executemany(sql.DELETE_EVENT, zip(batch.forgotten_events))
            highest = max(batch.forgotten_events)
            db.execute(sql.SET_PRUNED, (highest, highest))

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def _write_agents(self, tasks: Collection[Task]) -> None:
        known = self._agents
        changed = [task for task in tasks if known.get(task.number, "") != task.agent_id]
        if changed:
            self._connection.executemany(sql.UPDATE_AGENT, map(rows.agent_row, changed))
            self._know_agents(changed)

    def _know_agents(self, tasks: Collection[Task]) -> None:
        if len(self._agents) > KNOWN_AGENTS:
            self._agents.clear()
        self._agents.update((task.number, task.agent_id) for task in tasks)

    def rollback(self) -> None:
        self._agents.clear()
        # A failed statement may have ended the transaction by itself.
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as e:
                self.log.error("a rollback failed: {error}", error=str(e))


class SqliteStore:
    """:class:`.interface.Store` on SQLite.

    :param connection: the writing one, on a schema made by :mod:`.migrate`.
    :param open_reader: opens a further connection, for the calling thread.
    :param run_commit: runs the commit outside the reactor thread.
    :param run_read: the same for reads, several at a time.
    :param give_up: see :class:`.commit.GroupCommit`.
    :param free_bytes: the free disk space, in bytes.
    :param min_free: bytes of free disk under which no new work is taken.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        connection: sqlite3.Connection,
        open_reader: Callable[[], sqlite3.Connection],
        run_commit: Callable[[Callable[[], None]], Deferred[Any]],
        run_read: RunRead,
        give_up: Callable[[], None],
        free_bytes: Callable[[], int] = lambda: 2**63,
        min_free: int = 0,
    ) -> None:
        self._connection = connection
        self._open_reader = open_reader
        self._run_read = run_read
        self._free_bytes = free_bytes
        self._min_free = min_free
        self._space: str | None = None
        self._readers = threading.local()
        self._reading: list[sqlite3.Connection] = []
        self._listeners: list[Callable[[list[Event]], None]] = []
        self._epoch, self._last_seq = connection.execute(sql.SELECT_META).fetchone()
        self._last_number = reads.newest_number(connection)
        self.messages: MessageReads = SqliteMessages(self._reader, self._read)
        self._commits = GroupCommit(
            clock,
            SqliteTransaction(connection),
            run_commit,
            self._last_seq,
            self._committed,
            give_up,
        )
        self.measures = self._commits.measures

    def load(self) -> Loaded:
        db = self._connection
        (pruned_seq,) = db.execute(sql.SELECT_PRUNED).fetchone()
        return Loaded(
            reads.held(db),
            self._waiting(),
            reads.tokens(db),
            self._epoch,
            self._last_seq,
            pruned_seq,
            reads.drains(db),
            messages.load(db),
            reads.sessions(db),
        )

    def next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def commit(self, unit: Unit) -> None:
        self._commits.add(unit)

    def on_commit(self, listener: Callable[[list[Event]], None]) -> None:
        self._listeners.append(listener)

    def idle(self) -> Deferred[None]:
        return self._commits.idle()

    def trouble(self) -> str | None:
        if self._commits.unwell():
            return "the store cannot be written to"
        return self._space

    def check_space(self) -> None:
        free = self._free_bytes()
        low = free < self._min_free
        if low and self._space is None:
            self.log.error(
                "free disk space is down to {free} bytes, under {min_free}: no new work is taken",
                free=free,
                min_free=self._min_free,
            )
        elif not low and self._space is not None:
            self.log.info("there is disk space again: {free} bytes", free=free)
        self._space = "the disk is nearly full" if low else None

    def check_commit(self) -> None:
        self._commits.check()

    def backlog(self) -> int:
        return self._commits.backlog

    def tokens_beyond(self, known: int) -> Deferred[list[Token]]:
        return self._read(partial(reads.tokens_beyond, known=known))

    def task(self, task_id: str) -> Deferred[Task | None]:
        return self._read(partial(reads.task, task_id=task_id))

    def fetch(self, task_id: str) -> Task | None:
        return reads.task(self._reader(), task_id)

    def tasks_by_keys(self, submitted_by: str, keys: Sequence[str]) -> Deferred[dict[str, Task]]:
        return self._read(partial(reads.tasks_by_keys, submitted_by=submitted_by, keys=keys))

    def tasks(self, wanted: TaskFilter) -> Deferred[TaskPage]:
        return self._read(partial(reads.tasks, wanted=wanted))

    def expired(self, now: int, limit: int) -> Deferred[list[str]]:
        return self._read(partial(reads.expired, now=now, limit=limit))

    def counts(self) -> Deferred[dict[str, int]]:
        return self._read(reads.counts)

    def held_counts(self) -> Deferred[dict[str, int]]:
        return self._read(reads.held_counts)

    def old(self, before: int, now: int, place: tuple[int, int], limit: int) -> Deferred[Old]:
        look = partial(retention.old, before=before, now=now, place=place, limit=limit)
        return self._read(look)

    def task_events(self, task_id: str, after: int, limit: int) -> Deferred[EventPage]:
        return self._read(partial(reads.task_events, task_id=task_id, after=after, limit=limit))

    def last_event(self, task_id: str) -> Deferred[Event | None]:
        return self._read(partial(reads.last_event, task_id=task_id))

    def events(self, after: int, limit: int, weight: int = PAGE_BYTES) -> Deferred[list[Event]]:
        return self._read(partial(reads.events, after=after, limit=limit, weight=weight))

    def first_seq(self) -> Deferred[int]:
        return self._read(reads.first_seq)

    def close(self) -> None:
        """Close every connection.  Nothing may be under way."""
        for reader in self._reading:
            reader.close()
        self._connection.close()

    def _committed(self, batch: Batch) -> None:
        self._last_seq = batch.last_seq
        if batch.events:
            for listener in self._listeners:
                try:
                    listener(batch.events)
                except Exception:
                    self.log.failure("while telling of committed events")
        for unit in batch.units:
            if unit.then is not None:
                try:
                    unit.then()
                except Exception:
                    self.log.failure("after a commit")

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        return self._run_read(lambda: work(self._reader()))

    def _reader(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._readers, "connection", None)
        if found is None:
            found = self._open_reader()
            self._readers.connection = found
            if found is not self._connection:
                self._reading.append(found)
        return found

    def _waiting(self) -> Iterator[Waiting]:
        # A connection of its own: one that stays half-way through the rows
        # sees nothing newer, and must not be that of fetch().
        db = self._open_reader()
        try:
            yield from reads.waiting(db)
        finally:
            if db is not self._connection:
                db.close()
