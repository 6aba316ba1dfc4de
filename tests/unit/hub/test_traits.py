"""The index of what agents have: it leaves out nobody who fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.agent import Agent
from agentcom.core.matching import ABSENT, EQUAL, EXISTS, IN, NOT_EQUAL, LabelRule, fits, needs
from agentcom.hub.traits import Traits

words = st.sampled_from("abc")
agents = st.builds(
    lambda number, capabilities, labels: Agent(
        agent_id=f"w{number}",
        name="w",
        status="",
        capabilities=tuple(capabilities),
        labels=labels,
    ),
    st.integers(0, 5),
    st.lists(words, max_size=3),
    st.dictionaries(words, words, max_size=3),
)
rules = st.one_of(
    st.builds(LabelRule, words, st.sampled_from((EQUAL, NOT_EQUAL)), st.tuples(words)),
    st.builds(LabelRule, words, st.just(IN), st.lists(words, min_size=1).map(tuple)),
    st.builds(LabelRule, words, st.sampled_from((EXISTS, ABSENT))),
)
wanted = st.builds(needs, st.lists(words, max_size=2), st.lists(rules, max_size=3))


class TraitsTests(SynchronousTestCase):
    """Agents come, change and go."""

    @given(st.lists(agents, max_size=12), st.sets(st.integers(0, 5)), wanted)
    def test_leaves_out_nobody(self, came: list[Agent], gone: set[int], asked: object) -> None:
        """Whoever fits is among those that are named, and nobody who is gone."""
        traits = Traits()
        here: dict[str, Agent] = {}
        for agent in came:
            traits.remove(agent.agent_id)
            traits.add(agent)
            here[agent.agent_id] = agent
        for number in gone:
            traits.remove(f"w{number}")
            here.pop(f"w{number}", None)
        likely = traits.likely(asked)  # type: ignore[arg-type]  # Hypothesis gives Needs
        fit = {a.agent_id for a in here.values() if fits(asked, None, a)}  # type: ignore[arg-type]
        if likely is not None:
            self.assertLessEqual(fit, set(likely))
            self.assertLessEqual(set(likely), set(here))

    def test_is_narrow(self) -> None:
        """Of several things that are asked for, the rarest decides who is looked at."""
        traits = Traits()
        for number in range(100):
            labels = {"job": str(number)}
            traits.add(
                Agent(
                    agent_id=f"w{number}", name="w", status="", capabilities=("x",), labels=labels
                )
            )
        job = LabelRule("job", EQUAL, ("7",))
        self.assertEqual(traits.likely(needs(["x"], [job])), {"w7"})
        self.assertEqual(traits.likely(needs(["y"], [job])), set())
        self.assertIsNone(traits.likely(needs([], [LabelRule("job", NOT_EQUAL, ("7",))])))

    def test_forgets(self) -> None:
        """Nothing is left of agents that are gone."""
        traits = Traits()
        traits.add(Agent(agent_id="w", name="w", status="", capabilities=("x",), labels={"a": "b"}))
        traits.remove("w")
        traits.remove("w")
        self.assertEqual((traits._having, traits._of), ({}, {}))
