"""What the tests of several rooms share: tasks, held-up threads, a database that fails.

Nothing here stands in for a module of ours: :class:`Held` is a thread pool
that works when the test says so, :class:`FailingTransaction` a database that
keeps the protocol of group commit and fails when the test says so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.events import TASKS, Draft
from agentcom.core.ids import hash_token
from agentcom.core.matching import ABSENT, LabelRule, needs
from agentcom.core.retry import Backoff
from agentcom.core.state import Ending, OnDisconnect, Priority, Status, Task, Terms
from agentcom.core.tokens import Token
from agentcom.store import migrate
from agentcom.store.commit import Batch, Commit
from agentcom.store.connections import connect, connect_reader
from agentcom.store.interface import TaskFilter, Unit
from agentcom.store.script import commit_here
from agentcom.store.sqlite import SqliteStore, open_file

NOW = 1_700_000_000_000
"""Unix milliseconds at which a new clock stands."""


def make_clock() -> Clock:
    """A clock that stands at :data:`NOW`."""
    clock = Clock()
    clock.advance(NOW / 1000)
    return clock


_numbers: dict[str, int] = {}


def number_of(task_id: str) -> int:
    """The number of a task: from 1 in the order in which ids are used with one store."""
    return _numbers.setdefault(task_id, len(_numbers) + 1)


def make_task(id: str = "task-1", **fields: Any) -> Task:
    """A task with the fields that a test does not care about filled in."""
    if "number" not in fields:
        fields["number"] = number_of(id)
    fields.setdefault("description", "work")
    fields.setdefault("submitted_by", "boss")
    fields.setdefault("created_at", NOW)
    fields.setdefault("updated_at", NOW)
    return Task(id=id, **fields)


def make_token(agent_id: str = "worker", **fields: Any) -> Token:
    """A token whose secret is its agent's id."""
    secret = fields.pop("secret", agent_id)
    fields.setdefault("scopes", ("agent", "submit"))
    fields.setdefault("created_at", NOW)
    return Token(hash=hash_token(secret), agent_id=agent_id, prefix=secret[:8], **fields)


def make_draft(
    event: str = "task_submitted", task_id: str | None = "task-1", timestamp: int = NOW
) -> Draft:
    """A draft of a task's event."""
    number = None if task_id is None else number_of(task_id)
    return Draft(TASKS, event, timestamp, task_id, number=number)


FULL = make_task(
    "task-full",
    number=2**53,
    status=Status.WORKING,
    metadata=b'{"a":[1,"\xc3\xa4"]}',
    priority=Priority.HIGH,
    pinned="worker",
    agent_id="worker",
    generation=3,
    attempts=2,
    max_attempts=5,
    progress=0.25,
    result=b"null",
    tokens_used=2**53,
    last_error="it \u2603 broke",
    assigned_at=NOW + 1,
    hold_s=12.5,
    requeues=7,
    recover_due=NOW + 2,
    output_bytes=99,
    ending=Ending("task_failed", "worker", 2, "retried"),
    idempotency_key="key",
    body_hash="hash",
    needs=needs(["gpu", "git"], [LabelRule("os", "in", ("linux", "mac")), LabelRule("x", ABSENT)]),
    terms=Terms(Backoff(2.5, 3.0, 90.0), NOW + 3, NOW + 4, 5.5, 6.5, 7.5, OnDisconnect.KEEP),
    series=2,
    ready_at=NOW + 8,
    expires_at=NOW + 9,
)
"""A task without a field that has its default, but for its times and its origin."""


class Held:
    """Runs blocking work at once, or, while ``holding``, when the test releases it."""

    def __init__(self) -> None:
        self.holding = False
        self.error: Exception | None = None
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        if self.holding:
            done: Deferred[Any] = Deferred()
            self.waiting.append((work, done))
            return done
        if self.error is not None:
            return fail(self.error)
        return maybeDeferred(work)

    def release(self) -> None:
        """Do all the work that waits, and hold no more."""
        self.holding = False
        waiting, self.waiting = self.waiting, []
        for work, done in waiting:
            maybeDeferred(work).chainDeferred(done)


def memory_store(
    clock: Clock,
    *,
    commits: Callable[[Callable[[], None]], Deferred[Any]] = maybeDeferred,
    reads: Callable[[Callable[[], Any]], Deferred[Any]] = maybeDeferred,
    give_up: Callable[[], None] = lambda: None,
    free_bytes: Callable[[], int] = lambda: 2**63,
    min_free: int = 0,
) -> SqliteStore:
    """The real store in memory, with threads and a disk of the test's own."""
    _numbers.clear()
    connection = connect(":memory:")
    migrate.upgrade(connection, lambda: "00000000")
    commit = commit_here(connection, commits)
    return SqliteStore(
        clock, connection, lambda: connection, commit, reads, give_up, free_bytes, min_free
    )


def file_store(
    clock: IReactorTime,
    path: Path,
    epoch: str = "e",
    *,
    commits: Callable[[Callable[[], None]], Deferred[Any]] = maybeDeferred,
    open_reader: Callable[[], sqlite3.Connection] | None = None,
) -> SqliteStore:
    """The real store on a file; its readers see what is committed, and nothing else."""
    connection = open_file(path, lambda: epoch)
    return SqliteStore(
        clock,
        connection,
        open_reader or (lambda: connect_reader(str(path))),
        commit_here(connection, commits),
        maybeDeferred,
        lambda: None,
    )


class StoreCase(SynchronousTestCase):
    """An empty store in memory."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.commits = Held()
        self.free = 2**40
        self.store = memory_store(
            self.clock, commits=self.commits, free_bytes=lambda: self.free, min_free=1_000
        )
        self.addCleanup(self.store.close)

    def put(self, *units: Unit) -> None:
        for unit in units:
            self.store.commit(unit)
        self.settle()

    def settle(self) -> None:
        for _ in range(10):
            self.clock.advance(0)

    def listed(self, **wanted: Any) -> list[str]:
        page = self.successResultOf(self.store.tasks(TaskFilter(**wanted)))
        return [task.id for task in page.tasks]

    def task(self, task_id: str) -> Task | None:
        return self.successResultOf(self.store.task(task_id))


class FailingTransaction:
    """A database that keeps the protocol of group commit and fails on demand.

    :ivar fails: where it fails now: ``"write"``, ``"commit"`` or nowhere.
    :ivar tried: every batch that was begun, as what it would have written.
    :ivar committed: those of them that became durable.
    :ivar calls: the protocol's calls in their order.
    """

    def __init__(self) -> None:
        self.fails = ""
        self.tried: list[list[Any]] = []
        self.committed: list[list[Any]] = []
        self.calls: list[str] = []
        self._begun: list[Any] | None = None

    def write(self, batch: Batch) -> None:
        self.calls.append("write")
        if self._begun is not None:
            raise AssertionError("a transaction within a transaction")
        self._begun = [
            list(batch.inserts.values()),
            list(batch.updates.values()),
            [(event.seq, event.event) for event in batch.events],
            list(batch.tokens),
            list(batch.forgotten),
            list(batch.forgotten_events),
            batch.last_seq,
        ]
        self.tried.append(self._begun)
        if self.fails == "write":
            raise sqlite3.OperationalError("disk I/O error")

    def commit(self) -> None:
        self.calls.append("commit")
        if self._begun is None:
            raise AssertionError("a commit without a transaction")
        if self.fails == "commit":
            raise sqlite3.OperationalError("database or disk is full")
        self.committed.append(self._begun)
        self._begun = None

    def rollback(self) -> None:
        self.calls.append("rollback")
        self._begun = None


def unit_of(*ids: str, then: Callable[[], None] | None = None) -> Unit:
    """A unit of new tasks with an event for each."""
    return Unit(
        new=[make_task(i) for i in ids], drafts=[make_draft(task_id=i) for i in ids], then=then
    )


def committing(
    database: FailingTransaction, run: Callable[[Callable[[], None]], Deferred[Any]]
) -> Commit:
    """Batches on such a database, as :func:`.script.commit_here` writes them."""

    def undo(failure: Failure) -> Failure:
        database.rollback()
        return failure

    def commit(batch: Batch) -> Deferred[None]:
        try:
            database.write(batch)
        except Exception:
            return fail(undo(Failure()))
        done: Deferred[Any] = run(database.commit)
        return done.addErrback(undo)

    return commit
