"""Where a message goes: to a connection, into a mailbox, to everybody.

A message is decided in memory, stored, and only then sent and answered.  What
was decided for a connection that is gone by then waits in its agent's mailbox.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from agentcom.core.message import BROADCAST, DIRECT, Message
from agentcom.hub.auth import Auth
from agentcom.hub.courier import Courier
from agentcom.hub.link import Frame, Link, Roster
from agentcom.hub.mailboxes import Mailboxes, Rows
from agentcom.hub.mailwaits import MailWaits
from agentcom.hub.messagelog import MessageLog
from agentcom.hub.presence import Presence
from agentcom.store.interface import Post, Store, Unit
from agentcom.wire import frames
from agentcom.wire.codec import encode

UNKNOWN_RECIPIENT = "unknown_recipient"


class Sent(msgspec.Struct, frozen=True):
    """A message that was routed; ``note`` says why it reached nobody."""

    id: str
    note: str | None = None


Answer = Callable[[Sent], None]


def frame_of(message: Message) -> Frame:
    """A message as its receivers see it."""
    return encode(
        frames.Message(
            id=message.id,
            seq=message.seq,
            sender=message.sender,
            message_type=message.message_type,
            payload=Raw(message.payload),
            reply_to=message.reply_to,
            timestamp=message.timestamp,
        )
    )


class Messaging:
    """Routes direct messages and broadcasts.

    :ivar couriers: of the connections that take their mailbox over the line.
    """

    def __init__(
        self,
        store: Store,
        log: MessageLog,
        mailboxes: Mailboxes,
        waits: MailWaits,
        roster: Roster,
        presence: Presence,
        auth: Auth,
    ) -> None:
        self._store = store
        self._log = log
        self._mailboxes = mailboxes
        self._waits = waits
        self._roster = roster
        self._presence = presence
        self._auth = auth
        self.couriers: dict[str, Courier] = {}
        # Decided for a connection and not yet sent on it, by agent.
        self._flying: dict[str, dict[int, None]] = {}

    # -- what is sent -------------------------------------------------------

    def send(
        self,
        sender: str,
        to: str | None,
        message_type: str | None,
        payload: bytes,
        reply_to: str | None,
        answer: Answer,
    ) -> None:
        """Route a message: to one agent, or to everybody, the sender included.

        :param to: an agent id; ``None`` or ``broadcast`` for everybody.
        :param payload: JSON, an object.
        :param answer: called once the message is on disk, and sent if its
            receiver is connected.
        """
        if to is None or to == BROADCAST:
            message = self._log.compose(BROADCAST, sender, message_type, payload, reply_to)
            self._log.keep(message, lambda m: self._to_all(m, answer))
            return
        message = self._log.compose(DIRECT, sender, message_type, payload, reply_to, to=to)
        if to in self._roster and to not in self.couriers:
            self._flying.setdefault(to, {})[message.seq] = None
            self._log.keep(message, lambda m: self._to_line(m, to, answer))
        elif self._auth.knows(to):
            rows = self._mailboxes.put(to, message.seq)
            self._log.keep(
                message, lambda m: self._to_box(m, to, answer), [(to, message.seq)], rows
            )
        else:
            self._log.keep(message, lambda m: answer(Sent(m.id, UNKNOWN_RECIPIENT)))

    def _to_all(self, message: Message, answer: Answer) -> None:
        seq = message.seq
        self._mailboxes.broadcast(seq, message.timestamp)
        if self.couriers:
            links = [
                link
                for agent_id, link in self._roster.items()
                if (courier := self.couriers.get(agent_id)) is None or courier.offer(seq)
            ]
        else:
            links = list(self._roster.values())
        self._presence.broadcast(frame_of(message), links, lambda: self._mailboxes.delivered(seq))
        self._waits.all()
        answer(Sent(message.id))

    def _to_line(self, message: Message, to: str, answer: Answer) -> None:
        flying = self._flying.get(to, {})
        link = self._roster.get(to)
        if link is None or message.seq not in flying:
            # It waits in the mailbox by now: answered when that is on disk.  Who takes
            # the mailbox over the line may have looked before the message was.
            self._offer(message, to)
            self._store.commit(Unit(then=lambda: answer(Sent(message.id))))
            return

        def done() -> None:
            if message.seq in flying and self._roster.get(to) is link:
                self._landed(to, message.seq)
                answer(Sent(message.id))
            else:
                self._to_line(message, to, answer)

        # One sender's messages keep their order, a broadcast among them too.
        self._presence.direct(frame_of(message), link, done)

    def _to_box(self, message: Message, to: str, answer: Answer) -> None:
        self._offer(message, to)
        self._waits.one(to)
        answer(Sent(message.id))

    def _offer(self, message: Message, to: str) -> None:
        courier = self.couriers.get(to)
        if courier is not None and courier.offer(message.seq):
            self._presence.direct(frame_of(message), courier.link)

    def _landed(self, to: str, seq: int) -> None:
        flying = self._flying[to]
        del flying[seq]
        if not flying:
            del self._flying[to]

    # -- who is there -------------------------------------------------------

    def came(self, link: Link, mailbox: bool) -> None:
        """An agent's connection is in the map, perhaps in the place of another.

        :param mailbox: it takes its mailbox over the line; see :meth:`begin`.
        """
        agent_id = link.agent.agent_id
        self._stop_courier(agent_id)
        if not mailbox:
            self._write(self._mailboxes.came(agent_id))
            return
        self._fall_back(agent_id)
        self._write(self._mailboxes.left(agent_id))
        self.couriers[agent_id] = Courier(
            link,
            lambda after, limit: self._on_disk(agent_id, after, limit),
            self._store.messages.each,
            lambda message, to: self._presence.direct(frame_of(message), to),
        )

    def begin(self, link: Link) -> None:
        """The connection has been told that it is identified."""
        courier = self.couriers.get(link.agent.agent_id)
        if courier is not None and courier.link is link:
            courier.begin()

    def gone(self, agent_id: str) -> None:
        """An agent's last connection left the map."""
        self._stop_courier(agent_id)
        self._fall_back(agent_id)
        self._write(self._mailboxes.left(agent_id))

    def _stop_courier(self, agent_id: str) -> None:
        courier = self.couriers.pop(agent_id, None)
        if courier is not None:
            courier.stop()

    def _fall_back(self, agent_id: str) -> None:
        """What was not sent yet waits in the mailbox, before anything later does."""
        flying = self._flying.pop(agent_id, None)
        if not flying:
            return
        rows: Rows = {}
        for seq in flying:
            rows = {**rows, **self._mailboxes.put(agent_id, seq)}
        post = Post(mail=[(agent_id, seq) for seq in flying], boxes=rows)
        self._store.commit(Unit(post=post, then=lambda: self._waits.one(agent_id)))
        flying.clear()

    # -- what is taken ------------------------------------------------------

    def acknowledge(self, agent_id: str, up_to: int, answer: Callable[[int], None]) -> None:
        """An agent has all up to and including a ``seq``.

        :param answer: called after the commit with the ``seq`` up to which
            nothing waits any more.
        """
        floor, rows = self._mailboxes.take(agent_id, min(up_to, self.reach(agent_id)))
        post = Post(boxes=rows) if rows else None
        self._store.commit(Unit(post=post, then=lambda: answer(floor)))
        courier = self.couriers.get(agent_id)
        if courier is not None:
            courier.acknowledged(floor)

    def reach(self, agent_id: str) -> int:
        """The ``seq`` up to which an agent's mailbox is known: what is not on disk, and
        what may yet fall back into it, nobody can have seen there."""
        flying = self._flying.get(agent_id)
        return self._log.committed if not flying else min(self._log.committed, min(flying) - 1)

    def catch_up(self) -> None:
        """Write what would make a hub that crashes repeat old broadcasts."""
        self._write(self._mailboxes.catch_up())

    def _on_disk(self, agent_id: str, after: int, limit: int) -> list[int]:
        self._write(self._mailboxes.settle(agent_id))
        seqs = self._mailboxes.waiting(agent_id, after, limit)
        reach = self.reach(agent_id)
        return [seq for seq in seqs if seq <= reach]

    def _write(self, rows: Rows) -> None:
        if rows:
            self._store.commit(Unit(post=Post(boxes=rows)))
