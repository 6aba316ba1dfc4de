"""Messages and mailboxes in random worlds: nothing is lost, order is kept, repetitions are known.

Hubs die at any moment, disks are slow and fail, lines break; see
:mod:`.test_hub` for the variables that make it longer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from twisted.internet.defer import Deferred

from agentcom.hub import courier
from agentcom.hub import mailbox as hub_mailbox
from agentcom.hub.mail import Letters
from tests.model.disk import Disk
from tests.model.exploring import ModelTestCase
from tests.model.lines import ModelLine
from tests.model.lives import Lives
from tests.model.promises import demand
from tests.model.world import AGENTS, FINE, token_of

REFUSED = ("store_unavailable", "rate_limited")
"""What a sender may be told: a disk fails, and some worlds are hasty."""

IN_FLIGHT = 3
ABSENCES = 2
"""Less than there really is, so that small worlds come to these limits."""

agents = st.sampled_from(AGENTS)


class Person:
    """An agent over all its lines.

    :ivar have: messages that reached it, by ``seq``: sender and the sender's number.
    :ivar done: the ``seq`` up to which the hub said that nothing waits.
    :ivar answered: its messages that were answered, by its own number.
    """

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        self.line: ModelLine | None = None
        self.mailbox = False
        self.have: dict[int, tuple[str, int]] = {}
        self.done = 0
        self.sent: dict[int, str | None] = {}
        self.answered: dict[int, str] = {}
        self.last = 0
        self._last_of: dict[str, int] = {}

    def begin(self, line: ModelLine, mailbox: bool) -> None:
        """There is a new line."""
        self.line, self.mailbox, self.last = line, mailbox, 0
        self._last_of = {}

    def hear(self, line: ModelLine, frame: dict[str, Any]) -> None:
        """A frame has come."""
        if line is not self.line:
            return
        kind = frame["type"]
        if kind == "message":
            seq, sender = frame["seq"], frame["from"]
            before = self.last if self.mailbox else self._last_of.get(sender, 0)
            demand(seq > before, f"{self.agent_id} is sent {frame} after {before}")
            self.last = max(self.last, seq)
            self._last_of[sender] = seq
            self.take(seq, sender, frame["payload"]["n"])
        elif kind == "message_acked":
            self.done = max(self.done, frame["up_to"])
        elif kind == "message_sent":
            demand(frame["ref"] not in self.answered, f"answered twice: {frame}")
            self.answered[frame["ref"]] = frame["id"]
        elif kind == "error":
            demand(frame["error"] in REFUSED, f"{self.agent_id} is told {frame}")

    def take(self, seq: int, sender: str, number: int) -> None:
        """A message is here, whichever way it came."""
        demand(seq > self.done, f"{self.agent_id} gets {seq}, and nothing waits up to {self.done}")
        known = self.have.setdefault(seq, (sender, number))
        demand(known == (sender, number), f"{seq} is {known}, and then {(sender, number)}")


class Office(Lives):
    """A hub, and those who write to each other."""

    def __init__(self, disk: Disk, log: Callable[[], list[str]]) -> None:
        self._log = log
        self.people = {name: Person(name) for name in AGENTS}
        super().__init__(disk)

    def boot(self, at: float) -> None:
        """A hub begins, and nobody is there."""
        for person in self.people.values():
            person.line = None
        super().boot(at)

    def connect(self, agent_id: str, mailbox: bool) -> None:
        """An agent identifies on a new line."""
        person = self.people[agent_id]
        line = ModelLine(agent_id, self.hub, self.clock, person.hear)
        person.begin(line, mailbox)
        who = {"agent_id": agent_id, "token": token_of(agent_id), "presence": "none"}
        line.say({"type": "identify", "mailbox": mailbox, **who})
        self.settle()

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
        number = len(person.sent)
        person.sent[number] = to
        if person.line is not None:
            fields = {"to": to, "payload": {"n": number}, "ref": number}
            person.line.say({"type": "message", **fields})

    def acknowledge(self, agent_id: str) -> None:
        """An agent with its mailbox on the line has all that came on it."""
        person = self.people[agent_id]
        if person.line is not None and person.mailbox and person.last:
            person.line.say({"type": "message_ack", "seq": person.last})
            self.settle()

    def poll(self, agent_id: str) -> None:
        """An agent reads its mailbox over HTTP, and acknowledges what it read."""
        person, hub = self.people[agent_id], self.hub
        begun = person.done

        def read(found: Letters) -> None:
            if hub is not self.hub or not found.messages:
                return
            for message in found.messages:
                number = json.loads(message.payload)["n"]
                if message.seq > person.done or begun == person.done:
                    person.take(message.seq, message.sender, number)
            hub.messages.messaging.acknowledge(agent_id, found.last_seq, acked)

        def acked(up_to: int) -> None:
            person.done = max(person.done, up_to)

        looked = Deferred.fromCoroutine(hub.messages.mail.read(agent_id, 0, 4))
        # What a dead hub had under way says nothing.
        looked.addCallback(read).addErrback(
            lambda f: f.trap(RuntimeError, GeneratorExit) if hub is not self.hub else f
        )
        self.settle()

    def check(self) -> None:
        """What was answered is stored; nothing is logged that should not be."""
        self.bury()
        logged = [text for text in self._log() if not any(fine in text for fine in FINE)]
        demand(not logged, f"the hub logged {logged}")
        rows = self.rows()
        stored = {(sender, number): message_id for _, message_id, sender, _, number in rows}
        demand(len(stored) == len(rows), f"something is stored twice: {rows}")
        for name, person in self.people.items():
            numbers = [row[4] for row in rows if row[2] == name]
            demand(numbers == sorted(numbers), f"{name} said {numbers} in this order")
            for number, message_id in person.answered.items():
                found = stored.get((name, number))
                demand(found == message_id, f"{name}'s {number} was answered, there is {found}")

    def check_all_have(self) -> None:
        """Everybody has every broadcast, and what somebody was told that it was sent."""
        for seq, _, sender, to, number in self.rows():
            for name, person in self.people.items():
                due = to is None or (to == name and number in self.people[sender].answered)
                demand(not due or seq in person.have, f"{name} never got {(seq, sender, number)}")
        for name, person in self.people.items():
            seqs = {row[0] for row in self.rows() if row[3] in (None, name)}
            demand(set(person.have) <= seqs, f"{name} has {person.have}, there is {seqs}")

    def rows(self) -> list[tuple[int, str, str, str | None, int]]:
        """What is stored: seq, id, sender, receiver, and the sender's own number."""
        found = self.disk.look.execute(
            'SELECT seq, id, sender, "to", payload FROM messages ORDER BY seq'
        )
        return [(*row[:4], json.loads(row[4])["n"]) for row in found]


class MailMachine(RuleBasedStateMachine):
    """Any of the rules, and all promises after each of them.

    :cvar seen: what happened in all examples.
    """

    disk: ClassVar[Disk]
    log: ClassVar[Callable[[], list[str]]]
    seen: ClassVar[Counter[str]]
    moody: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self.office = Office(self.disk, type(self).log)

    @initialize(here=st.lists(st.tuples(agents, st.booleans()), max_size=3))
    def begin(self, here: list[tuple[str, bool]]) -> None:
        """Most worlds begin with somebody in them."""
        for agent, mailbox in here:
            self.office.connect(agent, mailbox)

    @rule(agent=agents, mailbox=st.booleans())
    def connect(self, agent: str, mailbox: bool) -> None:
        self.office.connect(agent, mailbox)

    @rule(agent=agents)
    def vanish(self, agent: str) -> None:
        self.office.vanish(agent)

    @rule(agent=agents, to=st.lists(st.one_of(st.none(), agents), min_size=1, max_size=5))
    def send(self, agent: str, to: list[str | None]) -> None:
        self._speak(agent, to)
        self.office.settle()

    @rule(agent=agents, to=agents, goes=agents)
    def send_and_go(self, agent: str, to: str, goes: str) -> None:
        """A line breaks while messages are under way."""
        self._speak(agent, [to, None, to])
        self.office.vanish(goes)

    def _speak(self, agent: str, to: list[str | None]) -> None:
        if self.office.people[agent].line is None:
            self.office.connect(agent, False)
        for receiver in to:
            self.office.send(agent, receiver)

    @rule(agent=agents)
    def acknowledge(self, agent: str) -> None:
        self.office.acknowledge(agent)

    @rule(agent=agents)
    def poll(self, agent: str) -> None:
        self.office.poll(agent)

    @rule(written=st.booleans(), chance=st.integers(0, 2))
    def crash(self, written: bool, chance: int) -> None:
        if chance == 0:
            self.office.crash(written, 1.0)
            self.seen["crashes"] += 1

    @rule(seconds=st.sampled_from((0.1, 5.0)))
    def time_passes(self, seconds: float) -> None:
        self.office.pass_time(seconds)

    @precondition(lambda self: self.moody)
    @rule(slow=st.booleans(), late=st.booleans(), failing=st.sampled_from((0, 0, 2)))
    def mood(self, slow: bool, late: bool, failing: int) -> None:
        self.disk.slow, self.disk.late, self.disk.failing = slow, late, failing

    @precondition(lambda self: self.moody)
    @rule(backwards=st.booleans())
    def disk_goes_on(self, backwards: bool) -> None:
        self.disk.finish()
        self.office.settle()
        self.disk.deliver(backwards)
        self.office.settle()

    @invariant()
    def everything_holds(self) -> None:
        """After every step."""
        self.seen["steps"] += 1
        self.office.check()

    def teardown(self) -> None:
        """When everybody took what waits and the disk is well, everybody has everything."""
        self.seen["examples"] += 1
        office = self.office
        office.be_well()
        for name in AGENTS:
            office.connect(name, True)
        office.be_well()
        left = 1
        while left:
            before = {name: person.last for name, person in office.people.items()}
            for name in AGENTS:
                office.acknowledge(name)
            after = {name: person.last for name, person in office.people.items()}
            left = before != after
        office.check()
        office.check_all_have()
        for name in AGENTS:
            found = office.hub.messages.mailboxes.waiting(name, 0, 1_000)
            demand(not found, f"{found} still wait for {name}")
        self.seen["messages"] += len(office.rows())
        self.seen["received"] += sum(len(person.have) for person in office.people.values())


class MailModelTests(ModelTestCase):
    """People who write to each other, in many random worlds."""

    machine = MailMachine

    def setUp(self) -> None:
        super().setUp()
        self.limit(courier, IN_FLIGHT=IN_FLIGHT)
        self.limit(hub_mailbox, ABSENCES=ABSENCES)

    def test_with_a_quick_disk(self) -> None:
        """Over any number of deaths and broken lines nothing is lost and order is kept."""
        self.explore(13, moody=False)

    def test_with_a_moody_disk(self) -> None:
        """So it is while commits and reads take their time, and fail."""
        self.explore(14, moody=True)
