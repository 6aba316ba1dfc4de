"""``GET /api/stats/series``: what happens to tasks, as charts see it."""

from __future__ import annotations

from typing import Any

from tests.unit.http.support import HttpCase

STEP_S = 5


class SeriesTests(HttpCase):
    """One hub, its tasks and its clock."""

    def setUp(self) -> None:
        super().setUp()
        self.hub.advance(STEP_S)

    def submit(self, **fields: Any) -> str:
        answer = self.post("/api/tasks", {"description": "x", **fields})
        return str(answer.body["task_id"])

    def last(self) -> dict[str, Any]:
        """The newest step, once it is over."""
        self.hub.advance(STEP_S)
        told = self.get(f"/api/stats/series?span_s={STEP_S}").body
        self.assertEqual(told.pop("points"), 1)
        shown: dict[str, Any] = {}
        for name, value in told.items():
            if isinstance(value, list):
                shown[name] = value[0]
            elif isinstance(value, dict):
                shown.update({f"{name} {part}": v[0] for part, v in value.items()})
        return shown

    def test_form(self) -> None:
        """A quarter of an hour is shown unless another time is asked for."""
        told = self.get("/api/stats/series").body
        now = self.hub.hub.now()
        self.assertEqual((told["step_s"], told["points"]), (5, 180))
        self.assertTrue(now - 5_000 < told["end"] <= now)
        columns = [told[n] for n in ("submitted", "started", "completed", "failed")]
        columns += [told["queued"], told["agents"]]
        columns += [*told["dispatch_ms"].values(), *told["run_ms"].values()]
        self.assertEqual({len(column) for column in columns}, {180})
        self.assertEqual(set(told["dispatch_ms"]), {"p50", "p95"})

    def test_span(self) -> None:
        """From one step to an hour may be asked for, and nothing else."""
        for span_s, points in ((5, 1), (9, 1), (3600, 720)):
            told = self.get(f"/api/stats/series?span_s={span_s}").body
            self.assertEqual(told["points"], points)
        for wrong in ("4", "3601", "-5", "x", "1e3", ""):
            answer = self.get(f"/api/stats/series?span_s={wrong}")
            self.assertEqual(self.wrong_fields(answer), [("span_s", "invalid_value")], wrong)

    def test_life(self) -> None:
        """A task that waits, is given to an agent and completed moves each of its columns."""
        task_id = self.submit()
        shown = self.last()
        self.assertEqual((shown["submitted"], shown["queued"], shown["agents"]), (1, 1, 0))
        self.assertEqual((shown["started"], shown["dispatch_ms p50"]), (0, None))
        agent = self.hub.agent("a")
        shown = self.last()
        self.assertEqual((shown["submitted"], shown["queued"], shown["agents"]), (0, 0, 1))
        self.assertEqual(shown["started"], 1)
        self.assertTrue(abs(shown["dispatch_ms p95"] - 5_000) <= 5_000 / 32, shown)
        agent.say("task_accepted", task_id=task_id)
        agent.say("task_complete", task_id=task_id)
        shown = self.last()
        self.assertEqual((shown["completed"], shown["failed"], shown["started"]), (1, 0, 0))
        self.assertTrue(abs(shown["run_ms p50"] - 5_000) <= 5_000 / 32, shown)
        self.assertEqual(self.last()["completed"], 0)

    def test_steps(self) -> None:
        """What happens is told of its own step, whenever somebody asks."""
        for count in (1, 3, 0, 2):
            for _ in range(count):
                self.submit()
            self.hub.advance(STEP_S)
        told = self.get(f"/api/stats/series?span_s={4 * STEP_S}").body
        self.assertEqual(told["submitted"], [1, 3, 0, 2])
        self.assertEqual(told["queued"], [1, 4, 4, 6])

    def test_again(self) -> None:
        """A task that comes back and is given out again was started once, dispatched twice."""
        agent = self.hub.agent("a")
        task_id = self.submit(max_attempts=2, backoff={"initial_s": 1, "max_s": 1})
        self.assertEqual(self.last()["started"], 1)
        agent.say("task_accepted", task_id=task_id)
        agent.say("task_failed", task_id=task_id, error="x")
        shown = self.last()
        self.assertEqual((shown["started"], shown["failed"]), (0, 0))
        self.assertIsNotNone(shown["run_ms p50"])
        # Its backoff is no fault of the hub, and is not measured.
        self.assertLess(shown["dispatch_ms p95"], 1_000)
        agent.say("task_accepted", task_id=task_id)
        agent.say("task_failed", task_id=task_id, error="x")
        self.assertEqual(self.last()["failed"], 1)
