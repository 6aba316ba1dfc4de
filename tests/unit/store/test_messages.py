"""Messages on SQLite: what is written is read back the same, and only what should go goes."""

from __future__ import annotations

from typing import Any

from agentcom.core.channel import Channel, Subscription
from agentcom.core.message import Mailbox, Message
from agentcom.store import messages
from agentcom.store import messagesql as sql
from agentcom.store.interface import MessageFilter, OldMessages, Post, Unit
from tests.unit.store.support import NOW, StoreCase


def message(seq: int, **fields: Any) -> Message:
    """A message; direct from ``a`` to ``b`` unless told otherwise."""
    given = {
        "id": f"{seq:016x}",
        "kind": "direct",
        "sender": "a",
        "to": "b",
        "channel": None,
        "message_type": "chat",
        "payload": b'{"n":%d}' % seq,
        "reply_to": None,
        "root": None,
        "timestamp": NOW + seq,
        **fields,
    }
    return Message(seq=seq, **given)


def broadcast(seq: int, **fields: Any) -> Message:
    """The same to all."""
    return message(seq, kind="broadcast", to=None, **fields)


class MessageStoreTests(StoreCase):
    """One empty store."""

    def post(self, **fields: Any) -> None:
        self.put(Unit(post=Post(**fields)))

    def seqs(self, **wanted: Any) -> list[int]:
        page = self.successResultOf(self.store.messages.history(MessageFilter(**wanted)))
        return [found.seq for found in page.messages]

    def test_round_trip(self) -> None:
        """A message with all its fields is read as it was written."""
        full = message(
            2**53,
            kind="channel",
            to=None,
            channel="dev",
            payload='{"ä":[1,null]}'.encode(),
            reply_to="r",
            root="s",
        )
        self.post(
            messages=[
                full,
            ]
        )
        read = self.store.messages
        self.assertEqual(self.successResultOf(read.get(full.id)), full)
        self.assertEqual(self.successResultOf(read.each([full.seq])), [full])
        self.assertEqual(read.root(full.id), "s")
        self.assertIsNone(read.root("nothing"))
        self.assertIsNone(self.successResultOf(read.get("nothing")))

    def test_load(self) -> None:
        """What the hub starts with: numbers, mail, mailboxes, broadcasts, channels."""
        box = Mailbox(3, 1, 4, ((1, 2), (5, 9)))
        channel = Channel(name="dev", description="d", created_by="a", created_at=NOW)
        subscription = Subscription(channel="dev", agent_id="b", since=NOW)
        self.post(
            messages=[message(1), broadcast(2), message(4), message(7)],
            mail=[("b", 1), ("c", 4), ("b", 7)],
            boxes={"b": box},
            channels=[channel],
            subscriptions=[subscription],
        )
        loaded = self.store.load().messages
        self.assertEqual(loaded.last_seq, 7)
        self.assertEqual(loaded.mail, {"b": [7], "c": [4]})
        self.assertEqual(loaded.boxes, {"b": box})
        self.assertEqual(loaded.broadcasts, [(2, NOW + 2)])
        self.assertEqual((loaded.channels, loaded.subscriptions), ([channel], [subscription]))
        self.post(subscriptions=[Subscription(channel="dev", agent_id="b", since=None)])
        self.assertEqual(self.store.load().messages.subscriptions, [])

    def test_the_last_state_stands(self) -> None:
        """Of several states of a mailbox in one batch the last one is stored."""
        first, last = Mailbox(1, 0, 1), Mailbox(2, 1, 2)
        self.put(Unit(post=Post(boxes={"b": first})), Unit(post=Post(boxes={"b": last})))
        self.assertEqual(self.store.load().messages.boxes, {"b": last})

    def test_each_in_order(self) -> None:
        """Any number of messages is read in order; those that are not there are left out."""
        self.post(messages=[message(n) for n in range(1, 251)])
        found = self.successResultOf(self.store.messages.each([1, 2, *range(100, 300)]))
        self.assertEqual([m.seq for m in found], [1, 2, *range(100, 251)])

    def test_pages_end_early(self) -> None:
        """A page of large messages ends early, says so, and has at least one."""
        self.patch(messages, "PAGE_BYTES", 20)
        self.post(messages=[message(n, channel="dev") for n in range(1, 9)])
        page = self.successResultOf(self.store.messages.channel("dev", 0, 100))
        self.assertEqual([m.seq for m in page.messages], [1, 2, 3])
        self.assertEqual(page.next, 3)
        page = self.successResultOf(self.store.messages.history(MessageFilter()))
        self.assertEqual(([m.seq for m in page.messages], page.next), ([8, 7, 6], 6))

    def test_older(self) -> None:
        """The last message before a time is found, whatever was forgotten between."""
        self.assertEqual(self.successResultOf(self.store.messages.older(NOW)), 0)
        self.post(messages=[message(n) for n in (3, 4, 9, 10, 17)])
        for seq, expected in ((0, 2), (3, 2), (4, 3), (9, 8), (10, 9), (17, 16), (99, 17)):
            found = self.successResultOf(self.store.messages.older(NOW + seq))
            # Any number will do from the last old one up to the first young one.
            self.assertLessEqual({n for n in (3, 4, 9, 10, 17) if n < seq}, set(range(found + 1)))
            self.assertLess(found, min((n for n in (3, 4, 9, 10, 17) if n >= seq), default=99))
            self.assertLessEqual(found, expected)

    def test_what_goes(self) -> None:
        """What is old goes; what waits stays, and so do broadcasts that may be waited for."""
        self.post(
            messages=[message(1), message(2), broadcast(3), broadcast(4), message(5)],
            mail=[("b", 2)],
        )
        self.post(forgotten=OldMessages(after=0, until=4, keep_from=4))
        self.assertEqual(self.seqs(), [5, 4, 2])
        self.assertEqual(self.store.load().messages.last_seq, 5)

    def test_queries_use_an_index(self) -> None:
        """No look at messages goes through the whole table, but for that of an administrator."""
        db: Any = self.store._connection
        given = dict.fromkeys(
            "before sender to kind channel start_time end_time most name".split(), None
        )
        for select in (sql.HISTORY_SENT, sql.HISTORY_RECEIVED, sql.HISTORY_CHANNEL):
            plan = db.execute("EXPLAIN QUERY PLAN " + select.sql, select.values(given)).fetchall()
            self.assertRegex(str(plan), "SEARCH messages USING .*INDEX messages_by_")
            self.assertNotIn("TEMP B-TREE", str(plan))
        for statement, count in (
            (sql.SELECT_CHANNEL, 3),
            (sql.SELECT_THREAD, 3),
            (sql.SELECT_REPLIES, 4),
            (sql.SELECT_MESSAGE, 1),
            (sql.SELECT_ROOT, 1),
        ):
            plan = db.execute("EXPLAIN QUERY PLAN " + statement, [None] * count).fetchall()
            self.assertRegex(str(plan), "SEARCH messages USING INDEX messages_by_")
        plan = db.execute("EXPLAIN QUERY PLAN " + sql.SELECT_TO_ALL).fetchall()
        self.assertIn("USING COVERING INDEX messages_to_all", str(plan))
