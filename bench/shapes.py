"""For each mode of the benchmark: which targets it compares, by which figures, in which table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from report import Column, Figure, Report, at, lost, middle, rate, rates, spread_of, together


class Shape(NamedTuple):
    """How a mode is measured and shown; `loads` are the modes of `load.py` in each turn."""

    targets: Sequence[str]
    figures: Sequence[Figure]
    columns: Sequence[Column]
    notes: Sequence[str]
    loads: Sequence[str]


def percentile(which: str) -> Figure:
    """The latency from when a post was due until the agent had its task."""

    def value(report: Report) -> float:
        return float(at(report, "assign_ms", which) or 0.0)

    return Figure(f"assign {which}", value)


def cost(report: Report) -> float:
    """Time of a processor for each: hardly changes when others use the machine too."""
    return float(report["server_us_each"] or 0.0)


def name(rounds: object, target: str) -> str:
    return target


COST = (
    Column("us each", 9, middle("server_us_each", digits=0)),
    Column("cpu", 6, middle("server_cpu")),
    Column("gen", 6, middle("generator_cpu")),
    Column("else", 6, middle("others_cpu")),
    Column("errors", 8, lost),
)
COST_NOTES = (
    "us each: time of a processor that the server used for one of them.",
    "cpu, gen, else: processors used by server, load generator and anybody else on the machine;",
    "gen near 1: it was the limit; else over 0.2: the machine was busy, run it again.",
)
RATE_COLUMNS = (
    Column("target", 12, name),
    Column("per s (min..max)", 20, rates),
    Column("submit ms", 17, spread_of("submit_ms", "p50", "p99")),
    Column("assign ms", 17, spread_of("assign_ms", "p50", "p99")),
    Column(
        "commit ms",
        15,
        together(
            middle("commits", "commit_total_ms", "p50"), middle("commits", "commit_total_ms", "p99")
        ),
    ),
    Column("a commit", 10, middle("commits", "changes_per_commit", digits=1)),
    *COST,
)
RATE_NOTES = (
    "per s: task lifecycles (klein: pushes). ms: median / p99; commit: hand-off to callback.",
    *COST_NOTES,
)
LATENCY_COLUMNS = (
    Column("target", 12, name),
    Column("per s (min..max)", 20, rates),
    Column("answer ms", 24, spread_of("submit_ms", "p50", "p99", "max")),
    Column("assign ms", 24, spread_of("assign_ms", "p50", "p99", "max")),
    Column("late ms", 15, spread_of("late_ms", "p50", "p99")),
    *COST,
)
LATENCY_NOTES = (
    "ms: median / p99 / maximum since the post was due; late: how late it was sent (in them).",
    *COST_NOTES,
)
RATES = (Figure("per s", rate, goal=0.75), Figure("us each", cost))

SHAPES = {
    "push": Shape(("klein", "spine", "hub"), RATES, RATE_COLUMNS, RATE_NOTES, ("push",)),
    "batch": Shape(("spine", "spine-lean", "hub"), RATES, RATE_COLUMNS, RATE_NOTES, ("batch",)),
    "ws": Shape(("spine", "spine-lean", "hub"), RATES, RATE_COLUMNS, RATE_NOTES, ("ws",)),
    "latency": Shape(
        ("spine", "hub"),
        (percentile("p50"), percentile("p99"), percentile("max")),
        LATENCY_COLUMNS,
        LATENCY_NOTES,
        ("latency",),
    ),
    "history": Shape(
        ("spine", "hub", "hub-ended", "hub-queued"),
        RATES,
        (
            *RATE_COLUMNS[:2],
            Column("start s", 9, middle("start_s")),
            Column("MiB before", 12, middle("resident_mib", "before", digits=0)),
            Column("after", 7, middle("resident_mib", "after", digits=0)),
            *RATE_COLUMNS[2:4],
            *COST,
        ),
        ("MiB: memory of the server in RAM before and after the load.", *RATE_NOTES),
        ("push", "batch"),
    ),
}
