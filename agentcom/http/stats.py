"""``GET /api/stats/series``: what the hub did lately, for charts."""

from __future__ import annotations

from collections.abc import Callable

from agentcom.core.tokens import SUBMIT
from agentcom.http.route import Answer, Call, Route, number
from agentcom.hub.series import POINTS, STEP_S, Series
from agentcom.wire.answers.stats import SeriesAnswer

SPAN_S = 900
"""Seconds that are shown where nothing else is asked for."""


class StatRoutes:
    """Serves one hub's series.

    :param now: Unix milliseconds.
    """

    def __init__(self, series: Series, now: Callable[[], int]) -> None:
        self._series = series
        self._now = now

    def routes(self) -> list[Route]:
        """What is served, and what it needs."""
        return [
            Route(
                method="GET",
                path="/api/stats/series",
                name="stats_series",
                scope=SUBMIT,
                query=(
                    number(
                        "span_s",
                        "How far back to go, in seconds.",
                        SPAN_S,
                        STEP_S,
                        POINTS * STEP_S,
                    ),
                ),
                answers={200: SeriesAnswer},
                handler=self.series,
            )
        ]

    def series(self, call: Call) -> Answer:
        """What happened in each five seconds, up to an hour back."""
        span_s = call.number("span_s", SPAN_S, STEP_S, POINTS * STEP_S)
        return Answer(200, self._series.told(span_s, self._now()))
