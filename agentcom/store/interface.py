"""The seam between the hub and its store.

The hub knows these names and no implementation.  A :class:`Unit` is the
smallest thing that is written: all of it in one transaction, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from agentcom.core.channel import Channel, Subscription
from agentcom.core.drain import Drain
from agentcom.core.events import Draft, Event
from agentcom.core.matching import Needs
from agentcom.core.message import Mailbox, Message
from agentcom.core.session import BrowserSession
from agentcom.core.task import Priority, Task
from agentcom.core.tokens import Token
from agentcom.store.measures import CommitMeasures


class OldMessages(msgspec.Struct, frozen=True):
    """Messages that go: those with ``after < seq <= until``.

    Those that wait in a mailbox stay; of broadcasts those from ``keep_from`` on.
    """

    after: int
    until: int
    keep_from: int


class Post(msgspec.Struct):
    """What a :class:`Unit` writes of messages; of the same thing the last state stands.

    :ivar mail: of messages that wait in a mailbox: whose it is, and the ``seq``.
    :ivar boxes: mailboxes, by their agents' ids; what waited up to a box's floor goes.
    :ivar subscriptions: one without ``since`` goes.
    """

    messages: Sequence[Message] = ()
    mail: Sequence[tuple[str, int]] = ()
    boxes: Mapping[str, Mailbox] = {}
    channels: Sequence[Channel] = ()
    subscriptions: Sequence[Subscription] = ()
    forgotten: OldMessages | None = None


class Unit(msgspec.Struct):
    """What is committed together.

    :ivar tasks: whole new states; several units of one batch may hold the
        same task, and the last one stands.
    :ivar new: the same of tasks that are not in the store yet.
    :ivar then: called after the commit, in the order of the units.
    :ivar forgotten: ids of ended tasks whose rows go; one that lives, by the
        last state in this batch, stays.
    :ivar forgotten_events: sequence numbers of events that go, but for those of
        a task that lives.
    :ivar drains: of agents, by their ids; ``None`` for one that is over.
    :ivar post: what is written of messages.
    :ivar sessions: of browsers, by their hashes; ``None`` for one that is over.
    """

    tasks: Sequence[Task] = ()
    new: Sequence[Task] = ()
    drafts: Sequence[Draft] = ()
    tokens: Sequence[Token] = ()
    then: Callable[[], None] | None = None
    forgotten: Sequence[str] = ()
    forgotten_events: Sequence[int] = ()
    drains: Mapping[str, Drain | None] | None = None
    post: Post | None = None
    sessions: Mapping[str, BrowserSession | None] | None = None


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks a list shows.

    :ivar last_error: exactly this one.
    :ivar task_ids: none but these, 1,000 at the most.
    :ivar before: the number of the last one seen.
    :ivar search: with which its id begins, or which is in its description, agent
        or last error; small and capital letters of ASCII are the same.
    """

    status: str | None = None
    agent_id: str | None = None
    priority: str | None = None
    submitted_by: str | None = None
    last_error: str | None = None
    task_ids: Sequence[str] | None = None
    before: int | None = None
    limit: int = 100
    search: str | None = None


PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of texts at which a page ends early: rows may be large."""


def task_weight(task: Task) -> int:
    """About how many bytes a task shows."""
    return len(task.description) + len(task.metadata) + len(task.result or b"")


def event_weight(event: Event) -> int:
    """About how many bytes an event shows."""
    # Of a view, because bytes() would copy what may be large.
    return len(memoryview(event.payload))


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A queued task as memory keeps it when there are many: without its texts.

    :ivar agent_id: the agent that had it last.
    """

    id: str
    priority: Priority
    created_at: int
    submitted_by: str
    pinned: str | None
    needs: Needs
    ready_at: int | None
    agent_id: str | None


class TaskPage(msgspec.Struct, frozen=True):
    """Some tasks, newest first.

    :ivar next: the number to go on with, ``None`` at the end.
    :ivar searched: how many were looked at for a text; the page may have none of them.
    """

    tasks: list[Task]
    next: int | None
    searched: int = 0


class EventPage(msgspec.Struct, frozen=True):
    """Some events, oldest first.

    :ivar next: the sequence number to go on after, ``None`` at the end.
    """

    events: list[Event]
    next: int | None


class Old(msgspec.Struct, frozen=True):
    """What retention may forget, found by one look.

    :ivar tasks: ids of tasks that ended before the cutoff, all of whose
        events are in ``events`` or gone.
    :ivar events: sequence numbers.
    :ivar next: the place to look on from, ``None`` when the look is through.
    :ivar statuses: how many of the tasks ended in which status.
    """

    tasks: list[str]
    events: list[int]
    next: tuple[int, int] | None
    statuses: Mapping[str, int] = msgspec.field(default_factory=dict)


class Loaded(msgspec.Struct, frozen=True):
    """What the hub needs in memory when it starts.

    :ivar tasks: those that agents hold.
    :ivar waiting: those that are queued, oldest first.
    :ivar pruned_seq: the highest sequence number that was ever forgotten.
    :ivar drains: of agents, by their ids.
    :ivar sessions: of browsers, oldest first.
    """

    tasks: list[Task]
    waiting: Iterator[Waiting]
    tokens: list[Token]
    epoch: str
    last_seq: int
    pruned_seq: int
    drains: dict[str, Drain]
    messages: LoadedMessages
    sessions: list[BrowserSession]


class MessageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages a history shows.

    :ivar reader: only what this agent sent or received, and broadcasts;
        ``None`` for all.
    :ivar channels: whose messages the reader may see, too.
    :ivar to: a receiver, or ``broadcast``.
    :ivar start_time: the first millisecond.
    :ivar end_time: the last one.
    :ivar before: the ``seq`` of the last one seen.
    """

    reader: str | None = None
    channels: Sequence[str] = ()
    sender: str | None = None
    to: str | None = None
    channel: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    before: int | None = None
    limit: int = 100


class MessagePage(msgspec.Struct, frozen=True):
    """Some messages.

    :ivar next: the ``seq`` to go on with, ``None`` at the end.
    """

    messages: list[Message]
    next: int | None


class LoadedMessages(msgspec.Struct, frozen=True):
    """What the hub starts with.

    :ivar last_seq: the highest number that a message ever had.
    :ivar mail: what waits in mailboxes, by agent, oldest first.
    :ivar broadcasts: ``(seq, timestamp)`` of each, oldest first.
    """

    last_seq: int
    mail: dict[str, list[int]]
    boxes: dict[str, Mailbox]
    broadcasts: list[tuple[int, int]]
    channels: list[Channel]
    subscriptions: list[Subscription]


class MessageReads(Protocol):
    """What is read of messages; pages end early at :data:`PAGE_BYTES` of payloads."""

    def root(self, message_id: str) -> str | None:
        """The thread of a message: its root, or itself; ``None`` where there is none.

        At once: blocks for some tens of microseconds.
        """

    def get(self, message_id: str) -> Deferred[Message | None]:
        """One message."""

    def each(self, seqs: Sequence[int]) -> Deferred[list[Message]]:
        """Those of these messages that are stored, in the order of ``seq``.

        They are cut like a page: where one is missing at the end, ask again.
        """

    def history(self, wanted: MessageFilter) -> Deferred[MessagePage]:
        """Messages, newest first."""

    def channel(self, channel: str, since: int, limit: int) -> Deferred[MessagePage]:
        """Messages of a channel after a ``seq``, oldest first."""

    def thread(self, root: str, after: int, limit: int) -> Deferred[MessagePage]:
        """A thread after a ``seq``, its root first."""

    def replies(self, root: str, parent: str, after: int, limit: int) -> Deferred[MessagePage]:
        """Direct answers to a message of a thread, after a ``seq``, oldest first."""

    def older(self, before: int) -> Deferred[int]:
        """The ``seq`` up to which messages are from before a time in Unix milliseconds,
        0 where none is."""

    def next_old(self, after: int, until: int, limit: int) -> Deferred[int]:
        """The ``seq`` of the message ``limit`` places after another, at most ``until``."""


class Store(Protocol):
    """Durable state.  Reads see what is committed, and only that."""

    @property
    def messages(self) -> MessageReads:
        """What is read of messages."""

    @property
    def measures(self) -> CommitMeasures:
        """What commits took so far."""

    def load(self) -> Loaded:
        """Everything that has not ended, all tokens and drains.  Blocks; at start only."""

    def next_number(self) -> int:
        """The number of a new task: higher than any before, also after a restart."""

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

    def fetch(self, task_id: str) -> Task | None:
        """One task, at once: blocks for some tens of microseconds, with large texts for longer."""

    def tasks_by_keys(self, submitted_by: str, keys: Sequence[str]) -> Deferred[dict[str, Task]]:
        """The tasks that were submitted with these idempotency keys, by key."""

    def tasks(self, wanted: TaskFilter) -> Deferred[TaskPage]:
        """Tasks, newest first."""

    def expired(self, now: int, limit: int) -> Deferred[list[str]]:
        """Ids of tasks whose ``expires_at`` is not after ``now``, earliest first."""

    def counts(self) -> Deferred[dict[str, int]]:
        """How many tasks there are of each status; statuses without any may be absent."""

    def held_counts(self) -> Deferred[dict[str, int]]:
        """The same of tasks that agents have alone, however many others there are."""

    def old(self, before: int, now: int, place: tuple[int, int], limit: int) -> Deferred[Old]:
        """What ended, or happened outside tasks, before a time; see :class:`Old`.

        :param before: Unix milliseconds.
        :param now: the same; a row of a later time says nothing of those behind it.
        :param place: ``(0, 0)`` to begin, then the last answer's ``next``.
        :param limit: rows to look at, and events to name, at the most.
        """

    def task_events(self, task_id: str, after: int, limit: int) -> Deferred[EventPage]:
        """A task's events after a sequence number, oldest first."""

    def last_event(self, task_id: str) -> Deferred[Event | None]:
        """A task's newest event."""

    def events(self, after: int, limit: int, weight: int = PAGE_BYTES) -> Deferred[list[Event]]:
        """The log after a sequence number, oldest first.

        :param weight: bytes of payloads with which a page is full.
        """

    def first_seq(self) -> Deferred[int]:
        """The oldest sequence number that is kept; 0 where the log is empty."""
