"""An operator drains an agent: it finishes, and is given nothing more until it is resumed."""

from __future__ import annotations

from agentcom.testing import MemoryHub
from tests.contract.draining import DrainTests
from tests.contract.helpers import SlowDisk


class OfferTests(DrainTests):
    """What a drained agent is given, and what it keeps."""

    def test_answer(self) -> None:
        """The answer tells what still runs, until when, and why."""
        agent = self.hub.agent("a", slots=2)
        self.accept(agent, self.hub.push("a"))
        now = self.hub.hub.now()
        self.assertEqual(
            self.drain("a", deadline_s=60.5, note="new kernel"),
            {
                "status": "draining",
                "agent_id": "a",
                "connected": True,
                "running": 1,
                "by": "admin",
                "note": "new kernel",
                "since": now,
                "deadline": now + 60_500,
                "drained": False,
            },
        )

    def test_nothing_is_offered(self) -> None:
        """It is offered nothing that waits, and nothing that comes; others are."""
        drained, other = self.hub.agent("a", slots=3), self.hub.agent("b", slots=1)
        self.drain("a")
        first, second = self.submit(), self.submit()
        self.assertEqual(self.assigned(drained), [])
        self.assertEqual(self.assigned(other), [first])
        self.assertEqual(self.status_of(second), "queued")

    def test_running_tasks_stay(self) -> None:
        """What it has stays its own, and its room is not filled again."""
        agent = self.hub.agent("a", slots=2)
        tasks = [self.submit(), self.submit()]
        self.drain("a")
        waiting = self.submit()
        self.hub.advance(3_000)
        for task_id in tasks:
            self.complete(agent, task_id)
        self.assertEqual(self.assigned(agent), tasks)
        self.assertEqual(self.status_of(waiting), "queued")

    def test_push_is_refused(self) -> None:
        """A push is 409 ``agent_draining``, and says who drains it and why."""
        self.hub.agent("a")
        told = self.drain("a", note="new kernel", deadline_s=9)
        answer = self.push("a")
        self.assertEqual((answer.status, answer.body["error"]), (409, "agent_draining"))
        self.assert_fields(answer.body, agent_id="a", note="new kernel", deadline=told["deadline"])
        self.assertIn("admin: new kernel", answer.body["detail"])
        self.assertIn("push to another agent", answer.body["detail"])

    def test_repeated_push_is_answered(self) -> None:
        """A push that was taken before the drain is answered as it was."""
        self.hub.agent("a")
        first = self.push("a", idempotency_key="k").body
        self.drain("a")
        again = self.push("a", idempotency_key="k")
        self.assertEqual((again.status, again.body), (200, first))

    def test_pinned_task_waits(self) -> None:
        """A task for this agent alone is taken, and waits."""
        agent = self.hub.agent("a")
        self.drain("a")
        task_id = self.submit(agent_id="a")
        self.assertEqual(self.assigned(agent), [])
        self.resume("a")
        self.assertEqual(self.assigned(agent), [task_id])

    def test_state_of_the_agent(self) -> None:
        """AgentInfo says ``draining``, with what still runs."""
        agent = self.hub.agent("a")
        task_id = self.hub.push("a")
        self.drain("a")
        info = self.hub.request("GET", "/api/agents").body["agents"][0]
        self.assert_fields(info, state="draining", running=1)
        self.complete(agent, task_id)
        info = self.hub.request("GET", "/api/agents").body["agents"][0]
        self.assert_fields(info, state="draining", running=0)

    def test_again(self) -> None:
        """Another drain replaces note and deadline, and begins nothing anew."""
        agent = self.hub.agent("a")
        began = self.drain("a", note="one", deadline_s=5)["since"]
        self.hub.advance(2)
        told = self.drain("a", note="two")
        self.assert_fields(told, note="two", deadline=None, since=began)
        self.hub.agent("b")
        self.hub.advance(10)
        self.assert_fields(self.state("a"), note="two", deadline=None)
        self.assertEqual([f["reason"] for f in agent.of("draining")], ["one", "two"])

    def test_unknown_agent(self) -> None:
        """An agent of which nothing is known is 404, on each of the routes."""
        for method, path in (
            ("POST", "drain"),
            ("GET", "drain"),
            ("POST", "resume"),
        ):
            answer = self.hub.request(method, f"/api/agents/nobody/{path}")
            self.assertEqual((answer.status, answer.body["error"]), (404, "agent_not_found"))
            self.assertEqual(answer.body["agent_id"], "nobody")
            self.assertIn("spelling", answer.body["detail"])
        self.assertEqual(self.hub.hub.drains.everyone(10), ([], 0))

    def test_wrong_fields(self) -> None:
        """A deadline that is none, or a note that is too long, is 422 and drains nobody."""
        self.hub.agent("a")
        for body in (
            {"deadline_s": 0},
            {"deadline_s": -1},
            {"deadline_s": 1.1e9},
            {"deadline_s": "1"},
            {"note": "x" * 2_001},
        ):
            self.post("/api/agents/a/drain", body, expected=422)
            self.post("/api/admin/drain", body, expected=422)
        self.state("a", status="serving")
        self.assertEqual(self.hub.request("GET", "/ready").status, 200)
        self.drain("a", deadline_s=1e9, note="x" * 2_000)


class ResumeTests(DrainTests):
    """The end of a drain."""

    def test_tasks_at_once(self) -> None:
        """A resumed agent is given at once what waited."""
        agent = self.hub.agent("a", slots=2)
        self.drain("a")
        tasks = [self.submit() for _ in range(3)]
        self.resume("a")
        self.assertEqual(self.assigned(agent), tasks[:2])
        self.state("a", status="serving", by=None, note=None, deadline=None, drained=False)
        self.complete(agent, tasks[0])
        self.assertEqual(self.assigned(agent), tasks)

    def test_idempotent(self) -> None:
        """Resuming what is not drained is 200 and changes nothing."""
        self.hub.agent("a")
        self.resume("a")
        self.drain("a")
        self.resume("a")
        self.resume("a")
        self.assertEqual(len(self.logged("agent_resumed")), 1)

    def test_ends_its_own(self) -> None:
        """An operator's resume ends what the agent asked for itself, too."""
        agent = self.hub.agent("a")
        agent.say("drain", reason="updating")
        task_id = self.submit()
        self.assertEqual(self.assigned(agent), [])
        self.resume("a")
        self.assertEqual(self.assigned(agent), [task_id])

    def test_the_deadline_is_off(self) -> None:
        """The deadline of a drain that was ended takes nothing back."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain("a", deadline_s=10)
        self.resume("a")
        self.hub.advance(30)
        self.assertEqual(self.status_of(task_id), "working")


class AwayTests(DrainTests):
    """A drain belongs to the agent's id, not to its connection."""

    def test_outlives_the_connection(self) -> None:
        """An agent that comes back is still drained, and is told after ``identified``."""
        self.hub.agent("a").vanish()
        told = self.drain("a", note="moved", deadline_s=100)
        self.assert_fields(told, connected=False, running=0, drained=True)
        agent = self.hub.agent("a")
        self.assertEqual([f["type"] for f in agent.frames], ["identified", "draining"])
        self.assert_fields(
            agent.frames[1], by="operator", reason="moved", deadline=told["deadline"]
        )
        self.submit()
        self.hub.advance(5)
        self.assertEqual(self.assigned(agent), [])

    def test_told_behind_what_waits_for_the_disk(self) -> None:
        """It is told after an ``identified`` that waits for the disk, too."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain("a")
        agent.vanish()
        again = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        self.assertEqual([f["type"] for f in again.frames], ["identified", "draining"])

    def test_own_drain_does_not_outlive_it(self) -> None:
        """What an agent asked for itself ends with its connection; the operator's does not."""
        agent = self.hub.agent("a")
        agent.say("drain")
        agent.vanish()
        agent = self.hub.agent("a")
        self.state("a", status="serving")
        agent.say("drain")
        self.drain("a")
        agent.vanish()
        self.hub.agent("a")
        self.state("a", status="draining", by="admin")

    def test_known_by_its_token(self) -> None:
        """An agent that was never here is known by its token: it comes drained."""
        self.hub.token("new")
        self.drain("new")
        agent = self.hub.agent("new")
        self.submit()
        self.assertEqual(self.assigned(agent), [])

    def test_tasks_of_one_that_is_away(self) -> None:
        """Held tasks of an agent that is away count as running, until their hold is over."""
        agent = self.hub.agent("a")
        self.submit(hold_s=20)
        agent.vanish()
        self.assert_fields(self.drain("a"), running=1, drained=False)
        self.hub.advance(25)
        self.state("a", running=0, drained=True)
        self.assertEqual(len(self.logged("agent_drained")), 1)

    def test_outlives_the_hub(self) -> None:
        """A new process on the same store goes on with the drain."""
        self.hub.agent("a")
        told = self.drain("a", note="moved", deadline_s=100)
        self.restart()
        agent = self.hub.agent("a")
        self.submit()
        self.hub.advance(5)
        self.assertEqual(self.assigned(agent), [])
        self.state("a", status="draining", note="moved", deadline=told["deadline"], by="admin")
        self.resume("a")
        self.assertEqual(len(self.assigned(agent)), 1)

    def test_resume_outlives_the_hub(self) -> None:
        """A drain that was ended is not there after a restart."""
        self.hub.agent("a")
        self.drain("a")
        self.resume("a")
        self.restart()
        self.state("a", status="serving")

    def test_stored_before_the_answer(self) -> None:
        """The answer to a drain, or a resume, waits for the disk; the decision does not."""
        disk = SlowDisk()
        self.hub = MemoryHub(disk.store, disk.clock)
        agent = self.hub.agent("a")
        disk.hold()
        asked = self.hub.open_request("POST", "/api/agents/a/drain")
        self.assertEqual(asked.received, b"")
        self.assertEqual(agent.of("draining"), [])
        self.state("a", status="draining")
        disk.release()
        self.hub.settle()
        self.assertIn(b"200 OK", asked.received)
        self.assertEqual(len(agent.of("draining")), 1)
        disk.hold()
        asked = self.hub.open_request("POST", "/api/agents/a/resume")
        self.assertEqual((asked.received, agent.of("resumed")), (b"", []))
        disk.release()
        self.hub.settle()
        self.assertIn(b"200 OK", asked.received)
        self.assertEqual(len(agent.of("resumed")), 1)

    def test_ended_while_the_drain_is_written(self) -> None:
        """An agent that ends its last task while its drain is written hears of the drain."""
        disk = SlowDisk()
        self.hub = MemoryHub(disk.store, disk.clock)
        agent = self.hub.agent("a")
        task_id = self.submit()
        disk.hold()
        self.hub.open_request("POST", "/api/agents/a/drain")
        agent.say("task_complete", task_id=task_id)
        disk.release()
        self.hub.settle()
        self.assertEqual(len(agent.of("draining")), 1)
        self.assertEqual(len(self.logged("agent_drained")), 1)

    def test_resumed_while_the_drain_is_written(self) -> None:
        """An agent that is resumed while its drain is written hears of the last word alone."""
        disk = SlowDisk()
        self.hub = MemoryHub(disk.store, disk.clock)
        agent = self.hub.agent("a")
        disk.hold()
        self.hub.open_request("POST", "/api/agents/a/drain")
        self.hub.open_request("POST", "/api/agents/a/resume")
        disk.release()
        self.hub.settle()
        self.assertEqual((agent.of("draining"), len(agent.of("resumed"))), ([], 1))
        self.restart()
        self.state("a", status="serving")
