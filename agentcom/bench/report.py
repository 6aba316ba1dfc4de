"""What the figures of a run come to: medians over the rounds, ratios within each round, goals.

A round is a mapping from a target's name to its report of one load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

Report = dict[str, Any]
Round = dict[str, Report]
Extent = dict[str, float]

HUB = "hub"


class Goal(NamedTuple):
    """What is to be reached: by a ratio such as `hub/spine`, or by a target's own figure.

    `agents` are those of the goal; with fewer of them it says nothing.
    """

    of: str
    limit: float
    at_most: bool = False
    agents: int = 0

    def reached(self, found: Extent) -> bool:
        """Whether the median reaches it."""
        middle = found["median"]
        return middle <= self.limit if self.at_most else middle >= self.limit

    def __str__(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}"


class Figure(NamedTuple):
    """What targets are compared by, and what is to be reached.

    :param value: of one report; `None` where it has none.
    """

    name: str
    value: Callable[[Report], float | None]
    goals: Sequence[Goal] = ()
    digits: int = 0
    compared: bool = True


def extent(values: Sequence[float], digits: int) -> Extent:
    """Median and limits of a few figures."""
    return {
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def at(report: Report, *path: str) -> Any:
    """One figure of a report, or None where it has none."""
    value: Any = report
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def rate(report: Report) -> float:
    """Whole lifecycles a second, or answers where there are no agents."""
    return float(report["lifecycles_per_s" if report["agents"] else "submitted_per_s"])


def ratio(rounds: list[Round], figure: Figure, over: str, under: str) -> Extent | None:
    """How one target compares with another, taken in each round so that drift cancels."""
    values = []
    for done in rounds:
        if over not in done or under not in done:
            continue
        a, b = figure.value(done[over]), figure.value(done[under])
        if a is not None and b:
            values.append(a / b)
    return extent(values, 3) if values else None


def summarize(
    rounds: list[Round], figures: Sequence[Figure], floors: Sequence[str]
) -> dict[str, Any]:
    """For each figure: what each target reached, its ratios to the floors, and the goals.

    :param floors: what all others are compared with, where it was measured.
    """
    return {figure.name: _summary(rounds, figure, floors) for figure in figures}


def _summary(rounds: list[Round], figure: Figure, floors: Sequence[str]) -> dict[str, Any]:
    targets: dict[str, Any] = {}
    for name in rounds[0]:
        values = [figure.value(done[name]) for done in rounds]
        known = [value for value in values if value is not None]
        if not known:
            targets[name] = None
            continue
        others = [floor for floor in floors if floor != name] if figure.compared else []
        ratios = {floor: ratio(rounds, figure, name, floor) for floor in others}
        to = {floor: found for floor, found in ratios.items() if found is not None}
        targets[name] = {**extent(known, 3), "to": to}
    return {"targets": targets, "goals": list(_goals(rounds, figure, targets))}


def _goals(
    rounds: list[Round], figure: Figure, targets: dict[str, Any]
) -> Sequence[dict[str, Any]]:
    told = []
    for goal in figure.goals:
        over, _, under = goal.of.partition("/")
        found = ratio(rounds, figure, over, under) if under else targets.get(over)
        few = any(done[over].get("agents", 0) < goal.agents for done in rounds if over in done)
        if found is not None and not few:
            verdict = {"of": goal.of, "goal": str(goal), "reached": goal.reached(found)}
            told.append({**verdict, **{key: found[key] for key in ("median", "min", "max")}})
    return told


def examples(rounds: list[Round]) -> list[str]:
    """What went wrong: figures that were taken while work was lost say nothing."""
    return [
        f"{name}: {report['errors']} errors, {report['unfinished']} unfinished; {shown}"
        for done in rounds
        for name, report in done.items()
        if report["errors"] or report["unfinished"]
        for shown in report["error_examples"] or ["no answer in time"]
    ]
