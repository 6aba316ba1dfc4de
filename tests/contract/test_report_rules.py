"""Unknown tasks, repeated reports and the commit: section 3.2, rules 1, 2, 5 and 6."""

from agentcom.testing import FakeAgent, MemoryHub
from tests.contract.helpers import HubTests, SlowDisk, Watcher, enqueue, history, queue

UNKNOWN = "task-0123456789abcdef"


class UnknownTaskTests(HubTests):
    """Rule 1: tasks that the hub does not know."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def test_acknowledged(self) -> None:
        """A report on an unknown task is acknowledged as if it were known."""
        for type, status in (
            ("task_accepted", "accepted"),
            ("task_complete", "complete"),
            ("task_rejected", "rejected"),
        ):
            answers = self.agent.say(type, task_id=UNKNOWN)
            self.assert_answer(answers, "task_ack", task_id=UNKNOWN, status=status)

    def test_failed(self) -> None:
        """So is ``task_failed``, with one of the two outcomes."""
        answers = self.agent.say("task_failed", task_id=UNKNOWN, error="x")
        frame = self.assert_answer(answers, "task_ack", task_id=UNKNOWN, status="failed")
        self.assertIn(frame["outcome"], ("retried", "dead_letter"))

    def test_progress(self) -> None:
        """``task_progress`` has no reply, and no error either."""
        self.assertEqual(self.agent.say("task_progress", task_id=UNKNOWN, progress=0.5), [])

    def test_recovering(self) -> None:
        """``task_recovering`` gets ``task_reassign``."""
        for fields in ({}, {"generation": 4}, {"last_status": "working"}):
            answers = self.agent.say("task_recovering", task_id=UNKNOWN, **fields)
            self.assert_answer(answers, "task_reassign", task_id=UNKNOWN)

    def test_state_report(self) -> None:
        """``state_report`` gets ``abort``."""
        answers = self.agent.say("state_report", task_id=UNKNOWN, generation=1, status="working")
        self.assert_answer(answers, "state_report_ack", task_id=UNKNOWN, action="abort")

    def test_live_watchers(self) -> None:
        """Live watchers get an event of it, with ``seq`` null."""
        watcher = Watcher(self.hub, "topics=tasks")
        types = (
            "task_accepted",
            "task_progress",
            "task_complete",
            "task_failed",
            "task_rejected",
            "task_recovering",
        )
        for type in types:
            self.agent.say(type, task_id=UNKNOWN)
        self.assertEqual(watcher.names, list(types))
        for event in watcher.events:
            self.assert_fields(event, seq=None, topic="tasks", task_id=UNKNOWN, agent_id="a")

    def test_nothing_is_stored(self) -> None:
        """Nothing of it is stored: no task, and no event for later watchers."""
        self.agent.say("task_complete", task_id=UNKNOWN, result=1)
        self.agent.say("task_failed", task_id=UNKNOWN)
        self.assertEqual(self.hub.request("GET", f"/api/tasks/{UNKNOWN}").status, 404)
        watcher = Watcher(self.hub, "after=0")
        self.assertNotIn(UNKNOWN, [event["task_id"] for event in watcher.events])

    def test_later_event_numbers(self) -> None:
        """It takes no number of the log."""
        before = Watcher(self.hub, "after=0").events[-1]["seq"]
        self.agent.say("task_complete", task_id=UNKNOWN)
        self.agent.say("status", status="x")
        self.assertEqual(Watcher(self.hub, "after=0").events[-1]["seq"], before + 1)

    def test_any_id(self) -> None:
        """Ids are opaque: any text is an unknown task."""
        for task_id in ("x", "task-", "../../etc", "é", "%00", "'; drop table tasks"):
            self.assert_answer(self.agent.say("task_complete", task_id=task_id), "task_ack")


class SaidBeforeTests(HubTests):
    """Rule 2: the report that ended the last attempt, said again."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def repeat(self, type: str, task_id: str, **fields: object) -> None:
        """Say it, say it again, and again after a restart and a long time."""
        answers = self.agent.say(type, task_id=task_id, **fields)
        task, events = self.hub.task(task_id), history(self.hub, task_id)
        self.assertEqual(self.agent.say(type, task_id=task_id, **fields), answers)
        self.restart()
        self.agent = self.hub.agent("a")
        self.assertEqual(self.agent.say(type, task_id=task_id, **fields), answers)
        self.assertEqual(self.hub.task(task_id), task)
        self.assertEqual(history(self.hub, task_id), events)

    def test_complete(self) -> None:
        """``task_complete`` again: the same answer, nothing changed or logged, after a restart."""
        self.repeat("task_complete", self.accepted(self.agent), generation=1, result=1)

    def test_without_generation(self) -> None:
        """So it is for an agent that sends no generation, or 0."""
        self.repeat("task_complete", self.accepted(self.agent))
        self.repeat("task_complete", self.accepted(self.agent), generation=0)
        self.repeat("task_complete", self.accepted(self.agent), generation=None)

    def test_with_other_words(self) -> None:
        """The first word counts: another result in the repetition changes nothing."""
        task_id = self.accepted(self.agent)
        first = self.agent.say("task_complete", task_id=task_id, result="first")
        again = self.agent.say("task_complete", task_id=task_id, result="second")
        self.assertEqual(again, first)
        self.assert_task(task_id, result="first")

    def test_failed_for_good(self) -> None:
        """``task_failed`` again has the outcome of the first: ``dead_letter``."""
        self.repeat("task_failed", self.accepted(self.agent), generation=1, error="e")

    def test_failed_and_retried(self) -> None:
        """``task_failed`` again has the outcome of the first: ``retried``."""
        task_id = enqueue(self.hub, "a", max_attempts=3)
        self.agent.say("drain")
        answers = self.agent.say("task_failed", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="failed", outcome="retried")
        self.assertEqual(self.agent.say("task_failed", task_id=task_id, generation=1), answers)
        self.assert_task(task_id, status="queued", attempts=1)

    def test_failed_while_the_next_attempt_runs(self) -> None:
        """With its generation it is known as said before while the next attempt runs."""
        task_id = enqueue(self.hub, "a", max_attempts=3)
        answers = self.agent.say("task_failed", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", outcome="retried")
        self.hub.advance(1)
        self.assert_task(task_id, status="assigned", generation=2)
        self.assertEqual(self.agent.say("task_failed", task_id=task_id, generation=1), answers)
        self.assert_task(task_id, status="assigned", generation=2, attempts=2)

    def test_rejected(self) -> None:
        """``task_rejected`` again is answered again and pauses nobody twice."""
        task_id = self.hub.push("a")
        answers = self.agent.say("task_rejected", task_id=task_id, generation=1)
        for _ in range(5):
            again = self.agent.say("task_rejected", task_id=task_id, generation=1)
            self.assertEqual(again, answers)
        self.assertEqual(self.hub.events_of(task_id).count("task_rejected"), 1)
        self.hub.advance(5)
        self.assert_task(task_id, status="assigned", generation=2)

    def test_reassigned(self) -> None:
        """``task_recovering`` of work that had not started, again: ``task_reassign`` again."""
        task_id = self.accepted(self.agent)
        self.agent.say("drain")
        said = {"task_id": task_id, "last_status": "waking", "generation": 1}
        answers = self.agent.say("task_recovering", **said)
        self.assert_answer(answers, "task_reassign", task_id=task_id)
        events = self.hub.events_of(task_id)
        self.assertEqual(self.agent.say("task_recovering", **said), answers)
        self.assertEqual(self.hub.events_of(task_id), events)

    def test_another_type(self) -> None:
        """Another type is no repetition: the first end stands."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=task_id, generation=1)
        answers = self.agent.say("task_failed", task_id=task_id, generation=1)
        self.assert_error(answers, "invalid_state", status="completed")

    def test_another_agent(self) -> None:
        """Another agent's same words are no repetition."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=task_id, generation=1)
        answers = self.hub.agent("b").say("task_complete", task_id=task_id, generation=1)
        self.assert_error(answers, "not_assignee")

    def test_another_generation(self) -> None:
        """Another generation is no repetition."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=task_id, generation=1)
        answers = self.agent.say("task_complete", task_id=task_id, generation=2)
        self.assert_error(answers, "stale_generation")

    def test_on_a_new_connection(self) -> None:
        """The connection does not matter: who repeats is the agent."""
        task_id = self.accepted(self.agent)
        answers = self.agent.say("task_complete", task_id=task_id, generation=1)
        self.agent.vanish()
        again = self.hub.agent("a").say("task_complete", task_id=task_id, generation=1)
        self.assertEqual(again, answers)


class CommitTests(HubTests):
    """Rule 5: an acknowledgement leaves only after what it acknowledges is on disk."""

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        self.agent = self.hub.agent("a")

    def waits(self, agent: FakeAgent, type: str, **fields: object) -> None:
        """No answer before the commit, one after it."""
        self.disk.hold()
        self.assertEqual(agent.say(type, **fields), [])
        self.hub.advance(30)
        self.assertEqual([f for f in agent.frames if f.get("ref") == fields["ref"]], [])
        self.disk.release()
        self.hub.settle()
        answered = [f for f in agent.frames if f.get("ref") == fields["ref"]]
        self.assertEqual(len(answered), 1)
        self.assertNotEqual(answered[0]["type"], "error")

    def test_each_report(self) -> None:
        """No answer to a report that changes something leaves before its commit."""
        for number, (type, fields) in enumerate(
            (
                ("task_accepted", {}),
                ("task_complete", {"result": 1}),
                ("task_failed", {}),
                ("task_rejected", {}),
                ("task_recovering", {}),
                ("task_recovering", {"last_status": "waking"}),
            )
        ):
            task_id = self.hub.push("a")
            self.waits(self.agent, type, task_id=task_id, ref=number, **fields)

    def test_not_in_the_same_turn(self) -> None:
        """Before the turn of the clock that commits there is no acknowledgement."""
        task_id = self.hub.push("a")
        queue(self.agent, "task_complete", task_id=task_id)
        self.agent.pump.flush()
        self.assertEqual(self.agent.of("task_ack"), [])
        stored = self.successResultOf(self.hub.store.task(task_id))
        self.assertEqual(stored.status, "assigned")
        self.hub.clock.advance(0)
        self.agent.pump.flush()
        self.assertEqual(len(self.agent.of("task_ack")), 1)
        stored = self.successResultOf(self.hub.store.task(task_id))
        self.assertEqual(stored.status, "completed")

    def test_assignment(self) -> None:
        """Neither ``task_assign`` nor the push's answer leaves before the commit."""
        self.disk.hold()
        body = {"agent_id": "a", "description": "x"}
        client = self.hub.open_request("POST", "/api/admin/push-task", body)
        self.hub.advance(1)
        self.assertEqual((client.received, self.agent.of("task_assign")), (b"", []))
        self.disk.release()
        self.hub.settle()
        self.assertIn(b"200 OK", client.received)
        self.assertEqual(len(self.agent.of("task_assign")), 1)

    def test_events(self) -> None:
        """Watchers hear of nothing before the commit."""
        task_id = self.accepted(self.agent)
        watcher = Watcher(self.hub, "topics=tasks")
        self.disk.hold()
        self.agent.say("task_complete", task_id=task_id)
        self.assertEqual(watcher.names, [])
        self.disk.release()
        self.hub.settle()
        self.assertEqual(watcher.names, ["task_complete"])

    def test_survives(self) -> None:
        """What was acknowledged is there after the process died."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_complete", task_id=task_id, result={"n": 1})
        self.restart()
        self.assert_task(task_id, status="completed", result={"n": 1})


class GenerationTests(HubTests):
    """Rule 6: the fencing token."""

    def test_first(self) -> None:
        """It is 1 at the first assignment."""
        agent = self.hub.agent("a")
        self.hub.push("a")
        self.assertEqual(agent.of("task_assign")[0]["generation"], 1)

    def test_grows(self) -> None:
        """It grows by 1 at every assignment, whatever became of the one before."""
        agent = self.hub.agent("a")
        task_id = enqueue(self.hub, "a", max_attempts=9)
        agent.say("task_rejected", task_id=task_id)
        self.hub.advance(5)
        agent.say("task_failed", task_id=task_id)
        self.hub.advance(1)
        agent.say("task_recovering", task_id=task_id, last_status="waking")
        agent.vanish()
        self.hub.advance(31)
        back = self.hub.agent("a")
        self.hub.advance(2)
        frames = agent.of("task_assign") + back.of("task_assign")
        self.assertEqual([f["generation"] for f in frames], [1, 2, 3, 4, 5])

    def test_after_a_restart(self) -> None:
        """It goes on growing after a restart."""
        self.hub.agent("a")
        task_id = self.hub.push("a")
        self.restart()
        self.hub.advance(31)
        back = self.hub.agent("a")
        self.hub.advance(2)
        self.assertEqual([f["generation"] for f in back.of("task_assign")], [2])
        self.assert_task(task_id, generation=2)

    def test_given_to_another(self) -> None:
        """It grows when another agent gets the task, and fences the first one out."""
        first, second = self.hub.agent("a"), self.hub.agent("b")
        task_id = enqueue(self.hub)
        self.assert_task(task_id, agent_id="a", generation=1)
        first.say("task_rejected", task_id=task_id)
        self.assert_task(task_id, agent_id="b", generation=2)
        self.assert_error(
            first.say("task_complete", task_id=task_id, generation=1),
            "not_assignee",
            task_id=task_id,
            message_type="task_complete",
        )
        answers = second.say("task_complete", task_id=task_id, generation=2)
        self.assert_answer(answers, "task_ack", status="complete")

    def test_in_events(self) -> None:
        """Each event of the task carries the generation that it is of."""
        agent = self.hub.agent("a")
        task_id = self.hub.push("a")
        agent.say("task_rejected", task_id=task_id)
        self.hub.advance(5)
        agent.say("task_complete", task_id=task_id)
        told = [(e["event"], e["generation"]) for e in history(self.hub, task_id)]
        self.assertEqual(told[1:3], [("task_assigned", 1), ("task_rejected", 1)])
        self.assertEqual(told[-2:], [("task_assigned", 2), ("task_complete", 2)])
