"""Forgetting what ended long ago: what goes, what stays, and what cursors are told.

Time goes in days here, so agents come for a moment only: an agent that
answers no ping for an hour is closed.
"""

from __future__ import annotations

from typing import Any, ClassVar

from agentcom.hub.archive import AT_A_TIME
from agentcom.store.interface import Unit
from tests.contract.helpers import Frame, Watcher, history
from tests.contract.queueing import QueueTests

DAY = 86_400.0
ROUND_S = 640.0
"""Seconds in which a round of forgetting has come: one each ten minutes."""


class RetentionTests(QueueTests):
    """What the tests of this module share: a hub that keeps what ended for a day."""

    settings: ClassVar[dict[str, Any]] = {"retain_s": DAY}

    def restart(self) -> None:
        """A new process, with the same settings."""
        store, clock = self.hub.store, self.hub.clock
        self.hub.settle()
        for call in clock.getDelayedCalls():
            call.cancel()
        seed = int(clock.seconds()) + self.hub.hub.events.last_seq
        self.hub = type(self.hub)(store=store, clock=clock, seed=seed, **self.settings)

    def done(self, count: int = 1) -> list[str]:
        """So many tasks that have just been completed; their agent has left."""
        agent = self.hub.agent("worker", slots=count)
        tasks = self.submit_all([{"agent_id": "worker"} for _ in range(count)])
        for task_id in tasks:
            agent.say("task_complete", task_id=task_id)
        self.hub.cut(agent)
        return tasks

    def days(self, count: float) -> None:
        """Let days pass, and the rounds of forgetting at their end."""
        self.hub.advance(count * DAY, step=600)
        self.hub.advance(ROUND_S, step=1)

    def is_known(self, task_id: str) -> bool:
        """Whether the hub still has the task."""
        status = self.hub.request("GET", f"/api/tasks/{task_id}").status
        self.assertIn(status, (200, 404))
        return status == 200

    def gap(self, after: object) -> Frame | None:
        """What a watcher that comes with this cursor is told of a gap, if it is."""
        client = self.hub.open_request("GET", f"/api/events?after={after}")
        lines = client.received.split(b"\n")
        if b"event: gap" not in lines:
            return None
        return Watcher(self.hub, f"after={after}").events[0]


class ForgettingTests(RetentionTests):
    """What goes, and what stays."""

    def test_ended(self) -> None:
        """Whatever way it ended, a task goes with its events once its time is over."""
        agent = self.hub.agent("a")
        tasks = [self.die(agent)]
        for type in ("task_complete", "task_complete"):
            tasks.append(self.submit())
            agent.say(type, task_id=tasks[-1])
        tasks.append(self.submit())
        self.cancel(tasks[-1])
        tasks.append(self.submit(queue_timeout_s=1, capabilities=["gpu"]))
        self.hub.cut(agent)
        self.days(0.9)
        self.assertEqual([self.is_known(task_id) for task_id in tasks], [True] * 5)
        self.days(0.2)
        self.assertEqual([self.is_known(task_id) for task_id in tasks], [False] * 5)
        told = {event["task_id"] for event in Watcher(self.hub, "after=0").events}
        self.assertEqual(told & set(tasks), set())
        for path in ("/api/tasks", "/api/tasks/dead-letter"):
            self.assertEqual(self.hub.request("GET", path).body["tasks"], [])

    def test_each_at_its_time(self) -> None:
        """Of two tasks the one that ended a day ago goes, the younger one stays whole."""
        (first,) = self.done()
        self.days(0.5)
        (second,) = self.done()
        events = history(self.hub, second)
        self.days(0.6)
        self.assertEqual((self.is_known(first), self.is_known(second)), (False, True))
        self.assertEqual(history(self.hub, second), events)
        self.days(0.5)
        self.assertFalse(self.is_known(second))

    def test_the_end_counts(self) -> None:
        """The time counts from the end, not from the submission."""
        task_id = self.submit()
        self.days(3)
        self.cancel(task_id)
        self.days(0.9)
        self.assertTrue(self.is_known(task_id))
        self.days(0.2)
        self.assertFalse(self.is_known(task_id))

    def test_live(self) -> None:
        """What waits or runs is kept with all of its events, however old they are."""
        agent = self.hub.agent("a")
        working = self.submit(on_disconnect="keep")
        agent.say("task_accepted", task_id=working)
        agent.say("task_progress", task_id=working, message="half", progress=0.5)
        waiting = self.submit(capabilities=["gpu"])
        self.hub.cut(agent)
        self.hub.advance(1)
        before = {task_id: history(self.hub, task_id) for task_id in (working, waiting)}
        self.done(3)
        self.days(5)
        after = {task_id: history(self.hub, task_id) for task_id in (working, waiting)}
        self.assertEqual(after, before)
        self.assert_task(working, status="working", progress=0.5)
        self.assert_task(waiting, status="queued")
        log = [e for e in Watcher(self.hub, "after=0").events if e["topic"] == "tasks"]
        expected = sorted([*before[working], *before[waiting]], key=lambda event: event["seq"])
        self.assertEqual(log, expected)

    def test_retried(self) -> None:
        """A dead letter that was retried in time lives, and keeps its history."""
        agent = self.hub.agent("a")
        task_id = self.die(agent)
        self.hub.cut(agent)
        self.days(0.9)
        self.post(f"/api/tasks/{task_id}/retry")
        self.days(3)
        self.assert_task(task_id, status="queued", series=2)
        self.assertEqual(self.hub.events_of(task_id)[0], "task_submitted")

    def test_presence(self) -> None:
        """Events of agents that come and go, long ago, go too."""
        for _ in range(5):
            self.hub.cut(self.hub.agent("a"))
        self.days(1.1)
        self.assertEqual(Watcher(self.hub, "after=0&topics=presence").events, [])

    def test_late_report(self) -> None:
        """A report on a task that was forgotten is acknowledged like one on any unknown task."""
        (task_id,) = self.done()
        self.days(1.1)
        agent = self.hub.agent("worker")
        answers = agent.say("task_complete", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="complete")
        self.assertFalse(self.is_known(task_id))

    def test_key_is_free(self) -> None:
        """An idempotency key is kept as long as its task, and is then free again."""
        agent = self.hub.agent("a")
        first = self.submit(idempotency_key="k")
        agent.say("task_complete", task_id=first)
        self.hub.cut(agent)
        self.days(0.9)
        answer = self.ask(idempotency_key="k")
        self.assertEqual((answer.status, answer.body["task_id"]), (200, first))
        self.days(0.2)
        second = self.submit(idempotency_key="k", description="other")
        self.assertNotEqual(second, first)
        answer = self.ask(idempotency_key="k", description="other")
        self.assertEqual((answer.status, answer.body["task_id"]), (200, second))

    def test_after_a_restart(self) -> None:
        """What got old while no hub was there goes soon after the start of one."""
        (task_id,) = self.done()
        self.hub.settle()
        for call in self.hub.clock.getDelayedCalls():
            call.cancel()
        self.hub.clock.advance(2 * DAY)
        self.restart()
        self.assertTrue(self.is_known(task_id))
        self.hub.advance(60)
        self.assertFalse(self.is_known(task_id))


class KeptForEverTests(RetentionTests):
    """A hub that forgets nothing."""

    settings: ClassVar[dict[str, Any]] = {"retain_s": None}

    def test_kept(self) -> None:
        """With ``--retain forever`` everything stays."""
        tasks = self.done(3)
        self.days(400)
        self.assertEqual([self.is_known(task_id) for task_id in tasks], [True] * 3)
        self.assertEqual(Watcher(self.hub, "after=0").events[0]["seq"], 1)


class SmallStepsTests(RetentionTests):
    """Forgetting holds up nobody."""

    def test_small_batches(self) -> None:
        """However much is to go, it goes in small steps, and others go on between them."""
        tasks = self.done(200)
        units: list[Unit] = []
        commit = self.hub.store.commit

        def watched(unit: Unit) -> None:
            if unit.forgotten or unit.forgotten_events:
                units.append(unit)
            commit(unit)

        self.patch(self.hub.store, "commit", watched)
        self.hub.advance(DAY, step=600)
        while not units:
            self.hub.advance(1, step=0.01)
        self.assertTrue(self.is_known(tasks[-1]), "all went at once")
        agent = self.hub.agent("b")
        new = self.submit()
        self.assertEqual(self.assigned(agent), [new])
        self.hub.advance(60, step=0.1)
        self.assertFalse(self.is_known(tasks[-1]))
        sizes = [(len(unit.forgotten), len(unit.forgotten_events)) for unit in units]
        self.assertLessEqual(max(map(max, sizes)), AT_A_TIME)
        gone = [task_id for unit in units for task_id in unit.forgotten]
        self.assertEqual(sorted(gone), sorted(tasks))

    def test_task_with_many_events(self) -> None:
        """A task that has more events than a step takes goes too, its events first."""
        agent = self.hub.agent("a")
        task_id = self.submit()
        for number in range(3 * AT_A_TIME):
            agent.say("task_progress", task_id=task_id, message=str(number))
            self.hub.advance(0.25)
        agent.say("task_complete", task_id=task_id)
        self.hub.cut(agent)
        self.assertGreater(len(history(self.hub, task_id)), 3 * AT_A_TIME)
        self.days(1.1)
        self.assertFalse(self.is_known(task_id))
        told = [e for e in Watcher(self.hub, "after=0").events if e["task_id"] == task_id]
        self.assertEqual(told, [])


class CursorTests(RetentionTests):
    """What somebody who was away is told of what went meanwhile."""

    def seq(self) -> int:
        """The newest sequence number."""
        return self.hub.hub.events.last_seq

    def test_gap(self) -> None:
        """A cursor from before what went is told of a gap, and reads on where nothing misses."""
        self.done(3)
        old = self.seq()
        self.done(3)
        self.days(1.1)
        forgotten = self.seq()
        (kept,) = self.done()
        for after in (1, old, forgotten - 1):
            told = self.gap(after)
            assert told is not None, after
            first = int(str(told["first"]).rpartition(":")[2])
            self.assertEqual(first, forgotten + 1)
            watcher = Watcher(self.hub, f"after={after}&topics=tasks")
            self.assertEqual({event["task_id"] for event in watcher.events[1:]}, {kept})
            seqs = [event["seq"] for event in Watcher(self.hub, f"after={after}").events[1:]]
            self.assertEqual(seqs, list(range(first, self.seq() + 1)))

    def test_no_gap(self) -> None:
        """A cursor from behind what went is told of none, nor is one that asks for the oldest."""
        self.done(3)
        self.days(1.1)
        forgotten = self.seq()
        self.assertIsNone(self.gap(forgotten))
        self.done(3)
        for after in (forgotten, self.seq() - 1, self.seq(), 0):
            self.assertIsNone(self.gap(after), after)

    def test_among_live_events(self) -> None:
        """A cursor between events of a live task, with others gone behind it, is told of a gap."""
        task_id = self.submit(capabilities=["gpu"])
        after = self.seq()
        self.done(2)
        self.days(1.1)
        self.assertIsNotNone(self.gap(after))
        oldest = Watcher(self.hub, "after=0&topics=tasks").events[0]
        self.assert_fields(oldest, task_id=task_id, seq=after)

    def test_restart(self) -> None:
        """It is the same after a restart."""
        self.done(3)
        old = self.seq() - 2
        self.days(1.1)
        forgotten = self.seq()
        self.restart()
        told = self.gap(old)
        assert told is not None
        self.assertEqual(int(str(told["first"]).rpartition(":")[2]), forgotten + 1)
        self.assertIsNone(self.gap(forgotten))

    def test_follower(self) -> None:
        """Somebody who has followed all along is told of no gap."""
        watcher = Watcher(self.hub, "after=0")
        self.done(3)
        self.days(1.1)
        self.done(2)
        seqs = [event["seq"] for event in watcher.events]
        self.assertEqual(seqs, list(range(1, self.seq() + 1)))

    def test_numbers_never_come_twice(self) -> None:
        """Numbers go on where they were, also when the whole log has gone before a restart."""
        self.done(3)
        self.days(1.1)
        last = self.seq()
        self.assertEqual(Watcher(self.hub, "after=0").events, [])
        self.restart()
        self.assertEqual(self.seq(), last + 1)
        (started,) = Watcher(self.hub, "after=0").events
        self.assert_fields(started, seq=last + 1, event="hub_started")
        self.days(1.1)
        self.restart()
        self.assertEqual(self.seq(), last + 2)


class ClockTests(RetentionTests):
    """The time of day jumps."""

    def test_ahead(self) -> None:
        """A clock that is suddenly a year ahead makes nothing old at once."""
        (task_id,) = self.done()
        self.days(0.1)
        clock = self.hub.clock
        self.patch(self.hub.hub, "_wall", lambda: clock.seconds() + 365 * DAY)
        self.hub.advance(2 * ROUND_S, step=10)
        self.assertTrue(self.is_known(task_id))
        self.hub.advance(DAY + ROUND_S, step=60)
        self.assertFalse(self.is_known(task_id))
