"""An event loop that a test turns by hand, and ears that keep what they hear."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.output import Note
from agentcom.sidecar.runner import Ears, Outcome

TURNS = 12

FRAME: dict[str, Any] = {
    "type": "task_assign",
    "task_id": "task-0123456789abcdef",
    "description": "count",
    "metadata": {"path": "."},
    "assigned_at": 2,
    "generation": 3,
    "attempt": 2,
    "priority": "high",
    "submitted_by": "ann",
    "submitted_at": 1,
}


class Heard:
    """What a run has told."""

    def __init__(self) -> None:
        self.told: list[str | Note] = []
        self.outcomes: list[Outcome] = []
        self.ears = Ears(self.told.append, self.told.append, self.outcomes.append)

    @property
    def text(self) -> str:
        return "".join(told for told in self.told if isinstance(told, str))

    @property
    def notes(self) -> list[Note]:
        return [told for told in self.told if isinstance(told, Note)]


class LoopCase(SynchronousTestCase):
    """No time passes in the loop, and nothing happens but in :meth:`turn`."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.clock = Clock()
        self.heard = Heard()

    def turn(self, turns: int = TURNS) -> None:
        """Let everything happen that is ready, a few times."""
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
