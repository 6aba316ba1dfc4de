"""From what somebody asks for to what is measured."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench.asking import Unfit, asked
from agentcom.bench.shapes import SHAPES
from agentcom.bench.targets import TARGETS
from agentcom.cli.bench import MODES

HUB = "http://127.0.0.1:4000"


class AskedTests(SynchronousTestCase):
    def refused(self, mode: str, **wanted: object) -> str:
        return str(self.assertRaises(Unfit, asked, mode, **wanted))

    def test_usual(self) -> None:
        """What is not said is the mode's usual, and what is said counts."""
        usual = asked("push", rounds=None, only=None)
        self.assertEqual((usual.rounds, usual.loads, usual.name), (2, ("push",), "bench"))
        self.assertIn("hub", usual.only)
        wanted = asked("queue", rounds=7, loads=("batch",), only=("spine", "hub"), agents=3)
        self.assertEqual((wanted.rounds, wanted.agents), (7, 3))
        self.assertEqual((wanted.loads, wanted.only), (("batch",), ("spine", "hub")))

    def test_unfit(self) -> None:
        """What cannot be measured so is refused, with what can be."""
        self.assertIn("web, klein", self.refused("push", only=("relay",)))
        self.assertIn("single, batch", self.refused("queue", loads=("push",)))

    def test_self_test(self) -> None:
        """The generator is measured alone where it is the one of tasks; other modes say so."""
        self.assertEqual(asked("history", self_test=True).loads, ("push", "batch"))
        self.assertIn("push, queue", self.refused("storm", self_test=True))

    def test_given(self) -> None:
        """Of somebody's hub only that is asked which can be done to it."""
        self.assertIn("leave --hub away", self.refused("overload", hub=HUB))
        self.assertIn("leave --hub away", self.refused("takeover", hub=HUB))
        self.assertIn("--only", self.refused("push", hub=HUB, only=("spine",)))
        self.assertIn("hub-ended", self.refused("history", hub=HUB, only=("hub", "hub-ended")))
        beside = asked("history", hub=HUB, token="secret")
        self.assertEqual(beside.only, ("spine", "hub-empty", "hub"))
        self.assertNotIn("secret", repr(beside))


class ShapeTests(SynchronousTestCase):
    def test_command(self) -> None:
        """The command knows every mode."""
        self.assertEqual(sorted(MODES), sorted(SHAPES))

    def test_spine_and_bare_stack(self) -> None:
        """Every mode that something less can do has the hub beside the spine and a bare stack."""
        for mode, shape in SHAPES.items():
            self.assertEqual([t for t in shape.targets if t not in shape.fit], [], mode)
            self.assertEqual([t for t in shape.fit if t not in TARGETS], [], mode)
            self.assertIn("hub", shape.targets)
            if mode in ("takeover", "overload"):
                continue
            self.assertIn("spine", shape.targets, mode)
            bare = [name for name in shape.targets if TARGETS[name].answers_only]
            self.assertTrue(bare or mode == "history", mode)

    def test_stalls(self) -> None:
        """Every mode tells the longest stall, and has a goal for it."""
        for mode, shape in SHAPES.items():
            stall = next(figure for figure in shape.figures if figure.name == "stall ms")
            self.assertEqual([(goal.of, goal.limit) for goal in stall.goals], [("hub", 20)], mode)
