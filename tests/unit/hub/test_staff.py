"""Who gets the next task: the least loaded agent that has room, then the one idle longest.

:class:`StaffTests` say it one by one; :class:`ModelTests` let Hypothesis lead agents and
tasks through random lives and compare with a look at everybody.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.agent import Agent
from agentcom.core.matching import NOTHING, Needs, fits, needs
from agentcom.core.state import Status
from agentcom.core.tokens import Token
from agentcom.hub import queue as queue_module
from agentcom.hub import staff as staff_module
from agentcom.hub.agenda import Agenda
from agentcom.hub.holdings import Holdings
from agentcom.hub.link import Frame, Roster
from agentcom.hub.queue import SLACK, Group, Queue
from agentcom.hub.staff import Staff
from agentcom.testing import MemoryHub
from tests.unit.store.support import make_task, make_token

CODE, WEB = needs(["code"], []), needs(["web"], [])


class Line:
    """A connection that nothing is said on."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.token: Token = make_token(agent.agent_id)
        self.newest: dict[str, msgspec.Raw] = {}

    def send(self, frame: Frame) -> None:
        raise AssertionError("nobody is to be told anything")

    def close(self, code: int, reason: str) -> None:
        raise AssertionError("nobody is to be closed")


class World:
    """Agents, what they hold, and the queue's groups."""

    def __init__(self) -> None:
        self.roster: Roster = {}
        self.queue = Queue()
        self.holdings = Holdings(self.roster, Agenda(Clock()))
        self.staff = Staff(self.roster, self.holdings, self.queue)
        self.tasks: dict[str, str] = {}

    def come(self, agent_id: str, slots: int = 1, capabilities: tuple[str, ...] = ()) -> None:
        """An agent connects, or says something new of itself, and has room for what it may."""
        agent = Agent(agent_id=agent_id, name="", status="", slots=slots, capabilities=capabilities)
        self.roster[agent_id] = Line(agent)
        self.staff.came(agent)
        self.staff.has_room(agent_id)

    def leave(self, agent_id: str) -> None:
        """An agent's line is gone."""
        del self.roster[agent_id]
        self.staff.left(agent_id)
        self.holdings.forget_if_empty(agent_id)

    def take(self, task_id: str, agent_id: str) -> None:
        """A task is the agent's; it may have room for more."""
        self.tasks[task_id] = agent_id
        self.holdings.take(make_task(task_id, agent_id=agent_id, status=Status.ASSIGNED))
        self.staff.has_room(agent_id)

    def end(self, task_id: str) -> None:
        """A task is its agent's no more."""
        agent_id = self.tasks.pop(task_id)
        self.holdings.release(make_task(task_id, agent_id=agent_id, status=Status.ASSIGNED))
        self.staff.has_room(agent_id)


class StaffTests(SynchronousTestCase):
    """The index of agents."""

    def setUp(self) -> None:
        self.world = World()
        self.staff = self.world.staff

    def group(self, pinned: str | None = None, wanted: Needs = NOTHING) -> Group:
        return self.staff.group(pinned, wanted)

    def first(self, group: Group | None = None) -> str | None:
        return self.staff.first(self.group() if group is None else group)

    def test_nobody(self) -> None:
        """Where nobody is, or nobody fits, nobody is found."""
        self.assertIsNone(self.first())
        self.world.come("a")
        self.assertIsNone(self.first(self.group(wanted=CODE)))
        self.assertIsNone(self.first(self.group(pinned="b")))
        self.assertEqual(self.first(), "a")

    def test_least_loaded(self) -> None:
        """The smallest part of taken slots counts, not the number of tasks."""
        self.world.come("half", slots=2)
        self.world.come("third", slots=6)
        self.world.take("t1", "half")
        self.world.take("t2", "third")
        self.world.take("t3", "third")
        self.assertEqual(self.first(), "third")
        self.world.take("t4", "third")
        self.world.take("t5", "third")
        self.assertEqual(self.first(), "half")

    def test_idle_longest(self) -> None:
        """Of equally loaded ones it is the one for which nothing has changed the longest."""
        for agent_id in "cab":
            self.world.come(agent_id)
        for agent_id in "bca":
            self.world.take(f"t {agent_id}", agent_id)
        self.assertIsNone(self.first())
        for agent_id in "bca":
            self.world.end(f"t {agent_id}")
        for agent_id in "bca":
            self.assertEqual(self.first(), agent_id)
            self.world.take(f"again {agent_id}", agent_id)
        self.assertIsNone(self.first())

    def test_full(self) -> None:
        """An agent without a free slot, or without slots at all, is not found."""
        self.world.come("a", slots=2)
        self.world.come("none", slots=0)
        for task_id in ("t1", "t2"):
            self.assertEqual(self.first(), "a")
            self.world.take(task_id, "a")
        self.assertIsNone(self.first())
        self.world.end("t1")
        self.assertEqual(self.first(), "a")

    def test_what_changed_meanwhile(self) -> None:
        """An agent that takes nothing for now is not found, though it was entered before."""
        for state in ("draining", "quiet", "paused", "unresponsive"):
            world = World()
            world.come("a")
            group = world.staff.group(None, NOTHING)
            self.assertEqual(world.staff.first(group), "a", state)
            setattr(world.holdings.of("a"), state, True)
            self.assertIsNone(world.staff.first(group), state)
            world.staff.has_room("a")
            self.assertIsNone(world.staff.first(group), state)
            setattr(world.holdings.of("a"), state, False)
            world.staff.has_room("a")
            self.assertEqual(world.staff.first(group), "a", state)

    def test_probing(self) -> None:
        """An unresponsive agent that is tried again is found."""
        self.world.come("a")
        holding = self.world.holdings.of("a")
        holding.unresponsive = holding.probing = True
        self.staff.has_room("a")
        self.assertEqual(self.first(), "a")

    def test_gone(self) -> None:
        """An agent that left is not found; one that is back is."""
        group = self.group()
        self.world.come("a")
        self.world.leave("a")
        self.assertIsNone(self.first(group))
        self.world.come("a")
        self.assertEqual(self.first(group), "a")

    def test_groups_before_and_after(self) -> None:
        """Whether the group or the agent came first makes no difference."""
        before = [self.group(wanted=CODE), self.group("a"), self.group("a", CODE)]
        others = [self.group("b"), self.group(wanted=WEB), self.group("a", WEB)]
        self.world.come("a", capabilities=("code",))
        after = [self.group(), self.group(wanted=needs(["code", "code"], []))]
        others += [self.group("b", CODE), self.group(wanted=needs(["code", "web"], []))]
        for group in (*before, *after):
            self.assertEqual(self.first(group), "a", (group.pinned, group.needs))
        for group in others:
            self.assertIsNone(self.first(group), (group.pinned, group.needs))
        self.assertIs(after[1], before[0])
        self.assertEqual(set(self.world.holdings.of("a").groups), {*before, *after})

    def test_new_group_finds_the_best(self) -> None:
        """A new group knows the loads of those who are here, not only that they are."""
        for agent_id in "abc":
            self.world.come(agent_id, slots=4)
        self.world.take("t1", "a")
        self.world.take("t2", "b")
        self.world.take("t3", "a")
        self.world.take("t4", "c")
        self.world.take("t5", "c")
        self.assertEqual(self.first(), "b")

    def test_says_something_new(self) -> None:
        """An agent that says it can do other things is found for these, and no longer for
        those it did before."""
        code, web = self.group(wanted=CODE), self.group(wanted=WEB)
        self.world.come("a", capabilities=("code",))
        self.assertEqual((self.first(code), self.first(web)), ("a", None))
        self.world.come("a", capabilities=("web",))
        self.assertEqual((self.first(code), self.first(web)), (None, "a"))

    def test_other_slots(self) -> None:
        """With fewer slots the same tasks are a greater load, at once."""
        group = self.group()
        self.world.come("a", slots=10)
        self.world.come("b", slots=4)
        self.world.take("t1", "a")
        self.world.take("t2", "b")
        self.assertEqual(self.first(group), "a")
        self.world.come("a", slots=2)
        self.assertEqual(self.first(group), "b")
        self.world.come("a", slots=1)
        self.world.take("t3", "b")
        self.world.take("t4", "b")
        self.assertEqual(self.first(group), "b")

    def test_forgotten_groups(self) -> None:
        """Groups that are forgotten are forgotten of the agents too."""
        self.patch(queue_module, "KEPT_EMPTY", 3)
        self.world.come("a", capabilities=("code",))
        for n in range(20):
            self.group(wanted=needs([str(n)], []))
            self.group("a" if n % 2 else None, CODE)
            self.group(f"b{n}")
        self.assertLessEqual(len(self.world.holdings.of("a").groups), 3)
        self.assertEqual(self.first(self.group()), "a")

    def test_stale_entries_are_bounded(self) -> None:
        """However often an agent has room again, it is entered a bounded number of times."""
        group = self.group()
        for agent_id in "ab":
            self.world.come(agent_id, slots=2)
        for n in range(5_000):
            self.world.take(f"t{n}", "b")
            self.world.end(f"t{n}")
            self.staff.has_room("b")
        self.assertLessEqual(len(group.free), 2 * 2 + SLACK + 1)
        self.assertEqual(self.first(group), "a")
        self.world.take("t", "a")
        self.assertEqual(self.first(group), "b")


class HubTests(SynchronousTestCase):
    """What the dispatcher asks of the index."""

    def test_a_burst(self) -> None:
        """After a burst of tasks that each ask for something else no agent is compared with all
        of these for ever."""
        self.patch(queue_module, "KEPT_EMPTY", 3)
        hub = MemoryHub()
        hub.agent("a")
        tasks = [{"description": "work", "labels": {f"no {n}": "x"}} for n in range(50)]
        ids = hub.request("POST", "/api/tasks/batch", {"tasks": tasks}).body["task_ids"]
        self.assertEqual(len(list(hub.hub.dispatch.queue.groups())), 50)
        for task_id in ids:
            hub.request("POST", f"/api/tasks/{task_id}/cancel")
        self.assertEqual(len(list(hub.hub.dispatch.queue.groups())), 3)


agents = st.sampled_from("aabc")
slots_said = st.sampled_from([0, 1, 2, 3, 9])
capabilities = st.sampled_from([(), ("code",), ("web",), ("code", "web")])
steps = st.one_of(
    st.tuples(st.just("come"), agents, slots_said, capabilities),
    st.tuples(st.just("come"), agents, slots_said, capabilities),
    st.tuples(st.just("leave"), agents),
    st.tuples(st.just("push"), agents),
    st.tuples(st.just("serve"), st.integers(0, 99)),
    st.tuples(st.just("serve"), st.integers(0, 99)),
    st.tuples(st.just("end"), st.integers(0, 99)),
    st.tuples(st.just("drain"), agents, st.booleans()),
)
PLACES: list[tuple[str | None, Needs]] = [
    (None, NOTHING),
    (None, CODE),
    (None, WEB),
    ("a", NOTHING),
    ("b", CODE),
]


class Life:
    """One random life, compared with a look at everybody."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.case = case
        self.world = World()
        self._made = 0

    def step(self, kind: str, *args: Any) -> None:
        getattr(self, kind)(*args)

    def come(self, agent_id: str, slots: int, can: tuple[str, ...]) -> None:
        self.world.come(agent_id, slots, can)

    def leave(self, agent_id: str) -> None:
        if agent_id in self.world.roster:
            self.world.leave(agent_id)

    def push(self, agent_id: str) -> None:
        if agent_id in self.world.roster:
            self._take(agent_id)

    def serve(self, index: int) -> None:
        agent_id = self.first(*PLACES[index % len(PLACES)])
        if agent_id is not None:
            self._take(agent_id)

    def end(self, index: int) -> None:
        tasks = list(self.world.tasks)
        if tasks:
            self.world.end(tasks[index % len(tasks)])

    def drain(self, agent_id: str, draining: bool) -> None:
        if agent_id in self.world.roster:
            self.world.holdings.of(agent_id).draining = draining
            self.world.staff.has_room(agent_id)

    def first(self, pinned: str | None, wanted: Needs) -> str | None:
        """The index finds whom a look at everybody finds."""
        found = self.world.staff.first(self.world.staff.group(pinned, wanted))
        self.case.assertEqual(found, self._naive(pinned, wanted))
        return found

    def _naive(self, pinned: str | None, wanted: Needs) -> str | None:
        places = []
        for link in self.world.roster.values():
            agent = link.agent
            holding = self.world.holdings.of(agent.agent_id)
            if fits(wanted, pinned, agent) and holding.has_room(agent.slots):
                load = len(holding.held) / agent.slots
                places.append((load, holding.stamp, agent.agent_id))
        return min(places)[2] if places else None

    def _take(self, agent_id: str) -> None:
        self._made += 1
        self.world.take(f"t{self._made}", agent_id)


class ModelTests(SynchronousTestCase):
    """The index against a look at everybody."""

    def compare(self, life: list[tuple[Any, ...]]) -> None:
        one = Life(self)
        for step in life:
            one.step(*step)
            for pinned, wanted in PLACES[: len(life) % 2]:
                one.first(pinned, wanted)
        for pinned, wanted in PLACES:
            one.first(pinned, wanted)

    @settings(max_examples=1_000, deadline=None, derandomize=True, database=None)
    @given(st.lists(steps, max_size=40))
    def test_any_life(self, life: list[tuple[Any, ...]]) -> None:
        """Whoever comes, goes, changes, takes and ends tasks: the same agent is found."""
        self.compare(life)

    @settings(max_examples=50, deadline=None, derandomize=True, database=None)
    @given(st.lists(steps, min_size=10, max_size=40))
    def test_stale_entries(self, life: list[tuple[Any, ...]]) -> None:
        """So it is where stale entries are thrown away all the time."""
        self.patch(staff_module, "SLACK", 0)
        self.compare(life * 5)
