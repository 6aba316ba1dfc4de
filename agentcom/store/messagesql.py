"""Every statement about messages, compiled once; see :mod:`.statements`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from agentcom.core.channel import Channel, Subscription
from agentcom.core.message import Mailbox, Message
from agentcom.store import schema
from agentcom.store.statements import compiled

MESSAGE_COLUMNS = Message.__struct_fields__
"""In the order of the fields: a message is a row."""

BOX_COLUMNS = ("agent_id", *Mailbox.__struct_fields__)

EACH = 100
"""Messages of one :data:`SELECT_EACH`."""

_g, _w, _b = schema.messages, schema.mail, schema.mailboxes
_c, _s, _m = schema.channels, schema.subscriptions, schema.meta
_message_cols = [_g.c[name] for name in MESSAGE_COLUMNS]
_box_cols = [_b.c[name] for name in BOX_COLUMNS]
_channel_cols = [_c.c[name] for name in Channel.__struct_fields__]
_subscription_cols = [_s.c[name] for name in Subscription.__struct_fields__]
# SQLite uses a partial index only where its condition stands in the query.
_to_all = _g.c.kind == literal_column("'broadcast'")

INSERT_MESSAGE, _message_order = compiled(
    insert(_g).values({name: bindparam(name) for name in MESSAGE_COLUMNS})
)
SET_MESSAGE_SEQ, _ = compiled(update(_m).values(message_seq=bindparam("last")))
INSERT_MAIL, _mail_order = compiled(
    insert(_w).prefix_with("OR IGNORE").values(agent_id=bindparam("agent_id"), seq=bindparam("seq"))
)
DELETE_MAIL, _delete_mail_order = compiled(
    delete(_w).where(_w.c.agent_id == bindparam("b_agent"), _w.c.seq <= bindparam("b_floor"))
)
UPSERT_BOX, _box_order = compiled(
    insert(_b).prefix_with("OR REPLACE").values({name: bindparam(name) for name in BOX_COLUMNS})
)
UPSERT_CHANNEL, _channel_order = compiled(
    insert(_c)
    .prefix_with("OR REPLACE")
    .values({name: bindparam(name) for name in Channel.__struct_fields__})
)
UPSERT_SUBSCRIPTION, _subscription_order = compiled(
    insert(_s)
    .prefix_with("OR REPLACE")
    .values({name: bindparam(name) for name in Subscription.__struct_fields__})
)
DELETE_SUBSCRIPTION, _gone_order = compiled(
    delete(_s).where(_s.c.channel == bindparam("b_channel"), _s.c.agent_id == bindparam("b_agent"))
)
DELETE_OLD, _old_order = compiled(
    delete(_g).where(
        _g.c.seq > bindparam("after"),
        _g.c.seq <= bindparam("until"),
        or_(~_to_all, _g.c.seq < bindparam("keep_from")),
        ~exists().where(_w.c.seq == _g.c.seq),
    )
)

SELECT_MESSAGE_SEQ, _ = compiled(select(_m.c.message_seq))
SELECT_MAIL, _ = compiled(select(_w.c.agent_id, _w.c.seq).order_by(_w.c.agent_id, _w.c.seq))
SELECT_BOXES, _ = compiled(select(*_box_cols))
SELECT_TO_ALL, _ = compiled(select(_g.c.seq, _g.c.timestamp).where(_to_all).order_by(_g.c.seq))
SELECT_CHANNELS, _ = compiled(select(*_channel_cols).order_by(_c.c.name))
SELECT_SUBSCRIPTIONS, _ = compiled(
    select(*_subscription_cols).order_by(_s.c.channel, _s.c.since, _s.c.agent_id)
)

SELECT_ROOT, _ = compiled(select(_g.c.root).where(_g.c.id == bindparam("b_id")))
SELECT_MESSAGE, _ = compiled(select(*_message_cols).where(_g.c.id == bindparam("b_id")))
_each = select(*_message_cols).where(_g.c.seq.in_([bindparam(f"seq_{n}") for n in range(EACH)]))
SELECT_EACH, _each_order = compiled(_each.order_by(_g.c.seq))
SELECT_EACH_NEWEST_FIRST, _ = compiled(_each.order_by(_g.c.seq.desc()))


def _after(*where: ColumnElement[bool]) -> tuple[str, tuple[str, ...]]:
    return compiled(
        select(*_message_cols)
        .where(*where, _g.c.seq > bindparam("after"))
        .order_by(_g.c.seq)
        .limit(bindparam("most"))
        .offset(literal_column("0"))
    )


SELECT_CHANNEL, _of_channel_order = _after(_g.c.channel == bindparam("name"))
SELECT_THREAD, _thread_order = _after(_g.c.root == bindparam("name"))
SELECT_REPLIES, _replies_order = _after(
    _g.c.root == bindparam("name"), _g.c.reply_to == bindparam("parent")
)

SELECT_FIRST_AND_LAST, _ = compiled(select(func.min(_g.c.seq), func.max(_g.c.seq)))
SELECT_NEXT_TIME, _ = compiled(
    select(_g.c.seq, _g.c.timestamp)
    .where(_g.c.seq >= bindparam("from"))
    .order_by(_g.c.seq)
    .limit(literal_column("1"))
    .offset(literal_column("0"))
)
SELECT_MESSAGE_AT, _at_order = compiled(
    select(_g.c.seq)
    .where(_g.c.seq > bindparam("after"), _g.c.seq <= bindparam("until"))
    .order_by(_g.c.seq)
    .limit(literal_column("1"))
    .offset(bindparam("skipped"))
)


class HistorySelect:
    """Numbers of messages from one source, newest first, with all filters of a history."""

    def __init__(self, *source: ColumnElement[bool]) -> None:
        query: Select[Any] = (
            select(_g.c.seq)
            .where(
                *source,
                _g.c.seq < bindparam("before"),
                *(
                    or_(bindparam(name).is_(None), column)
                    for name, column in (
                        ("sender", _g.c.sender == bindparam("sender")),
                        ("to", _g.c.to == bindparam("to")),
                        ("kind", _g.c.kind == bindparam("kind")),
                        ("channel", _g.c.channel == bindparam("channel")),
                        ("start_time", _g.c.timestamp >= bindparam("start_time")),
                        ("end_time", _g.c.timestamp <= bindparam("end_time")),
                    )
                ),
            )
            .order_by(_g.c.seq.desc())
            .limit(bindparam("most"))
            .offset(literal_column("0"))
        )
        self.sql, self._order = compiled(query)

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        """The parameters in their places."""
        return [given[name] for name in self._order]


HISTORY = HistorySelect()
HISTORY_SENT = HistorySelect(_g.c.sender == bindparam("name"))
HISTORY_RECEIVED = HistorySelect(_g.c.to == bindparam("name"))
HISTORY_CHANNEL = HistorySelect(_g.c.channel == bindparam("name"))
HISTORY_TO_ALL = HistorySelect(_to_all)

# Values are built in these orders: a change of the schema that breaks them
# must not start.
for _order, _expected in (
    (_message_order, MESSAGE_COLUMNS),
    (_mail_order, ("agent_id", "seq")),
    (_delete_mail_order, ("b_agent", "b_floor")),
    (_box_order, BOX_COLUMNS),
    (_channel_order, Channel.__struct_fields__),
    (_subscription_order, Subscription.__struct_fields__),
    (_gone_order, ("b_channel", "b_agent")),
    (_old_order, ("after", "until", "keep_from")),
    (_each_order, tuple(f"seq_{n}" for n in range(EACH))),
    (_of_channel_order, ("name", "after", "most")),
    (_thread_order, ("name", "after", "most")),
    (_replies_order, ("name", "parent", "after", "most")),
    (_at_order, ("after", "until", "skipped")),
):
    if tuple(_order) != tuple(_expected):
        raise AssertionError(f"statement parameters {_order} are not {_expected}")
