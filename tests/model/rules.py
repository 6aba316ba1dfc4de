"""What the rules of the machine share."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from tests.model.disk import Disk
from tests.model.record import Record
from tests.model.world import World

Key = tuple[str, str | None]


class Rules(RuleBasedStateMachine):
    """A world, and what the rules remember between steps.

    :cvar moody: the disk is slow, late, or fails now and then.
    :ivar asked: the different requests that were made with a key.
    :ivar keys: the request and the task that a key stands for.
    :ivar deleting: tasks that somebody asked to delete.
    """

    disk: ClassVar[Disk]
    log: ClassVar[Callable[[], list[str]]]
    moody: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.disk, type(self).log)
        self.asked: dict[Key, set[str]] = {}
        self.keys: dict[Key, tuple[str, str]] = {}
        self.deleting: set[str] = set()

    @property
    def record(self) -> Record:
        """What was seen so far."""
        return self.world.record

    def task_id(self, pick: int) -> str:
        """Some task that was ever seen, or one that never was."""
        ids = self.record.ids
        place = pick % (len(ids) + 1)
        # The newest first: they are the ones to which something can happen.
        return ids[-1 - place] if place < len(ids) else "task-unknown"
