"""Lives of a hub on one disk, and the time that passes in them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from agentcom.core.ids import Ids
from agentcom.hub.hub import Hub, Settings
from agentcom.hub.link import Roster
from agentcom.store.sqlite import SqliteStore
from agentcom.testing import STARTED_AT
from tests.model.disk import Disk
from tests.model.offers import Offers
from tests.model.record import Record

RETAIN_S = 2_500.0
"""More than any step lets pass: nothing comes and goes unseen within one."""

PIECES = 8
"""Moments at which the hub looks up while time passes."""

PATIENCE = 300
"""Times that a hub is given to come to rest on a disk that is well."""


class Lives:
    """A hub on a disk; when it dies, the next one.

    :ivar booted_at: when this life began, in seconds of the clock.
    """

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        disk.clear()
        self.record = Record(disk)
        self._ids = Ids(random.Random(0).randbytes)
        self._hopeless = False
        self.boot(STARTED_AT)

    def boot(self, at: float) -> None:
        """A hub begins on what is on disk."""
        self.clock = Clock()
        self.clock.advance(at)
        self.booted_at = at
        self._hopeless = False
        roster: Roster = {}
        self.store: SqliteStore = self.disk.open(self.clock, self._give_up)
        settings = Settings(retain_s=RETAIN_S)
        self.hub = Hub(self.store, self.clock, self._ids, roster, settings)
        self.offers = Offers(self.hub, self.clock.seconds)
        self.hub.start()
        self.settle()

    def _give_up(self) -> None:
        self._hopeless = True

    def bury(self) -> bool:
        """A hub that gave up is followed by another one; says whether it was so."""
        if self._hopeless:
            self.crash(False, 0.0)
            return True
        return False

    def crash(self, written: bool, away_s: float) -> None:
        """The hub dies in the midst of whatever it does, and another one begins."""
        self.disk.crash(written)
        self.disk.failing = 0
        self.boot(self.clock.seconds() + away_s)

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        self.clock.advance(0)

    def pass_time(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass, from one moment at which something is due to the next.

        :param each: what is done at each of them.
        """
        self.settle()
        end = self.clock.seconds() + seconds
        for _ in range(PIECES):
            due = [when for when in self._moments() if self.clock.seconds() < when < end]
            if not due:
                break
            self.clock.advance(min(due) - self.clock.seconds())
            each()
        self.clock.advance(max(0.0, end - self.clock.seconds()))
        each()
        # Retention rests for a moment between two looks.
        for _ in range(3):
            self.clock.advance(0.021)

    def _moments(self) -> list[float]:
        agenda: Any = self.hub.agenda
        moments = list(agenda._due.values())
        for task in self.record.tasks.values():
            if not task.status.ended:
                moments += [
                    at / 1000 + 0.001 for at in (task.expires_at, task.ready_at) if at is not None
                ]
        return moments

    def be_well(self) -> bool:
        """The disk does its work at once from now on, and what waited for it is done.

        :returns: whether the hub still lives; it gives up when the disk has failed for long.
        """
        disk = self.disk
        disk.slow = disk.late = False
        disk.failing = 0
        self.settle()
        for _ in range(PATIENCE):
            if self.bury():
                return False
            if self.settled:
                return True
            if not (disk.finish() or disk.deliver(False)):
                # A commit that failed is tried again, and retention rests.
                self.clock.advance(0.3)
            self.settle()
        raise AssertionError("the hub never comes to rest")

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""
        inside: Any = self.hub
        return (
            self.disk.still
            and not self.disk.failing
            and not inside.store._commits.busy
            and not inside.retention._running
        )
