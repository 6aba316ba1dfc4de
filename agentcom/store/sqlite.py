"""The store on SQLite: one who writes, a pool of connections that read."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
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
from agentcom.store import messages, migrate, reads, retention
from agentcom.store import statements as sql
from agentcom.store.commit import Batch, Commit, GroupCommit
from agentcom.store.connections import connect
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
from agentcom.store.script import commit_here

T = TypeVar("T")
RunRead = Callable[[Callable[[], Any]], Deferred[Any]]


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
    commit = commit_here(connection, maybeDeferred)
    return SqliteStore(clock, connection, lambda: connection, commit, maybeDeferred, give_up)


class SqliteStore:
    """:class:`.interface.Store` on SQLite.

    :param connection: on a schema made by :mod:`.migrate`; what the hub begins with is read
        through it.
    :param open_reader: opens a further connection, for the calling thread.
    :param commit: writes batches.
    :param run_read: runs reads outside the reactor thread, several at a time.
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
        commit: Commit,
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
            commit,
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

    def _committed(self, batch: Batch) -> Iterator[None]:
        self._last_seq = batch.last_seq
        if batch.events:
            for listener in self._listeners:
                try:
                    listener(batch.events)
                except Exception:
                    self.log.failure("while telling of committed events")
        for unit in batch.units:
            if unit.then is not None:
                yield
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
