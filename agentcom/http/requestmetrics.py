"""Requests by route, status and duration, counted as they are answered.

Routes are named in the code, so there are few.  Streams are not told of: they
are answered when they end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from twisted.web.server import Request

from agentcom.core.histogram import Histogram
from agentcom.http.families import counts_by, histograms
from agentcom.http.route import Route
from agentcom.http.routing import Asked

ANSWER_S = (0.005, 0.025, 0.1, 0.25, 1, 5, 30)
"""Bounds of the time that an answer takes, in seconds; ``/api/mailbox`` may wait for 30."""

CLASSES = ("2xx", "3xx", "4xx", "5xx")


class _Answers:
    """What a route answered."""

    __slots__ = ("classes", "seconds")

    def __init__(self) -> None:
        self.classes = [0] * len(CLASSES)
        self.seconds = Histogram(ANSWER_S)


class RequestNumbers(Collector):
    """Follows the requests of one hub.

    :param seconds: a clock that never goes back.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._answers: dict[str, _Answers] = {}

    def know(self, routes: Iterable[str]) -> None:
        """Say which routes there are, by name."""
        for name in routes:
            self._answers[name] = _Answers()

    def begun(self, request: Request, route: Route) -> None:
        """A request is there, whole: the first guard of all."""
        timed: Any = request
        timed.begun_at = self._seconds()

    def answered(self, asked: Asked, status: int) -> None:
        """A request is answered: a listener."""
        answers = self._answers.get(asked.route.name)
        if answers is None:
            return
        answers.classes[min(max(status // 100, 2), 5) - 2] += 1
        now = self._seconds()
        # Absent where another guard came first and refused.
        answers.seconds.add(now - getattr(asked.request, "begun_at", now))

    def collect(self) -> Iterator[Metric]:
        """All that was counted."""
        found = self._answers.items()
        yield counts_by(
            "http_requests",
            "Requests that were answered, by route and class of the status.",
            ("route", "status"),
            (
                ([name, word], value)
                for name, answers in found
                for word, value in zip(CLASSES, answers.classes, strict=True)
            ),
        )
        yield histograms(
            "http_request_seconds",
            "Time from a whole request to its answer.",
            "route",
            ((name, answers.seconds) for name, answers in found),
        )
