"""A stop while the disk hangs: a commit has begun and does not come back."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

from agentcom.config import Config
from agentcom.service import HubService
from agentcom.store import transaction
from tests.unit.service.support import ServiceCase

HANGS_S = 5.0
"""Seconds after which the disk works again, lest a stop that waits for it waits for ever."""


class StuckStopTests(ServiceCase):
    """A service whose disk hangs.

    :ivar unclean: how often the process was told that its stop was not clean.
    """

    def setUp(self) -> None:
        super().setUp()
        self.unclean = 0
        self.began = threading.Event()
        self.free = threading.Event()
        self.came_back = threading.Event()

    def hang(self) -> None:
        """From now on no commit comes back."""
        commit = transaction.commit

        def hanging(connection: sqlite3.Connection) -> None:
            self.began.set()
            self.free.wait(HANGS_S)
            self.came_back.set()
            commit(connection)

        self.patch(transaction, "commit", hanging)

    def hanging_service(self, drain_s: float) -> HubService:
        """A service that has a commit under way which hangs."""
        config = Config(
            data_dir=self.folder,
            database=self.folder / "agentcom.db",
            listen=("tcp:0:interface=127.0.0.1",),
            drain_s=drain_s,
        )
        service = HubService(
            config, self.reactor, self.failures.append, self._give_up, self._was_unclean
        )
        self._services.append(service)
        service.startService()
        self.settle()
        # In the reverse order: the disk works again, then all is closed.
        self.addCleanup(service._close)
        self.addCleanup(self.free.set)
        self.hang()
        assert service.parts is not None
        service.parts.hub.auth.create("x", ("agent",))
        while not self.began.wait(0.01):
            self.reactor.turn()
        return service

    def _was_unclean(self) -> None:
        self.unclean += 1

    def stop_hanging(self, service: HubService) -> float:
        """Stop it; gives the seconds of the reactor's clock that it took."""
        begun = self.reactor.seconds()
        outcome: list[Any] = []
        service.stopService().addBoth(outcome.append)
        # Not ``stop``: that lets all threads come to an end.
        while not outcome and self.reactor.seconds() < begun + 60:
            self.reactor.advance(0.05)
            self.reactor.turn()
        self.assertEqual(outcome, [None])
        return self.reactor.seconds() - begun

    def test_within_the_limit(self) -> None:
        """A stop waits for a hanging disk no longer than its limit, and reports unclean."""
        took = self.stop_hanging(self.hanging_service(3.0))
        self.assertFalse(self.came_back.is_set(), "the stop waited for the disk")
        self.assertGreater(took, 2.0)
        self.assertLess(took, 3.5)
        self.assertEqual(self.unclean, 1)
        self.assertTrue(any("before everything was on disk" in line for line in self.lines))
        self.assertEqual(self.reactor.listening, {})

    def test_disk_comes_back(self) -> None:
        """A stop during which the disk works again is a clean one."""
        service = self.hanging_service(60.0)
        self.reactor.callLater(1.0, self.free.set)
        outcome: list[Any] = []
        service.stopService().addBoth(outcome.append)
        while not outcome:
            self.reactor.advance(0.05)
            self.reactor.turn(0.01)
        self.assertEqual((outcome, self.unclean), ([None], 0))
        self.assertIsNone(service._disk)
