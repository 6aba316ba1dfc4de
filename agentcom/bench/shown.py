"""A report for people to read."""

from __future__ import annotations

from typing import Any

from agentcom.bench import stalls
from agentcom.bench.report import examples
from agentcom.bench.shapes import OPERATIONS, SHAPES
from agentcom.bench.tables import aligned, goals_told, machine_told, main_table, more_table

CELLS = (("empty_us", 1), ("full_us", 1), ("ratio", 2), ("empty_p50_ms", 2), ("full_p50_ms", 2))
"""What is shown of an operation, and with how many digits."""

GENERATOR = "the load generator: raw sockets and hand-made frames, one process of its own"


def text_of(report: dict[str, Any]) -> str:
    """Tables, what is to be known of them, and the goals."""
    shape = SHAPES[report["mode"]]
    parts = [machine_told(report["machine"])]
    if report["hub"] is not None:
        parts.append(_hub_told(report["hub"]))
    settings = report["settings"]
    for load, rounds in report["rounds"].items():
        rounds_of = "1 round" if settings["rounds"] == 1 else f"{settings['rounds']} rounds"
        length = f"{rounds_of} of {settings['seconds']:g} s"
        summary = report["summary"][load]
        parts.append(f"{load}: {length}; {GENERATOR}")
        parts.append(main_table(summary, shape.figures, shape.floors, rounds[0]))
        parts.append(more_table(rounds, shape.columns))
        if goals := goals_told(summary):
            parts.append(goals)
    if report["rounds"]:
        parts.append("\n".join(("/NAME: the ratio to NAME, taken in each round.", *shape.notes)))
    if OPERATIONS in report:
        parts.append(_operations_told(report[OPERATIONS]))
    return "\n\n".join(parts)


def wrong(report: dict[str, Any]) -> list[str]:
    """What went wrong in a run; its figures say nothing then."""
    asked = report.get(OPERATIONS, {"rows": []})["rows"]
    return [
        *(line for rounds in report["rounds"].values() for line in examples(rounds)),
        *(f"{row['operation']}: {row['error']}" for row in asked if "error" in row),
    ]


def generator_told(report: dict[str, Any]) -> str:
    """What the generator can do by itself."""
    rows = [["load", "per s", "generator", "us each", "its limit per s"]]
    for load, found in report["generator"].items():
        numbers = (found["lifecycles_per_s"], found["generator_cpu"], found["generator_us_each"])
        shown = (f"{numbers[0]:.0f}", f"{numbers[1]:.2f}", f"{numbers[2]:.1f}")
        rows.append([load, *shown, str(found["generator_limit_per_s"])])
    return "\n\n".join(
        (
            machine_told(report["machine"]),
            f"{GENERATOR}, against a server that answers with constants:",
            aligned(rows),
            "its limit: what it could do with all of a processor, at its cost in this run.",
        )
    )


def _hub_told(hub: dict[str, Any]) -> str:
    told = [f"hub is {hub['url']}, which ran before; all else ran beside it on this machine."]
    if not hub["is_here"]:
        told.append("It is on another machine: what it uses of that is unknown (-), and the")
        told.append("network is in its figures.")
    elif hub["pid"] is None:
        told.append("Its process is not to be seen: what it uses is unknown (-).")
    if hub["left_out"]:
        told.append(f"What somebody's hub is spared: {hub['left_out']}.")
    return " ".join(told)


def _operations_told(found: dict[str, Any]) -> str:
    rows = [["operation", "empty us", "full us", "ratio", "empty ms", "full ms"]]
    for row in found["rows"]:
        cells = ["-" if row.get(key) is None else f"{row[key]:.{digits}f}" for key, digits in CELLS]
        rows.append([row["operation"], *cells])
    over = ", ".join(found["over"]) or "none"
    return (
        f"{aligned(rows)}\n\n"
        "us: processor time of the hub for one of them, or each row of its answer; ms: median.\n"
        f"{stalls.told(found['stall_ms'])}\n"
        f"Goals: a ratio of at most 1.2, a turn of at most 20 ms; over the ratio: {over}"
    )
