"""Where the queue meets pushes, calls to stop, bad rows and a slow disk."""

from __future__ import annotations

from typing import Any, ClassVar

from agentcom.hub import idempotency
from agentcom.hub import ledger as ledger_module
from agentcom.hub.willingness import CALM_S
from tests.contract.helpers import HubTests, Watcher, enqueue


class RoomTests(HubTests):
    """A task never waits beside an agent that fits and has room."""

    def test_after_a_push(self) -> None:
        """A push takes one slot; the others are still found."""
        agent = self.hub.agent("a", slots=3)
        enqueue(self.hub)
        self.hub.push("a")
        task_id = enqueue(self.hub)
        self.assert_task(task_id, status="assigned")
        self.assertEqual(len(agent.of("task_assign")), 3)

    def test_after_taking_up_again(self) -> None:
        """So it is when an agent takes up a task that went back to the queue."""
        agent = self.hub.agent("a", slots=3)
        first = enqueue(self.hub)
        agent.say("task_accepted", task_id=first)
        agent.vanish()
        self.hub.advance(31)
        self.assert_task(first, status="queued")
        agent = self.hub.agent("a", slots=3, tasks=[{"task_id": first, "generation": 1}])
        self.assert_task(first, status="working")
        self.hub.advance(3)
        self.assert_task(enqueue(self.hub), status="assigned")


class CallOffTests(HubTests):
    """An agent hears of the end of a task before it is given the next one."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")
        self.frames = self.agent.frames

    def kinds(self) -> list[tuple[str, int]]:
        return [(f["type"], f.get("generation", 0)) for f in self.frames if "task_id" in f]

    def test_cancelled(self) -> None:
        """One that is cancelled, with another waiting."""
        first, _ = enqueue(self.hub), enqueue(self.hub)
        self.frames.clear()
        self.hub.request("POST", f"/api/tasks/{first}/cancel")
        self.assertEqual(self.kinds(), [("task_cancelled", 1), ("task_assign", 1)])

    def test_the_same_one(self) -> None:
        """One whose attempt took too long, which it is given again."""
        enqueue(self.hub, attempt_timeout_s=5, backoff={"initial_s": 0})
        self.frames.clear()
        self.hub.advance(6)
        self.assertEqual(self.kinds(), [("task_cancelled", 1), ("task_assign", 2)])

    def test_its_own_failure_afterwards(self) -> None:
        """The agent's word that a called-off attempt failed counts for nothing more."""
        task_id = enqueue(self.hub, attempt_timeout_s=5, backoff={"initial_s": 60, "max_s": 60})
        self.hub.advance(6)
        answers = self.agent.say("task_failed", task_id=task_id, generation=1, retryable=False)
        self.assert_answer(answers, "task_ack", status="failed", outcome="retried")
        self.assert_task(task_id, status="queued", attempts=1)
        self.assertEqual(self.hub.events_of(task_id).count("task_failed"), 1)


class UnfairTests(HubTests):
    """A task that gives no time to accept it."""

    def test_harms_no_agent(self) -> None:
        """It comes to its end, and the agents that had it are not blamed."""
        self.hub.agent("a")
        task_id = enqueue(self.hub, accept_timeout_s=0.001)
        self.hub.advance(2, step=0.01)
        self.assert_task(task_id, status="dead_letter", last_error="requeue_limit")
        self.assertEqual(self.hub.request("GET", "/api/agents/a").body["state"], "idle")


class ForgettingTests(HubTests):
    """Nothing is remembered for ever of those who went away."""

    def test_rejected_once(self) -> None:
        """An agent that rejected a task and never came back."""
        for number in range(5):
            agent = self.hub.agent(f"a{number}")
            task_id = enqueue(self.hub, f"a{number}")
            agent.say("task_rejected", task_id=task_id)
            agent.vanish()
            self.hub.request("POST", f"/api/tasks/{task_id}/cancel")
        self.hub.advance(CALM_S + 10, step=10)
        self.assertEqual(self.hub.hub.dispatch.holdings._of, {})


class BadRowTests(HubTests):
    """Tasks that are parked, and cannot be read back."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(ledger_module, "WARM_TASKS", 0)
        self.tasks = [enqueue(self.hub, not_before=self.hub.hub.now() + 1_000) for _ in range(3)]
        self.agents = [self.hub.agent(name) for name in "abc"]
        self.fetch = self.hub.store.fetch
        self.bad: set[str] = set()
        self.patch(self.hub.store, "fetch", self.read)

    def read(self, task_id: str) -> Any:
        if task_id in self.bad:
            raise ValueError("damaged")
        return self.fetch(task_id)

    def statuses(self) -> list[str]:
        return [self.hub.task(task_id)["status"] for task_id in self.tasks]

    def test_one_is_damaged(self) -> None:
        """The others go on, and it is tried again later."""
        self.bad.add(self.tasks[0])
        self.hub.advance(5)
        self.assertEqual(self.statuses(), ["queued", "assigned", "assigned"])
        self.bad.clear()
        self.hub.advance(31)
        self.assertEqual(self.statuses(), ["assigned"] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_looked_at(self) -> None:
        """A mere question brings none of them into memory for good."""
        for task_id in self.tasks:
            self.hub.request("POST", f"/api/tasks/{task_id}/requeue")
            self.hub.request("GET", f"/api/tasks/{task_id}/explain")
        self.assertEqual(self.hub.hub.ledger.live, {})

    def test_expiry(self) -> None:
        """One that cannot be read keeps no other from expiring."""
        tasks = [enqueue(self.hub, "away", queue_timeout_s=1) for _ in range(2)]
        self.bad.add(tasks[0])
        self.hub.advance(3)
        self.assertEqual(self.hub.task(tasks[1])["status"], "expired")
        self.assertTrue(self.flushLoggedErrors(ValueError))


class SlowDiskTests(HubTests):
    """A commit that hangs."""

    def test_many_with_one_key(self) -> None:
        """Those who wait for one key are woken once each, not all of them each time."""
        turns = []
        turn = idempotency.IdempotencyKeys._turn

        def counted(keys: Any, name: Any) -> Any:
            turns.append(name)
            return turn(keys, name)

        self.patch(idempotency.IdempotencyKeys, "_turn", counted)
        agent = self.hub.agent("a", slots=0)
        for _ in range(200):
            agent.sendFrame(
                opcode=1, payload=b'{"type":"task_submit","description":"x","idempotency_key":"k"}'
            )
        self.hub.settle()
        self.assertEqual(len({f["task_id"] for f in agent.of("task_submitted")}), 1)
        self.assertEqual(len(agent.of("task_submitted")), 200)
        self.assertLessEqual(len(turns), 200)

    def test_retries_are_refused(self) -> None:
        """A second retry is told to come later, not left waiting behind the first."""
        agent = self.hub.agent("a")
        tasks = [enqueue(self.hub, max_attempts=1) for _ in range(2)]
        for task_id in tasks:
            agent.say("task_failed", task_id=task_id, error="no")
        hub = self.hub.hub
        self.patch(hub.ledger, "settled", lambda: never())
        self.hub.open_request("POST", f"/api/tasks/{tasks[0]}/retry")
        self.patch(hub.store, "trouble", lambda: "the store cannot be written to")
        answer = self.hub.request("POST", f"/api/tasks/{tasks[1]}/retry")
        self.assertEqual((answer.status, answer.body["error"]), (503, "store_unavailable"))


def never() -> Any:
    from twisted.internet.defer import Deferred

    return Deferred()


class ClockTests(HubTests):
    """The time of day is set back."""

    def test_backoff(self) -> None:
        """A wait between attempts ends when it is over, whatever the clock says."""
        agent = self.hub.agent("a")
        task_id = enqueue(self.hub, backoff={"initial_s": 10})
        agent.say("task_failed", task_id=task_id, error="no")
        clock = self.hub.clock
        self.patch(self.hub.hub, "_wall", lambda: clock.seconds() - 3_600)
        self.hub.advance(11)
        self.assert_task(task_id, status="assigned", attempts=2)


class BoundTests(HubTests):
    """How many may wait."""

    settings: ClassVar[dict[str, Any]] = {"max_queued": 2}

    def test_retries_count_too(self) -> None:
        """Dead letters are retried as far as there is room, and how many is told."""
        agent = self.hub.agent("a", slots=10)
        for _ in range(2):
            agent.say("task_failed", task_id=enqueue(self.hub), error="no", retryable=False)
        agent.say("drain")
        enqueue(self.hub)
        answer = self.hub.request("POST", "/api/tasks/dead-letter/retry", {"all": True})
        self.assertEqual((answer.status, answer.body["error"]), (429, "queue_full"))
        self.assertEqual(answer.body["done"], 0)
        self.assertEqual(len(self.hub.hub.dispatch.queue), 1)

    def test_shown_unread(self) -> None:
        """Tasks that are parked are shown with their agent without being read."""
        self.patch(ledger_module, "WARM_TASKS", 0)
        tasks = {enqueue(self.hub, "away") for _ in range(2)}
        self.patch(self.hub.store, "fetch", lambda _: self.fail("was read"))
        self.hub.token("away")
        shown = self.hub.request("GET", "/api/agents/away").body["tasks"]
        self.assertEqual(
            {(t["task_id"], t["status"]) for t in shown}, {(t, "queued") for t in tasks}
        )


class ForgottenEventsTests(HubTests):
    """A stream that is slow while events are forgotten."""

    def test_told_of_the_gap(self) -> None:
        """It goes on behind them, and is told so."""
        watcher = Watcher(self.hub)
        before = len(watcher.events)
        (watch,) = self.hub.parts.factory.watchers._watches
        watch.pause()
        agent = self.hub.agent("a")
        task_id = enqueue(self.hub)
        agent.say("task_complete", task_id=task_id)
        self.hub.hub.events.forgotten(self.hub.hub.events.last_seq - 1)
        watch.resume()
        self.hub.settle()
        self.assertIn(b"event: gap", watcher._client.received)
        told = [event.get("event", "gap") for event in watcher.events[before:]]
        self.assertEqual(told, ["gap", "task_complete"])
