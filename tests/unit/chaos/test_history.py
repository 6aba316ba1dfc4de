"""A history is read back as it was written."""

from __future__ import annotations

import io
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.chaos import history
from agentcom.chaos.history import (
    Acked,
    BrokenHistory,
    Finished,
    Planned,
    Recorder,
    read,
    read_file,
)
from agentcom.chaos.plan import Size, draw


class HistoryTests(SynchronousTestCase):
    """Records, one a line."""

    def test_round_trip(self) -> None:
        """What was written comes back, with the time at which it was seen."""
        clock = Clock()
        clock.advance(1000)
        path = Path(self.mktemp())
        with path.open("wb") as file:
            recorder = Recorder(file, clock.seconds)
            plan = Planned(plan=draw(Size(tasks=2)))
            recorder.add(plan)
            clock.advance(1.5)
            recorder.add(Acked(key="k", task_id="t"))
            recorder.add(Finished())
        self.assertEqual(
            read_file(path),
            [plan, Acked(key="k", task_id="t", at_s=1.5), Finished(at_s=1.5)],
        )

    def test_bounded(self) -> None:
        """A history does not grow without end."""
        self.patch(history, "MAX_RECORDS", 3)
        file = io.BytesIO()
        recorder = Recorder(file, Clock().seconds)
        for _ in range(9):
            recorder.add(Acked(key="k", task_id="t"))
        self.assertEqual(len(file.getvalue().splitlines()), 3)

    def test_broken(self) -> None:
        """A line that is no record is told by its number."""
        good = b'{"kind":"finished"}'
        for wrong in (b"", b"{", b'{"kind":"other"}', b'{"kind":"acked"}', b"\xff", b"[" * 9999):
            error = self.assertRaises(BrokenHistory, read, [good, wrong])
            self.assertIn("line 2 ", str(error))
