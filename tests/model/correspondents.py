"""Agents that write to each other, and the books that are kept of it.

A :class:`Correspondent` outlives its lines and the hub.  :class:`Books` know
every message that ever came to disk, also when it is forgotten there.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from agentcom.hub.mail import Letters
from tests.model.lines import ModelLine
from tests.model.promises import demand

Frame = dict[str, Any]

REFUSED = "store_unavailable"
"""The only error that a sender may be told: a disk fails."""


class Entry(NamedTuple):
    """A message that came to disk; ``number`` is its sender's own."""

    id: str
    sender: str
    to: str | None
    number: int
    timestamp: int


class Books:
    """All messages that were ever stored.

    :ivar entries: by ``seq``, which grows and never repeats.
    :ivar answered: sender and number of what the hub said that it was sent, with
        the id that it told.
    """

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.answered: dict[tuple[str, int], str] = {}
        self._last = 0
        self._said: dict[str, int] = {}

    def look(self, db: sqlite3.Connection) -> None:
        """Take down what came to disk."""
        found = db.execute(_NEW, (self._last,)).fetchall()
        for seq, message_id, sender, to, payload, timestamp in found:
            number = json.loads(payload)["n"]
            before = self._said.get(sender, -1)
            demand(number > before, f"{sender}'s {number} is stored after {before}")
            self._last, self._said[sender] = seq, number
            self.entries[seq] = Entry(message_id, sender, to, number, timestamp)

    def sent(self, sender: str, number: int, message_id: str) -> None:
        """The hub said that a message is sent."""
        told = self.answered.setdefault((sender, number), message_id)
        demand(told == message_id, f"{sender}'s {number} is {told}, and then {message_id}")

    def check(self, db: sqlite3.Connection) -> None:
        """What was answered came to disk, once, and a number is nobody else's later."""
        self.look(db)
        ids = {(entry.sender, entry.number): entry.id for entry in self.entries.values()}
        for said, message_id in self.answered.items():
            found = ids.get(said)
            demand(found == message_id, f"{said} was answered, there is {found}")
        for seq, message_id in db.execute("SELECT seq, id FROM messages"):
            demand(self.entries[seq].id == message_id, f"{seq} is another message now")

    def for_agent(self, agent_id: str) -> list[int]:
        """What was stored for an agent, oldest first."""
        return [seq for seq, entry in self.entries.items() if entry.to in (None, agent_id)]

    def owed(self, agent_id: str) -> list[int]:
        """Of these, what must have reached it: broadcasts, and what was answered."""
        found = self.for_agent(agent_id)
        entries = self.entries
        return [
            seq for seq in found if entries[seq].to is None or entries[seq][1:4:2] in self.answered
        ]


class Correspondent:
    """One agent, over all its lines.

    :ivar have: the ``seq`` of all that reached it.
    :ivar done: up to here the hub said that nothing waits any more.
    :ivar cursor: up to here it has read its mailbox over HTTP.
    :ivar looking: fires when the agent leaves the look at its mailbox that is under way.
    """

    def __init__(self, agent_id: str, books: Books) -> None:
        self.agent_id = agent_id
        self.have: set[int] = set()
        self.done = self.cursor = self.spoken = 0
        self.line: ModelLine | None = None
        self.looking: Deferred[None] | None = None
        self.mailbox = self.deaf = False
        self._books = books
        self._on_line: list[int] = []
        self._last_of: dict[str, int] = {}
        self._here: set[int] = set()

    def hub_is_gone(self) -> None:
        """What was sent to a plain connection may be repeated from now on."""
        self.line = self.looking = None
        self._here.clear()

    def begin(self, line: ModelLine, mailbox: bool) -> None:
        """There is a new line.

        :param mailbox: the mailbox is taken over it.
        """
        self.line, self.mailbox, self.deaf = line, mailbox, False
        self._on_line, self._last_of = [], {}

    def next_number(self) -> int:
        """It is about to say something that it has not said before."""
        self.spoken += 1
        return self.spoken - 1

    def last_but(self, back: int) -> int:
        """The ``seq`` that came on this line before the last so many; 0 for none."""
        return self._on_line[-1 - back] if back < len(self._on_line) else 0

    def hear(self, line: ModelLine, frame: Frame) -> None:
        """A frame has come."""
        if line is not self.line or self.deaf:
            return
        kind = frame["type"]
        if kind == "message":
            self._came(frame)
        elif kind == "message_acked":
            self.acked(frame["up_to"])
        elif kind == "message_sent":
            self._books.sent(self.agent_id, frame["ref"], frame["id"])
            demand(frame.get("note") in (None, "unknown_recipient"), f"there is {frame}")
        elif kind == "error":
            demand(frame["error"] == REFUSED, f"{self.agent_id} is told {frame}")

    def acked(self, up_to: int) -> None:
        """The hub says that nothing up to a ``seq`` waits."""
        demand(up_to >= self.done, f"{self.agent_id}: {up_to} acknowledged after {self.done}")
        self.done = up_to

    def read(self, found: Letters, since: int, begun: int) -> None:
        """It has looked into its mailbox.

        :param begun: what :attr:`done` was when it asked.
        """
        for message in found.messages:
            seq = message.seq
            demand(seq > since, f"{self.agent_id} asked after {since}, and reads {seq}")
            demand(seq > begun, f"{self.agent_id} reads {seq}, it had acknowledged {begun}")
            self._take(seq, message.id, message.sender, json.loads(message.payload)["n"])
            since = seq
        demand(found.last_seq == since, f"{found} does not end at {since}")
        self.cursor = max(self.cursor, since)

    def _came(self, frame: Frame) -> None:
        seq, sender = frame["seq"], frame["from"]
        demand(seq > self._last_of.get(sender, 0), f"{self.agent_id}: {frame} comes too late")
        self._last_of[sender] = seq
        demand(seq > self.done, f"{frame}, and {self.agent_id} had acknowledged {self.done}")
        if self.mailbox:
            demand(seq > self.last_but(0), f"{frame} comes after {self._on_line}")
            self._on_line.append(seq)
        self._take(seq, frame["id"], sender, frame["payload"]["n"])
        if not self.mailbox:
            self._here.add(seq)

    def _take(self, seq: int, message_id: str, sender: str, number: int) -> None:
        demand(seq not in self._here, f"{self.agent_id} had {seq} on a line, and has it again")
        entry = self._books.entries.get(seq)
        told = message_id, sender, number
        known = None if entry is None else (entry.id, entry.sender, entry.number)
        demand(known == told, f"{self.agent_id} is told {told} as {seq}, which is {known}")
        to = self._books.entries[seq].to
        demand(to in (None, self.agent_id), f"{self.agent_id} has {seq}, which is for {to}")
        self.have.add(seq)


_NEW = 'SELECT seq, id, sender, "to", payload, timestamp FROM messages WHERE seq > ? ORDER BY seq'
