"""What a whole service shows of itself: its disk, its database, how late it is."""

from __future__ import annotations

from tests.unit.service.support import ServiceCase


class MeasuredTests(ServiceCase):
    """``/metrics`` of a service over real files."""

    def test_scrape(self) -> None:
        """The database has a size and its disk has room; the reactor is watched while it runs."""
        service = self.started()
        self.reactor.advance(2.1)
        answer = self.request(service, "GET", "/metrics")
        lines = [line for line in answer.text.decode().splitlines() if line[:1] != "#"]
        found = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
        self.assertGreater(found["agentcom_database_bytes"], 0)
        self.assertGreater(found["agentcom_database_wal_bytes"], 0)
        self.assertGreater(found["agentcom_disk_free_bytes"], 0)
        self.assertAlmostEqual(found["agentcom_event_loop_lag_max_seconds"], 2)
        # The process that writes is a thread of this one here.
        self.assertGreater(found["agentcom_writer_resident_memory_bytes"], 10_000_000)
        self.assertGreater(found["agentcom_writer_cpu_seconds_total"], 0)
        self.stop(service)
        assert service.parts is not None
        looks = service.parts.measures.lag.seconds
        before = looks.cumulative()
        self.reactor.advance(5)
        self.assertEqual(looks.cumulative(), before)
