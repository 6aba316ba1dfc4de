"""All mailboxes in memory; what must be written of them is given back as rows.

A row is written only when something changed that a start from disk must know,
so that agents that come and go cost no write while nobody broadcasts.  After
a crash an agent that was connected may find a broadcast again that it was
sent, with the same ``seq``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agentcom.core.message import Mailbox
from agentcom.hub.mailbox import Box, Broadcasts
from agentcom.store.interface import LoadedMessages

Rows = Mapping[str, Mailbox]
"""What is to be written, by agent."""

NOTHING: Rows = {}

AT_A_TIME = 256
"""Mailboxes that are looked at in one :meth:`Mailboxes.catch_up`."""


class Mailboxes:
    """The mailboxes of all agents.

    :param most: messages that one holds.
    :param born: when an agent got its first token, Unix milliseconds: what was
        broadcast before is not for it.
    :ivar dropped: messages that went unread since the start.
    """

    def __init__(self, loaded: LoadedMessages, most: int, born: Callable[[str], int]) -> None:
        self._most = most
        self._born = born
        self._broadcasts = broadcasts = Broadcasts(most, loaded.broadcasts)
        self._boxes: dict[str, Box] = {}
        self._delivered = broadcasts.tip
        self._expired = 0
        self._walk: Iterator[str] = iter(())
        self.dropped = 0
        for agent_id, row in loaded.boxes.items():
            self._boxes[agent_id] = Box.of(row, broadcasts, loaded.mail.get(agent_id, []))
        for agent_id, seqs in loaded.mail.items():
            if agent_id not in self._boxes:
                self._box(agent_id).waiting = seqs

    def __len__(self) -> int:
        return len(self._boxes)

    def put(self, agent_id: str, seq: int) -> Rows:
        """A direct message waits."""
        box = self._box(agent_id)
        box.put(seq)
        return self._limited(agent_id, box)

    def broadcast(self, seq: int, timestamp: int) -> None:
        """A broadcast is on disk; it waits for all that are not present."""
        self._broadcasts.add(seq, timestamp)

    def delivered(self, seq: int) -> None:
        """A broadcast was sent to all that were present when it came to disk."""
        self._delivered = seq

    def came(self, agent_id: str) -> Rows:
        """An agent is here and is sent broadcasts as they come."""
        box = self._box(agent_id)
        box.settle(self._delivered, self._broadcasts)
        box.present = False
        rows = self._limited(agent_id, box)
        return self._row(agent_id, box) if box.came(self._broadcasts) else rows

    def left(self, agent_id: str) -> Rows:
        """From now on broadcasts wait for the agent."""
        box = self._box(agent_id)
        if not box.present:
            return NOTHING
        box.settle(self._delivered, self._broadcasts)
        box.present = False
        return self._row(agent_id, box) if box.behind(self._broadcasts) else NOTHING

    def take(self, agent_id: str, up_to: int) -> tuple[int, Rows]:
        """An agent acknowledges all up to and including a ``seq`` that is on disk.

        :returns: the ``seq`` up to which nothing waits any more.
        """
        box = self._box(agent_id)
        gone = box.take(up_to, self._broadcasts)
        return box.floor, self._row(agent_id, box) if gone else NOTHING

    def waiting(self, agent_id: str, after: int, limit: int) -> list[int]:
        """What waits after a ``seq``, oldest first; what is not on disk yet may be in it."""
        found = self._box(agent_id).all(self._broadcasts)
        if after:
            found = [seq for seq in found if seq > after]
        return found[:limit]

    def settle(self, agent_id: str) -> Rows:
        """Drop what is too much in a mailbox that is going to be looked at."""
        return self._limited(agent_id, self._box(agent_id))

    def dropped_of(self, agent_id: str) -> int:
        """How many messages of an agent went unread, ever."""
        return self._box(agent_id).dropped

    def expire(self, agent_ids: list[str], up_to: int) -> Rows:
        """In these mailboxes all up to and including a ``seq`` is too old."""
        self._expired = max(self._expired, up_to)
        rows: dict[str, Mailbox] = {}
        for agent_id in agent_ids:
            box = self._box(agent_id)
            rows.update(self._limited(agent_id, box))
            gone = box.expire(up_to, self._broadcasts)
            if gone:
                self.dropped += gone
                rows.update(self._row(agent_id, box))
        return rows

    def agents(self) -> list[str]:
        """All agents that have a mailbox in memory."""
        return list(self._boxes)

    def catch_up(self) -> Rows:
        """Rows of some agents that are present and would be sent old broadcasts after a crash."""
        rows: dict[str, Mailbox] = {}
        for _ in range(min(AT_A_TIME, len(self._boxes))):
            agent_id = next(self._walk, None)
            if agent_id is None:
                self._walk = iter(self.agents())
                break
            box = self._boxes[agent_id]
            box.settle(self._delivered, self._broadcasts)
            if box.present and box.behind(self._broadcasts):
                rows.update(self._row(agent_id, box))
        return rows

    def _box(self, agent_id: str) -> Box:
        box = self._boxes.get(agent_id)
        if box is None:
            since = self._broadcasts.before_time(self._born(agent_id))
            box = self._boxes[agent_id] = Box(self._broadcasts, max(since, self._expired))
        return box

    def _limited(self, agent_id: str, box: Box) -> Rows:
        gone = box.limit(self._broadcasts, self._most)
        if not gone:
            return NOTHING
        self.dropped += gone
        return self._row(agent_id, box)

    def _row(self, agent_id: str, box: Box) -> Rows:
        box.settle(self._delivered, self._broadcasts)
        return {agent_id: box.row()}
