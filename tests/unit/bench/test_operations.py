"""The comparison of a full hub with an empty one: its rows and lines, and what it asks."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench.asked import OPERATIONS
from agentcom.bench.fill import fill
from agentcom.bench.operations import IDLE, line, row
from agentcom.bench.sides import cpu_s, some_ids
from agentcom.store.sqlite import open_file

COUNTS = {"completed": 10, "queued": 3}


class RowTests(SynchronousTestCase):
    """What is told of one operation."""

    def test_row(self) -> None:
        """The full hub stands beside the empty one, and its cost is that of the empty one so
        many times."""
        found = row("list", {"empty": 100.04, "full": 125.0}, {"empty": 0.1234, "full": 0.2}, False)
        self.assertEqual(
            found,
            {
                "operation": "list",
                "empty_us": 100.0,
                "full_us": 125.0,
                "ratio": 1.25,
                "empty_p50_ms": 0.12,
                "full_p50_ms": 0.2,
                "per_row": False,
            },
        )
        self.assertEqual(line(found).split(), ["list", "100.0", "125.0", "1.25", "0.12", "0.20"])

    def test_nothing_used(self) -> None:
        """Where the empty hub used nothing that could be measured there is no ratio."""
        found = row(IDLE, {"empty": 0.0, "full": 9.0}, {}, True)
        self.assertEqual((found["ratio"], found["full_p50_ms"]), (None, None))
        self.assertEqual(line(found), f"{IDLE:<26}       0.0       9.0      - (a row)")

    def test_refused(self) -> None:
        """An operation that a hub refused says why, in place of figures."""
        self.assertIn("GET /x: 404", line({"operation": "x", "error": "GET /x: 404"}))

    def test_names(self) -> None:
        """No two operations have one name: a row is found by it."""
        names = [operation.name for operation in OPERATIONS]
        self.assertEqual(len(set(names)), len(names))


class SideTests(SynchronousTestCase):
    """What is known of a hub beside its answers."""

    def test_own_processor_time(self) -> None:
        """The processor time of a process grows while it works."""
        before = cpu_s(os.getpid())
        sum(n * n for n in range(300_000))
        self.assertGreater(cpu_s(os.getpid()), before)

    def test_some_ids(self) -> None:
        """Ids are of the statuses that are asked for, and not more than are asked for."""
        path = Path(self.mktemp())
        open_file(path, lambda: "00000000").close()
        fill(path, "ended", 20)
        fill(path, "queued", 3)
        found = some_ids(path, ("completed", "queued", "cancelled"), 10)
        self.assertEqual({s: len(ids) for s, ids in found.items()}, {**COUNTS, "cancelled": 0})
        self.assertEqual(len({*found["completed"], *found["queued"]}), 13)
