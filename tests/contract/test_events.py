"""The event log as clients see it: PROTOCOL.md section 5."""

import json
from typing import Any

from tests.contract.helpers import Frame, HubTests, Watcher, enqueue, history

MIB = 1024 * 1024


class NamesTests(HubTests):
    """What is logged of a task."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def test_good_push(self) -> None:
        """A push that ends well is submitted, assigned, accepted, complete."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=task_id, result=1, tokens_used=7)
        names = ["task_submitted", "task_assigned", "task_accepted", "task_complete"]
        self.assertEqual(self.hub.events_of(task_id), names)

    def test_fields(self) -> None:
        """Each event has the fields of section 5, in this order of things."""
        task_id = self.accepted(self.agent)
        self.hub.advance(2)
        self.agent.say("task_complete", task_id=task_id, tokens_used=7)
        events = history(self.hub, task_id)
        fields = {
            "seq",
            "topic",
            "event",
            "task_id",
            "agent_id",
            "generation",
            "timestamp",
            "payload",
        }
        for event in events:
            self.assertEqual(set(event), fields)
            self.assert_fields(event, topic="tasks", task_id=task_id)
            self.assertIsInstance(event["payload"], dict)
        self.assertEqual([e["agent_id"] for e in events[1:]], ["a"] * 3)
        self.assertEqual([e["generation"] for e in events[1:]], [1] * 3)
        self.assertEqual(events[-1]["timestamp"], 1_700_000_002_000)
        self.assertEqual(events[-1]["payload"]["tokens_used"], 7)

    def test_failed_push(self) -> None:
        """A push that fails is failed, then a dead letter."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_failed", task_id=task_id, error="broke", reason="why")
        names = self.hub.events_of(task_id)
        self.assertEqual(names[-2:], ["task_failed", "task_dead_letter"])
        self.assert_fields(history(self.hub, task_id)[-2]["payload"], error="broke", reason="why")

    def test_failed_and_retried(self) -> None:
        """A failure with attempts left is failed, requeued and, after a while, assigned."""
        task_id = enqueue(self.hub, "a", max_attempts=2)
        answers = self.agent.say("task_failed", task_id=task_id, error="e")
        self.assert_answer(answers, "task_ack", status="failed", outcome="retried")
        self.hub.advance(1)
        names = ["task_failed", "task_requeued", "task_assigned"]
        self.assertEqual(self.hub.events_of(task_id)[-3:], names)

    def test_not_retryable(self) -> None:
        """A failure that is not retryable is a dead letter, attempts left or not."""
        task_id = enqueue(self.hub, "a", max_attempts=5)
        answers = self.agent.say("task_failed", task_id=task_id, retryable=False)
        self.assert_answer(answers, "task_ack", outcome="dead_letter")
        self.assert_task(task_id, status="dead_letter", attempts=1)

    def test_retryable_by_default(self) -> None:
        """Nothing said, a failure is retryable."""
        for fields in ({}, {"retryable": None}, {"retryable": True}):
            task_id = enqueue(self.hub, "a", max_attempts=2)
            answers = self.agent.say("task_failed", task_id=task_id, **fields)
            self.assert_answer(answers, "task_ack", outcome="retried")
            self.agent.say("task_complete", task_id=task_id)

    def test_without_acceptance(self) -> None:
        """A task that was completed without acceptance has no ``task_accepted``."""
        task_id = self.hub.push("a")
        self.agent.say("task_complete", task_id=task_id)
        names = ["task_submitted", "task_assigned", "task_complete"]
        self.assertEqual(self.hub.events_of(task_id), names)

    def test_cancelled(self) -> None:
        """A cancellation is ``task_cancelled`` and nothing after it."""
        task_id = self.accepted(self.agent)
        self.hub.request("POST", f"/api/tasks/{task_id}/cancel")
        self.agent.say("task_complete", task_id=task_id)
        self.assertEqual(self.hub.events_of(task_id)[-1], "task_cancelled")


class ProgressCase(HubTests):
    """A task that is being worked on."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")
        self.task_id = self.accepted(self.agent)

    def progress(self, **fields: Any) -> None:
        self.assertEqual(self.agent.say("task_progress", task_id=self.task_id, **fields), [])

    def told(self) -> list[Frame]:
        events = history(self.hub, self.task_id)
        return [e["payload"] for e in events if e["event"] == "task_progress"]


class ProgressTests(ProgressCase):
    """Progress may wait and merge; nothing else does."""

    def test_fields(self) -> None:
        """All that progress says is in its event, and the task shows how far it is."""
        said = {"progress": 0.5, "message": "half", "output": "line\n", "cost": {"usd": 0.1}}
        self.progress(**said)
        self.hub.advance(0.25)
        self.assertEqual(self.told(), [said])
        self.assert_task(self.task_id, progress=0.5)

    def test_within_250_ms(self) -> None:
        """Progress is in the log 250 ms after it was said, at the latest."""
        self.hub.advance(10)
        self.progress(progress=1)
        self.hub.advance(0.25, step=0.05)
        self.assertEqual(len(self.told()), 1)

    def test_merges(self) -> None:
        """What is said within 250 ms merges: outputs are joined, of others the last stands."""
        self.progress(progress=0.1, message="one", output="a")
        self.progress(progress=0.2, output="b", cost={"n": 1})
        self.progress(message="three", output="c")
        self.hub.advance(0.25)
        merged = {"progress": 0.2, "message": "three", "output": "abc", "cost": {"n": 1}}
        self.assertEqual(self.told(), [merged])

    def test_slowly(self) -> None:
        """What is said further apart does not merge."""
        for number in range(4):
            self.progress(progress=number)
            self.hub.advance(0.5)
        self.assertEqual([p["progress"] for p in self.told()], [0, 1, 2, 3])

    def test_per_task(self) -> None:
        """Progress of different tasks does not merge."""
        other = self.accepted(self.agent)
        self.progress(message="x")
        self.agent.say("task_progress", task_id=other, message="y")
        self.hub.advance(1)
        self.assertEqual(self.told(), [{"message": "x"}])
        self.assertEqual(history(self.hub, other)[-1]["payload"], {"message": "y"})

    def test_order(self) -> None:
        """Progress that waits is written before what is said after it."""
        self.progress(output="last words")
        self.agent.say("task_complete", task_id=self.task_id)
        names = self.hub.events_of(self.task_id)
        self.assertEqual(names[-2:], ["task_progress", "task_complete"])
        self.assertEqual(self.told(), [{"output": "last words"}])

    def test_order_with_every_end(self) -> None:
        """So it is before a failure, a recovery and a cancellation."""
        self.progress(message="1")
        self.agent.say("task_recovering", task_id=self.task_id)
        self.progress(message="2")
        self.agent.say("task_failed", task_id=self.task_id)
        names = self.hub.events_of(self.task_id)[3:]
        self.assertEqual(
            names,
            [
                "task_progress",
                "task_recovering",
                "task_progress",
                "task_failed",
                "task_dead_letter",
            ],
        )
        self.task_id = self.accepted(self.agent)
        self.progress(message="3")
        self.hub.request("POST", f"/api/tasks/{self.task_id}/cancel")
        names = self.hub.events_of(self.task_id)[-2:]
        self.assertEqual(names, ["task_progress", "task_cancelled"])

    def test_nothing_else_merges(self) -> None:
        """However fast they follow each other, other events are each in the log."""
        task_id = enqueue(self.hub, "a", max_attempts=5, backoff={"initial_s": 0})
        self.agent.say("task_complete", task_id=self.task_id)
        for _ in range(4):
            self.agent.say("task_failed", task_id=task_id)
        names = self.hub.events_of(task_id)
        self.assertEqual(names.count("task_failed"), 4)
        self.assertEqual(names.count("task_assigned"), 5)

    def test_implies_acceptance(self) -> None:
        """Progress of a task that was not accepted shows that the agent works on it."""
        self.task_id = self.hub.push("a")
        self.progress(progress=0.5)
        self.hub.advance(1)
        self.assert_task(self.task_id, status="working", progress=0.5)

    def test_lost_line(self) -> None:
        """Progress that was said before the line broke is kept."""
        self.progress(output="x")
        self.agent.vanish()
        self.hub.advance(0.25)
        self.assertEqual(self.told(), [{"output": "x"}])


class OutputTests(ProgressCase):
    """Stored output is capped."""

    def output(self) -> bytes:
        return "".join(p.get("output", "") for p in self.told()).encode()

    def truncations(self) -> int:
        return self.hub.events_of(self.task_id).count("output_truncated")

    def test_capped(self) -> None:
        """Output is kept up to 4 MiB a task, then there is one ``output_truncated``."""
        for letter in "abcdefgh":
            self.progress(output=letter * 700_000)
            self.hub.advance(0.5)
        self.assertEqual(len(self.output()), 4 * MIB)
        self.assertEqual(self.truncations(), 1)
        self.assertTrue(self.output().startswith(b"a" * 700_000 + b"b"))

    def test_exactly(self) -> None:
        """Exactly 4 MiB are kept whole and nothing is truncated; one byte more is."""
        for _ in range(8):
            self.progress(output="x" * (MIB // 2))
            self.hub.advance(0.5)
        self.assertEqual((len(self.output()), self.truncations()), (4 * MIB, 0))
        self.progress(output="y")
        self.hub.advance(0.5)
        self.assertEqual((len(self.output()), self.truncations()), (4 * MIB, 1))

    def test_bytes(self) -> None:
        """The cap is in bytes, and cuts no character in half."""
        said = {"type": "task_progress", "task_id": self.task_id, "output": "\u20ac" * 300_000}
        for _ in range(8):
            self.agent.say_text(json.dumps(said, ensure_ascii=False).encode())
            self.hub.advance(0.5)
        self.assertLessEqual(len(self.output()), 4 * MIB)
        self.assertGreater(len(self.output()), 4 * MIB - 4)
        self.assertEqual(set(self.output().decode()), {"\u20ac"})

    def test_rest_goes_on(self) -> None:
        """Past the cap progress and the end of the task are logged as ever."""
        for _ in range(5):
            self.progress(output="x" * 1_000_000)
            self.hub.advance(0.5)
        self.progress(progress=0.9, message="still here", output="lost")
        self.hub.advance(0.5)
        self.assertEqual(self.told()[-1], {"progress": 0.9, "message": "still here"})
        self.assert_answer(self.agent.say("task_complete", task_id=self.task_id), "task_ack")

    def test_per_task(self) -> None:
        """The cap is per task."""
        for _ in range(5):
            self.progress(output="x" * 1_000_000)
            self.hub.advance(0.5)
        self.task_id = self.accepted(self.agent)
        self.progress(output="y" * 1_000_000)
        self.hub.advance(0.5)
        self.assertEqual(len(self.output()), 1_000_000)


class LogTests(HubTests):
    """The log as one sequence."""

    def test_contiguous(self) -> None:
        """``seq`` is contiguous in commit order, over all topics and a restart."""
        self.busy_day()
        self.restart()
        self.busy_day()
        events = Watcher(self.hub, "after=0").events
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
        self.assertEqual({e["topic"] for e in events}, {"tasks", "presence"})
        times = [e["timestamp"] for e in events]
        self.assertEqual(times, sorted(times))

    def busy_day(self) -> None:
        agent = self.hub.agent("a")
        for number in range(20):
            task_id = self.accepted(agent)
            agent.say("task_progress", task_id=task_id, progress=number)
            self.hub.advance(0.1, step=0.1)
            agent.say("task_complete" if number % 2 else "task_failed", task_id=task_id)
            agent.say("status", status=str(number))

    def test_live_and_later_are_the_same(self) -> None:
        """Who watches live sees what who reads later sees."""
        live = Watcher(self.hub, "after=0")
        self.busy_day()
        self.hub.advance(1)
        later = Watcher(self.hub, "after=0")
        self.assertEqual(live.events, later.events)

    def test_task_events_are_the_same(self) -> None:
        """The events of one task are those of the log."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        agent.say("task_complete", task_id=task_id)
        watched = [e for e in Watcher(self.hub, "after=0").events if e["task_id"] == task_id]
        self.assertEqual(history(self.hub, task_id), watched)


class PresenceEventTests(HubTests):
    """Topic ``presence``."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = Watcher(self.hub, "topics=presence&after=0")

    def test_names(self) -> None:
        """Joins, status changes and leaves are logged, with their agent."""
        agent = self.hub.agent("a")
        agent.say("status", status="x")
        agent.vanish()
        names = ["agent_joined", "status_changed", "agent_left"]
        self.assertEqual(self.watcher.names[-3:], names)
        for event in self.watcher.events[-3:]:
            self.assert_fields(event, topic="presence", agent_id="a", task_id=None)

    def test_hub_started(self) -> None:
        """``hub_started`` ends all earlier presence, at each start."""
        self.assertEqual(self.watcher.names[0], "hub_started")
        self.hub.agent("a")
        self.restart()
        watcher = Watcher(self.hub, "topics=presence&after=0")
        self.assertEqual(watcher.names, ["hub_started", "agent_joined", "hub_started"])

    def test_modes_do_not_matter(self) -> None:
        """The log has everything, whatever agents choose to hear and however many there are."""
        self.hub = type(self.hub)(presence_limit=1)
        for number in range(5):
            self.hub.agent(f"a{number}", presence="none")
        watcher = Watcher(self.hub, "topics=presence&after=0")
        self.assertEqual(watcher.names.count("agent_joined"), 5)

    def test_topics(self) -> None:
        """A watcher of one topic gets no other."""
        self.hub.agent("a")
        self.hub.push("a")
        self.assertEqual({e["topic"] for e in self.watcher.events}, {"presence"})
        tasks = Watcher(self.hub, "topics=tasks&after=0")
        self.assertEqual({e["topic"] for e in tasks.events}, {"tasks"})
