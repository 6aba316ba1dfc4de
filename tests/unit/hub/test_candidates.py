"""What is counted of all agents for an explanation is what a look at each of them finds.

:class:`ModelTests` let Hypothesis lead agents through random lives; :class:`NotedTests` go
through everything by which a hub changes what an agent may take.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.agent import Agent
from agentcom.core.matching import ABSENT, EQUAL, IN, NOT_EQUAL, LabelRule, Needs, needs, unmet
from agentcom.core.state import Status
from agentcom.hub import candidates as candidates_module
from agentcom.hub.candidates import Candidates
from agentcom.hub.standings import NO_SLOTS, states
from tests.contract.queueing import QueueTests
from tests.unit.hub.test_staff import Line, World
from tests.unit.store.support import make_task

words = st.sampled_from("ab")
rules = st.one_of(
    st.builds(LabelRule, words, st.sampled_from((EQUAL, NOT_EQUAL)), st.tuples(words)),
    st.builds(LabelRule, words, st.just(IN), st.just(("a", "b"))),
    st.builds(LabelRule, words, st.just(ABSENT)),
)
wanted = st.builds(needs, st.lists(words, max_size=2), st.lists(rules, max_size=2))
moves = st.one_of(
    st.tuples(
        st.just("come"),
        st.integers(0, 2),
        st.lists(words, max_size=2).map(tuple),
        st.dictionaries(words, words, max_size=2),
    ),
    st.tuples(st.sampled_from(("take", "end", "leave", "drain", "look"))),
)
lives = st.lists(st.tuples(st.sampled_from("wxyz"), moves), max_size=30)


class ModelTests(SynchronousTestCase):
    """Agents come, go, take and drain."""

    def live(self, world: World, agent_id: str, what: tuple) -> None:  # type: ignore[type-arg]
        if what[0] == "come":
            _, slots, capabilities, labels = what
            world.roster[agent_id] = Line(
                Agent(
                    agent_id=agent_id,
                    name="",
                    status="",
                    slots=slots,
                    capabilities=capabilities,
                    labels=labels,
                )
            )
            world.staff.came(world.roster[agent_id].agent)
        elif agent_id not in world.roster:
            return
        elif what[0] == "take":
            world.holdings.take(make_task(agent_id, agent_id=agent_id, status=Status.ASSIGNED))
        elif what[0] == "end":
            world.holdings.release(make_task(agent_id, agent_id=agent_id))
        elif what[0] == "leave":
            world.leave(agent_id)
        elif what[0] == "drain":
            world.holdings.of(agent_id).draining = True
            world.holdings.touch(agent_id)
        else:
            world.staff.standings.look(1)

    @given(lives, wanted, st.sampled_from((None, "w", "z")))
    def test_counts(
        self,
        life: list[tuple[str, tuple]],  # type: ignore[type-arg]
        asked: Needs,
        pinned: str | None,
    ) -> None:
        """Each number is that of the agents of which it is said."""
        world = World()
        world.staff.group(pinned, asked)
        for agent_id, what in life:
            self.live(world, agent_id, what)
        while not world.staff.standings.look(3):
            pass
        found = Candidates(pinned, asked, world.roster, world.staff)
        told: dict[str, list[str]] = {}
        single: Counter[tuple[str, str | None]] = Counter()
        for agent_id, link in world.roster.items():
            lacks = unmet(asked, pinned, link.agent)
            now = states(world.holdings.get(agent_id), link.agent.slots)
            told[agent_id] = [*(one.rule for one in lacks), *now]
            single.update((one.rule, one.needed) for one in lacks if one.rule != "pinned")
            single.update((NO_SLOTS, None) for rule in now if rule == NO_SLOTS)
        by_rule = Counter(rule for rules in told.values() for rule in set(rules))
        lasting = {"pinned", "capability", "label", NO_SLOTS}
        fit = [rules for rules in told.values() if not lasting.intersection(rules)]
        self.assertEqual(found.total, len(told))
        self.assertEqual(found.by_rule(), by_rule)
        self.assertEqual({(r, n): count for r, n, count in found.lacking()}, dict(single))
        self.assertEqual((found.fit, found.free), (len(fit), sum(not rules for rules in fit)))
        self.assertEqual(found.by_state, Counter(map(tuple, fit)))

    def test_the_likeliest(self) -> None:
        """Of many only some are looked at: who it is for, who fits and has room, who fits, who
        has some of it, and nobody twice."""
        self.patch(candidates_module, "LOOKED_AT", 4)
        world = World()
        for n in range(20):
            world.come(f"w{n}", capabilities=("b",) if n == 9 else ())
        world.come("full", capabilities=("a", "b"))
        world.come("free", capabilities=("a", "b"))
        world.holdings.take(make_task("t", agent_id="full", status=Status.ASSIGNED))
        world.staff.standings.look(100)
        asked = needs(["a", "b"], [])
        found = Candidates(None, asked, world.roster, world.staff)
        first = found.likeliest(1)
        self.assertEqual((first[:2], len(set(first))), (["free", "full"], 4))
        self.assertEqual(len(set(found.likeliest(10))), 10)
        self.assertEqual(found.likeliest(22), list(world.roster))
        mine = Candidates("w7", asked, world.roster, world.staff).likeliest(1)
        self.assertEqual((mine[0], len(set(mine))), ("w7", 4))
        self.assertIn(
            "w9", Candidates(None, needs(["b"], []), world.roster, world.staff).likeliest(1)
        )


class NotedTests(QueueTests):
    """A hub with a task that nobody fits, and an agent whose state changes."""

    task: str

    def assert_told(self, *rules: str) -> None:
        """All agents together have these rules, beside the one that they do not fit."""
        told = self.explain(self.task, status="queued")
        self.assertEqual(told["by_rule"], {"capability": 1, **dict.fromkeys(rules, 1)})

    def test_each_change(self) -> None:
        """Whatever changes what an agent may take is seen by the next explanation."""
        self.task = self.submit(capabilities=["nobody"])
        worker = self.hub.agent("w")
        self.assert_told()
        one = self.submit(agent_id="w")
        self.assert_told("slots")
        worker.say("task_accepted", task_id=one)
        worker.say("task_complete", task_id=one)
        self.assert_told()
        worker.say("drain")
        self.assert_told("draining")
        self.post("/api/agents/w/resume")
        self.assert_told()
        self.post("/api/agents/w/drain")
        self.assert_told("draining")
        self.post("/api/agents/w/resume")
        self.assert_told()
        two = self.submit(agent_id="w", accept_timeout_s=5)
        worker.say("task_rejected", task_id=two, reason="busy")
        self.assert_told("paused")
        self.hub.advance(5.5)
        self.assert_told("slots")
        self.hub.advance(6.0)
        self.assert_told("unresponsive")
        self.hub.advance(29.5)
        self.assert_told("slots", "unresponsive")
        worker.say("task_accepted", task_id=two)
        worker.vanish()
        told = self.explain(self.task)
        self.assertEqual((told["by_rule"], told["agents_total"]), ({}, 0))
        worker = self.hub.agent("w", slots=3)
        self.assert_told("returning")
        self.hub.advance(11.0)
        self.assert_told()
        worker = self.hub.agent("w", slots=0)
        self.hub.advance(11.0)
        self.assert_told("no_slots")
