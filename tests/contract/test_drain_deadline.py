"""The end of a drain: its deadline, the last task, and what the log says of both."""

from __future__ import annotations

from agentcom.core.drain import Drain
from agentcom.store.interface import Unit
from agentcom.store.sqlite import open_in_memory
from agentcom.testing import MemoryHub
from tests.contract.draining import DrainTests


class DeadlineTests(DrainTests):
    """When the deadline passes, others may have what still runs."""

    def test_back_to_the_queue(self) -> None:
        """What still runs goes back without an attempt spent; the agent is told to stop."""
        agent = self.hub.agent("a", slots=2)
        task_id = self.submit(max_attempts=1)
        self.accept(agent, task_id)
        self.drain("a", deadline_s=10, note="new kernel")
        other = self.hub.agent("b", slots=1)
        self.hub.advance(9)
        self.assert_task(task_id, status="working", agent_id="a")
        self.hub.advance(2)
        self.assert_task(task_id, status="assigned", agent_id="b", attempts=1, generation=2)
        self.assertEqual(self.assigned(other), [task_id])
        self.assertEqual(self.told_off(agent), [(task_id, 1, "new kernel")])
        self.assertEqual(
            self.last_payload(task_id, "task_requeued"),
            {"reason": "drained", "by": "admin", "note": "new kernel", "requeues": 1},
        )
        self.state("a", running=0, drained=True)

    def test_reason_without_a_note(self) -> None:
        """Without a note the agent is told ``drained``."""
        agent = self.hub.agent("a")
        task_id = self.submit()
        self.drain("a", deadline_s=1)
        self.hub.advance(2)
        self.assertEqual(self.told_off(agent), [(task_id, 1, "drained")])

    def test_orders_and_kept_tasks(self) -> None:
        """An order, and what is kept for ever, go back as well and wait for their agent."""
        agent = self.hub.agent("a", slots=2)
        order = self.accepted(agent)
        kept = self.submit(agent_id="a", on_disconnect="keep")
        self.drain("a", deadline_s=10)
        self.hub.advance(11)
        self.assertEqual([self.status_of(t) for t in (order, kept)], ["queued", "queued"])
        self.hub.agent("b")
        self.hub.advance(3)
        self.assertEqual([self.status_of(t) for t in (order, kept)], ["queued", "queued"])
        self.resume("a")
        self.assertEqual([self.status_of(t) for t in (order, kept)], ["assigned", "assigned"])
        self.assert_task(order, attempts=1, generation=2)

    def test_of_one_that_is_away(self) -> None:
        """The deadline holds for an agent that is away."""
        agent = self.hub.agent("a")
        task_id = self.submit(on_disconnect="keep")
        self.drain("a", deadline_s=10)
        agent.vanish()
        self.hub.advance(11)
        self.assertEqual(self.status_of(task_id), "queued")

    def test_late_result_counts(self) -> None:
        """Finished work is kept, as long as nobody else has begun."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain("a", deadline_s=10)
        self.hub.advance(11)
        self.complete(agent, task_id)
        self.assert_task(task_id, status="completed", attempts=1)

    def test_nothing_is_taken_up_again(self) -> None:
        """What went back is not taken up again by an agent whose time is over."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain("a", deadline_s=10)
        agent.vanish()
        self.hub.advance(11)
        mention = {"task_id": task_id, "generation": 1}
        agent = self.hub.agent("a", tasks=[mention])
        told = agent.frames[0]["tasks"]
        self.assertEqual(told, [{"task_id": task_id, "action": "abort"}])
        answers = agent.say("state_report", status="working", **mention)
        self.assert_answer(answers, "state_report_ack", action="abort")
        self.assertEqual(self.status_of(task_id), "queued")
        for _ in range(3):
            answers = agent.say("task_recovering", last_status="working", **mention)
            self.assert_answer(answers, "task_reassign")
        self.hub.advance(1)
        self.assert_task(task_id, status="queued", requeues=1)
        self.resume("a")
        self.hub.advance(3)
        self.assertEqual(self.status_of(task_id), "assigned")

    def test_before_it_work_goes_on(self) -> None:
        """Before its deadline, a drained agent goes on with what it has, after a break too."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain("a", deadline_s=100)
        agent.vanish()
        self.hub.advance(40)
        self.assertEqual(self.status_of(task_id), "queued")
        mention = {"task_id": task_id, "generation": 1}
        agent = self.hub.agent("a", tasks=[mention])
        self.assertEqual(agent.frames[0]["tasks"][0]["action"], "continue")
        self.state("a", running=1, drained=False)
        self.hub.advance(70)
        self.assertEqual(self.status_of(task_id), "queued")

    def test_counts_on_after_a_restart(self) -> None:
        """A restart of the hub neither ends the time to finish nor begins it anew."""
        task_id = self.accepted(self.hub.agent("a"))
        self.drain("a", deadline_s=20)
        self.hub.advance(15)
        self.restart()
        self.hub.advance(4)
        self.assertEqual(self.status_of(task_id), "working")
        self.hub.advance(2)
        self.assertEqual(self.status_of(task_id), "queued")

    def test_passed_while_the_hub_was_down(self) -> None:
        """A deadline that passed while no hub ran holds as soon as one does."""
        task_id = self.accepted(self.hub.agent("a"))
        self.drain("a", deadline_s=20)
        for call in self.hub.clock.getDelayedCalls():
            call.cancel()
        self.hub.clock.advance(25)
        self.restart()
        self.hub.advance(1)
        self.assertEqual(self.status_of(task_id), "queued")

    def test_the_newest_deadline_counts(self) -> None:
        """Another drain's deadline takes the place of the first, be it later or earlier."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain("a", deadline_s=10)
        self.drain("a", deadline_s=100)
        self.hub.advance(50)
        self.assertEqual(self.status_of(task_id), "working")
        self.drain("a", deadline_s=5)
        self.hub.advance(6)
        self.assertEqual(self.status_of(task_id), "queued")

    def test_the_deadline_is_taken_away(self) -> None:
        """Another drain without a deadline lets what runs take as long as it takes."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain("a", deadline_s=10)
        self.drain("a")
        self.hub.advance(60)
        self.assertEqual(self.status_of(task_id), "working")

    def test_a_new_deadline_lets_it_go_on(self) -> None:
        """An agent whose deadline passed may take up its work where it is given more time."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain("a", deadline_s=10)
        self.hub.advance(11)
        self.drain("a", deadline_s=60)
        answers = agent.say("state_report", task_id=task_id, generation=1, status="working")
        self.assert_answer(answers, "state_report_ack", action="continue")


class EventTests(DrainTests):
    """What the log says of a drain."""

    def test_its_course(self) -> None:
        """Begin, end of the last task, and resume are one event each, with who and why."""
        agent = self.hub.agent("a", slots=2)
        tasks = [self.submit(), self.submit()]
        told = self.drain("a", note="kernel", deadline_s=60)
        for task_id in tasks:
            self.complete(agent, task_id)
        self.resume("a")
        events = self.logged("agent_draining", "agent_drained", "agent_resumed")
        self.assertEqual(
            [(e["event"], e["agent_id"], e["topic"], e["payload"]) for e in events],
            [
                (
                    "agent_draining",
                    "a",
                    "presence",
                    {"by": "admin", "note": "kernel", "deadline": told["deadline"]},
                ),
                ("agent_drained", "a", "presence", {}),
                ("agent_resumed", "a", "presence", {"by": "admin"}),
            ],
        )

    def test_drained_follows_the_end(self) -> None:
        """``agent_drained`` stands behind the end of the last task."""
        agent = self.hub.agent("a")
        task_id = self.submit()
        self.drain("a")
        self.assertEqual(self.logged("agent_drained"), [])
        self.complete(agent, task_id)
        ends = [
            e["seq"] for e in self.hub.request("GET", f"/api/tasks/{task_id}/events").body["events"]
        ]
        (drained,) = self.logged("agent_drained")
        self.assertGreater(drained["seq"], max(ends))

    def test_an_idle_agent(self) -> None:
        """An agent that has nothing is drained at once, and once however often it is said."""
        self.hub.agent("a")
        self.assert_fields(self.drain("a"), drained=True, running=0)
        self.drain("a")
        self.restart()
        names = ("agent_draining", "agent_drained")
        events = [e["event"] for e in self.logged(*names)]
        self.assertEqual(events, ["agent_draining", "agent_drained", "agent_draining"])

    def test_a_cancelled_task(self) -> None:
        """Any end of the last task counts, whoever caused it."""
        self.hub.agent("a")
        task_id = self.submit()
        self.drain("a")
        self.cancel(task_id)
        self.assertEqual(len(self.logged("agent_drained")), 1)

    def test_told_after_a_crash(self) -> None:
        """A process that died before it could tell leaves that to the next one."""
        store = open_in_memory(self.hub.clock)
        store.commit(Unit(drains={"a": Drain(by="admin", since=self.hub.hub.now())}))
        self.hub.settle()
        self.hub = MemoryHub(store, self.hub.clock)
        self.assertEqual([e["agent_id"] for e in self.logged("agent_drained")], ["a"])
        self.restart()
        self.assertEqual(len(self.logged("agent_drained")), 1)

    def test_restart_while_it_works(self) -> None:
        """A restart does not make an agent drained that still has work."""
        self.hub.agent("a")
        self.submit()
        self.drain("a")
        self.restart()
        self.state("a", running=1, drained=False)
        self.assertEqual(self.logged("agent_drained"), [])

    def test_hub_started_does_not_end_it(self) -> None:
        """The drain is in the list of what is drained, after a restart too."""
        self.hub.agent("b")
        self.hub.agent("a")
        self.drain("b")
        self.hub.advance(1)
        self.drain("a", note="n")
        self.restart()
        agents = self.hub.request("GET", "/api/admin/drain").body["agents"]
        self.assertEqual([(a["agent_id"], a["note"]) for a in agents], [("b", None), ("a", "n")])
