"""What came back of all that was asked of a hub in one phase of a flood."""

from __future__ import annotations

from collections import Counter, defaultdict
from time import perf_counter
from typing import Any

from agentcom.bench.measure import spread

MOST_SAMPLES = 1_000_000


class Answers:
    """What came back in one phase."""

    def __init__(self) -> None:
        self.began = perf_counter()
        self.statuses: Counter[str] = Counter()
        self.by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        self.good_s: list[float] = []
        self.refused_s: list[float] = []
        self.late_s: list[float] = []
        self.no_retry_after = 0
        self.offered = self.sent = self.given_up = self.lost = self.unanswered = 0
        self.examples: list[str] = []

    def answered(self, kind: str, head: bytes, took_s: float) -> None:
        """One request was answered so long after it was sent."""
        status = head[9:12].decode("latin-1")
        self.statuses[status] += 1
        self.by_kind[kind][status] += 1
        if status.startswith("2"):
            keep(self.good_s, took_s)
            return
        keep(self.refused_s, took_s)
        if status in ("429", "503") and b"retry-after:" not in head.lower():
            self.no_retry_after += 1
        if status not in ("429", "503"):
            self.wrong(head.decode(errors="replace"))

    def wrong(self, what: str) -> None:
        """Keep the first few things that should not be."""
        if len(self.examples) < 5:
            self.examples.append(what[:300])

    def report(self) -> dict[str, Any]:
        """All of it."""
        return {
            "seconds": round(perf_counter() - self.began, 2),
            "offered": self.offered,
            "sent": self.sent,
            "given_up": self.given_up,
            "lost": self.lost,
            "unanswered": self.unanswered,
            "statuses": dict(sorted(self.statuses.items())),
            "by_kind": {kind: dict(sorted(n.items())) for kind, n in self.by_kind.items()},
            "without_retry_after": self.no_retry_after,
            "good_ms": spread(self.good_s),
            "refused_ms": spread(self.refused_s),
            "late_ms": spread(self.late_s),
            "examples": self.examples,
        }


def keep(samples: list[float], value: float) -> None:
    if len(samples) < MOST_SAMPLES:
        samples.append(value)
