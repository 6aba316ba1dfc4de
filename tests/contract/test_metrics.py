"""``GET /metrics``: each number moves when its thing happens, and at nothing else.

Every test compares two scrapes, read by the parser of Prometheus's own library, and names all
that may have moved between them, but for what has tests of its own: what becomes of tasks
(``test_task_metrics.py``), and what every request and every commit moves
(``tests/unit/http/test_metrics.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from prometheus_client import ProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from agentcom.http.metrics import KEPT_S
from agentcom.hub.presence import RECEIVER_BYTES
from agentcom.testing import FakeAgent
from tests.contract.helpers import mute
from tests.contract.queueing import QueueTests

Numbers = dict[str, float]

OF_ALL = (
    "connections_open http",
    "database_",
    "disk_",
    "event_loop_",
    "http_",
    "store_commit_",
)
"""What asking moves, and the machine."""

OF_TASKS = ("task_", "tasks ", "tasks_ended", "tasks_oldest", "tasks_started", "tasks_submitted")

TYPES = ("counter", "gauge", "histogram")

ACCEPT_S = 5
PROBE_S = 30


def numbers(text: bytes) -> Numbers:
    """The hub's own samples of a scrape, by name and label, without those that asking moves."""
    found: Numbers = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            name = " ".join([sample.name, *sample.labels.values()])
            found[name] = sample.value
    return {
        name.removeprefix("agentcom_"): value
        for name, value in found.items()
        if name.startswith("agentcom_") and not name[len("agentcom_") :].startswith(OF_ALL)
    }


class MetricTests(QueueTests):
    """What the tests of this module share."""

    def scrape(self) -> Numbers:
        """All numbers as they are now."""
        return numbers(self.hub.parts.metrics.text())

    def assert_moves(self, act: Callable[[], object], expected: Numbers) -> None:
        """These numbers move by so much, and no others do."""
        before = self.scrape()
        act()
        after = self.scrape()
        self.assertEqual(set(after), set(before))
        moved = {
            name: after[name] - before[name]
            for name in after
            if after[name] != before[name] and not name.startswith(OF_TASKS)
        }
        self.assertEqual(moved, expected)


class FormTests(MetricTests):
    """What is answered, to whom."""

    def test_answer(self) -> None:
        """Anybody gets it, in the text format that all readers know."""
        answer = self.hub.request("GET", "/metrics", token=None)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        families = list(text_string_to_metric_families(answer.text.decode()))
        self.assertEqual([f.name for f in families if not f.documentation], [])
        self.assertEqual([f.name for f in families if f.type not in TYPES], [])

    def test_kept(self) -> None:
        """Who asks again within a second, in whatever way, gets the same text, and no hub
        writes it anew for them."""
        first = self.hub.request("GET", "/metrics", token=None).text
        self.submit()
        self.hub.advance(KEPT_S - 0.25)
        self.assertEqual(self.hub.request("GET", "/metrics", token=None).text, first)
        head = self.hub.request("HEAD", "/metrics", token=None)
        self.assertEqual(head.headers["content-length"], str(len(first)))
        self.hub.advance(0.25)
        text = self.hub.request("GET", "/metrics", token=None).text
        self.assertEqual(numbers(text)["tasks queued"], numbers(first)["tasks queued"] + 1)

    def test_process(self) -> None:
        """The process is there too: since when it runs, and how many files it may open."""
        text = self.hub.request("GET", "/metrics").text.decode()
        found = {f.name: f.samples[0].value for f in text_string_to_metric_families(text)}
        self.assertGreater(found["process_start_time_seconds"], 0)
        self.assertGreater(found["process_open_fds"], 0)
        self.assertGreaterEqual(found["process_max_fds"], found["process_open_fds"])
        theirs = {f.name: f.samples[0].value for f in ProcessCollector(registry=None).collect()}
        self.assertEqual(found.keys() & theirs.keys(), theirs.keys())
        for name, value in theirs.items():
            self.assertLessEqual(abs(found[name] - value), 0.2 * value, name)

    def test_one_hub_each(self) -> None:
        """Two hubs in one process count apart."""
        before = self.scrape()
        type(self.hub)().agent("a")
        self.assertEqual(self.scrape(), before)

    def test_no_series_from_what_is_said(self) -> None:
        """Whatever agents and callers say, there are no more series, and no word of theirs."""
        before = self.scrape()
        agent = self.hub.agent("secret-name", capabilities=["secret-skill"], status="secret")
        task_id = self.submit(description="secret", metadata={"secret": 1})
        agent.say("task_accepted", task_id=task_id)
        self.post(f"/api/tasks/{task_id}/requeue", {"reason": "secret"})
        agent.say("task_complete", task_id="secret", result="secret")
        agent.say("secret")
        self.hub.advance(6)
        agent.say("task_failed", task_id=task_id, error="secret", reason="secret")
        self.die(agent, error="secret", capabilities=["secret-skill"])
        agent.vanish()
        after = self.hub.parts.metrics.text()
        self.assertEqual(set(numbers(after)), set(before))
        self.assertNotIn(b"secret", after)


class ConnectionTests(MetricTests):
    """Connections come and go."""

    settings: ClassVar[dict[str, Any]] = {"max_unidentified": 3}

    def test_comes(self) -> None:
        """A connection opens, then identifies."""
        found: list[FakeAgent] = []
        self.assert_moves(
            lambda: found.append(self.hub.connect()),
            {"connections_opened_total": 1, "connections_open unidentified": 1},
        )
        token = self.hub.token("a")
        self.assert_moves(
            lambda: found[0].say("identify", agent_id="a", token=token),
            {
                "connections_identified_total": 1,
                "connections_open unidentified": -1,
                "connections_open identified": 1,
                "agents_connected idle": 1,
            },
        )

    def test_goes(self) -> None:
        """A line that breaks was not closed by the hub."""
        agent = self.hub.agent("a")
        self.assert_moves(
            agent.vanish, {"connections_open identified": -1, "agents_connected idle": -1}
        )

    def test_closed(self) -> None:
        """What the hub closes is counted by its code."""
        self.hub.connect()
        self.assert_moves(
            lambda: self.hub.advance(11),
            {"connections_open unidentified": -1, "connections_closed_total 4008": 1},
        )
        mute(self.hub.agent("a"))
        self.assert_moves(
            lambda: self.hub.advance(61),
            {
                "connections_open identified": -1,
                "connections_closed_total 1002": 1,
                "agents_connected idle": -1,
            },
        )

    def test_code_of_no_list(self) -> None:
        """A code that has no series of its own gets none."""
        self.hub.agent("a")
        moved: Numbers = {
            "connections_open identified": -1,
            "connections_closed_total other": 1,
            "agents_connected idle": -1,
        }

        def close() -> None:
            self.hub.hub.roster["a"].close(4999, "new")
            self.hub.settle()

        self.assert_moves(close, moved)

    def test_refused(self) -> None:
        """One that is not let in is counted by the limit that it met."""
        for _ in range(3):
            self.hub.connect()
        self.assert_moves(self.hub.connect, {"connections_refused_total unidentified": 1})

    def test_replaced(self) -> None:
        """A newer connection of an agent replaces the older one."""
        self.hub.agent("a")
        self.assert_moves(
            lambda: self.hub.agent("a"),
            {
                "connections_opened_total": 1,
                "connections_identified_total": 1,
                "connections_replaced_total": 1,
                "connections_closed_total 4001": 1,
            },
        )

    def test_contested(self) -> None:
        """An id that is fought over is counted once, and until the fight is over."""
        before = self.scrape()
        for _ in range(6):
            self.hub.agent("a")
        after = self.scrape()
        for name in ("contests_total", "agents_contested"):
            self.assertEqual(after[name] - before[name], 1, name)
        self.hub.advance(600, step=5)
        calm = self.scrape()
        self.assertEqual(calm["agents_contested"], before["agents_contested"])
        self.assertEqual(calm["contests_total"], after["contests_total"])


class AgentTests(MetricTests):
    """What agents are doing: each connected one is counted in one state."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def becomes(self, state: str, was: str = "idle") -> Numbers:
        """What moves when one agent changes."""
        return {f"agents_connected {was}": -1, f"agents_connected {state}": 1}

    def test_busy(self) -> None:
        """An agent with a task is busy; the task is held by status."""
        self.assert_moves(
            lambda: self.hub.push("a"), {**self.becomes("busy"), "tasks_held assigned": 1}
        )
        (task_id,) = self.assigned(self.agent)
        self.assert_moves(
            lambda: self.agent.say("task_accepted", task_id=task_id),
            {"tasks_held assigned": -1, "tasks_held working": 1},
        )
        self.assert_moves(
            lambda: self.agent.say("task_complete", task_id=task_id),
            {**self.becomes("idle", "busy"), "tasks_held working": -1},
        )

    def test_unresponsive(self) -> None:
        """An ignored offer is counted, and each try afterwards."""
        self.submit(accept_timeout_s=ACCEPT_S)
        self.assert_moves(
            lambda: self.hub.advance(ACCEPT_S),
            {
                **self.becomes("unresponsive", "busy"),
                "offers_ignored_total": 1,
                "tasks_held assigned": -1,
                "tasks_queued normal": 1,
                "tasks_requeued_total accept_timeout": 1,
            },
        )
        self.assert_moves(
            lambda: self.hub.advance(PROBE_S),
            {"probes_total": 1, "tasks_held assigned": 1, "tasks_queued normal": -1},
        )
        (_, task_id) = self.assigned(self.agent)
        self.assert_moves(
            lambda: self.agent.say("task_accepted", task_id=task_id),
            {
                **self.becomes("busy", "unresponsive"),
                "tasks_held assigned": -1,
                "tasks_held working": 1,
            },
        )

    def test_try_without_a_task(self) -> None:
        """An agent that waits to be tried is one try, however long nothing comes."""
        task_id = self.submit(accept_timeout_s=ACCEPT_S)
        self.hub.advance(ACCEPT_S)
        self.cancel(task_id)
        self.assert_moves(lambda: self.hub.advance(4 * PROBE_S), {"probes_total": 1})

    def test_ignored_order(self) -> None:
        """An order that is ignored counts, and so does sending it again."""
        self.hub.push("a")
        self.assert_moves(
            lambda: self.hub.advance(60),
            {**self.becomes("unresponsive", "busy"), "offers_ignored_total": 1},
        )
        self.assert_moves(lambda: self.hub.advance(PROBE_S), {"probes_total": 1})

    def test_paused(self) -> None:
        """An agent that rejected is paused."""
        task_id = self.submit()
        self.assert_moves(
            lambda: self.agent.say("task_rejected", task_id=task_id),
            {
                **self.becomes("paused", "busy"),
                "tasks_held assigned": -1,
                "tasks_queued normal": 1,
                "tasks_requeued_total rejected": 1,
            },
        )

    def test_draining(self) -> None:
        """An agent that drains is counted as such, with a task too."""
        self.hub.push("a")
        self.assert_moves(lambda: self.agent.say("drain"), self.becomes("draining", "busy"))

    def test_away_and_back(self) -> None:
        """What is held for an agent that is away is counted until it is back, or given up."""
        for _ in range(2):
            self.accepted(self.agent)
        held: Numbers = {"agents_absent_with_tasks": 1, "tasks_held_for_absent_agents": 2}
        gone: Numbers = {"connections_open identified": -1, "agents_connected busy": -1}
        self.assert_moves(self.agent.vanish, {**held, **gone})
        self.assert_moves(
            lambda: self.hub.agent("a"),
            {
                "connections_opened_total": 1,
                "connections_identified_total": 1,
                "connections_open identified": 1,
                "agents_connected returning": 1,
                **{name: -moved for name, moved in held.items()},
            },
        )
        self.assert_moves(lambda: self.hub.advance(3), self.becomes("busy", "returning"))

    def test_away_with_nothing(self) -> None:
        """One that is away is not counted for what else is remembered of it."""
        self.agent.say("task_rejected", task_id=self.submit())
        self.agent.vanish()
        found = self.scrape()
        self.assertEqual(found["agents_absent_with_tasks"], 0)
        self.assertEqual(sum(n for name, n in found.items() if name.startswith("agents_c")), 0)

    def test_every_agent_is_counted(self) -> None:
        """The states add up to the agents that are connected."""
        for n in range(4):
            self.hub.agent(f"x{n}", slots=n, presence="none")
        self.hub.push("x2")
        self.hub.token("never-here")
        states = [v for name, v in self.scrape().items() if name.startswith("agents_connected ")]
        self.assertEqual(sum(states), len(self.hub.hub.roster))


class TaskTests(MetricTests):
    """Tasks that wait, go back and fail; reports that do not count."""

    def test_queued(self) -> None:
        """What waits is counted by priority."""
        for priority in ("urgent", "high", "normal", "low"):
            moved: Numbers = {f"tasks_queued {priority}": 1}
            self.assert_moves(lambda: self.submit(priority=priority), moved)  # noqa: B023

    def requeued(self, reason: str, act: Callable[[], object]) -> None:
        """One task goes back for this reason; what else moves is told elsewhere."""
        before = self.scrape()
        act()
        after = self.scrape()
        moved = {
            name: after[name] - before[name]
            for name in after
            if name.startswith("tasks_requeued_total") and after[name] != before[name]
        }
        self.assertEqual(moved, {f"tasks_requeued_total {reason}": 1})

    def test_requeued(self) -> None:
        """What goes back is counted by reason, each of those that there are."""
        agent = self.hub.agent("a", slots=20)
        task_id = self.submit(agent_id="a")
        agent.say("task_accepted", task_id=task_id)
        self.requeued("operator", lambda: self.post(f"/api/tasks/{task_id}/requeue"))
        self.hub.advance(6)
        agent.say("task_accepted", task_id=task_id)
        self.requeued("retry", lambda: agent.say("task_failed", task_id=task_id, error="x"))
        self.hub.advance(6)
        self.requeued(
            "reassign",
            lambda: agent.say("task_recovering", task_id=task_id, last_status="accepted"),
        )
        self.hub.advance(6)
        agent.say("task_failed", task_id=task_id, error="x", retryable=False)
        self.requeued("retried", lambda: self.post(f"/api/tasks/{task_id}/retry"))
        agent.say("task_accepted", task_id=task_id)
        agent.vanish()
        self.requeued("hold_expired", lambda: self.hub.advance(31))
        agent = self.hub.agent("a")
        self.hub.advance(3)
        agent.say("task_accepted", task_id=task_id)
        self.post("/api/agents/a/drain", {"deadline_s": 2})
        self.requeued("drained", lambda: self.hub.advance(3))
        self.post("/api/agents/a/resume")
        self.hub.advance(6)
        agent.say("task_accepted", task_id=task_id)
        self.requeued("token_revoked", lambda: self.hub.request("DELETE", "/admin/tokens/a"))

    def failed(self, error: str, act: Callable[[], object], count: int = 1) -> None:
        """One attempt is failed by the hub."""
        before = self.scrape()
        act()
        after = self.scrape()
        moved = {
            name: after[name] - before[name]
            for name in after
            if name.startswith("attempts_failed") and after[name] != before[name]
        }
        expected = {f"attempts_failed_by_hub_total {error}": count} if count else {}
        self.assertEqual(moved, expected)

    def test_failed(self) -> None:
        """Attempts that the hub fails are counted by error; an agent's own failure is not."""
        agent = self.hub.agent("a")
        task_id = self.submit(max_attempts=1)
        self.failed(
            "attempt_timeout",
            lambda: agent.say("task_failed", task_id=task_id, error="attempt_timeout"),
            count=0,
        )
        task_id = self.submit(attempt_timeout_s=5, max_attempts=1)
        agent.say("task_accepted", task_id=task_id)
        self.failed("attempt_timeout", lambda: self.hub.advance(6))
        task_id = self.submit(on_disconnect="fail", hold_s=1, max_attempts=1)
        agent.say("task_accepted", task_id=task_id)
        agent.vanish()
        self.failed("agent_lost", lambda: self.hub.advance(3))
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        agent.vanish()
        agent = self.hub.agent("a")
        agent.say("task_recovering", task_id=task_id, last_status="working")
        self.failed("recovery_timeout", lambda: self.hub.advance(3_601, step=5))

    def test_refused_reports(self) -> None:
        """Reports that do not count are counted by error."""
        agent, other = self.hub.agent("a"), self.hub.agent("b", slots=0)
        task_id = self.accepted(agent)
        for by, error, fields in (
            (other, "not_assignee", {}),
            (agent, "stale_generation", {"generation": 9}),
            (agent, "invalid_state", {"type": "task_rejected"}),
        ):
            frame = {"type": "task_complete", "task_id": task_id, **fields}
            moved: Numbers = {f"reports_refused_total {error}": 1}
            self.assert_moves(lambda: by.say(**frame), moved)  # noqa: B023


class WholeHubTests(MetricTests):
    """The hub itself."""

    def test_draining(self) -> None:
        """A hub that is drained says so, and is not ready."""
        self.assert_moves(
            lambda: self.post("/api/admin/drain", {"note": "new disk"}),
            {"draining": 1, "ready": -1},
        )

    def test_presence_waits(self) -> None:
        """Frames for many that wait for their turn are counted in bytes, with their receivers."""
        agents = [self.hub.agent(f"a{n}", presence="none") for n in range(65)]
        frame = b'{"type":"message"}'
        self.hub.hub.presence.broadcast(frame, list(self.hub.hub.roster.values()))
        # The answer leaves before the reactor's next turn.
        waiting = self.scrape()["presence_waiting_bytes"]
        self.assertEqual(waiting, len(frame) + RECEIVER_BYTES)
        self.hub.settle()
        self.assertEqual(self.scrape()["presence_waiting_bytes"], 0)
        self.assertEqual(len(agents[-1].of("message")), 1)
