"""For each mode of the benchmark: which targets it compares, by which figures, in which table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import idle
import messages
import overload
import storm
import takeover
from report import (
    Column,
    Figure,
    Goal,
    Report,
    Round,
    at,
    lost,
    middle,
    rate,
    rates,
    spread_of,
    together,
)
from targets import Turn, turn


def rate_said(report: Report) -> str:
    """The rate of a turn."""
    return f"{rate(report):.0f}/s"


class Shape(NamedTuple):
    """How a mode is measured and shown.

    `loads` are the modes of `load.py` in each turn, or the one name of what another `turn` does;
    `said` tells a turn in a word; `fit` are the only targets that it can measure.
    """

    targets: Sequence[str]
    figures: Sequence[Figure]
    columns: Sequence[Column]
    notes: Sequence[str]
    loads: Sequence[str]
    turn: Turn = turn
    said: Callable[[Report], str] = rate_said
    agents: int = 32
    fit: Sequence[str] = ()


def percentile(which: str) -> Figure:
    """The latency from when a post was due until the agent had its task."""

    def value(report: Report) -> float:
        return float(at(report, "assign_ms", which) or 0.0)

    return Figure(f"assign {which}", value)


def cost(report: Report) -> float:
    """Time of a processor for each: hardly changes when others use the machine too."""
    return float(report["server_us_each"] or 0.0)


def spread_at(*path: str) -> Callable[[list[Round], str], str]:
    """Median, p99 and maximum of one latency, whole milliseconds."""
    return together(*(middle(*path, which, digits=0) for which in ("p50", "p99", "max")))


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
RATES = (Figure("per s", rate, Goal("hub/spine", 0.75)), Figure("us each", cost))


def identified_s(report: Report) -> float:
    """Seconds until everybody has identified; where that never came, those that were waited."""
    return float(at(report, "storm", "all_s") or report["seconds"])


def kib_each(report: Report, when: str) -> float:
    """Memory of each idle agent."""
    return float(at(report, when, "kib_each"))


def health(kind: str, which: str) -> Callable[[Report], float]:
    """Milliseconds of a health check during a storm."""
    return lambda report: float(at(report, kind, "ms", which) or 0.0)


STORM_FIGURES = (
    Figure("identified s", identified_s, Goal("hub", 10.0, at_most=True)),
    Figure("health p99 ms", health("health_kept", "p99"), Goal("hub", 100.0, at_most=True)),
    Figure("health, new line", health("health_fresh", "p99"), Goal("hub", 100.0, at_most=True)),
    Figure("us each", cost),
)
STORM_COLUMNS = (
    Column("target", 14, name),
    Column("identified s", 13, middle("storm", "all_s")),
    Column("tries", 7, middle("storm", "told", "attempts", digits=0)),
    Column("health ms", 20, spread_at("health_kept", "ms")),
    Column("on a new line", 20, spread_at("health_fresh", "ms")),
    Column("ack ms", 20, spread_at("tasks", "ack_ms")),
    Column("task ms", 20, spread_at("tasks", "lifecycle_ms")),
    Column("back s", 8, middle("restart", "all_s")),
    Column("us each", 9, middle("server_us_each", digits=0)),
    Column("cpu", 6, middle("cpu", "server")),
    Column("crowd", 7, middle("cpu", "crowd")),
    Column("else", 6, middle("cpu", "others")),
    Column("errors", 8, lost),
)
STORM_NOTES = (
    "identified s: until the last of them has identified; tries: connections that took. ms: median",
    "/ p99 / maximum meanwhile, from when it was due: GET /health over connections that stay and",
    "over new ones, acknowledgements of reports, whole tasks without the work itself.",
    "back s: until all were back after a kill -9 of the hub and its restart.",
    "us each, cpu, crowd, else: the server's processor time for each of them; processors used by",
    "server, crowd and anybody else; crowd near 1: it was the limit; else over 0.2: busy machine.",
)


def health_held(report: Report) -> float:
    """Milliseconds of the p99 of health checks during a flood."""
    return float(at(report, "held", "health", "ms", "p99") or 0.0)


IDLE_FIGURES = (
    Figure("KiB each", lambda report: kib_each(report, "few"), Goal("hub/autobahn", 2.0, True)),
    Figure("KiB of all", lambda report: kib_each(report, "all"), Goal("hub/autobahn", 2.0, True)),
)
IDLE_COLUMNS = (
    Column("target", 14, name),
    Column("empty MiB", 11, middle("empty_mib", digits=0)),
    Column("agents", 8, middle("few", "agents", digits=0)),
    Column("MiB", 7, middle("few", "mib", digits=0)),
    Column("KiB each", 10, middle("few", "kib_each")),
    Column("agents", 8, middle("all", "agents", digits=0)),
    Column("MiB", 7, middle("all", "mib", digits=0)),
    Column("KiB each", 10, middle("all", "kib_each")),
    Column("cpu", 7, middle("cpu", "server", digits=3)),
    Column("errors", 8, lost),
)
IDLE_NOTES = (
    "MiB: memory of the server in RAM; KiB each: what came with the agents, for each of them.",
    "cpu: processors that the server uses while all are connected and ping every 30 s.",
)


def takeover_s(which: str) -> Callable[[Report], float]:
    """Seconds from the death of an agent until another one has accepted its task."""
    return lambda report: float(at(report, "accepted_ms", which)) / 1000


TAKEOVER_FIGURES = (
    Figure("p50 s", takeover_s("p50"), Goal("hub", 1.0, at_most=True)),
    Figure("maximum s", takeover_s("max"), Goal("hub", 1.0, at_most=True)),
)
TAKEOVER_COLUMNS = (
    Column("target", 14, name),
    Column("times", 7, middle("times", digits=0)),
    Column("assigned ms", 20, spread_at("assigned_ms")),
    Column("accepted ms", 20, spread_at("accepted_ms")),
    Column("errors", 8, lost),
)
TAKEOVER_NOTES = (
    "ms: median / p99 / maximum from kill -9 of the agent until its task was assigned to another",
    "one, and until that one had accepted it, as the event stream tells.",
)


def delivered(report: Report) -> float:
    """Messages that reached an agent, a second."""
    return float(report["delivered_per_s"])


MESSAGE_FIGURES = (
    Figure("delivered per s", delivered, Goal("hub/relay", 0.7)),
    Figure("us each", cost),
)
MESSAGE_COLUMNS = (
    Column("target", 12, name),
    Column("agents", 8, middle("agents", digits=0)),
    Column("sent per s", 12, middle("sent_per_s", digits=0)),
    Column("delivered", 11, middle("delivered_per_s", digits=0)),
    Column("answer ms", 20, spread_at("answer_ms")),
    Column("us each", 9, middle("server_us_each", digits=1)),
    *COST[1:],
)
MESSAGE_NOTES = (
    "sent: message_sent frames that came, delivered: message frames, at all agents together.",
    "answer ms: median / p99 / maximum from a message to its message_sent, of a sender that has",
    "up to 200 (direct) or 4 (broadcast) under way.",
    *COST_NOTES,
)


def back_s(report: Report) -> float:
    """Seconds after the flood until a lone push is as before; as long as was looked, if never."""
    found = report["after"]["back_s"]
    return float(overload.AFTER_S if found is None else found)


OVERLOAD_FIGURES = (
    Figure("back s", back_s, Goal("hub", 5.0, at_most=True)),
    Figure("health p99 ms", health_held, Goal("hub", 250.0, at_most=True)),
    Figure("taken/capacity", lambda report: float(report["of_capacity"])),
)
OVERLOAD_COLUMNS = (
    Column("target", 8, name),
    Column("capacity", 10, middle("capacity", "per_s", digits=0)),
    Column("offered", 9, middle("rate", digits=0)),
    Column("taken", 8, middle("good_per_s", digits=0)),
    Column("refused", 9, middle("refused_per_s", digits=0)),
    Column("taken ms", 18, spread_at("flood", "good_ms")),
    Column("refused ms", 18, spread_at("flood", "refused_ms")),
    Column("ack ms", 16, spread_at("held", "ack_ms")),
    Column("health ms", 16, spread_at("held", "health", "ms")),
    Column("MiB", 6, middle("resident_mib", "before", digits=0)),
    Column("most", 6, middle("resident_mib", "most", digits=0)),
    Column("back s", 13, together(middle("after", "median_back_s"), middle("after", "back_s"))),
    Column("cpu", 6, middle("cpu", "server")),
    Column("flood", 7, middle("cpu", "flood")),
    Column("else", 6, middle("cpu", "others")),
    Column("after", 7, middle("after", "cpu", "others")),
    Column("errors", 8, lost),
)
OVERLOAD_NOTES = (
    "requests a second: the same mix in a closed loop, what was due, answered with 2xx, with 429",
    "or 503. ms: median / p99 / maximum, from when it was sent; ack: reports of agents that hold",
    "work; health: GET /health, from when it was due. MiB, most: memory of the hub.",
    "back s: the moment from which on the median / p99 of all lone pushes is within 1.5 times of",
    "what it was before; over 5 s at the least, and others may disturb it;",
    "else, after: what others used of the processors during the flood and after it. Over 0.2 the",
    "machine was busy.",
)

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
    "storm": Shape(
        ("autobahn-site", "hub"),
        STORM_FIGURES,
        STORM_COLUMNS,
        STORM_NOTES,
        ("storm",),
        storm.turn,
        storm.said,
        agents=5000,
        fit=("autobahn", "autobahn-site", "hub", "hub-two-ports"),
    ),
    "idle": Shape(
        ("autobahn", "hub"),
        IDLE_FIGURES,
        IDLE_COLUMNS,
        IDLE_NOTES,
        ("idle",),
        idle.turn,
        idle.said,
        agents=5000,
        fit=("autobahn", "autobahn-site", "hub"),
    ),
    "messages": Shape(
        ("relay", "hub"),
        MESSAGE_FIGURES,
        MESSAGE_COLUMNS,
        MESSAGE_NOTES,
        ("direct", "broadcast"),
        messages.turn,
        messages.said,
        agents=1000,
        fit=("relay", "hub"),
    ),
    "overload": Shape(
        ("hub",),
        OVERLOAD_FIGURES,
        OVERLOAD_COLUMNS,
        OVERLOAD_NOTES,
        ("overload",),
        overload.turn,
        overload.said,
        fit=("hub",),
    ),
    "takeover": Shape(
        ("hub",),
        TAKEOVER_FIGURES,
        TAKEOVER_COLUMNS,
        TAKEOVER_NOTES,
        ("takeover",),
        takeover.turn,
        takeover.said,
        agents=2,
        fit=("hub",),
    ),
}
