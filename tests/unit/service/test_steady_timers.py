"""Timers follow a clock that nobody sets; what is told follows the time of day."""

from __future__ import annotations

from types import SimpleNamespace

import twisted.internet
from twisted.trial.unittest import SynchronousTestCase

from agentcom import process, tap
from agentcom.service import HubService
from agentcom.tap import Options, makeService


class SteadyTimersTests(SynchronousTestCase):
    """A time of day that is set, and a clock that is not.

    :ivar day: the time of day.
    :ivar run_for: the clock that only goes forward.
    """

    def setUp(self) -> None:
        self.day = 1_700_000_000.0
        self.run_for = 50.0
        for module in (tap, process):
            self.patch(module, "runtime", SimpleNamespace(seconds=lambda: self.day))
        self.patch(process, "time", SimpleNamespace(monotonic=lambda: self.run_for))
        self.reactor = SimpleNamespace(
            seconds=lambda: self.day, callWhenRunning=lambda f, *args: None
        )

    def pass_time(self, seconds: float, set_by: float = 0.0) -> None:
        self.run_for += seconds
        self.day += seconds + set_by

    def test_begins_at_the_time_of_day(self) -> None:
        """The reactor's clock goes on from where it stood."""
        process.steady_timers(self.reactor)
        self.assertEqual(self.reactor.seconds(), 1_700_000_000.0)

    def test_set_back_and_forth(self) -> None:
        """Neither a time of day set back nor one set forward moves the reactor's clock."""
        process.steady_timers(self.reactor)
        self.pass_time(5, set_by=-3_600)
        self.assertEqual(self.reactor.seconds(), 1_700_000_005.0)
        self.pass_time(5, set_by=7_200)
        self.assertEqual(self.reactor.seconds(), 1_700_000_010.0)

    def test_made_with_the_service(self) -> None:
        """A hub that ``twistd`` makes has steady timers, and tells the time of day."""
        self.patch(twisted.internet, "reactor", self.reactor)
        options = Options()
        options.parseOptions([f"--data-dir={self.mktemp()}"])
        options.parent = {}
        service = makeService(options)
        assert isinstance(service, HubService)
        self.pass_time(5, set_by=-3_600)
        self.assertEqual(self.reactor.seconds(), 1_700_000_005.0)
        assert service._wall is not None
        self.assertEqual(service._wall(), 1_700_000_005.0 - 3_600)
