"""The tables that people read."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench.report import Figure, Goal, summarize
from agentcom.bench.tables import (
    Column,
    aligned,
    goals_told,
    lost,
    main_table,
    middle,
    more_table,
    spread_of,
)


def report(per_s: float | None) -> dict[str, Any]:
    latency = None if per_s is None else {"p50": per_s / 100, "p99": per_s / 10}
    return {"per_s": per_s, "ms": latency, "errors": 1, "unfinished": 2, "agents": 1}


ROUNDS = [
    {"klein": report(None), "spine": report(200), "hub": report(100)},
    {"klein": report(None), "spine": report(100), "hub": report(80)},
]


class TableTests(SynchronousTestCase):
    def test_ratios_beside(self) -> None:
        """A figure stands with its extent, and beside it the ratio to each floor measured."""
        figure = Figure("per s", lambda found: found["per_s"])
        floors = ("spine", "klein", "web")
        text = main_table(summarize(ROUNDS, [figure], floors), [figure], floors, ROUNDS[0])
        head, line, *rows = text.splitlines()
        self.assertEqual(head.split(), ["target", "per", "s", "/spine", "/klein"])
        self.assertEqual(line, "-" * max(len(row) for row in rows))
        self.assertEqual(rows[0].split(), ["klein", "-", "-", "1"])
        self.assertEqual(rows[1].split(), ["spine", "150", "(100..200)", "1", "-"])
        self.assertEqual(rows[2].split(), ["hub", "90", "(80..100)", "0.65", "-"])

    def test_more(self) -> None:
        """Other figures are medians, a dash where there is none; what was lost is summed up."""
        columns = (
            Column("ms", spread_of("ms", digits=1)),
            Column("one", middle("ms", "p50", digits=0)),
            Column("errors", lost),
        )
        rows = [row.split() for row in more_table(ROUNDS, columns).splitlines()]
        self.assertEqual(rows[0], ["target", "ms", "one", "errors"])
        self.assertEqual(rows[2], ["klein", "-", "-", "6"])
        self.assertEqual(rows[3], ["spine", "1.5", "/", "15.0", "2", "6"])

    def test_goals(self) -> None:
        """A goal is told with what came of it."""
        figure = Figure("per s", lambda found: found["per_s"], [Goal("hub/spine", 0.85)])
        self.assertEqual(
            goals_told(summarize(ROUNDS, [figure], ())),
            "hub/spine per s: 0.65 (0.5..0.8), goal at least 0.85: MISSED",
        )

    def test_aligned(self) -> None:
        """Columns are as wide as their widest cell, the first one to the left."""
        self.assertEqual(
            aligned([["a", "long title"], ["wide", "1"]]),
            "a     long title\n----------------\nwide           1",
        )
