"""Mailboxes that are small and do not wait for ever, and every message accounted for.

What :mod:`.test_mail` does not ask: after whatever happened each message
reached its agent, or the mailbox dropped it with a reason, and counted that.
See :mod:`.test_hub` for the variables that make it longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from agentcom.hub import courier, presence
from agentcom.hub import mailbox as hub_mailbox
from tests.model.disk import Disk
from tests.model.exploring import EXAMPLES, ModelTestCase
from tests.model.postoffice import LONG, STRANGER, PostOffice
from tests.model.promises import demand
from tests.model.world import AGENTS

KEPT_S = ((1_000.0, 2_000.0), (2_000.0, 1_000.0))
"""How long messages wait, and how long they are in the history: either may be longer."""


agents = st.sampled_from(AGENTS)
receivers = st.sampled_from((*AGENTS, None, None, STRANGER))


class MailboxMachine(RuleBasedStateMachine):
    """Any of the rules, and all promises after each of them.

    :cvar seen: what happened in all examples.
    """

    disk: ClassVar[Disk]
    log: ClassVar[Callable[[], list[str]]]
    seen: ClassVar[Counter[str]]
    moody: ClassVar[bool]
    office: PostOffice

    @initialize(
        here=st.lists(st.tuples(agents, st.booleans()), max_size=3),
        size=st.sampled_from((2, 4, 1_000)),
        kept_s=st.sampled_from(KEPT_S),
        by_line=st.frozensets(agents),
    )
    def begin(
        self,
        here: list[tuple[str, bool]],
        size: int,
        kept_s: tuple[float, float],
        by_line: frozenset[str],
    ) -> None:
        """Most worlds begin with somebody in them."""
        self.office = PostOffice(self.disk, type(self).log, size, kept_s)
        self.by_line = by_line
        for agent, mailbox in here:
            self.office.connect(agent, mailbox)

    @rule(agent=agents, mailbox=st.booleans())
    def connect(self, agent: str, mailbox: bool) -> None:
        self.office.connect(agent, mailbox)

    @rule(agent=agents)
    def vanish(self, agent: str) -> None:
        self.office.vanish(agent)

    @rule(agent=agents)
    def hear_nothing(self, agent: str) -> None:
        """The network is gone, and the hub does not know; only mailboxes are for that."""
        person = self.office.people[agent]
        person.deaf = person.mailbox

    @rule(agent=agents, to=st.lists(receivers, min_size=1, max_size=4))
    def send(self, agent: str, to: list[str | None]) -> None:
        for receiver in to:
            self.office.send(agent, receiver)
        self.office.settle()

    @rule(to=st.lists(receivers, min_size=1, max_size=6))
    def post(self, to: list[str | None]) -> None:
        for receiver in to:
            self.office.post(receiver)
        self.office.settle()

    @rule(to=st.lists(receivers, min_size=1, max_size=4), goes=agents)
    def post_and_go(self, to: list[str | None], goes: str) -> None:
        """A line breaks while messages are under way."""
        for receiver in to:
            self.office.post(receiver)
        self.office.vanish(goes)

    @rule(agent=agents, to=st.lists(receivers, min_size=1, max_size=4), mailbox=st.booleans())
    def post_and_come(self, agent: str, to: list[str | None], mailbox: bool) -> None:
        """A line is replaced while messages are under way."""
        for receiver in to:
            self.office.post(receiver)
        self.office.connect(agent, mailbox)

    @rule(agent=agents, back=st.sampled_from((0, 0, 1)))
    def acknowledge(self, agent: str, back: int) -> None:
        self.office.acknowledge(agent, back)

    @rule(agent=agents, limit=st.sampled_from((1, 50)), wait_s=st.sampled_from((0.0, 30.0)))
    def look(self, agent: str, limit: int, wait_s: float) -> None:
        self.office.look(agent, limit, wait_s)

    @rule(agent=agents)
    def ack_read(self, agent: str) -> None:
        self.office.ack_read(agent)

    @rule(written=st.booleans(), chance=st.integers(0, 2))
    def crash(self, written: bool, chance: int) -> None:
        if chance == 0:
            self.office.crash(written, 1.0)
            self.seen["crashes"] += 1

    @rule(seconds=st.sampled_from((0.1, 5.0, 700.0)))
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
        """When everybody took what waits, in its own way, the accounts are right."""
        if not hasattr(self, "office"):
            return
        self.seen["examples"] += 1
        office = self.office
        demand(self.moody or not office.refused, "the hub refuses messages, and all is well")
        office.be_well()
        for name, person in office.people.items():
            if person.looking is not None:
                office.look(name, 1, 0.0)
            if name in self.by_line:
                self._take_by_line(name)
            else:
                self._take_by_looks(name)
            left = office.hub.messages.mailboxes.waiting(name, 0, LONG)
            demand(not left, f"{left} still wait for {name}")
        office.check()
        for name, person in office.people.items():
            self.seen["dropped"] += office.check_accounts(name)
            self.seen["received"] += len(person.have)
        self.seen["messages"] += len(office.books.entries)

    def _take_by_line(self, name: str) -> None:
        office = self.office
        office.connect(name, True)
        for _ in range(LONG):
            office.acknowledge(name, 0)

    def _take_by_looks(self, name: str) -> None:
        office = self.office
        for _ in range(LONG):
            office.look(name, 3, 0.0)
        office.ack_read(name)


class MailboxModelTests(ModelTestCase):
    """Small mailboxes, in many random worlds."""

    machine = MailboxMachine
    # Fewer than of others: the end of each takes long.
    examples = EXAMPLES * 3 // 5

    def setUp(self) -> None:
        super().setUp()
        # So low that small worlds come to them.
        self.limit(courier, IN_FLIGHT=3)
        self.limit(hub_mailbox, ABSENCES=2)
        self.limit(presence, AT_A_TIME=1)

    def test_with_a_quick_disk(self) -> None:
        """Every message is received, or dropped with a reason and counted."""
        self.explore(15, moody=False)

    def test_with_a_moody_disk(self) -> None:
        """So it is while commits and reads take their time, and fail."""
        self.explore(16, moody=True)
