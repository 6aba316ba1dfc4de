"""What a task asks of its agent: each rule by itself, and needs in their one form."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.agent import Agent
from agentcom.core.matching import (
    ABSENT,
    EQUAL,
    EXISTS,
    IN,
    NOT_EQUAL,
    NOTHING,
    LabelRule,
    Needs,
    Unmet,
    fits,
    needs,
    unmet,
)


def agent(*capabilities: str, agent_id: str = "w", **labels: str) -> Agent:
    return Agent(
        agent_id=agent_id, name="w", status="", capabilities=capabilities, labels=dict(labels)
    )


def asks(*rules: LabelRule, capabilities: tuple[str, ...] = ()) -> Needs:
    return needs(capabilities, rules)


# A rule, then the values of its label that satisfy it and those that do not; None: no label.
TABLE: list[tuple[LabelRule, list[str | None], list[str | None]]] = [
    (LabelRule("os", EQUAL, ("linux",)), ["linux"], ["mac", "Linux", "linux ", "", None]),
    (LabelRule("os", EQUAL, ("",)), [""], ["linux", None]),
    (LabelRule("os", NOT_EQUAL, ("linux",)), ["mac", "", "Linux", None], ["linux"]),
    (LabelRule("os", NOT_EQUAL, ("",)), ["mac", None], [""]),
    (LabelRule("os", IN, ("bsd", "linux")), ["linux", "bsd"], ["mac", "", "bsd,linux", None]),
    (LabelRule("os", IN, ("",)), [""], ["linux", None]),
    (LabelRule("os", EXISTS), ["linux", ""], [None]),
    (LabelRule("os", ABSENT), [None], ["linux", ""]),
]


class LabelTests(SynchronousTestCase):
    """Rules on labels."""

    def test_each_test(self) -> None:
        """Each test holds for the labels it says, an absent label is told from an empty one."""
        for rule, good, bad in TABLE:
            for value in (*good, *bad):
                has = agent(zone="eu") if value is None else agent(zone="eu", os=value)
                self.assertEqual(fits(asks(rule), None, has), value in good, (str(rule), value))

    def test_every_test_is_in_the_table(self) -> None:
        """There are five tests."""
        tests = {rule.op for rule, _, _ in TABLE}
        self.assertEqual(tests, {EQUAL, NOT_EQUAL, IN, EXISTS, ABSENT})

    def test_all_must_hold(self) -> None:
        """Several rules, on one label or on many, must all hold."""
        wanted = asks(
            LabelRule("os", EXISTS),
            LabelRule("os", NOT_EQUAL, ("mac",)),
            LabelRule("zone", EQUAL, ("eu",)),
        )
        self.assertTrue(fits(wanted, None, agent(os="linux", zone="eu")))
        for has in (
            agent(zone="eu"),
            agent(os="mac", zone="eu"),
            agent(os="linux", zone="us"),
            agent(os="linux"),
        ):
            self.assertFalse(fits(wanted, None, has), has.labels)

    def test_as_people_write_them(self) -> None:
        """A rule reads as it is written on the command line."""
        for rule, written in (
            (LabelRule("os", EQUAL, ("linux",)), "os=linux"),
            (LabelRule("os", NOT_EQUAL, ("mac",)), "os!=mac"),
            (LabelRule("os", IN, ("bsd", "linux")), "os in bsd,linux"),
            (LabelRule("gpu", EXISTS), "gpu"),
            (LabelRule("gpu", ABSENT), "!gpu"),
        ):
            self.assertEqual(str(rule), written)


class FitsTests(SynchronousTestCase):
    """Capabilities, pins, and nothing at all."""

    def test_nothing(self) -> None:
        """Who asks for nothing may have any agent."""
        for has in (agent(), agent("code", os="linux")):
            self.assertTrue(fits(NOTHING, None, has))
            self.assertTrue(fits(Needs(), None, has))

    def test_capabilities(self) -> None:
        """Every capability must be there, letter by letter; more do no harm."""
        wanted = asks(capabilities=("code", "web"))
        self.assertTrue(fits(wanted, None, agent("web", "vision", "code")))
        for has in (agent(), agent("code"), agent("code", "Web"), agent("code", "websearch")):
            self.assertFalse(fits(wanted, None, has), has.capabilities)

    def test_pinned(self) -> None:
        """A pinned task is for its agent alone, and that one must fit as well."""
        self.assertTrue(fits(NOTHING, "w", agent()))
        self.assertFalse(fits(NOTHING, "v", agent()))
        wanted = asks(capabilities=("code",))
        self.assertTrue(fits(wanted, "w", agent("code")))
        self.assertFalse(fits(wanted, "w", agent()))
        self.assertFalse(fits(wanted, "v", agent("code")))

    def test_unmet_names_them_all(self) -> None:
        """Every unmet rule is named, the pin first, with what is asked and what is there."""
        wanted = asks(
            LabelRule("os", EQUAL, ("linux",)),
            LabelRule("gpu", EXISTS),
            LabelRule("zone", EQUAL, ("eu",)),
            capabilities=("web", "code"),
        )
        self.assertEqual(
            unmet(wanted, "v", agent("web", os="mac", zone="eu")),
            [
                Unmet("pinned", "v", "w"),
                Unmet("capability", "code"),
                Unmet("label", "gpu"),
                Unmet("label", "os=linux", "mac"),
            ],
        )
        self.assertEqual(unmet(NOTHING, None, agent()), [])

    labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "x", "y"]))
    some = st.lists(st.sampled_from(["x", "y"]), unique=True, max_size=2)
    rules = st.builds(
        LabelRule,
        st.sampled_from("ab"),
        st.sampled_from([EQUAL, NOT_EQUAL, IN, EXISTS, ABSENT]),
        st.tuples(st.sampled_from(["", "x", "y"])),
    )

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(some, st.lists(rules, max_size=3), st.sampled_from([None, "w", "v"]), some, labels)
    def test_fits_is_nothing_unmet(
        self,
        capabilities: list[str],
        rules: list[LabelRule],
        pinned: str | None,
        has: list[str],
        labels: dict[str, str],
    ) -> None:
        """An agent fits just when no rule is unmet: what is explained is what decides."""
        wanted = needs(capabilities, rules)
        one = agent(*has, **labels)
        self.assertEqual(fits(wanted, pinned, one), not unmet(wanted, pinned, one))


class FormTests(SynchronousTestCase):
    """Tasks wait in groups of equal needs, so needs have one form."""

    def test_one_form(self) -> None:
        """Order and repetition make no difference: equal needs are equal, and hash so."""
        one, two = LabelRule("os", EQUAL, ("linux",)), LabelRule("gpu", EXISTS)
        made = needs(["b", "a", "b"], [one, two, one])
        again = needs(["a", "b"], [two, one])
        self.assertEqual((made, hash(made)), (again, hash(again)))
        self.assertEqual(made.capabilities, ("a", "b"))
        self.assertEqual(len(made.labels), 2)

    def test_different_needs(self) -> None:
        """Needs that differ in anything are different groups."""
        made = [
            needs(["a"], []),
            needs(["b"], []),
            needs([], [LabelRule("a", EXISTS)]),
            needs([], [LabelRule("a", ABSENT)]),
            needs([], [LabelRule("a", EQUAL, ("x",))]),
            needs([], [LabelRule("a", NOT_EQUAL, ("x",))]),
            needs([], [LabelRule("a", EQUAL, ("y",))]),
            NOTHING,
        ]
        self.assertEqual(len(set(made)), len(made))

    def test_nothing_is_one_object(self) -> None:
        """Asking nothing is one object, so that a million tasks share it."""
        self.assertIs(needs([], []), NOTHING)
        self.assertIs(needs(iter(()), iter(())), NOTHING)
        self.assertIsNot(needs(["a"], []), NOTHING)
