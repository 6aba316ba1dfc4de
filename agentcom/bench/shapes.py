"""For each mode of the benchmark: its targets and loads, its figures and goals, its tables."""

from __future__ import annotations

from agentcom.bench.crowdshapes import IDLE, MESSAGES, OVERLOAD, STORM, TAKEOVER
from agentcom.bench.report import Figure, Goal, Report, rate
from agentcom.bench.shape import (
    COST,
    EXPERIMENTS,
    HUBS,
    OF_CPU,
    PROCESSOR_NOTES,
    PROCESSORS,
    SPINES,
    STALL,
    STALL_NOTE,
    US_EACH,
    Shape,
    value,
)
from agentcom.bench.tables import Column, middle, spread_of

RATE_COLUMNS = (
    Column("submit ms", spread_of("submit_ms")),
    Column("assign ms", spread_of("assign_ms")),
    Column("commit ms", spread_of("commits", "commit_total_ms")),
    Column("a commit", middle("commits", "changes_per_commit", digits=1)),
    OF_CPU,
    *PROCESSORS,
)
RATE_NOTES = (
    "per s: task lifecycles, of web, klein and autobahn answers alone. ms: median / p99.",
    *PROCESSOR_NOTES,
    *STALL_NOTE,
)
RATES = (
    Figure("per s", rate, [Goal("hub/spine", 1.5), Goal("hub/spine-quick", 0.85)]),
    US_EACH,
    STALL,
)
POSTED = ("web", "klein", *SPINES, "hub")
POSTED_FIT = ("web", "klein", *SPINES, *EXPERIMENTS, *HUBS)
POSTED_FLOORS = ("spine", "spine-quick", "klein", "web")


def first_ms(report: Report) -> float | None:
    """Median from when a post was due until the agent had its task, or until its answer."""
    return value("assign_ms" if report["agents"] else "submit_ms", "p50")(report)


def last_ms(report: Report) -> float | None:
    """The p99 of the same."""
    return value("assign_ms" if report["agents"] else "submit_ms", "p99")(report)


OPERATIONS = "operations"
HISTORY_FIT = ("spine", "hub", "hub-empty", "hub-ended", "hub-queued")
FULL = [Goal(f"{name}/hub", 1.2, True) for name in ("hub-ended", "hub-queued")]
HISTORY = Shape(
    about="push and batch on a hub with many stored tasks, and each operation, beside an empty hub",
    targets=("spine", "hub", "hub-ended", "hub-queued"),
    fit=HISTORY_FIT,
    floors=("hub", "hub-empty", "spine"),
    figures=(
        Figure("per s", rate),
        Figure("us each", COST, [*FULL, Goal("hub/hub-empty", 1.2, True)]),
        STALL,
    ),
    columns=(
        Column("start s", middle("start_s")),
        Column("MiB before", middle("resident_mib", "before", digits=0)),
        Column("after", middle("resident_mib", "after", digits=0)),
        *RATE_COLUMNS,
    ),
    notes=("MiB: memory of the server in RAM before and after the load.", *RATE_NOTES),
    loads=("push", "batch"),
    once=OPERATIONS,
    without="it is measured with what it has, beside an empty one; nothing is filled, and its "
    "operations are not asked one by one",
)


def posted(about: str, *loads: str) -> Shape:
    """A mode of POSTs as fast as they are answered."""
    return Shape(about, POSTED, POSTED_FIT, POSTED_FLOORS, RATES, RATE_COLUMNS, RATE_NOTES, loads)


SHAPES = {
    "push": posted("single pushes over HTTP as fast as they are answered", "push"),
    "queue": posted(
        "POST /api/tasks, and batches of 100 of them, as fast as it goes", "single", "batch"
    ),
    "latency": Shape(
        about="POST /api/tasks at an even pace: until the agent has the task",
        targets=POSTED,
        fit=POSTED_FIT,
        floors=POSTED_FLOORS,
        figures=(
            Figure("p50 ms", first_ms, [Goal("hub", 1.2, at_most=True)], 2),
            Figure("p99 ms", last_ms, (), 2),
            STALL,
        ),
        columns=(
            Column("per s", lambda rounds, name: f"{rate(rounds[0][name]):.0f}"),
            Column("answer ms", spread_of("submit_ms", which=("p50", "p99", "max"))),
            Column("assign ms", spread_of("assign_ms", which=("p50", "p99", "max"))),
            Column("late ms", spread_of("late_ms")),
            Column("us each", middle("server_us_each", digits=0)),
            OF_CPU,
            *PROCESSORS,
        ),
        notes=(
            "p50, p99: from when the post was due until the agent had its task, of web and klein",
            "until the answer. ms: median / p99 / maximum; late: how late it was sent (in them).",
            *PROCESSOR_NOTES,
            *STALL_NOTE,
        ),
        loads=("latency",),
    ),
    "storm": STORM,
    "idle": IDLE,
    "messages": MESSAGES,
    "history": HISTORY,
    "ws": Shape(
        "task_submit over WebSocket as fast as it goes",
        ("autobahn", *SPINES, "hub"),
        ("autobahn", *SPINES, *EXPERIMENTS, *HUBS),
        ("spine", "spine-quick", "autobahn"),
        RATES,
        RATE_COLUMNS,
        RATE_NOTES,
        ("ws",),
    ),
    "takeover": TAKEOVER,
    "overload": OVERLOAD,
}
