"""The numbers of all agents are what a look at each of them and at each task finds.

:class:`ModelTests` let Hypothesis lead agents through random lives; :class:`HubTests` go
through a hub's own ways for tasks to come and go.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.state import Status
from agentcom.hub import standings as standings_module
from agentcom.hub.census import census
from agentcom.hub.holdings import Holding
from agentcom.hub.standings import State
from agentcom.testing import MemoryHub
from tests.unit.hub.test_staff import World

FLAGS = ("unresponsive", "draining", "paused", "quiet", "probing")
moves = st.tuples(
    st.sampled_from("wxyz"),
    st.one_of(
        st.tuples(st.just("come"), st.integers(0, 2)),
        st.tuples(st.just("take"), st.sampled_from("abcdef")),
        st.tuples(st.just("end"), st.sampled_from("abcdef")),
        st.tuples(st.just("flag"), st.sampled_from(FLAGS)),
        st.tuples(st.sampled_from(("leave", "look")), st.none()),
    ),
)


def one_by_one(holding: Holding) -> State:
    """What an agent counts as: the first of these that is so."""
    flags = (holding.unresponsive, holding.draining, holding.paused, holding.quiet)
    names = (State.UNRESPONSIVE, State.DRAINING, State.PAUSED, State.RETURNING)
    for flag, name in zip(flags, names, strict=True):
        if flag:
            return name
    return State.BUSY if holding.held else State.IDLE


class ModelTests(SynchronousTestCase):
    """Agents come, go, take, end and change, with tasks or without."""

    def live(self, world: World, agent_id: str, what: str, with_: str | int | None) -> None:
        if what == "come":
            world.come(agent_id, slots=int(with_ or 0))
        elif what == "leave" and agent_id in world.roster:
            world.leave(agent_id)
        elif what == "take" and str(with_) not in world.tasks:
            world.take(str(with_), agent_id)
        elif what == "end" and str(with_) in world.tasks:
            world.end(str(with_))
        elif what == "look":
            world.staff.standings.look(1)
        elif what == "flag":
            holding = world.holdings.get(agent_id)
            if holding is not None and agent_id in world.roster:
                setattr(holding, str(with_), not getattr(holding, str(with_)))
                world.holdings.touch(agent_id)

    @given(st.lists(moves, max_size=40))
    def test_counts(self, life: list[tuple[str, tuple[str, str | int | None]]]) -> None:
        """Each agent is counted once, as what it is, and each task of one that is away."""
        world = World()
        for agent_id, (what, with_) in life:
            self.live(world, agent_id, what, with_)
        found = census(world.staff.standings, world.holdings, 0)
        here = Counter(one_by_one(world.holdings.of(name)) for name in world.roster)
        away = [name for name in world.tasks.values() if name not in world.roster]
        self.assertEqual(found.states, {state: here[state] for state in State})
        self.assertEqual((found.away, found.waits), (len(set(away)), len(away)))
        self.assertEqual(found.held[Status.ASSIGNED], len(world.tasks))

    def test_each_state(self) -> None:
        """What keeps work from an agent goes before that it is busy, and is told as it changes."""
        world = World()
        world.come("w", slots=2)
        holding = world.holdings.of("w")

        def assert_state(wanted: State) -> None:
            found = census(world.staff.standings, world.holdings, 0)
            self.assertEqual(+Counter(found.states), {wanted: 1})

        assert_state(State.IDLE)
        world.take("t", "w")
        assert_state(State.BUSY)
        flags = {
            "quiet": State.RETURNING,
            "paused": State.PAUSED,
            "draining": State.DRAINING,
            "unresponsive": State.UNRESPONSIVE,
            "probing": State.UNRESPONSIVE,
        }
        for flag, wanted in flags.items():
            setattr(holding, flag, True)
            world.holdings.touch("w")
            assert_state(wanted)
        for flag in ("probing", "unresponsive", "draining", "paused", "quiet"):
            assert_state(flags[flag])
            setattr(holding, flag, False)
            world.holdings.touch("w")
        assert_state(State.BUSY)
        world.end("t")
        assert_state(State.IDLE)

    def test_in_turns(self) -> None:
        """Of very many that have changed the most are looked at in turns, some in each."""
        self.patch(standings_module, "A_TURN", 10)
        world = World()
        for n in range(35):
            world.come(f"w{n}")
        left: list[int] = []

        def turn() -> Deferred[None]:
            left.append(len(world.holdings.changed))
            done: Deferred[None] = Deferred()
            turns.append(done)
            return done

        turns: list[Deferred[None]] = []
        done = Deferred.fromCoroutine(world.staff.standings.catch_up(turn))
        while turns:
            turns.pop().callback(None)
        self.successResultOf(done)
        self.assertEqual((left, len(world.holdings.changed)), ([25, 15, 5], 5))
        found = census(world.staff.standings, world.holdings, 0)
        self.assertEqual(found.states[State.IDLE], 35)


class HubTests(SynchronousTestCase):
    """Tasks of a hub that agents have."""

    def assert_counted(self, hub: MemoryHub, assigned: int, working: int) -> None:
        """So many are there, and so many are told of."""
        now = Counter(task.status for task in hub.hub.ledger.live.values())
        self.assertEqual((now[Status.ASSIGNED], now[Status.WORKING]), (assigned, working))
        told = hub.parts.metrics.text().decode()
        self.assertIn(f'agentcom_tasks_held{{status="assigned"}} {assigned:.1f}\n', told)
        self.assertIn(f'agentcom_tasks_held{{status="working"}} {working:.1f}\n', told)

    def test_each_way(self) -> None:
        """A task is counted as worked on from its acceptance to whatever ends that, and after a
        restart of the hub."""
        hub = MemoryHub()
        agent = hub.agent("a", slots=9)
        tasks = [hub.push("a") for _ in range(5)]
        self.assert_counted(hub, 5, 0)
        for task_id in tasks[:4]:
            agent.say("task_accepted", task_id=task_id)
        self.assert_counted(hub, 1, 4)
        agent.say("task_progress", task_id=tasks[0], progress=0.5)
        hub.advance(1)
        self.assert_counted(hub, 1, 4)
        agent.say("task_complete", task_id=tasks[0])
        self.assert_counted(hub, 1, 3)
        agent.say("task_failed", task_id=tasks[1], error="no", retryable=False)
        self.assert_counted(hub, 1, 2)
        self.assertEqual(hub.request("POST", f"/api/tasks/{tasks[2]}/cancel").status, 200)
        self.assert_counted(hub, 1, 1)
        hub = MemoryHub(hub.store, hub.clock, seed=1)
        self.assert_counted(hub, 1, 1)
        agent = hub.agent("a", slots=9)
        agent.say("task_complete", task_id=tasks[3])
        self.assert_counted(hub, 1, 0)
