"""A hub with small mailboxes, those who write to each other, and what must be right of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from agentcom.errors import StoreUnavailable
from agentcom.hub.hub import Hub, Settings
from agentcom.hub.link import Roster
from agentcom.hub.mail import Letters
from agentcom.hub.messages import MessageSettings
from tests.model.correspondents import Books, Correspondent
from tests.model.disk import Disk
from tests.model.lines import ModelLine
from tests.model.lives import Lives
from tests.model.promises import demand
from tests.model.world import AGENTS, FINE, token_of

STRANGER = "zoe"
"""Who writes over HTTP; nobody by this name ever had a token."""

LONG = 50
"""Looks into a mailbox that empty it for sure."""


class PostOffice(Lives):
    """A hub, and agents that write to each other.

    :param size: messages that a mailbox holds.
    :param kept_s: seconds that messages wait, and that they are in the history.
    :ivar refused: messages that the hub did not take.
    """

    def __init__(
        self, disk: Disk, log: Callable[[], list[str]], size: int, kept_s: tuple[float, float]
    ) -> None:
        self._log = log
        self.size, (self.mailbox_s, retain_s) = size, kept_s
        self._settings = MessageSettings(
            rate=None, mailbox_size=size, mailbox_s=self.mailbox_s, retain_s=retain_s
        )
        self.books = Books()
        self.people = {name: Correspondent(name, self.books) for name in AGENTS}
        self.refused = self._strangers_number = 0
        self._failed: list[Any] = []
        super().__init__(disk)

    def boot(self, at: float) -> None:
        """A hub begins, and nobody is there."""
        for person in self.people.values():
            person.hub_is_gone()
        self.clock = Clock()
        self.clock.advance(at)
        self.booted_at = at
        self._hopeless = False
        roster: Roster = {}
        self.store = self.disk.open(self.clock, self._give_up)
        self.hub = Hub(self.store, self.clock, self._ids, roster, Settings(messages=self._settings))
        self.hub.start()
        self.settle()

    def connect(self, agent_id: str, mailbox: bool) -> None:
        """An agent identifies on a new line, perhaps while it has another."""
        person = self.people[agent_id]
        # What comes is taken down before anybody hears it.
        line = ModelLine(agent_id, self.hub, self.clock, partial(self._hear, person))
        person.begin(line, mailbox)
        who = {"agent_id": agent_id, "token": token_of(agent_id), "presence": "none"}
        line.say({"type": "identify", "mailbox": mailbox, **who})
        self.settle()

    def _hear(self, person: Correspondent, line: ModelLine, frame: dict[str, Any]) -> None:
        self.books.look(self.disk.look)
        person.hear(line, frame)

    def vanish(self, agent_id: str) -> None:
        """An agent's line breaks."""
        person = self.people[agent_id]
        line, person.line = person.line, None
        if line is not None:
            line.fall()
        self.settle()

    def send(self, sender: str, to: str | None) -> None:
        """An agent says what it has not said before."""
        person = self.people[sender]
        if person.line is not None and not person.deaf:
            number = person.next_number()
            fields = {"to": to, "payload": {"n": number}, "ref": number}
            person.line.say({"type": "message", **fields})

    def post(self, to: str | None) -> None:
        """Somebody sends a message over HTTP."""
        number = self._strangers_number
        self._strangers_number += 1
        hub = self.hub

        def answer(sent: Any) -> None:
            if hub is self.hub:
                self.books.sent(STRANGER, number, sent.id)

        try:
            hub.messages.send(STRANGER, to, None, b'{"n": %d}' % number, None, answer)
        except StoreUnavailable:
            self.refused += 1

    def acknowledge(self, agent_id: str, back: int) -> None:
        """An agent has what came on its line, but for the last so many."""
        person = self.people[agent_id]
        seq = person.last_but(back)
        if person.line is not None and person.mailbox and not person.deaf and seq:
            person.line.say({"type": "message_ack", "seq": seq})
            self.settle()

    def look(self, agent_id: str, limit: int, wait_s: float) -> None:
        """An agent looks into its mailbox over HTTP, or leaves the look that is under way."""
        person, hub = self.people[agent_id], self.hub
        if person.looking is not None:
            left, person.looking = person.looking, None
            left.callback(None)
            return
        left = person.looking = Deferred()
        since, begun = person.cursor, person.done

        def read(found: Letters) -> None:
            if person.looking is left:
                person.looking = None
                self.books.look(self.disk.look)
                person.read(found, since, begun)

        mail = hub.messages.mail
        looked = Deferred.fromCoroutine(mail.await_some(agent_id, since, limit, wait_s, left))
        # What a dead hub had under way says nothing.
        looked.addCallback(read).addErrback(
            lambda f: f.trap(RuntimeError, ValueError, GeneratorExit) if hub is not self.hub else f
        ).addErrback(self._failed.append)
        self.settle()

    def ack_read(self, agent_id: str) -> None:
        """An agent acknowledges over HTTP what it read there."""
        person, hub = self.people[agent_id], self.hub

        def acked(up_to: int) -> None:
            if hub is self.hub:
                person.acked(up_to)

        hub.messages.messaging.acknowledge(agent_id, person.cursor, acked)
        self.settle()

    def check(self) -> None:
        """What was answered is stored; nobody waits for what is there; nothing bad is logged."""
        self.bury()
        logged = [text for text in self._log() if not any(fine in text for fine in FINE)]
        demand(not logged, f"the hub logged {logged}")
        demand(not self._failed, f"a look at a mailbox ends with {self._failed}")
        self.books.check(self.disk.look)
        messages = self.hub.messages
        for name, person in self.people.items():
            seqs = messages.mailboxes.waiting(name, person.cursor, LONG)
            there = [seq for seq in seqs if seq <= messages.messaging.reach(name)]
            idle = person.looking is None or not there or not self.settled
            demand(idle, f"{name} waits for its mailbox, and {there} are in it")

    def check_accounts(self, agent_id: str) -> int:
        """All that was for an agent reached it, or was dropped and counted.

        :returns: how many were dropped.
        """
        entries, have = self.books.entries, self.people[agent_id].have
        everything = self.books.for_agent(agent_id)
        old = self.hub.now() - self.mailbox_s * 1000
        too_many = set(everything[: -self.size])
        may_go = {seq for seq in everything if seq in too_many or entries[seq].timestamp < old}
        lost = [seq for seq in self.books.owed(agent_id) if seq not in have]
        dropped = self.hub.messages.mailboxes.dropped_of(agent_id)
        wrongly = [seq for seq in lost if seq not in may_go]
        demand(not wrongly, f"{agent_id} never got {wrongly}")
        demand(len(lost) <= dropped, f"{agent_id} never got {lost}, and {dropped} were dropped")
        demand(dropped <= len(may_go), f"{dropped} for {agent_id} dropped, of {may_go}")
        return dropped
