"""The last hour in steps of five seconds, for charts.

All of it is in memory: after a restart it begins anew, and what is not known
is ``None``.  Steps go by a clock that never jumps; only the end of the last one
is told as a time of day.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import sub

import msgspec

from agentcom.core.histogram import Spread
from agentcom.core.state import Status
from agentcom.hub.timings import Timings
from agentcom.wire.answers.stats import Percentiles, SeriesAnswer

STEP_S = 5
"""Seconds that a step covers."""

POINTS = 720
"""Steps that are kept: an hour."""

FAILED = (Status.DEAD_LETTER, Status.EXPIRED)
"""Ends that count as failures: a task that is cancelled is not wanted any more."""


class Sizes(msgspec.Struct, frozen=True, gc=False):
    """How many there are now.

    :ivar queued: tasks that wait, delayed ones included.
    :ivar agents: connected ones.
    """

    queued: int
    agents: int


class Step(msgspec.Struct, frozen=True, gc=False):
    """What happened in five seconds, and the sizes at their end.

    Percentiles are of what ended in the step, in milliseconds.
    """

    submitted: int
    started: int
    completed: int
    failed: int
    queued: int
    agents: int
    dispatch_p50: int | None
    dispatch_p95: int | None
    run_p50: int | None
    run_p95: int | None


class Series:
    """Cuts what a hub does into steps.

    :param timings: counts; what it knows of lately is cleared at the end of each step.
    :param seconds: a clock that never goes back.
    """

    def __init__(
        self, timings: Timings, sizes: Callable[[], Sizes], seconds: Callable[[], float]
    ) -> None:
        self._timings = timings
        self._sizes = sizes
        self._seconds = seconds
        self._steps: deque[Step | None] = deque(maxlen=POINTS)
        self._begun = seconds()
        self._before = self._totals()

    def tick(self) -> None:
        """Cut off what is over: to be called once a second or so."""
        over = int((self._seconds() - self._begun) // STEP_S)
        if over < 1:
            return
        self._begun += over * STEP_S
        # Nobody looked for that long, so what happened is told of the last step.
        self._steps.extend([None] * min(over - 1, POINTS))
        self._steps.append(self._cut())

    def told(self, span_s: int, now: int) -> SeriesAnswer:
        """The newest steps, oldest first, as the API shows them.

        :param span_s: from 5 to 3600; a step that is not whole is left out.
        :param now: Unix milliseconds.
        """
        self.tick()
        wanted = span_s // STEP_S
        known = list(self._steps)[-wanted:]
        steps = [None] * (wanted - len(known)) + known
        return SeriesAnswer(
            step_s=STEP_S,
            end=now - int((self._seconds() - self._begun) * 1000),
            points=wanted,
            submitted=_column(steps, "submitted"),
            started=_column(steps, "started"),
            completed=_column(steps, "completed"),
            failed=_column(steps, "failed"),
            queued=_column(steps, "queued"),
            agents=_column(steps, "agents"),
            dispatch_ms=_percentiles_of(steps, "dispatch"),
            run_ms=_percentiles_of(steps, "run"),
        )

    def _cut(self) -> Step:
        now, timings, sizes = self._totals(), self._timings, self._sizes()
        submitted, started, completed, failed = map(sub, now, self._before)
        self._before = now
        return Step(
            submitted,
            started,
            completed,
            failed,
            sizes.queued,
            sizes.agents,
            *_percentiles(timings.waited.lately()),
            *_percentiles(timings.ran.lately()),
        )

    def _totals(self) -> tuple[int, int, int, int]:
        timings = self._timings
        return (
            timings.submitted.total(),
            timings.started,
            timings.ended[Status.COMPLETED],
            sum(timings.ended[status] for status in FAILED),
        )


def _percentiles(spread: Spread) -> tuple[int | None, int | None]:
    found = spread.percentile(50), spread.percentile(95)
    spread.clear()
    return found


def _column(steps: list[Step | None], name: str) -> list[int | None]:
    return [None if step is None else getattr(step, name) for step in steps]


def _percentiles_of(steps: list[Step | None], name: str) -> Percentiles:
    return Percentiles(_column(steps, f"{name}_p50"), _column(steps, f"{name}_p95"))
