"""What people get to read: medians over the rounds, ratios within each round, and tables.

A round is a mapping from a target's name to the report of `load.py` on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

Report = dict[str, Any]
Round = dict[str, Report]
Extent = dict[str, float]


class Column(NamedTuple):
    """One column of a table: its title, its width, and the cell of a target."""

    title: str
    width: int
    cell: Callable[[list[Round], str], str]


class Goal(NamedTuple):
    """What is to be reached: by a ratio such as `hub/spine`, or by a target's own figure."""

    of: str
    limit: float
    at_most: bool = False

    def verdict(self, found: Extent) -> str:
        """Whether the median reaches it."""
        middle = found["median"]
        reached = middle <= self.limit if self.at_most else middle >= self.limit
        most = "at most " if self.at_most else ""
        return f"   goal {most}{self.limit:g}: {'reached' if reached else 'MISSED'}"


class Figure(NamedTuple):
    """What targets are compared by, and what is to be reached."""

    name: str
    value: Callable[[Report], float]
    goal: Goal | None = None


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
    """Whole lifecycles a second, or answered pushes where there are no agents."""
    return float(report["lifecycles_per_s" if report["agents"] else "submitted_per_s"])


def ratios(
    rounds: list[Round], figure: Figure, pairs: Sequence[tuple[str, str]]
) -> dict[str, Extent]:
    """How one target compares with another, taken in each round so that drift cancels."""
    found = {}
    for over, under in pairs:
        values = [(figure.value(done[over]), figure.value(done[under])) for done in rounds]
        found[f"{over}/{under}"] = extent([a / b if b else 0.0 for a, b in values], 3)
    return found


def pairs_of(names: Sequence[str]) -> list[tuple[str, str]]:
    """The comparisons that say something, of those that were measured."""
    pairs = [("hub", "spine"), ("hub", "spine-lean"), ("spine", "klein"), ("hub", "klein")]
    pairs += [("hub", "autobahn"), ("hub", "autobahn-site"), ("hub", "relay")]
    pairs += [(name, "spine") for name in names if name.startswith("spine-")]
    pairs += [(name, "hub") for name in names if name.startswith("hub-")]
    return [pair for pair in pairs if pair[0] in names and pair[1] in names]


def summarize(rounds: list[Round], figures: Sequence[Figure]) -> dict[str, Any]:
    """For each figure: what each target reached, and the ratios."""
    names = list(rounds[0])
    return {
        figure.name: {
            "targets": {
                name: extent([figure.value(done[name]) for done in rounds], 3) for name in names
            },
            "ratios": ratios(rounds, figure, pairs_of(names)),
        }
        for figure in figures
    }


def middle(*path: str, digits: int = 2) -> Callable[[list[Round], str], str]:
    """A cell with the median over the rounds of one figure, a dash where there is none."""

    def cell(rounds: list[Round], name: str) -> str:
        found = [at(done[name], *path) for done in rounds]
        known = [value for value in found if value is not None]
        return f"{median(known):.{digits}f}" if known else "-"

    return cell


def together(*cells: Callable[[list[Round], str], str]) -> Callable[[list[Round], str], str]:
    """Some figures in one cell."""

    def cell(rounds: list[Round], name: str) -> str:
        found = [part(rounds, name) for part in cells]
        return "-" if set(found) == {"-"} else " / ".join(found)

    return cell


def spread_of(path: str, *which: str) -> Callable[[list[Round], str], str]:
    """Percentiles of one latency, milliseconds."""
    return together(*(middle(path, one) for one in which))


def rates(rounds: list[Round], name: str) -> str:
    """Median and limits of the rate."""
    found = extent([rate(done[name]) for done in rounds], 1)
    return f"{found['median']:.0f} ({found['min']:.0f}..{found['max']:.0f})"


def lost(rounds: list[Round], name: str) -> str:
    """Errors, and what never came to its end."""
    return str(sum(done[name]["errors"] + done[name]["unfinished"] for done in rounds))


def table(rounds: list[Round], columns: Sequence[Column], notes: Sequence[str]) -> str:
    """The figures for people."""
    rows = [[column.title for column in columns]]
    rows += [[column.cell(rounds, name) for column in columns] for name in rounds[0]]
    lines = [
        "".join(
            cell.ljust(column.width) if first == 0 else cell.rjust(column.width)
            for first, (cell, column) in enumerate(zip(cells, columns, strict=True))
        )
        for cells in rows
    ]
    lines.insert(1, "-" * sum(column.width for column in columns))
    return "\n".join([*lines, *notes])


def compared(summary: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The ratios for people, and what is to be reached."""
    lines = []
    for figure in figures:
        goal = figure.goal
        for name, found in summary[figure.name]["ratios"].items():
            verdict = goal.verdict(found) if goal is not None and goal.of == name else ""
            lines.append(_line(f"{name} {figure.name}", found) + verdict)
        found = None if goal is None else summary[figure.name]["targets"].get(goal.of)
        if goal is not None and found is not None:
            lines.append(_line(f"{goal.of} {figure.name}", found) + goal.verdict(found))
    return "\n".join(lines)


def _line(what: str, found: Extent) -> str:
    between = f"({found['min']:.3f}..{found['max']:.3f})"
    return f"{what:<40}{found['median']:>9.3f}   {between}"


def examples(rounds: list[Round]) -> list[str]:
    """What went wrong: figures that were taken while work was lost say nothing."""
    return [
        f"{name}: {report['errors']} errors, {report['unfinished']} unfinished; {shown}"
        for done in rounds
        for name, report in done.items()
        if report["errors"] or report["unfinished"]
        for shown in report["error_examples"] or ["no answer in time"]
    ]


def describe(machine: dict[str, Any], load: str) -> str:
    """One paragraph that says where and under what load the figures were taken."""
    return (
        f"{machine['system']}, {machine['processors']} processors, Python {machine['python']}, "
        f"SQLite {machine['sqlite']} on {machine['file_system']},\n"
        f"{load}; load average at the start {machine['load_average'][0]}\n"
    )
