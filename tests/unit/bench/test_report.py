"""What the figures of a run come to."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench.report import Figure, Goal, examples, ratio, summarize

PER_S = Figure("per s", lambda report: report["per_s"])


def report(per_s: float | None, agents: int = 32, **more: Any) -> dict[str, Any]:
    return {"per_s": per_s, "agents": agents, "errors": 0, "unfinished": 0, **more}


def rounds(*found: dict[str, float | None]) -> list[dict[str, dict[str, Any]]]:
    return [{name: report(per_s) for name, per_s in one.items()} for one in found]


class RatioTests(SynchronousTestCase):
    def test_within_rounds(self) -> None:
        """Ratios are taken within each round: a machine that gets slower moves none of them."""
        found = ratio(rounds({"hub": 90, "spine": 100}, {"hub": 9, "spine": 10}), PER_S,
                      "hub", "spine")  # fmt: skip
        self.assertEqual(found, {"median": 0.9, "min": 0.9, "max": 0.9})

    def test_unknown(self) -> None:
        """What is not known, or zero, is compared with nothing."""
        self.assertIsNone(ratio(rounds({"hub": None, "spine": 100}), PER_S, "hub", "spine"))
        self.assertIsNone(ratio(rounds({"hub": 1, "spine": 0}), PER_S, "hub", "spine"))
        self.assertIsNone(ratio(rounds({"hub": 1}), PER_S, "hub", "spine"))


class SummaryTests(SynchronousTestCase):
    def summary(self, *figures: Figure, agents: int = 32) -> dict[str, Any]:
        done = rounds({"klein": 400, "spine": 200, "hub": 100}, {"klein": 4, "spine": 2, "hub": 2})
        for one in done:
            one["hub"]["agents"] = agents
        return summarize(done, figures, ("spine", "klein"))

    def test_beside_each_figure(self) -> None:
        """Beside each figure of each target stand its ratios to what it is compared with."""
        found = self.summary(PER_S)["per s"]["targets"]
        self.assertEqual(found["hub"]["median"], 51)
        self.assertEqual(found["hub"]["to"]["spine"], {"median": 0.75, "min": 0.5, "max": 1.0})
        self.assertEqual(found["spine"]["to"], {"klein": {"median": 0.5, "min": 0.5, "max": 0.5}})

    def test_not_compared(self) -> None:
        """A figure that compares nothing has no ratios."""
        alone = Figure("stall", lambda found: found["per_s"], compared=False)
        self.assertEqual(self.summary(alone)["stall"]["targets"]["hub"]["to"], {})

    def test_unknown(self) -> None:
        """A target without a figure has none, and no goal is judged by it."""
        goal = Goal("hub", 1.0)
        found = self.summary(Figure("none", lambda found: None, [goal]))["none"]
        self.assertEqual(found, {"targets": dict.fromkeys(("klein", "spine", "hub")), "goals": []})

    def test_goals(self) -> None:
        """A goal is reached or missed by the median, of a ratio or of a target itself."""
        goals = [Goal("hub/spine", 0.75), Goal("hub", 50, at_most=True), Goal("hub/none", 1)]
        found = self.summary(Figure("per s", PER_S.value, goals))["per s"]["goals"]
        self.assertEqual(
            [(one["of"], one["goal"], one["reached"]) for one in found],
            [("hub/spine", "at least 0.75", True), ("hub", "at most 50", False)],
        )

    def test_goal_of_many(self) -> None:
        """A goal that is set for ten thousand agents is not judged by fewer."""
        figure = Figure("MiB", PER_S.value, [Goal("hub", 350, at_most=True, agents=10_000)])
        self.assertEqual(self.summary(figure, agents=9_999)["MiB"]["goals"], [])
        (judged,) = self.summary(figure, agents=10_000)["MiB"]["goals"]
        self.assertTrue(judged["reached"])


class ExampleTests(SynchronousTestCase):
    def test_wrong(self) -> None:
        """What was lost or refused is told with its target, and what went well is not."""
        bad = report(1, errors=2, error_examples=["frame: no"])
        lost = {**report(1, error_examples=[]), "unfinished": 3}
        told = examples([{"spine": report(1), "hub": bad, "klein": lost}])
        self.assertEqual(
            told,
            ["hub: 2 errors, 0 unfinished; frame: no",
             "klein: 0 errors, 3 unfinished; no answer in time"],
        )  # fmt: skip
