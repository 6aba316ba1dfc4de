"""``GET /metrics`` while the disk fails; ``tests/contract/test_metrics.py`` has the rest."""

from __future__ import annotations

from tests.unit.http.support import HttpCase


class StoreTests(HttpCase):
    """The way to the disk."""

    def scrape(self) -> dict[str, float]:
        """All samples, by name with labels."""
        lines = self.get("/metrics", token=None).text.decode().splitlines()
        pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {name: float(value) for name, _, value in pairs}

    def assert_store(self, backlog: int, ready: int) -> None:
        found = self.scrape()
        shown = found["agentcom_store_backlog_units"], found["agentcom_ready"]
        self.assertEqual(shown, (backlog, ready))

    def test_backlog(self) -> None:
        """What waits for a disk that fails is counted, and so is that the hub is not ready."""
        self.assert_store(0, 1)
        self.commits.error = OSError("disk I/O error")
        for _ in range(3):
            self.begin("POST", "/api/tasks", {"description": "x"})
        self.hub.advance(0.6)
        # One is being tried.
        self.assert_store(2, 0)
        self.commits.error = None
        self.hub.advance(2)
        self.assert_store(0, 1)

    def test_log(self) -> None:
        """What happens to tasks is counted once the log has it, not before."""
        agent = self.hub.agent("a")
        task_id = self.post("/api/tasks", {"description": "x"}).body["task_id"]
        rejected = 'agentcom_tasks_requeued_total{reason="rejected"}'
        self.commits.error = OSError("disk I/O error")
        agent.say("task_rejected", task_id=task_id)
        self.assertEqual(self.scrape()[rejected], 0)
        self.commits.error = None
        self.hub.advance(2)
        self.assertEqual(self.scrape()[rejected], 1)
