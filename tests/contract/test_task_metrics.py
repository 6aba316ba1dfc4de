"""``GET /metrics``: what becomes of tasks, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable

from agentcom.testing import FakeAgent
from tests.contract.test_metrics import OF_TASKS, MetricTests, Numbers


class TaskMetricTests(MetricTests):
    """One agent with room for two."""

    def setUp(self) -> None:
        super().setUp()
        self.agent: FakeAgent = self.hub.agent("a", slots=2)

    def moved(self, act: Callable[[], object]) -> Numbers:
        """What of the tasks' numbers moves, without the classes of histograms."""
        before = self.scrape()
        act()
        after = self.scrape()
        return {
            name: round(after[name] - before[name], 3)
            for name in after
            if name.startswith(OF_TASKS) and "_bucket" not in name and after[name] != before[name]
        }

    def test_life(self) -> None:
        """A task moves from status to status; each step counts once, and takes its time."""
        self.agent.say("drain")
        found: list[str] = []
        self.assertEqual(
            self.moved(lambda: found.append(self.submit())),
            {"tasks queued": 1, "tasks_submitted_total submit": 1},
        )
        self.hub.advance(7)
        self.assertEqual(
            self.moved(lambda: self.post("/api/agents/a/resume")),
            {
                "tasks queued": -1,
                "tasks assigned": 1,
                "tasks_started_total": 1,
                "task_dispatch_seconds_count": 1,
                "task_dispatch_seconds_sum": 7,
                "task_first_dispatch_seconds_count": 1,
                "task_first_dispatch_seconds_sum": 7,
                "tasks_oldest_ready_age_seconds": -7,
            },
        )
        (task_id,) = found
        self.hub.advance(2)
        self.assertEqual(
            self.moved(lambda: self.agent.say("task_accepted", task_id=task_id)),
            {
                "tasks assigned": -1,
                "tasks working": 1,
                "task_accept_seconds_count": 1,
                "task_accept_seconds_sum": 2,
            },
        )
        self.hub.advance(3)
        self.assertEqual(
            self.moved(lambda: self.agent.say("task_complete", task_id=task_id)),
            {
                "tasks working": -1,
                "tasks completed": 1,
                "tasks_ended_total completed": 1,
                "task_run_seconds_count": 1,
                "task_run_seconds_sum": 5,
            },
        )

    def test_push(self) -> None:
        """An order is a new task that is given to its agent in no time."""
        self.assertEqual(
            self.moved(lambda: self.hub.push("a")),
            {
                "tasks_submitted_total push": 1,
                "tasks assigned": 1,
                "tasks_started_total": 1,
                "task_dispatch_seconds_count": 1,
                "task_first_dispatch_seconds_count": 1,
            },
        )

    def test_retried_by_the_hub(self) -> None:
        """A second attempt is dispatched and run like the first; its task started once and its
        wait begins when its backoff is over."""
        task_id = self.submit(max_attempts=2, backoff={"initial_s": 4, "max_s": 4})
        self.agent.say("task_accepted", task_id=task_id)
        self.hub.advance(1)
        moved = self.moved(
            lambda: self.agent.say("task_failed", task_id=task_id, error="x"),
        )
        self.assertEqual(
            moved,
            {
                "tasks working": -1,
                "tasks queued": 1,
                "task_run_seconds_count": 1,
                "task_run_seconds_sum": 1,
            },
        )
        moved = self.moved(lambda: self.hub.advance(5))
        self.assertEqual(moved["task_dispatch_seconds_count"], 1)
        self.assertLess(moved.get("task_dispatch_seconds_sum", 0), 0.3)
        self.assertNotIn("tasks_started_total", moved)
        self.assertNotIn("task_first_dispatch_seconds_count", moved)

    def test_given_back(self) -> None:
        """An attempt that is given back was none: it ran for no time."""
        task_id = self.submit()
        moved = self.moved(lambda: self.agent.say("task_rejected", task_id=task_id))
        self.assertEqual(moved, {"tasks assigned": -1, "tasks queued": 1})

    def test_goes_on(self) -> None:
        """A task whose agent is back and goes on was accepted once, and runs since then."""
        task_id = self.accepted(self.agent)
        self.agent.vanish()
        self.hub.advance(31)
        self.agent = self.hub.agent("a")
        moved = self.moved(
            lambda: self.agent.say("task_recovering", task_id=task_id, last_status="working")
        )
        self.assertEqual(
            moved,
            {"tasks working": 1, "tasks queued": -1, "tasks_oldest_ready_age_seconds": -31},
        )
        moved = self.moved(lambda: self.agent.say("task_complete", task_id=task_id))
        self.assertEqual(moved["task_run_seconds_sum"], 31)

    def test_ends(self) -> None:
        """Each way to end is counted, and a dead letter that is retried lives again."""
        dead: list[str] = []
        moved = self.moved(lambda: dead.append(self.die(self.agent)))
        self.assertEqual(moved["tasks_ended_total dead_letter"], 1)
        self.assertEqual(moved["tasks dead_letter"], 1)
        self.agent.say("drain")
        moved = self.moved(lambda: self.post(f"/api/tasks/{dead[0]}/retry"))
        self.assertEqual(moved, {"tasks dead_letter": -1, "tasks queued": 1})
        moved = self.moved(lambda: self.cancel(dead[0]))
        ends: Numbers = {"tasks queued": -1, "tasks cancelled": 1, "tasks_ended_total cancelled": 1}
        self.assertEqual(moved, ends)
        self.submit(queue_timeout_s=5)
        moved = self.moved(lambda: self.hub.advance(8))
        ends = {"tasks queued": -1, "tasks expired": 1, "tasks_ended_total expired": 1}
        self.assertEqual(moved, ends)

    def test_batch(self) -> None:
        """Of a batch that is given out at once each task counts."""
        moved = self.moved(lambda: self.submit_all([{}] * 5))
        self.assertEqual(moved["tasks_submitted_total submit"], 5)
        self.assertEqual(moved["task_dispatch_seconds_count"], 2)
        self.assertEqual((moved["tasks queued"], moved["tasks assigned"]), (3, 2))

    def test_oldest(self) -> None:
        """The oldest task that is ready has an age; one that waits for its time has none."""
        self.agent.say("drain")
        name = "tasks_oldest_ready_age_seconds"
        self.submit(not_before=self.hub.hub.now() + 100_000)
        self.hub.advance(5)
        self.assertEqual(self.scrape()[name], 0)
        self.submit()
        self.hub.advance(5)
        self.submit()
        self.hub.advance(5)
        self.assertEqual(self.scrape()[name], 10)

    def test_classes(self) -> None:
        """A histogram's classes add up, and end with all."""
        task_id = self.submit()
        self.agent.say("task_accepted", task_id=task_id)
        self.hub.advance(3)
        self.agent.say("task_complete", task_id=task_id)
        found = self.scrape()
        classes = {
            name.rpartition(" ")[2]: value
            for name, value in found.items()
            if name.startswith("task_run_seconds_bucket")
        }
        self.assertEqual(sorted(classes.values()), list(classes.values()))
        self.assertEqual((classes["1.0"], classes["5.0"], classes["+Inf"]), (0, 1, 1))

    def test_agree(self) -> None:
        """The statuses add up to the tasks that there are, by whatever way one looks."""
        self.die(self.agent)
        for _ in range(3):
            self.submit()
        self.hub.push("a")
        found = self.scrape()
        stats = self.hub.request("GET", "/api/tasks/stats").body["by_status"]
        shown = {n[len("tasks ") :]: v for n, v in found.items() if n.startswith("tasks ")}
        self.assertEqual(shown, stats)

    def test_after_a_restart(self) -> None:
        """After a restart nothing has been submitted, and the tasks that there are are told."""
        self.submit()
        self.die(self.agent)
        before = self.scrape()
        self.hub = type(self.hub)(self.hub.store, self.hub.clock, seed=1)
        after = self.scrape()
        for name, value in after.items():
            if name.startswith("tasks "):
                self.assertEqual(value, before[name], name)
            elif name.startswith(("tasks_s", "tasks_e", "task_")):
                self.assertEqual(value, 0, name)
