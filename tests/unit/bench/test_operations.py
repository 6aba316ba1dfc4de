"""The comparison of a full hub with an empty one: its rows and lines, and what it asks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench.asked import OPERATIONS, Operation
from agentcom.bench.fill import fill
from agentcom.bench.operations import DATABASE, IDLE, LOG, Measured, line, row, with_log
from agentcom.bench.sides import Refused, Side, cpu_s, some_ids
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


class FakeSide:
    """A hub that notes the numbers of what is done, before it is measured and while it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.numbers: list[int] = []
        self.measured: list[int] = []
        self.pauses: list[float] = []

    def ready(self, times: int) -> Callable[[int], object]:
        self.times = times
        return self.numbers.append

    def measure(
        self, step: Callable[[int], object], numbers: range, pause: float
    ) -> tuple[float, list[float]]:
        self.measured += numbers
        self.pauses.append(pause)
        return 0.0002 * len(self.name), [0.001] * len(numbers)


class MeasuredTests(SynchronousTestCase):
    """The rounds of one operation."""

    def operation(self, **more: Any) -> Operation:
        return Operation("one", lambda side, times: side.ready(times), **more)  # type: ignore[attr-defined]

    def sides(self) -> list[Any]:
        return [FakeSide("empty"), FakeSide("full")]

    def test_warm(self) -> None:
        """What is measured comes behind some that are not, each with a number of its own."""
        sides = self.sides()
        measured = Measured(self.operation(share=0.4, pause=0.5))
        measured.once_more(sides, 10)
        for side in sides:
            self.assertEqual((side.times, side.numbers, side.measured), (6, [0, 1], [2, 3, 4, 5]))
            self.assertEqual(side.pauses, [0.5])
        told = measured.row()
        self.assertEqual((told["empty_us"], told["full_us"]), (1000.0, 800.0))

    def test_tried_out(self) -> None:
        """What is only tried out is in no figure, and a refusal of it is none of the round."""

        def refuse(times: int) -> Callable[[int], object]:
            raise Refused("no")

        sides = self.sides()
        measured = Measured(self.operation())
        measured.try_out(sides)
        self.assertEqual(measured.row(), {"operation": "one", "error": None})
        sides[0].ready = refuse
        measured.try_out(sides)
        self.assertEqual(measured.row(), {"operation": "one", "error": None})
        measured.once_more(sides, 10)
        self.assertEqual(measured.row(), {"operation": "one", "error": "no"})


class SideTests(SynchronousTestCase):
    """What is known of a hub beside its answers."""

    def test_measure(self) -> None:
        """Each number is done once, with a pause before it or without."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        side = Side("one", url, os.getpid(), "", {})
        self.addCleanup(side.close)
        for pause in (0.0, 0.001):
            numbers: list[int] = []
            used, took = side.measure(numbers.append, range(3, 6), pause)
            self.assertEqual((numbers, len(took)), ([3, 4, 5], 3))
            self.assertGreaterEqual(used, 0)

    def test_with_log(self) -> None:
        """A database begins with a large log, which SQLite takes for none and writes over."""
        data = Path(self.mktemp())
        data.mkdir()
        open_file(data / DATABASE, lambda: "00000000").close()
        fill(data / DATABASE, "ended", 3)
        with_log(data)
        log = data / f"{DATABASE}-wal"
        self.assertEqual(log.stat().st_size, LOG)
        database = open_file(data / DATABASE, lambda: "00000000")
        self.addCleanup(database.close)
        self.assertEqual(database.execute("SELECT COUNT(*) FROM tasks").fetchone(), (3,))
        database.execute("DELETE FROM tasks")
        self.assertEqual(log.stat().st_size, LOG)
        self.assertEqual(database.execute("SELECT COUNT(*) FROM tasks").fetchone(), (0,))

    def test_own_processor_time(self) -> None:
        """The processor time of a process grows while it works."""
        before = cpu_s([os.getpid()])
        sum(n * n for n in range(300_000))
        self.assertGreater(cpu_s([os.getpid()]), before)

    def test_some_ids(self) -> None:
        """Ids are of the statuses that are asked for, and not more than are asked for."""
        path = Path(self.mktemp())
        open_file(path, lambda: "00000000").close()
        fill(path, "ended", 20)
        fill(path, "queued", 3)
        found = some_ids(path, ("completed", "queued", "cancelled"), 10)
        self.assertEqual({s: len(ids) for s, ids in found.items()}, {**COUNTS, "cancelled": 0})
        self.assertEqual(len({*found["completed"], *found["queued"]}), 13)
