"""The seam between the hub and its store.

The hub knows these names and no implementation.  A :class:`Unit` is the
smallest thing that is written: all of it in one transaction, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from agentcom.core.events import Draft, Event
from agentcom.core.task import Task
from agentcom.core.tokens import Token


class Unit(msgspec.Struct):
    """What is committed together.

    :ivar tasks: whole new states; several units of one batch may hold the
        same task, and the last one stands.
    :ivar new: the tasks are not in the store yet.
    :ivar then: called after the commit, in the order of the units.
    """

    tasks: Sequence[Task] = ()
    new: bool = False
    drafts: Sequence[Draft] = ()
    tokens: Sequence[Token] = ()
    then: Callable[[], None] | None = None


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks a list shows; ``before`` is the number of the last one seen."""

    status: str | None = None
    agent_id: str | None = None
    priority: str | None = None
    submitted_by: str | None = None
    before: int | None = None
    limit: int = 100


PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of texts at which a page ends early: rows may be large."""


def task_weight(task: Task) -> int:
    """About how many bytes a task shows."""
    return len(task.description) + len(task.metadata) + len(task.result or b"")


def event_weight(event: Event) -> int:
    """About how many bytes an event shows."""
    return len(bytes(event.payload))


class Loaded(msgspec.Struct, frozen=True):
    """What the hub needs in memory when it starts."""

    tasks: list[Task]
    tokens: list[Token]
    epoch: str
    last_seq: int


class Store(Protocol):
    """Durable state.  Reads see what is committed, and only that."""

    def load(self) -> Loaded:
        """Everything that has not ended, and all tokens.  Blocks; at start only."""

    def commit(self, unit: Unit) -> None:
        """Write a unit with the next batch; its ``then`` runs after the commit."""

    def on_commit(self, listener: Callable[[list[Event]], None]) -> None:
        """Hear the events of each batch after its commit, before any ``then``."""

    def trouble(self) -> str | None:
        """Why nothing new can be taken now, or ``None`` when all is well."""

    def check_space(self) -> None:
        """Look at the free disk space again."""

    def check_commit(self) -> None:
        """Look whether a commit hangs; gives up on one that does for long."""

    def backlog(self) -> int:
        """How many units wait to be committed."""

    def tokens_beyond(self, known: int) -> Deferred[list[Token]]:
        """All tokens, where there are more than so many; else none."""

    def idle(self) -> Deferred[None]:
        """Fires when everything that was handed over is committed."""

    def task(self, task_id: str) -> Deferred[Task | None]:
        """One task."""

    def task_by_key(self, submitted_by: str, key: str) -> Deferred[Task | None]:
        """The task that was submitted with this idempotency key."""

    def tasks(self, wanted: TaskFilter) -> Deferred[list[tuple[int, Task]]]:
        """Tasks with their numbers, newest first."""

    def task_events(self, task_id: str, after: int, limit: int) -> Deferred[list[Event]]:
        """A task's events after a sequence number, oldest first."""

    def events(self, after: int, limit: int) -> Deferred[list[Event]]:
        """The log after a sequence number, oldest first."""

    def first_seq(self) -> Deferred[int]:
        """The oldest sequence number that is kept; 0 where the log is empty."""
