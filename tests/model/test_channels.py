"""Channels in random worlds: whoever reads as it should has every message, once.

Hubs die at any moment, disks are slow and fail, lines break; see
:mod:`.test_hub` for the variables that make it longer.
"""

from __future__ import annotations

import json
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
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from agentcom.errors import AgentComError
from agentcom.hub import presence
from tests.model.disk import Disk
from tests.model.exploring import ModelTestCase
from tests.model.lines import ModelLine
from tests.model.lives import Lives
from tests.model.promises import demand
from tests.model.readers import Heard, Reader
from tests.model.world import AGENTS, FINE, token_of

CHANNELS = ("x", "y", "z")
STRANGER = "zoe"
"""Who publishes over HTTP."""

TRIES = 50
"""Times that agents are given to say what they want to say."""

agents = st.sampled_from(AGENTS)
channels = st.sampled_from(CHANNELS)


class Hall(Lives):
    """A hub, its channels, and those who read them."""

    def __init__(self, disk: Disk, log: Callable[[], list[str]]) -> None:
        self._log = log
        heard = Heard()
        self.readers = {name: Reader(name, CHANNELS, heard) for name in AGENTS}
        self.made: set[str] = set()
        super().__init__(disk)

    def boot(self, at: float) -> None:
        """A hub begins, and nobody is there."""
        for reader in self.readers.values():
            reader.line = None
            reader.said = []
        super().boot(at)

    def settle(self) -> None:
        """Let everything happen that needs no time; agents answer what they hear."""
        super().settle()
        for _ in range(TRIES):
            waiting = [reader for reader in self.readers.values() if reader.said]
            if not waiting:
                return
            for reader in waiting:
                said, reader.said = reader.said, []
                for frame in said:
                    if reader.line is not None:
                        reader.line.say(frame)
            super().settle()
        raise AssertionError("agents never come to an end")

    def connect(self, agent_id: str) -> None:
        """An agent identifies on a new line."""
        reader = self.readers[agent_id]
        line = ModelLine(agent_id, self.hub, self.clock, reader.hear)
        reader.begin(line)
        who = {"agent_id": agent_id, "token": token_of(agent_id), "presence": "none"}
        line.say({"type": "identify", **who})
        self.settle()

    def vanish(self, agent_id: str) -> None:
        """An agent's line breaks."""
        reader = self.readers[agent_id]
        line, reader.line = reader.line, None
        if line is not None:
            line.fall()
        self.settle()

    def create(self, channel: str) -> None:
        """Somebody makes a channel."""
        hub = self.hub
        made = Deferred.fromCoroutine(hub.messages.channels.create(channel, "", STRANGER))

        def there(_: object) -> None:
            self.made.add(channel)

        def refused(failure: Failure) -> None:
            failure.trap(AgentComError)
            if failure.value.code == "channel_exists":  # type: ignore[attr-defined]  # trapped
                self.made.add(channel)

        # What a dead hub had under way says nothing.
        made.addCallbacks(there, refused).addErrback(
            lambda f: f.trap(RuntimeError, GeneratorExit) if hub is not self.hub else f
        )
        self.settle()

    def check(self) -> None:
        """What was answered is so; nothing is logged that should not be."""
        self.bury()
        logged = [text for text in self._log() if not any(fine in text for fine in FINE)]
        demand(not logged, f"the hub logged {logged}")
        rows = self.rows()
        stored = {(row[2], row[4]): row for row in rows}
        demand(len(stored) == len(rows), f"something is stored twice: {rows}")
        for sender in AGENTS:
            numbers = [row[4] for row in rows if row[2] == sender]
            demand(numbers == sorted(numbers), f"{sender} said {numbers} in this order")
        for agent_id, reader in self.readers.items():
            for ref, (seq, message_id) in reader.answered.items():
                channel, number = reader.published[ref]
                found = stored.get((agent_id, number))
                wanted = (seq, message_id, agent_id, channel, number)
                demand(found == wanted, f"{wanted} was answered, there is {found}")
        directory = self.hub.messages.channels.directory
        there = {channel["name"] for channel in directory.everything()}
        demand(self.made <= there, f"{self.made} were made, there are {there}")

    def check_all_read(self) -> None:
        """Everybody who wants a channel has all that others published there."""
        directory = self.hub.messages.channels.directory
        rows = self.rows()
        for agent_id, reader in self.readers.items():
            for channel, place in reader.places.items():
                who = f"{agent_id} in {channel}"
                demand(place.sure, f"{who} was never answered")
                subscribes = directory.subscribes(agent_id, channel)
                demand(subscribes == place.wanted, f"{who}: {subscribes}, not {place.wanted}")
                others = [r[0] for r in rows if r[3] == channel and r[2] != agent_id]
                if place.wanted:
                    demand(place.have == others, f"{who} has {place.have}, not {others}")

    def rows(self) -> list[tuple[int, str, str, str, int]]:
        """What is stored: seq, id, sender, channel, and the sender's own number."""
        found = self.disk.look.execute(
            "SELECT seq, id, sender, channel, payload FROM messages ORDER BY seq"
        )
        return [(*row[:4], json.loads(row[4])["n"]) for row in found]


class ChannelMachine(RuleBasedStateMachine):
    """Any of the rules, and all promises after each of them.

    :cvar seen: what happened in all examples.
    """

    disk: ClassVar[Disk]
    log: ClassVar[Callable[[], list[str]]]
    seen: ClassVar[Counter[str]]
    moody: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self.hall = Hall(self.disk, type(self).log)
        self.hall.create(CHANNELS[0])

    @initialize(wanted=st.lists(st.tuples(agents, st.sampled_from(CHANNELS[:2])), max_size=6))
    def begin(self, wanted: list[tuple[str, str]]) -> None:
        """Most worlds begin with somebody in them."""
        for agent, channel in wanted:
            self.hall.create(channel)
            if self.hall.readers[agent].line is None:
                self.hall.connect(agent)
            self.wish(agent, channel, True)

    @rule(channel=channels)
    def create(self, channel: str) -> None:
        self.hall.create(channel)

    @rule(agent=agents)
    def connect(self, agent: str) -> None:
        self.hall.connect(agent)

    @rule(agent=agents)
    def vanish(self, agent: str) -> None:
        self.hall.vanish(agent)

    @rule(agent=agents, channel=channels, wanted=st.sampled_from((True, True, False)))
    def wish(self, agent: str, channel: str, wanted: bool) -> None:
        self.hall.readers[agent].wish(channel, wanted)
        self.hall.settle()

    @rule(agent=agents, channel=channels, count=st.integers(1, 5))
    def publish(self, agent: str, channel: str, count: int) -> None:
        if self.hall.readers[agent].line is None:
            self.hall.connect(agent)
        for _ in range(count):
            self.hall.readers[agent].publish(channel)
        self.hall.settle()

    @rule(agent=agents, channel=channels)
    def publish_and_go(self, agent: str, channel: str) -> None:
        """The line breaks before the answer can come."""
        self.publish(agent, channel, 1)
        self.hall.vanish(agent)

    @rule(written=st.booleans(), chance=st.integers(0, 2))
    def crash(self, written: bool, chance: int) -> None:
        if chance == 0:
            self.hall.crash(written, 1.0)
            self.seen["crashes"] += 1

    @rule(seconds=st.sampled_from((0.1, 1.0)))
    def time_passes(self, seconds: float) -> None:
        self.hall.pass_time(seconds)

    @precondition(lambda self: self.moody)
    @rule(slow=st.booleans(), late=st.booleans(), failing=st.sampled_from((0, 0, 2)))
    def mood(self, slow: bool, late: bool, failing: int) -> None:
        self.disk.slow, self.disk.late, self.disk.failing = slow, late, failing

    @precondition(lambda self: self.moody)
    @rule(backwards=st.booleans())
    def disk_goes_on(self, backwards: bool) -> None:
        self.disk.finish()
        self.hall.settle()
        self.disk.deliver(backwards)
        self.hall.settle()

    @invariant()
    def everything_holds(self) -> None:
        """After every step."""
        self.seen["steps"] += 1
        self.hall.check()

    def teardown(self) -> None:
        """When everybody is here and the disk is well, everybody has everything."""
        self.seen["examples"] += 1
        hall = self.hall
        hall.be_well()
        for channel in CHANNELS:
            hall.create(channel)
        for agent_id in AGENTS:
            hall.connect(agent_id)
        demand(hall.be_well(), "the hub gives up on a disk that is well")
        for number, channel in enumerate(CHANNELS):
            # Over HTTP, to those who listen.
            hall.hub.messages.channels.publish(
                STRANGER, channel, None, {"n": number}, None, lambda _: None
            )
        demand(hall.be_well(), "the hub gives up on a disk that is well")
        hall.check()
        hall.check_all_read()
        self.seen["messages"] += len(hall.rows())
        self.seen["taken"] += sum(
            len(place.have) for reader in hall.readers.values() for place in reader.places.values()
        )


class ChannelModelTests(ModelTestCase):
    """Readers of channels, in many random worlds."""

    machine = ChannelMachine

    def setUp(self) -> None:
        super().setUp()
        # So low that three agents are many.
        self.limit(presence, AT_A_TIME=1)

    def test_with_a_quick_disk(self) -> None:
        """Over any number of deaths and broken lines nothing is lost and nothing comes twice."""
        self.explore(11, moody=False)

    def test_with_a_moody_disk(self) -> None:
        """So it is while commits and reads take their time, and fail."""
        self.explore(12, moody=True)
