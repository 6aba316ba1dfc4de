"""What is asked for in the model: few words, so that things meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.model.world import AGENTS

Pairs = list[tuple[str, Any]]


class InMs(int):
    """So many milliseconds from now."""


EXTRAS: Pairs = [
    *(("priority", name) for name in ("urgent", "high", "normal", "low")),
    *(("agent_id", agent_id) for agent_id in AGENTS),
    ("capabilities", ["x"]),
    ("capabilities", ["x", "y"]),
    ("needed_capabilities", ["y"]),
    ("labels", {"zone": "a"}),
    ("labels", {"zone": {"!=": "a"}}),
    ("labels", {"zone": {"in": ["a", "b"]}}),
    ("labels", {"gpu": {"exists": False}}),
    ("labels", {"gpu": {"exists": True}}),
    ("max_attempts", 1),
    ("max_attempts", 2),
    ("max_attempts", 5),
    ("backoff", {"initial_s": 0, "max_s": 0}),
    ("backoff", {"initial_s": 3, "factor": 1}),
    ("backoff", {"initial_s": 40}),
    ("hold_s", 0),
    ("hold_s", 3),
    ("hold_s", 100),
    ("on_disconnect", "requeue"),
    ("on_disconnect", "fail"),
    ("on_disconnect", "fail"),
    ("on_disconnect", "keep"),
    ("queue_timeout_s", 2),
    ("queue_timeout_s", 20),
    ("deadline", InMs(1_500)),
    ("deadline", InMs(40_000)),
    ("not_before", InMs(1_000)),
    ("not_before", InMs(30_000)),
    ("not_before", InMs(-5_000)),
    ("accept_timeout_s", 1),
    ("accept_timeout_s", 5),
    ("attempt_timeout_s", 2),
    ("attempt_timeout_s", 25),
    *(("idempotency_key", key) for key in ("k1", "k2", "k3", "k1", "k2")),
]

# Many ask for nothing: those meet in one group.
extras: st.SearchStrategy[Pairs] = st.just([]) | st.lists(st.sampled_from(EXTRAS), max_size=3)

agents = st.sampled_from(AGENTS)
picks = st.integers(0, 99)
submitters = st.sampled_from(["sue", "tom"])

TOLD: list[dict[str, Any]] = [
    {},
    {"slots": 4, "capabilities": ["x", "y"], "labels": {"zone": "a"}},
    {"slots": 0},
    {"slots": 2},
    {"slots": 2},
    {"slots": 3},
    {"slots": 5},
    {"slots": 1, "capabilities": ["x"]},
    {"slots": 2, "capabilities": ["x", "y"], "labels": {"zone": "a"}},
    {"slots": 3, "capabilities": ["y", "x"], "labels": {"zone": "b", "gpu": "1"}},
    {"capabilities": ["x", "y"], "labels": {"gpu": ""}},
]

tellings = st.sampled_from(TOLD)

GOOD: list[dict[str, Any]] = [
    {"slots": 50, "capabilities": ["x", "y"], "labels": {"zone": "a"}},
    {"slots": 50, "capabilities": ["x", "y"], "labels": {"zone": "b", "gpu": "1"}},
]
"""Between them they may have any task."""

MENTIONS = ("nothing", "none", "all", "all", "without", "some", "others", "stale")
"""What an agent says that it has, when it identifies."""

durations = st.sampled_from(
    [0.1, 0.3, 1.0, 1.7, 3.0, 4.0, 6.0, 11.0, 31.0, 31.0, 61.0, 130.0, 650.0, 2_000.0]
)


def body(pairs: Pairs, now: int) -> dict[str, Any]:
    """A submission as JSON would have it.

    :param now: Unix milliseconds.
    """
    asked: dict[str, Any] = {"description": "work"}
    for name, value in pairs:
        asked[name] = now + value if isinstance(value, InMs) else value
    return asked
