"""The modes in which agents come, stay, talk and go; and the one in which too much is asked."""

from __future__ import annotations

from collections.abc import Callable

from agentcom.bench import idle, messages, overload, storm, takeover
from agentcom.bench.report import Figure, Goal, Report, at
from agentcom.bench.shape import (
    COST,
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
from agentcom.bench.tables import Column, lost, middle, spread_at, together


def of_all(figure: float) -> Goal:
    """A goal for the ten thousand agents that it is set for."""
    return Goal("hub", figure, at_most=True, agents=10_000)


def takeover_ms(which: str) -> Callable[[Report], float | None]:
    """From the death of an agent until another one has accepted its task."""
    return value("accepted_ms", which)


def identified_s(report: Report) -> float | None:
    """Seconds until everybody has identified; where that never came, those that were waited."""
    return float(at(report, "storm", "all_s") or report["seconds"])


def back_s(report: Report) -> float:
    """Seconds after the flood until a lone push is as before; as long as was looked, if never."""
    found = report["after"]["back_s"]
    return float(overload.AFTER_S if found is None else found)


STORM = Shape(
    about="thousands of older agents identify at once, while others work",
    targets=("autobahn-site", "spine", "hub"),
    fit=("autobahn", "autobahn-site", *SPINES, *HUBS, "hub-two-ports"),
    floors=("spine", "autobahn-site"),
    figures=(
        Figure("identified s", identified_s, [Goal("hub", 6.0, at_most=True)], 2),
        Figure("health p99 ms", value("health_kept", "ms", "p99"), [Goal("hub", 50.0, True)]),
        Figure("on a new line", value("health_fresh", "ms", "p99"), compared=False),
        US_EACH,
        STALL,
    ),
    columns=(
        Column("tries", middle("storm", "told", "attempts", digits=0)),
        Column("health ms", spread_at("health_kept", "ms")),
        Column("on a new line", spread_at("health_fresh", "ms")),
        Column("ack ms", spread_at("tasks", "ack_ms")),
        Column("task ms", spread_at("tasks", "lifecycle_ms")),
        Column("back s", middle("restart", "all_s")),
        Column(
            "dropped",
            together(
                middle("dropped", "connections", digits=0), middle("dropped", "packets", digits=0)
            ),
        ),
        OF_CPU,
        Column("cpu", middle("cpu", "server")),
        Column("generator", middle("generator", "cpu")),
        Column("its limit", middle("generator", "limit_per_s", digits=0)),
        Column("else", middle("cpu", "others")),
        Column("errors", lost),
    ),
    notes=(
        "identified s: until the last of them has identified; tries: connections that took. ms:",
        "median / p99 / maximum meanwhile, from when it was due: GET /health over connections that",
        "stay and over new ones, acknowledgements of reports, whole tasks without the work itself.",
        "back s: until all were back after a kill -9 of the hub and its restart. dropped: by the",
        "kernel, connections / packets for which its queues were full; each costs a peer 200 ms or",
        "a second, whatever the server does.",
        *PROCESSOR_NOTES,
        *STALL_NOTE,
    ),
    loads=("storm",),
    turn=storm.turn,
    said=storm.said,
    agents=5000,
    without="it is not killed and started again",
)
IDLE = Shape(
    about="memory of each agent that is connected and does nothing",
    targets=("autobahn", "spine", "hub"),
    fit=("autobahn", "autobahn-site", *SPINES, *HUBS),
    floors=("spine", "autobahn"),
    figures=(
        Figure("KiB each", value("all", "kib_each"), [Goal("hub/autobahn", 2.0, True)], 1),
        Figure("MiB", value("all", "mib"), [of_all(350.0)]),
        Figure("cpu", value("cpu", "server"), (), 3),
        STALL,
    ),
    columns=(
        Column("empty MiB", middle("empty_mib", digits=0)),
        Column("agents", middle("few", "agents", digits=0)),
        Column("MiB", middle("few", "mib", digits=0)),
        Column("KiB each", middle("few", "kib_each")),
        Column("agents", middle("all", "agents", digits=0)),
        Column("MiB", middle("all", "mib", digits=0)),
        Column("KiB each", middle("all", "kib_each")),
        Column("generator", middle("cpu", "crowd", digits=3)),
        Column("errors", lost),
    ),
    notes=(
        "MiB: memory of the server in RAM; KiB each: what came with the agents, for each of them.",
        "cpu: processors that the server uses, for --seconds, while all are there and ping every",
        "30 s.",
        *STALL_NOTE,
    ),
    loads=("idle",),
    turn=idle.turn,
    said=idle.said,
    agents=10_000,
    rounds=1,
    seconds=30.0,
)
MESSAGES = Shape(
    about="messages a second between two agents, and from one to all",
    targets=("relay", "spine", "hub"),
    fit=("relay", *SPINES, *HUBS),
    floors=("spine", "relay"),
    figures=(
        Figure("delivered per s", value("delivered_per_s"), [Goal("hub/relay", 0.7)]),
        Figure("us each", COST, digits=1),
        STALL,
    ),
    columns=(
        Column("agents", middle("agents", digits=0)),
        Column("sent per s", middle("sent_per_s", digits=0)),
        Column("answer ms", spread_at("answer_ms")),
        OF_CPU,
        *PROCESSORS,
    ),
    notes=(
        "delivered: message frames, at all agents together; sent: message_sent frames that came.",
        "answer ms: median / p99 / maximum from a message to its message_sent, of a sender that",
        "has up to 200 (direct) or 4 (broadcast) under way. The relay stores nothing.",
        *PROCESSOR_NOTES,
        *STALL_NOTE,
    ),
    loads=("direct", "broadcast"),
    turn=messages.turn,
    said=messages.said,
    agents=1000,
    left_out=("broadcast",),
    without="no broadcasts, they would reach its own agents",
)
OVERLOAD = Shape(
    about="ten times the load that the hub can take, for --seconds",
    targets=("hub",),
    fit=HUBS,
    floors=(),
    figures=(
        Figure("back s", back_s, [Goal("hub", 5.0, at_most=True)], 1),
        Figure("health p99 ms", value("held", "health", "ms", "p99"), [Goal("hub", 250.0, True)]),
        Figure("taken/capacity", value("of_capacity"), (), 2),
        STALL,
    ),
    columns=(
        Column("capacity", middle("capacity", "per_s", digits=0)),
        Column("offered", middle("rate", digits=0)),
        Column("taken", middle("good_per_s", digits=0)),
        Column("refused", middle("refused_per_s", digits=0)),
        Column("taken ms", spread_at("flood", "good_ms")),
        Column("refused ms", spread_at("flood", "refused_ms")),
        Column("ack ms", spread_at("held", "ack_ms")),
        Column("health ms", spread_at("held", "health", "ms")),
        Column("MiB", middle("resident_mib", "before", digits=0)),
        Column("most", middle("resident_mib", "most", digits=0)),
        Column("back s", together(middle("after", "median_back_s"), middle("after", "back_s"))),
        Column("cpu", middle("cpu", "server")),
        Column("flood", middle("cpu", "flood")),
        Column("else", middle("cpu", "others")),
        Column("after", middle("after", "cpu", "others")),
        Column("errors", lost),
    ),
    notes=(
        "requests a second: the same mix in a closed loop, what was due, answered with 2xx, with",
        "429 or 503. ms: median / p99 / maximum, from when it was sent; ack: reports of agents",
        "that hold work; health: GET /health, from when it was due. MiB, most: memory of the hub.",
        "back s: the moment from which on the median / p99 of all lone pushes is within 1.5 times",
        "of what it was before; over 5 s at the least, and others may disturb it.",
        "else, after: what others used of the processors during the flood and after it.",
        *STALL_NOTE,
    ),
    loads=("overload",),
    turn=overload.turn,
    said=overload.said,
    rounds=1,
    seconds=60.0,
    alone="it would be refused its own work meanwhile",
)
TAKEOVER = Shape(
    about="from kill -9 of an agent until its task runs on another one",
    targets=("hub",),
    fit=HUBS,
    floors=(),
    figures=(
        Figure("accepted p50 ms", takeover_ms("p50"), [Goal("hub", 1000.0, at_most=True)]),
        Figure("maximum ms", takeover_ms("max"), [Goal("hub", 1000.0, at_most=True)]),
        STALL,
    ),
    columns=(
        Column("times", middle("times", digits=0)),
        Column("assigned ms", spread_at("assigned_ms")),
        Column("accepted ms", spread_at("accepted_ms")),
        Column("errors", lost),
    ),
    notes=(
        "ms: median / p99 / maximum from kill -9 of the agent until its task was assigned to",
        "another one, and until that one had accepted it, as the event stream tells.",
        *STALL_NOTE,
    ),
    loads=("takeover",),
    turn=takeover.turn,
    said=takeover.said,
    agents=2,
    rounds=1,
    alone="its agents must be the only ones",
)
