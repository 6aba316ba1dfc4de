"""The hub as a machine, for ``/metrics``: commits, the reactor, the disk, its version."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from agentcom import __version__
from agentcom.diskuse import DiskUse
from agentcom.http.families import about, count, gauge, gauges_by, histogram
from agentcom.http.processmetrics import used
from agentcom.hub.hub import Hub
from agentcom.hub.measures import Measures

TURN_WINDOWS_S = (5, 15, 60)
"""Seconds of which the longest turn of the reactor is told."""


class MachineNumbers(Collector):
    """Reads one hub and what it runs on.

    :param writer_pid: of the process that writes the database, where there is one.
    """

    def __init__(self, hub: Hub, measures: Measures, disk: DiskUse, writer_pid: int | None) -> None:
        self._writer_pid = writer_pid
        self._hub = hub
        self._measures = measures
        self._disk = disk

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        yield from self._of_hub()
        yield from self._of_store()
        yield from self._of_writer()
        yield from self._of_disk()
        yield from self._of_reactor()

    def _of_reactor(self) -> Iterator[Metric]:
        lag = self._measures.lag
        yield histogram(
            "event_loop_lag_seconds", "How late a timer of the hub came, each 0.1 s.", lag.seconds
        )
        yield gauge(
            "event_loop_lag_max_seconds",
            "The greatest such lag of the last minute or two.",
            lag.worst_s(),
        )
        turns = self._measures.turns
        yield histogram(
            "event_loop_turn_seconds", "Length of the turns of the reactor.", turns.wall
        )
        yield histogram(
            "event_loop_turn_cpu_seconds",
            "Processor time of the reactor's thread in those of 5 ms and more.",
            turns.cpu,
        )
        yield gauges_by(
            "event_loop_turn_max_seconds",
            "The longest turn of the last seconds, and the most processor time of one.",
            ("window", "time"),
            [
                ((str(window_s), time), value)
                for window_s in TURN_WINDOWS_S
                for time, value in zip(("wall", "cpu"), turns.longest(window_s), strict=True)
            ],
        )

    def _of_hub(self) -> Iterator[Metric]:
        hub = self._hub
        yield gauge("ready", "1 while new work is taken, else 0.", int(hub.trouble() is None))
        yield gauge(
            "shedding",
            "1 while the hub has too much to do and refuses what it cannot take, else 0.",
            int(hub.load.shedding),
        )
        yield gauge(
            "draining",
            "1 while the whole hub is drained, else 0.",
            int(hub.dispatch.standstill is not None),
        )
        yield gauge(
            "presence_waiting_bytes",
            "Bytes of frames that wait to be sent to many agents.",
            hub.presence.backlog(),
        )
        yield gauge(
            "start_time_seconds",
            "When the hub started, in seconds since 1970.",
            self._measures.started_at / 1000,
        )
        yield about(
            "build_info",
            "1, with the versions of the hub and of Python.",
            {"version": __version__, "python": platform.python_version()},
        )

    def _of_store(self) -> Iterator[Metric]:
        store = self._hub.store
        yield gauge("store_backlog_units", "Changes that wait for the disk.", store.backlog())
        yield histogram(
            "store_commit_seconds",
            "Time that a commit took, writing included.",
            store.measures.seconds,
        )
        yield histogram(
            "store_commit_units", "Changes that were written by one commit.", store.measures.units
        )
        yield count(
            "store_commit_failures",
            "Commits that failed and were tried again.",
            store.measures.failures,
        )

    def _of_writer(self) -> Iterator[Metric]:
        resident, cpu_s = used(self._writer_pid) or (0.0, 0.0)
        yield gauge(
            "writer_resident_memory_bytes",
            "Memory of the process that writes the database, 0 where that is not known.",
            resident,
        )
        yield count("writer_cpu_seconds", "Processor time that it has used.", cpu_s)

    def _of_disk(self) -> Iterator[Metric]:
        yield gauge("disk_free_bytes", "Free disk space at the database.", self._disk.free())
        yield gauge("database_bytes", "Size of the database file.", self._disk.database())
        yield gauge(
            "database_wal_bytes",
            "Size of the file beside it in which changes come first.",
            self._disk.log(),
        )
