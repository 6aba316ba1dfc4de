"""An operator drains the whole hub before a stop: what runs ends, nothing more begins."""

from __future__ import annotations

from typing import Any

from agentcom.testing import MemoryHub
from tests.contract.draining import HUB, DrainTests
from tests.contract.helpers import Frame, SlowDisk


class HubDrainTests(DrainTests):
    """A hub that is drained."""

    def drain_hub(self, **body: Any) -> Frame:
        told: Frame = self.post(HUB, body)
        return told

    def resume_hub(self) -> None:
        answer = self.hub.request("DELETE", HUB)
        self.assertIn(answer.body.pop("was_drained"), (True, False))
        self.assertEqual((answer.status, answer.body), (200, {"status": "resumed"}))

    def hub_state(self, **fields: Any) -> Frame:
        told: Frame = self.hub.request("GET", HUB).body
        self.assert_fields(told, **fields)
        return told

    def test_answer(self) -> None:
        """The answer tells how much runs on all agents, until when, and why."""
        for name in "ab":
            self.hub.agent(name)
            self.submit()
        now = self.hub.hub.now()
        told = self.drain_hub(note="upgrade", deadline_s=30)
        self.assertEqual(
            told,
            {
                "status": "draining",
                "running": 2,
                "by": "admin",
                "note": "upgrade",
                "since": now,
                "deadline": now + 30_000,
                "deadline_passed": False,
                "drained": False,
            },
        )
        self.assertEqual(self.hub_state(), {**told, "agents": [], "agents_total": 0})

    def test_nothing_is_assigned(self) -> None:
        """Submissions are taken and wait, in a batch too; agents that come are given nothing."""
        agent = self.hub.agent("a", slots=2)
        self.drain_hub()
        tasks = [self.submit(), *self.submit_all([{}, {}])]
        late = self.hub.agent("b", slots=5)
        self.hub.advance(3)
        self.assertEqual(self.assigned(agent) + self.assigned(late), [])
        self.assertEqual({self.status_of(t) for t in tasks}, {"queued"})

    def test_resume(self) -> None:
        """What waited is given to agents at once when the hub is resumed."""
        agents = [self.hub.agent(name, slots=1) for name in "ab"]
        self.drain_hub()
        tasks = {self.submit(), self.submit(priority="high"), self.submit(agent_id="a")}
        self.resume_hub()
        given = [task for agent in agents for task in self.assigned(agent)]
        self.assertEqual((len(given), len(set(given) & tasks)), (2, 2))
        self.hub_state(status="serving", note=None, deadline=None, drained=False)

    def test_room_that_came_meanwhile(self) -> None:
        """An agent that ended its task while the hub was drained is given the next one then."""
        agent = self.hub.agent("a")
        first, second = self.submit(), self.submit()
        self.drain_hub()
        self.complete(agent, first)
        self.assertEqual(self.assigned(agent), [first])
        self.resume_hub()
        self.assertEqual(self.assigned(agent), [first, second])

    def test_backoff_that_ended_meanwhile(self) -> None:
        """A task whose pause ended while the hub was drained is given to somebody then."""
        agent = self.hub.agent("a")
        task_id = self.submit(backoff={"initial_s": 2})
        self.drain_hub()
        agent.say("task_failed", task_id=task_id, error="broken")
        self.hub.advance(10)
        self.assertEqual(len(agent.of("task_assign")), 1)
        self.resume_hub()
        self.assertEqual(len(agent.of("task_assign")), 2)

    def test_push_is_refused(self) -> None:
        """A push is 503 ``hub_draining`` with ``Retry-After``, and says what to do."""
        self.hub.agent("a")
        told = self.drain_hub(note="upgrade", deadline_s=5)
        answer = self.push("a")
        self.assertEqual((answer.status, answer.body["error"]), (503, "hub_draining"))
        self.assert_fields(answer.body, note="upgrade", deadline=told["deadline"])
        self.assertIn("submit the task to the queue instead", answer.body["detail"])
        self.assertGreater(int(answer.headers["retry-after"]), 0)
        self.resume_hub()
        self.assertEqual(self.push("a").status, 200)

    def test_reports_count(self) -> None:
        """What runs goes on to its end, and is counted down."""
        agent = self.hub.agent("a", slots=2)
        tasks = [self.accepted(agent), self.accepted(agent)]
        self.drain_hub()
        self.complete(agent, tasks[0])
        self.hub_state(running=1, drained=False)
        self.complete(agent, tasks[1])
        self.hub_state(running=0, drained=True)
        self.assertEqual([self.status_of(t) for t in tasks], ["completed", "completed"])

    def test_work_goes_on_after_a_break(self) -> None:
        """An agent that comes back while the hub is drained goes on with its work."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain_hub()
        agent.vanish()
        self.hub.advance(40)
        agent = self.hub.agent("a", tasks=[{"task_id": task_id, "generation": 1}])
        self.assertEqual(agent.frames[0]["tasks"][0]["action"], "continue")
        self.assertEqual(self.status_of(task_id), "working")

    def test_waiting_tasks_expire(self) -> None:
        """The time of what waits goes on."""
        self.drain_hub()
        task_id = self.submit(queue_timeout_s=5)
        self.hub.advance(7)
        self.assertEqual(self.status_of(task_id), "expired")

    def test_readiness(self) -> None:
        """``/ready`` is 503 with the note, that balancers turn away; ``/health`` stays 200."""
        self.drain_hub(note="upgrade")
        ready = self.hub.request("GET", "/ready", token=None)
        self.assertEqual((ready.status, ready.body["reason"]), (503, "draining: upgrade"))
        self.assertEqual(self.hub.request("GET", "/health", token=None).status, 200)
        self.drain_hub()
        self.assertEqual(self.hub.request("GET", "/ready").body["reason"], "draining")
        self.resume_hub()
        self.assertEqual(self.hub.request("GET", "/ready").status, 200)

    def test_deadline(self) -> None:
        """Its deadline is told and takes nothing back: what runs is left to its agents."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.drain_hub(deadline_s=10)
        self.hub.advance(9)
        self.hub_state(deadline_passed=False)
        self.hub.advance(2)
        self.hub_state(deadline_passed=True, running=1, drained=False)
        self.assertEqual(self.status_of(task_id), "working")

    def test_again(self) -> None:
        """Another drain replaces note and deadline, and does not begin anew."""
        began = self.drain_hub(note="one", deadline_s=3)["since"]
        self.hub.advance(1)
        self.assert_fields(self.drain_hub(note="two"), note="two", deadline=None, since=began)

    def test_ends_with_the_process(self) -> None:
        """A hub that is started again is not drained; agents that were drained are."""
        self.hub.agent("a")
        self.drain("a")
        self.drain_hub()
        self.restart()
        told = self.hub_state(status="serving")
        self.assertEqual([a["agent_id"] for a in told["agents"]], ["a"])
        agent = self.hub.agent("b")
        self.assertEqual([self.submit()], self.assigned(agent))

    def test_agents_drained_one_by_one_stay_so(self) -> None:
        """The end of the hub's drain is not the end of an agent's, nor the other way."""
        agent = self.hub.agent("a")
        self.drain("a")
        self.drain_hub()
        task_id = self.submit()
        self.resume_hub()
        self.assertEqual(self.assigned(agent), [])
        self.drain_hub()
        self.resume("a")
        self.assertEqual(self.assigned(agent), [])
        self.resume_hub()
        self.assertEqual(self.assigned(agent), [task_id])

    def test_events(self) -> None:
        """Begin and end are events with who and why; an end of nothing is none."""
        self.resume_hub()
        told = self.drain_hub(note="upgrade", deadline_s=60)
        self.resume_hub()
        self.resume_hub()
        events = self.logged("hub_draining", "hub_resumed")
        payload = {"by": "admin", "note": "upgrade", "deadline": told["deadline"]}
        self.assertEqual(
            [(e["event"], e["agent_id"], e["payload"]) for e in events],
            [("hub_draining", None, payload), ("hub_resumed", None, {"by": "admin"})],
        )

    def test_event_before_the_answer(self) -> None:
        """The answer waits for the disk."""
        disk = SlowDisk()
        self.hub = MemoryHub(disk.store, disk.clock)
        disk.hold()
        asked = self.hub.open_request("POST", HUB)
        self.assertEqual(asked.received, b"")
        disk.release()
        self.hub.settle()
        self.assertIn(b"200 OK", asked.received)

    def test_retention_goes_on(self) -> None:
        """A hub that drains for long still forgets what is old."""
        self.hub = MemoryHub(retain_s=60.0)
        agent = self.hub.agent("a")
        task_id = self.submit()
        self.complete(agent, task_id)
        self.drain_hub()
        self.hub.advance(700, step=10)
        self.assertEqual(self.hub.request("GET", f"/api/tasks/{task_id}").status, 404)

    def test_stopping(self) -> None:
        """A hub that stops takes no drain: 503 ``stopping``."""
        self.hub.agent("a")
        self.hub.hub.drain()
        for method, path in (
            ("POST", HUB),
            ("DELETE", HUB),
            ("POST", "/api/agents/a/drain"),
            ("POST", "/api/agents/a/resume"),
            ("POST", "/api/agents/a/disconnect"),
        ):
            answer = self.hub.request(method, path)
            self.assertEqual((answer.status, answer.body["error"]), (503, "stopping"), path)

    def test_list_of_agents(self) -> None:
        """Of very many drained agents, those that are drained longest are told, and how many."""
        drains = self.hub.hub.drains
        for number in range(1_001):
            self.hub.hub.dispatch.holdings.of(f"a{number}").lost.add("task")
            drains.drain(f"a{number}", "admin", None, None)
        self.hub.settle()
        told = self.hub_state(agents_total=1_001)
        self.assertEqual((len(told["agents"]), told["agents"][0]["agent_id"]), (1_000, "a0"))
