"""Messages on SQLite: how they are written with a batch, and what is read of them."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from agentcom.core.channel import Channel, Subscription
from agentcom.core.message import BROADCAST, Mailbox, Message
from agentcom.store import messagesql as sql
from agentcom.store.interface import (
    PAGE_BYTES,
    LoadedMessages,
    MessageFilter,
    MessagePage,
    Post,
)
from agentcom.store.transaction import Step

T = TypeVar("T")
Db = sqlite3.Connection
Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
_absences = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode


def steps(posts: list[Post]) -> Iterator[Step]:
    """What writes what a batch has of messages; of the same thing the last state stands."""
    messages = [message for post in posts for message in post.messages]
    if messages:
        yield sql.INSERT_MESSAGE, [_message_row(message) for message in messages]
        yield sql.SET_MESSAGE_SEQ, [(messages[-1].seq,)]
    mail = [row for post in posts for row in post.mail]
    if mail:
        yield sql.INSERT_MAIL, mail
    boxes: dict[str, Mailbox] = {}
    for post in posts:
        boxes.update(post.boxes)
    if boxes:
        yield sql.UPSERT_BOX, [_box_row(*item) for item in boxes.items()]
        yield sql.DELETE_MAIL, [(name, box.floor) for name, box in boxes.items()]
    for post in posts:
        if post.channels:
            yield sql.UPSERT_CHANNEL, [msgspec.structs.astuple(c) for c in post.channels]
        for subscription in post.subscriptions:
            row = msgspec.structs.astuple(subscription)
            if subscription.since is None:
                yield sql.DELETE_SUBSCRIPTION, [row[:2]]
            else:
                yield sql.UPSERT_SUBSCRIPTION, [row]
        if post.forgotten is not None:
            old = post.forgotten
            yield sql.DELETE_OLD, [(old.after, old.until, old.keep_from)]


def load(db: Db) -> LoadedMessages:
    """What the hub starts with."""
    mail: dict[str, list[int]] = {}
    for agent_id, seq in db.execute(sql.SELECT_MAIL):
        mail.setdefault(agent_id, []).append(seq)
    return LoadedMessages(
        last_seq=db.execute(sql.SELECT_MESSAGE_SEQ).fetchone()[0],
        mail=mail,
        boxes=dict(map(_to_box, db.execute(sql.SELECT_BOXES))),
        broadcasts=db.execute(sql.SELECT_TO_ALL).fetchall(),
        channels=[Channel(**_named(Channel, row)) for row in db.execute(sql.SELECT_CHANNELS)],
        subscriptions=[
            Subscription(**_named(Subscription, row))
            for row in db.execute(sql.SELECT_SUBSCRIPTIONS)
        ],
    )


class SqliteMessages:
    """:class:`.interface.MessageReads` on SQLite.

    :param reader: the calling thread's connection.
    :param run: runs a look outside the reactor thread.
    """

    def __init__(
        self,
        reader: Callable[[], Db],
        run: Callable[[Callable[[Db], Any]], Deferred[Any]],
    ) -> None:
        self._reader = reader
        self._run = run

    def root(self, message_id: str) -> str | None:
        row = self._reader().execute(sql.SELECT_ROOT, (message_id,)).fetchone()
        return None if row is None else row[0] or message_id

    def get(self, message_id: str) -> Deferred[Message | None]:
        return self._run(partial(_get, message_id=message_id))

    def each(self, seqs: Sequence[int]) -> Deferred[list[Message]]:
        return self._run(partial(_each, seqs=seqs))

    def history(self, wanted: MessageFilter) -> Deferred[MessagePage]:
        return self._run(partial(_history, wanted=wanted))

    def channel(self, channel: str, since: int, limit: int) -> Deferred[MessagePage]:
        return self._page(sql.SELECT_CHANNEL, (channel, since), limit)

    def thread(self, root: str, after: int, limit: int) -> Deferred[MessagePage]:
        def look(db: Db) -> MessagePage:
            first = _get(db, root) if after == 0 else None
            rest = _messages(db, sql.SELECT_THREAD, (root, after, limit + 1))
            return _cut(rest if first is None else [first, *rest], limit)

        return self._run(look)

    def replies(self, root: str, parent: str, after: int, limit: int) -> Deferred[MessagePage]:
        return self._page(sql.SELECT_REPLIES, (root, parent, after), limit)

    def older(self, before: int) -> Deferred[int]:
        return self._run(partial(_older, before=before))

    def next_old(self, after: int, until: int, limit: int) -> Deferred[int]:
        def look(db: Db) -> int:
            row = db.execute(sql.SELECT_MESSAGE_AT, (after, until, limit - 1)).fetchone()
            return until if row is None else int(row[0])

        return self._run(look)

    def _page(self, statement: str, values: Row, limit: int) -> Deferred[MessagePage]:
        return self._run(lambda db: _cut(_messages(db, statement, (*values, limit + 1)), limit))


def _messages(db: Db, statement: str, values: Sequence[Any]) -> Iterator[Message]:
    return map(_to_message, db.execute(statement, values))


def _get(db: Db, message_id: str) -> Message | None:
    row = db.execute(sql.SELECT_MESSAGE, (message_id,)).fetchone()
    return None if row is None else _to_message(row)


def _each(db: Db, seqs: Sequence[int]) -> list[Message]:
    return _cut(_one_by_one(db, sql.SELECT_EACH, seqs), len(seqs)).messages


def _one_by_one(db: Db, statement: str, seqs: Sequence[int]) -> Iterator[Message]:
    for start in range(0, len(seqs), sql.EACH):
        some = list(seqs[start : start + sql.EACH])
        # One statement for any number: a repeated one finds nothing more.
        yield from _messages(db, statement, some + [some[-1]] * (sql.EACH - len(some)))


def _history(db: Db, wanted: MessageFilter) -> MessagePage:
    """The newest of what the reader may see, gathered from one index for each source."""
    to_all = wanted.to == BROADCAST
    given: dict[str, Any] = {
        "before": wanted.before if wanted.before is not None else 2**62,
        "sender": wanted.sender,
        "to": None if to_all else wanted.to,
        "kind": BROADCAST if to_all else None,
        "channel": wanted.channel,
        "start_time": wanted.start_time,
        "end_time": wanted.end_time,
        "most": wanted.limit + 1,
    }
    sources = [
        (row[0] for row in db.execute(select.sql, select.values({**given, "name": name})))
        for select, name in _sources(wanted)
    ]
    newest_first: Iterable[int] = heapq.merge(*sources, reverse=True)
    seqs = list(islice(dict.fromkeys(newest_first), wanted.limit + 1))
    return _cut(_one_by_one(db, sql.SELECT_EACH_NEWEST_FIRST, seqs), wanted.limit)


def _sources(wanted: MessageFilter) -> list[tuple[sql.HistorySelect, str | None]]:
    reader = wanted.reader
    if reader is None or wanted.sender == reader:
        for select, name in (
            (sql.HISTORY_SENT, wanted.sender),
            (sql.HISTORY_TO_ALL, wanted.to if wanted.to == BROADCAST else None),
            (sql.HISTORY_RECEIVED, wanted.to),
            (sql.HISTORY_CHANNEL, wanted.channel),
        ):
            if name is not None:
                return [(select, name)]
        return [(sql.HISTORY, None)]
    found: list[tuple[sql.HistorySelect, str | None]] = [
        (sql.HISTORY_RECEIVED, reader),
        (sql.HISTORY_TO_ALL, None),
    ]
    if wanted.sender is None:
        found.append((sql.HISTORY_SENT, reader))
    found += [
        (sql.HISTORY_CHANNEL, name) for name in wanted.channels if wanted.channel in (None, name)
    ]
    return found


def _older(db: Db, before: int) -> int:
    """Halve the numbers until the place is found: messages have no index of their times."""
    first, last = db.execute(sql.SELECT_FIRST_AND_LAST).fetchone()
    if first is None:
        return 0
    # All before ``low`` are old; none from ``high`` on is.
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        row = db.execute(sql.SELECT_NEXT_TIME, (middle,)).fetchone()
        if row is None or row[1] >= before:
            high = middle
        else:
            low = row[0] + 1
    return int(low) - 1


def _cut(found: Iterable[Message], limit: int) -> MessagePage:
    page: list[Message] = []
    size = 0
    for message in found:
        if len(page) >= limit or size >= PAGE_BYTES:
            return MessagePage(page, page[-1].seq)
        page.append(message)
        size += len(message.payload)
    return MessagePage(page, None)


def _message_row(message: Message) -> Row:
    return (
        message.seq,
        message.id,
        message.kind,
        message.sender,
        message.to,
        message.channel,
        message.message_type,
        message.payload.decode(),
        message.reply_to,
        message.root,
        message.timestamp,
    )


def _to_message(row: Row) -> Message:
    seq, id, kind, sender, to, channel, message_type, payload, *rest = row
    return Message(seq, id, kind, sender, to, channel, message_type, payload.encode(), *rest)


def _box_row(agent_id: str, box: Mailbox) -> Row:
    absences = _encode(box.absences).decode()
    return agent_id, box.floor, box.dropped, box.away_since, absences


def _to_box(row: Row) -> tuple[str, Mailbox]:
    agent_id, floor, dropped, away_since, absences = row
    return agent_id, Mailbox(floor, dropped, away_since, _absences(absences))


def _named(struct: type[msgspec.Struct], row: Row) -> dict[str, Any]:
    return dict(zip(struct.__struct_fields__, row, strict=True))
