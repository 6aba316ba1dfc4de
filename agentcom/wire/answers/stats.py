"""What ``GET /api/stats/series`` answers: columns of the same length, oldest first.

``None`` stands for what is not known: before the hub's start, or in steps in
which nothing was measured.
"""

from __future__ import annotations

import msgspec


class Percentiles(msgspec.Struct):
    """Of each step, in milliseconds."""

    p50: list[int | None]
    p95: list[int | None]


class SeriesAnswer(msgspec.Struct):
    """What the hub did lately.

    :ivar step_s: seconds that a step covers.
    :ivar end: the end of the last step, in Unix milliseconds.
    :ivar points: steps, and the length of each column.
    :ivar submitted: new tasks.
    :ivar started: tasks that were given to an agent for the first time.
    :ivar completed: tasks that were completed.
    :ivar failed: tasks that became dead letters or expired.
    :ivar queued: tasks that wait at the end of the step, delayed ones included.
    :ivar agents: agents that are connected at the end of the step.
    :ivar dispatch_ms: how long tasks were ready until an agent was given them.
    :ivar run_ms: how long attempts took from their assignment to their end.
    """

    step_s: int
    end: int
    points: int
    submitted: list[int | None]
    started: list[int | None]
    completed: list[int | None]
    failed: list[int | None]
    queued: list[int | None]
    agents: list[int | None]
    dispatch_ms: Percentiles
    run_ms: Percentiles
