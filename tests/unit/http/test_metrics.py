"""``GET /metrics``: requests, commits, the machine; the rest is in ``tests/contract``."""

from __future__ import annotations

import platform
from collections.abc import Callable

from agentcom import __version__
from tests.unit.http.support import HttpCase


class ScrapeCase(HttpCase):
    """What the tests of this module share."""

    def scrape(self) -> dict[str, float]:
        """All samples, by name with labels."""
        lines = self.hub.parts.metrics.text().decode().splitlines()
        pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {name: float(value) for name, _, value in pairs}

    def moved(self, act: Callable[[], object], start: str) -> dict[str, float]:
        """What moves of the hub's samples whose names start so, but for what asking moves."""
        before = self.scrape()
        act()
        after = self.scrape()
        self.assertEqual(set(before), set(after))
        return {
            name.removeprefix("agentcom_"): after[name] - before[name]
            for name in after
            if name.startswith("agentcom_" + start)
            and 'route="metrics"' not in name
            and after[name] != before[name]
        }


class RequestTests(ScrapeCase):
    """Requests that are answered."""

    def assert_counted(self, act: Callable[[], object], route: str, status: str) -> None:
        moved = self.moved(act, "http_requests")
        self.assertEqual(moved, {f'http_requests_total{{route="{route}",status="{status}"}}': 1})

    def test_answers(self) -> None:
        """Each answer counts once, with its route and the class of its status."""
        self.assert_counted(lambda: self.get("/health", token=None), "health", "2xx")
        self.assert_counted(lambda: self.get("/api/tasks"), "list_tasks", "2xx")
        self.assert_counted(lambda: self.get("/api/tasks", token="x"), "list_tasks", "4xx")
        self.assert_counted(lambda: self.get("/api/tasks/x"), "get_task", "4xx")
        self.assert_counted(lambda: self.post("/api/tasks", {}), "submit_task", "4xx")
        self.commits.error = OSError("disk I/O error")
        self.begin("POST", "/api/tasks", {"description": "x"})
        self.hub.advance(0.6)
        again = {"description": "y"}
        self.assert_counted(lambda: self.post("/api/tasks", again), "submit_task", "5xx")

    def test_no_route(self) -> None:
        """What is no route is not counted: there would be no end of names."""
        self.assertEqual(self.moved(lambda: self.get("/nowhere"), "http_request"), {})

    def test_refused_by_a_guard(self) -> None:
        """A request that a guard refuses is counted too."""
        act = lambda: self.get("/api/tasks", headers={"Origin": "https://evil.example"})  # noqa: E731
        self.assert_counted(act, "list_tasks", "4xx")

    def test_time(self) -> None:
        """The time until the answer is counted, in the request's own class."""
        self.commits.holding = True
        self.begin("POST", "/api/tasks", {"description": "x"})
        self.hub.advance(0.5)

        def finish() -> None:
            self.commits.release()
            self.hub.settle()

        moved = self.moved(finish, "http_request_seconds")
        name = "http_request_seconds"
        route = 'route="submit_task"'
        self.assertEqual(moved.pop(f"{name}_sum{{{route}}}"), 0.5)
        self.assertEqual(moved.pop(f"{name}_count{{{route}}}"), 1)
        bounds = {
            f'{name}_bucket{{le="{le}",{route}}}': 1.0 for le in ("1.0", "5.0", "30.0", "+Inf")
        }
        self.assertEqual(moved, bounds)

    def test_every_route(self) -> None:
        """Every route is there from the start."""
        found = self.scrape()
        for name in self.hub.parts.api.routes:
            for status in ("2xx", "3xx", "4xx", "5xx"):
                key = f'agentcom_http_requests_total{{route="{name}",status="{status}"}}'
                self.assertIn(key, found)


class RefusalTests(ScrapeCase):
    """What others count is shown."""

    def test_counts(self) -> None:
        """Each counter of refusals is shown under its word, what is none of them as ``other``."""
        counts = self.hub.hub.counts

        def refuse() -> None:
            counts.auth_failures["websocket"] += 1
            counts.auth_throttled += 2
            counts.watchers_cut["slow"] += 3
            counts.shed["work"] += 4
            counts.shed["new"] += 5

        self.assertEqual(
            {
                **self.moved(refuse, "auth_"),
                **self.moved(refuse, "watchers_cut"),
                **self.moved(refuse, "shed_"),
            },
            {
                'auth_failures_total{kind="websocket"}': 1,
                "auth_throttled_total": 2,
                'watchers_cut_total{reason="slow"}': 3,
                'shed_total{kind="work"}': 4,
                'shed_total{kind="other"}': 5,
            },
        )


class WatcherTests(ScrapeCase):
    """Who follows events."""

    def test_open(self) -> None:
        """A stream counts while it is open."""
        moved = self.moved(lambda: self.begin("GET", "/api/events"), "watchers_")
        self.assertEqual(moved, {'watchers_open{kind="sse"}': 1})


class MachineTests(ScrapeCase):
    """The hub as a machine."""

    def test_shedding(self) -> None:
        """It is 1 while the hub refuses what it cannot take."""
        load = self.hub.hub.load
        load.start(self.hub.clock, lambda: 0.0)

        def pass_turns(each_s: float) -> None:
            self.get("/api/agents")
            self.hub.clock.pump([each_s] * round(2 / each_s))

        self.assertEqual(self.moved(lambda: pass_turns(0.2), "shedding"), {"shedding": 1})
        self.assertEqual(self.moved(lambda: pass_turns(0.02), "shedding"), {"shedding": -1})

    def test_commits(self) -> None:
        """A commit is counted with its units."""
        moved = self.moved(lambda: self.post("/api/tasks", {"description": "x"}), "store_commit")
        self.assertEqual(moved["store_commit_units_count"], 1)
        self.assertEqual(moved["store_commit_units_sum"], 1)
        self.assertEqual(moved["store_commit_seconds_count"], 1)

    def test_failures(self) -> None:
        """A commit that fails is counted as often as it is tried."""
        self.commits.error = OSError("disk I/O error")

        def fail() -> None:
            self.begin("POST", "/api/tasks", {"description": "x"})
            self.hub.advance(0.3)

        self.assertGreater(self.moved(fail, "store_commit")["store_commit_failures_total"], 1)

    def test_lag(self) -> None:
        """How late the reactor is."""
        lag = self.hub.parts.measures.lag
        lag.start()
        self.addCleanup(lag.stop)
        self.hub.clock.advance(2.1)
        found = self.scrape()
        self.assertEqual(round(found["agentcom_event_loop_lag_max_seconds"], 3), 2)
        self.assertEqual(found["agentcom_event_loop_lag_seconds_count"], 1)

    def test_version(self) -> None:
        """What runs, and since when, is told."""
        found = self.scrape()
        words = f'python="{platform.python_version()}",version="{__version__}"'
        self.assertEqual(found[f"agentcom_build_info{{{words}}}"], 1)
        self.assertEqual(found["agentcom_start_time_seconds"], 1_700_000_000)
        self.hub.advance(5)
        self.assertEqual(self.scrape()["agentcom_start_time_seconds"], 1_700_000_000)

    def test_disk(self) -> None:
        """The disk has room; a database in memory has no file."""
        found = self.scrape()
        self.assertGreater(found["agentcom_disk_free_bytes"], 0)
        self.assertEqual(found["agentcom_database_bytes"], 0)
        self.assertEqual(found["agentcom_database_wal_bytes"], 0)


class StoreTests(ScrapeCase):
    """The way to the disk."""

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
