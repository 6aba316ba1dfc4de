"""What people get to read: medians over the rounds, ratios within each round, and the table.

A round is a mapping from a target's name to the report of `load.py` on it.
"""

from __future__ import annotations

from statistics import median
from typing import Any

Round = dict[str, dict[str, Any]]

GOAL = 0.75
RATIOS = (("hub", "spine"), ("spine", "klein"), ("hub", "klein"))
COLUMNS = (
    ("target", 13),
    ("per s", 7),
    ("min..max", 13),
    ("push ms", 16),
    ("assign ms", 16),
    ("commit ms", 15),
    ("a batch", 9),
    ("cpu", 6),
    ("gen", 6),
    ("errors", 8),
)


def rate(report: dict[str, Any]) -> float:
    """What a target is compared by: whole lifecycles, or answered pushes where it has no agents."""
    return float(report["lifecycles_per_s" if report["agents"] else "pushes_per_s"])


def ratio(done: Round, over: str, under: str) -> float:
    """How fast one target is beside another in one round; 0 where the other stood."""
    return rate(done[over]) / rate(done[under]) if rate(done[under]) else 0.0


def extent(values: list[float], digits: int) -> dict[str, float]:
    """Median and limits of a few figures."""
    return {
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def summarize(rounds: list[Round]) -> dict[str, Any]:
    """The rate of each target, and the ratios, taken in each round so that drift cancels."""
    names = list(rounds[0])
    pairs = [pair for pair in RATIOS if pair[0] in names and pair[1] in names]
    if "spine" in names:
        pairs += [(name, "spine") for name in names if name.startswith("spine-")]
    return {
        "targets": {name: extent([rate(done[name]) for done in rounds], 1) for name in names},
        "ratios": {
            f"{over}/{under}": extent([ratio(done, over, under) for done in rounds], 3)
            for over, under in pairs
        },
    }


def middle(rounds: list[Round], name: str, *path: str) -> str:
    """The median over the rounds of one figure of a report, or a dash where it has none."""
    found: list[float] = []
    for done in rounds:
        value: Any = done[name]
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found.append(value)
    return f"{median(found):.2f}" if found else "-"


def row(rounds: list[Round], name: str, rates: dict[str, float]) -> list[str]:
    """The cells of one target, in the order of COLUMNS."""

    def pair(*path: str) -> str:
        halves = [middle(rounds, name, *path, which) for which in ("p50", "p99")]
        return "-" if halves[0] == "-" else " / ".join(halves)

    return [
        name,
        f"{rates['median']:.0f}",
        f"{rates['min']:.0f}..{rates['max']:.0f}",
        pair("push_ms"),
        pair("assign_ms"),
        pair("commits", "commit_total_ms"),
        middle(rounds, name, "commits", "changes_per_commit"),
        middle(rounds, name, "server_cpu"),
        middle(rounds, name, "generator_cpu"),
        str(sum(done[name]["errors"] + done[name]["unfinished"] for done in rounds)),
    ]


def table(rounds: list[Round], summary: dict[str, Any]) -> str:
    """The figures for people; latencies as median / p99."""
    widths = [width for _, width in COLUMNS]
    rows = [[title for title, _ in COLUMNS]]
    rows += [row(rounds, name, rates) for name, rates in summary["targets"].items()]
    lines = [
        "".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in rows
    ]
    lines.insert(1, "-" * sum(widths))
    lines += [
        "per s: task lifecycles (klein: pushes). ms: median / p99; commit: hand-off to callback.",
        "cpu, gen: processors used by server and load generator; gen near 1: it was the limit.",
        "",
    ]
    for name, found in summary["ratios"].items():
        verdict = ""
        if name == "hub/spine":
            verdict = f"   goal {GOAL}: {'reached' if found['median'] >= GOAL else 'MISSED'}"
        between = f"({found['min']:.3f}..{found['max']:.3f})"
        lines.append(f"{name:<20}{found['median']:>7.3f}   {between}{verdict}")
    return "\n".join(lines)


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
