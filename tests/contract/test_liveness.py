"""What ``GET /api/agents/:id`` tells of an agent's life.  DESIGN.md, "Liveness is three questions".

The connection, the work and the tasks each have a limit of their own, and each is shown apart:
here beside what happens at just those times.
"""

from __future__ import annotations

from typing import Any, ClassVar

from agentcom.testing import FakeAgent
from tests.contract.helpers import Frame, mute
from tests.contract.queueing import QueueTests, later

ACCEPT_S = 5
PROBE_S = 30.0
HOUR_S = 3_600


class LivenessTests(QueueTests):
    """What the tests of this module share."""

    def live(self, agent_id: str = "a") -> Frame:
        """The three answers."""
        answer = self.hub.request("GET", f"/api/agents/{agent_id}")
        self.assertEqual(answer.status, 200, answer.body)
        told: Frame = answer.body["liveness"]
        self.assertEqual(told["at"], self.hub.hub.now())
        return told

    def connection(self, **fields: Any) -> Frame:
        """The first answer, with at least these fields."""
        told: Frame = self.live()["connection"]
        self.assert_fields(told, **fields)
        return told

    def work(self, **fields: Any) -> Frame:
        """The second."""
        told: Frame = self.live()["work"]
        self.assert_fields(told, **fields)
        return told

    def only_task(self, **fields: Any) -> Frame:
        """The third, of an agent with one task."""
        (told,) = self.live()["tasks"]
        self.assert_fields(told, **fields)
        return dict(told)

    def in_s(self, seconds: float) -> int:
        """Unix milliseconds so many seconds from now."""
        return later(self.hub, seconds)


class ConnectionTests(LivenessTests):
    """Is the connection open?"""

    settings: ClassVar[dict[str, Any]] = {"ping_s": 10.0, "silence_s": 25.0}

    def test_open(self) -> None:
        """An open connection shows since when, the last sign of life, and when silence ends it."""
        agent = self.hub.agent("a")
        began = self.in_s(0)
        self.hub.advance(4)
        self.connection(
            state="open",
            since=began,
            heard_at=began,
            silence_ends_at=began + 25_000,
            ping_interval_s=10.0,
            silence_limit_s=25.0,
            held_until=None,
        )
        agent.say("ping")
        self.connection(heard_at=began + 4_000, silence_ends_at=began + 29_000)

    def test_pong_is_a_sign_of_life(self) -> None:
        """An agent that only answers pings is heard."""
        self.hub.agent("a")
        began = self.in_s(0)
        self.hub.advance(12)
        self.connection(heard_at=began + 10_000)

    def test_silence(self) -> None:
        """A peer that answers nothing is gone at the time that was shown."""
        agent = self.hub.agent("a")
        mute(agent)
        ends_at = self.connection()["silence_ends_at"]
        self.hub.advance(24.75)
        self.connection(state="open", silence_ends_at=ends_at)
        self.hub.advance(0.25)
        self.assertEqual(self.hub.hub.now(), ends_at)
        self.connection(state="away", since=None, heard_at=None, silence_ends_at=None)

    def test_held(self) -> None:
        """An agent that is away with a task is held, until the time that was shown."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.hub.advance(3)
        gone = self.in_s(0)
        agent.vanish()
        self.hub.advance(1)
        self.connection(state="held", since=gone, heard_at=None, held_until=gone + 30_000)
        self.only_task(task_id=task_id, status="working", hold_ends_at=gone + 30_000)
        self.work(state="away", slots=None, running=1)
        self.hub.advance(28.75)
        self.connection(state="held")
        self.hub.advance(0.25)
        self.assertEqual(self.hub.hub.now(), gone + 30_000)
        self.connection(state="away", held_until=None)
        self.assertEqual(self.live()["tasks"], [])

    def test_longest_hold(self) -> None:
        """Of several tasks the one that is held longest tells until when it is held."""
        agent = self.hub.agent("a", slots=2)
        for hold_s in (100, 50):
            self.submit(hold_s=hold_s)
        agent.vanish()
        self.connection(state="held", held_until=self.in_s(100))

    def test_held_for_ever(self) -> None:
        """Nothing claims an end where a task is kept for as long as it takes."""
        agent = self.hub.agent("a")
        self.submit(on_disconnect="keep")
        agent.vanish()
        self.hub.advance(HOUR_S, step=5)
        self.connection(state="held", held_until=None)
        self.only_task(hold_ends_at=None)

    def test_back(self) -> None:
        """Once it is back nothing is held, and silence counts again."""
        self.accepted(agent := self.hub.agent("a"))
        agent.vanish()
        self.hub.advance(5)
        self.hub.agent("a")
        self.connection(state="open", since=self.in_s(0), held_until=None)
        self.only_task(hold_ends_at=None)

    def test_hub_restarted(self) -> None:
        """A new hub does not claim to know when the agent went, or when it spoke."""
        self.accepted(self.hub.agent("a"))
        self.hub.advance(2)
        self.restart()
        self.connection(state="held", since=None, heard_at=None, held_until=self.in_s(30))
        self.work(state="away", answered_at=None)

    def test_contested(self) -> None:
        """An id that several agents have is shown as fought over, until there is peace."""
        self.hub.agent("a")
        self.connection(contested=False)
        for _ in range(6):
            self.hub.agent("a")
        self.connection(state="open", contested=True)
        self.hub.advance(600, step=5)
        self.connection(contested=False)

    def test_never_here(self) -> None:
        """An agent that was never here is away, and no more is claimed."""
        self.hub.token("a")
        self.connection(state="away", since=None, heard_at=None, held_until=None)
        self.work(state="away", since=None, answered_at=None, ignored=0, running=0)


class WorkTests(LivenessTests):
    """Does the agent take work?"""

    def test_takes_work(self) -> None:
        """An agent with room takes work, as far as is known; one without is full."""
        agent = self.hub.agent("a", slots=2)
        self.work(state="takes_work", slots=2, running=0, answered_at=None, probe=None)
        first = self.accepted(agent)
        spoke = self.in_s(0)
        self.hub.advance(2)
        self.work(state="takes_work", running=1, answered_at=spoke, ignored=0)
        self.submit()
        self.work(state="full", running=2, since=None)
        agent.say("task_complete", task_id=first)
        self.work(state="takes_work", running=1, answered_at=self.in_s(0))

    def test_submits_only(self) -> None:
        """An agent without slots is not called full."""
        self.hub.agent("a", slots=0)
        self.work(state="submits_only", slots=0, running=0)

    def test_paused(self) -> None:
        """One that rejected is paused until the time that is shown, and then takes work."""
        agent = self.hub.agent("a")
        task_id = self.submit()
        agent.say("task_rejected", task_id=task_id, generation=1)
        began = self.in_s(0)
        self.hub.advance(1)
        ends_at = began + 5_000
        self.work(state="paused", since=began, pause_ends_at=ends_at, answered_at=began)
        self.hub.advance(3.75)
        self.assertEqual(len(self.assigned(agent)), 1)
        self.hub.advance(0.25)
        self.assertEqual(self.hub.hub.now(), ends_at)
        self.assertEqual(len(self.assigned(agent)), 2)
        self.work(state="full", pause_ends_at=None)

    def test_returning(self) -> None:
        """One that is back with a task is given two seconds, and that is shown."""
        task_id = self.accepted(agent := self.hub.agent("a", slots=2))
        agent.vanish()
        agent = self.hub.agent("a", slots=2)
        began = self.in_s(0)
        self.hub.advance(1)
        self.work(state="returning", since=began, quiet_ends_at=began + 2_000, answered_at=began)
        self.hub.advance(1)
        self.assertEqual(self.assigned(agent), [task_id])
        self.work(state="takes_work", quiet_ends_at=None)

    def test_draining(self) -> None:
        """One that drains says so; since when is told where the hub has noted it."""
        agent = self.hub.agent("a")
        agent.say("drain", reason="update")
        self.work(state="draining", since=None)
        self.post("/api/agents/a/resume")
        self.work(state="takes_work")
        self.post("/api/agents/a/drain", {"note": "new disk", "deadline_s": 60})
        began = self.in_s(0)
        self.hub.advance(3)
        self.work(state="draining", since=began)
        shown = self.hub.request("GET", "/api/agents/a").body["drain"]
        self.assert_fields(
            shown, by="admin", note="new disk", since=began, deadline=began + 60_000, drained=True
        )


class UnresponsiveTests(LivenessTests):
    """An agent that answers pings and ignores offers, read at every step."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def offered(self, agent: FakeAgent) -> int:
        """How many offers the agent was sent."""
        return len(self.assigned(agent))

    def test_life(self) -> None:
        """It is marked with the first offer that it ignores, offered nothing, tried with one
        task at the time that was shown, later and later, and trusted with its first word."""
        task_id = self.submit(accept_timeout_s=ACCEPT_S)
        self.work(state="full", ignored=0, probe=None)
        self.only_task(status="assigned", heard_at=None, accept_ends_at=self.in_s(ACCEPT_S))
        self.hub.advance(ACCEPT_S)
        marked = self.in_s(0)
        self.submit(accept_timeout_s=ACCEPT_S)
        wait = PROBE_S
        for ignored in (1, 2, 3):
            probe_at = self.in_s(wait)
            self.work(
                state="unresponsive",
                since=marked,
                ignored=ignored,
                running=0,
                answered_at=None,
                probe={"state": "waits", "task_id": None, "at": probe_at, "interval_s": wait},
            )
            self.hub.advance(wait - 0.5)
            self.assertEqual(self.offered(self.agent), ignored)
            self.connection(state="open")
            self.hub.advance(0.5)
            self.assertEqual(self.hub.hub.now(), probe_at)
            self.assertEqual(self.offered(self.agent), ignored + 1)
            self.work(
                state="unresponsive",
                probe={"state": "under_way", "task_id": task_id, "at": None, "interval_s": wait},
            )
            self.only_task(task_id=task_id, accept_ends_at=self.in_s(ACCEPT_S))
            if ignored < 3:
                self.hub.advance(ACCEPT_S)
                wait *= 2
        self.agent.say("task_accepted", task_id=task_id)
        self.work(state="full", since=None, ignored=0, answered_at=self.in_s(0), probe=None)
        self.only_task(status="working", heard_at=self.in_s(0), accept_ends_at=None)

    def test_nothing_to_try_it_with(self) -> None:
        """When nothing waits at that time, the next task that comes is the try."""
        task_id = self.submit(accept_timeout_s=ACCEPT_S)
        self.hub.advance(ACCEPT_S)
        self.cancel(task_id)
        self.hub.advance(PROBE_S + 3)
        probe = {"state": "open", "task_id": None, "at": None, "interval_s": PROBE_S}
        self.work(state="unresponsive", probe=probe)
        probe.update(state="under_way", task_id=self.submit())
        self.work(state="unresponsive", probe=probe)

    def test_try_that_ends_otherwise(self) -> None:
        """When the try is cancelled, the next one is due at the time that is shown."""
        task_id = self.submit(accept_timeout_s=ACCEPT_S)
        self.hub.advance(ACCEPT_S + PROBE_S)
        self.cancel(task_id)
        self.submit()
        probe = self.work(state="unresponsive")["probe"]
        self.assertEqual((probe["state"], probe["task_id"]), ("waits", None))
        self.hub.advance((probe["at"] - self.hub.hub.now()) / 1000 - 0.25)
        self.assertEqual(self.offered(self.agent), 2)
        self.hub.advance(0.25)
        self.assertEqual(self.offered(self.agent), 3)

    def test_order(self) -> None:
        """An ignored order stays, and is shown as the try when it is sent again."""
        task_id = self.hub.push("a")
        self.hub.advance(60)
        waits = {"state": "waits", "task_id": None, "at": self.in_s(PROBE_S), "interval_s": PROBE_S}
        self.work(state="unresponsive", running=1, probe=waits)
        self.only_task(accept_ends_at=None, heard_at=None)
        self.hub.advance(PROBE_S)
        self.work(probe={**waits, "state": "under_way", "task_id": task_id, "at": None})
        self.only_task(accept_ends_at=self.in_s(60))

    def test_new_line(self) -> None:
        """A new connection begins anew, but what was ignored is not forgotten for it."""
        self.submit(accept_timeout_s=ACCEPT_S, hold_s=0)
        self.hub.advance(ACCEPT_S)
        self.agent.say("identify", agent_id="a", token=self.hub.token("a"))
        self.work(state="unresponsive")
        self.agent = self.hub.agent("a")
        self.hub.advance(2.25)
        self.work(state="full", ignored=1, probe=None)


class TaskTests(LivenessTests):
    """Does the task move?"""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def test_silent_work(self) -> None:
        """An hour of silence on a task looks like what it is: work, with the line open."""
        self.hub.advance(1)
        task_id = self.accepted(self.agent)
        heard = self.in_s(0)
        self.hub.advance(HOUR_S, step=5)
        self.connection(state="open")
        self.work(state="full", ignored=0, answered_at=heard)
        told = self.only_task(task_id=task_id, status="working", generation=1, heard_at=heard)
        self.assertEqual({n for n in told if n.endswith("_ends_at") and told[n]}, set())

    def test_heard(self) -> None:
        """Each word on the task moves the time at which it was heard of, of this task only."""
        self.agent = self.hub.agent("a", slots=2)
        first, second = self.accepted(self.agent), self.accepted(self.agent)
        accepted = self.in_s(0)
        for type in ("task_progress", "state_report", "task_recovering", "task_accepted"):
            self.hub.advance(3)
            self.agent.say(type, task_id=first, generation=1, status="working", message="on it")
            heard = {t["task_id"]: t["heard_at"] for t in self.live()["tasks"]}
            self.assertEqual(heard, {first: self.in_s(0), second: accepted}, type)
            self.work(answered_at=self.in_s(0))

    def test_refused_report(self) -> None:
        """What does not count is no sign of the task."""
        self.hub.agent("b")
        self.accepted(self.agent)
        accepted = self.in_s(0)
        self.hub.advance(3)
        told = self.only_task()
        task_id = told["task_id"]
        self.assert_error(
            self.agent.say("task_progress", task_id=task_id, generation=7), "stale_generation"
        )
        self.only_task(heard_at=accepted)
        self.work(answered_at=accepted)

    def test_attempt_timeout(self) -> None:
        """The attempt's own limit is shown, and ends it at that time."""
        task_id = self.submit(attempt_timeout_s=20, max_attempts=1)
        self.agent.say("task_accepted", task_id=task_id)
        ends_at = self.in_s(20)
        self.hub.advance(19.75)
        self.only_task(attempt_ends_at=ends_at)
        self.hub.advance(0.25)
        self.assert_task(task_id, status="dead_letter", last_error="attempt_timeout")
        self.assertEqual(self.live()["tasks"], [])

    def test_recovered_without_generation(self) -> None:
        """Silence that fails an attempt is the only silence with an end, and it is shown."""
        task_id = self.accepted(self.agent)
        self.agent.vanish()
        self.agent = self.hub.agent("a")
        self.agent.say("task_recovering", task_id=task_id, last_status="working")
        self.only_task(silence_ends_at=self.in_s(HOUR_S))

    def test_busy(self) -> None:
        """An agent that was asked again and is busy is asked at the time that is shown."""
        task_id = self.hub.push("a")
        self.agent.vanish()
        self.agent = self.hub.agent("a")
        self.hub.advance(2)
        self.agent.say("task_rejected", task_id=task_id, generation=1)
        asked_at = self.in_s(60)
        self.only_task(status="assigned", heard_at=self.in_s(0), asked_again_at=asked_at)
        self.hub.advance(60)
        self.assertEqual(self.assigned(self.agent), [task_id, task_id])

    def test_hub_restarted(self) -> None:
        """What a task said last outlives the hub; of one that said nothing nothing is claimed."""
        self.agent = self.hub.agent("a", slots=2)
        silent = self.submit()
        task_id = self.accepted(self.agent)
        heard = self.in_s(0)
        self.hub.advance(2)
        self.restart()
        told = {t["task_id"]: t["heard_at"] for t in self.live()["tasks"]}
        self.assertEqual(told, {silent: None, task_id: heard})
