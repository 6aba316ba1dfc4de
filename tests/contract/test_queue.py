"""The queue: who gets which task, and when.  PROTOCOL.md section 4, ``POST /api/tasks``."""

from __future__ import annotations

from typing import Any

from agentcom.hub import ledger
from agentcom.testing import FakeAgent
from tests.contract.queueing import QueueTests, later


class MatchingTests(QueueTests):
    """Which agent gets a task."""

    def busy(self, agent_id: str, slots: int, taken: int) -> FakeAgent:
        """An agent with some of its slots taken."""
        agent = self.hub.agent(agent_id, slots=slots)
        for _ in range(taken):
            self.submit(agent_id=agent_id)
        agent.frames.clear()
        return agent

    def test_fits(self) -> None:
        """Only an agent with every capability and every label gets it."""
        lacking = self.hub.agent("a", capabilities=["gpu"], labels={"zone": "eu", "os": "mac"})
        other = self.hub.agent("b", capabilities=["cpu"], labels={"zone": "eu", "os": "linux"})
        wanted: dict[str, Any] = {
            "capabilities": ["gpu"],
            "labels": {"zone": {"in": ["eu"]}, "os": "linux"},
        }
        task_id = self.submit(**wanted)
        self.assert_task(task_id, status="queued", agent_id=None)
        right = self.hub.agent(
            "c", capabilities=["cpu", "gpu"], labels={"zone": "eu", "os": "linux"}
        )
        self.assertEqual(self.assigned(right), [task_id])
        self.assertEqual(self.assigned(lacking) + self.assigned(other), [])

    def test_least_loaded(self) -> None:
        """The agent with the smallest share of its slots taken goes first."""
        agents = [self.busy("a", 2, 1), self.busy("b", 5, 1), self.busy("c", 10, 4)]
        # Loads 0.5, 0.2, 0.4: b twice until it has 0.6 and c has 0.4, then c.
        self.submit_all([{} for _ in range(3)])
        self.assertEqual([len(self.assigned(a)) for a in agents], [0, 2, 1])

    def test_longest_idle(self) -> None:
        """Of agents with equal loads, the one that was idle longest goes first."""
        agents = {name: self.hub.agent(name) for name in ("a", "b", "c")}
        self.submit_all([{}, {}, {}])
        self.assertEqual([len(self.assigned(agent)) for agent in agents.values()], [1, 1, 1])
        for name in ("b", "c", "a"):
            self.hub.advance(1)
            agents[name].say("task_complete", task_id=self.assigned(agents[name])[0])
        for name in ("b", "c", "a"):
            task_id = self.submit()
            self.assertEqual(self.assigned(agents[name])[1:], [task_id])

    def test_slots(self) -> None:
        """An agent gets as many at a time as it has slots, and another as soon as one ends."""
        agent = self.hub.agent("a", slots=3)
        tasks = self.submit_all([{} for _ in range(5)])
        self.assertEqual(self.assigned(agent), tasks[:3])
        agent.say("task_failed", task_id=tasks[1], retryable=False)
        self.assertEqual(self.assigned(agent), tasks[:4])
        self.cancel(tasks[0])
        self.assertEqual(self.assigned(agent), tasks)

    def test_said_anew(self) -> None:
        """What an agent says of itself anew counts at once, for more and for less."""
        agent = self.hub.agent("a")
        tasks = self.submit_all([{}, {}, {"capabilities": ["gpu"]}])
        token = self.hub.token("a")
        agent.say("identify", agent_id="a", token=token, slots=3)
        self.assertEqual(self.assigned(agent), tasks[:2])
        agent.say("identify", agent_id="a", token=token, slots=3, capabilities=["gpu"])
        self.assertEqual(self.assigned(agent), tasks)
        agent.say("identify", agent_id="a", token=token, slots=1)
        waiting = self.submit()
        for task_id in tasks[:2]:
            agent.say("task_complete", task_id=task_id)
        self.assertEqual(self.assigned(agent), tasks)
        agent.say("task_complete", task_id=tasks[2])
        self.assertEqual(self.assigned(agent), [*tasks, waiting])

    def test_pinned(self) -> None:
        """A task for one agent waits for that one, however idle others are."""
        other = self.hub.agent("b", slots=5)
        task_id = self.submit(agent_id="a")
        self.hub.advance(60, step=1)
        self.assertEqual(self.assigned(other), [])
        self.assertEqual(self.assigned(self.hub.agent("a")), [task_id])

    def test_identified_comes_first(self) -> None:
        """An agent that comes to waiting work hears ``identified`` before any assignment."""
        task_id = self.submit()
        for mentions in (None, [], [{"task_id": "task-of-old", "generation": 3}]):
            agent = self.hub.connect()
            agent.say("identify", agent_id="a", token=self.hub.token("a"), tasks=mentions)
            heard = [frame["type"] for frame in agent.frames]
            self.assertEqual(heard, ["identified", "task_assign"], mentions)
            self.assertEqual(self.cancel(task_id).status, 200)
            agent.vanish()
            task_id = self.submit()


class OrderTests(QueueTests):
    """Which task an agent gets."""

    def served(self, count: int, **fields: Any) -> list[str]:
        """The tasks that one agent gets, one after the other."""
        agent = self.hub.agent("worker", **fields)
        for done in range(count):
            self.assertGreater(len(self.assigned(agent)), done, "nothing more was offered")
            agent.say("task_complete", task_id=self.assigned(agent)[done])
        return self.assigned(agent)[:count]

    def test_priority(self) -> None:
        """Urgent before high before normal before low, and among equals the oldest first."""
        names = ["low", "normal", "urgent", "high", "urgent", "low", "high", "normal"]
        tasks = []
        for name in names:
            tasks.append((name, self.submit(priority=name)))
            self.hub.advance(0.25)
        by_age = {task_id: place for place, (_, task_id) in enumerate(tasks)}
        rank = ["urgent", "high", "normal", "low"].index
        expected = sorted((rank(name), by_age[task_id], task_id) for name, task_id in tasks)
        self.assertEqual(self.served(8), [task_id for _, _, task_id in expected])

    def test_priority_among_different_needs(self) -> None:
        """Priority and age count also among tasks that ask for different things."""
        plain = self.submit()
        gpu = self.submit(capabilities=["gpu"], priority="high")
        own = self.submit(agent_id="worker")
        last = self.submit(capabilities=["gpu"])
        self.assertEqual(self.served(4, capabilities=["gpu"]), [gpu, plain, own, last])

    def test_same_moment(self) -> None:
        """Tasks of one batch go in their order there."""
        tasks = self.submit_all([{} for _ in range(40)])
        self.assertEqual(self.served(40), tasks)

    def test_unfit_tasks_do_not_block(self) -> None:
        """However many urgent tasks wait for what nobody has, the one that fits goes on."""
        self.submit_all([{"capabilities": ["gpu"], "priority": "urgent"} for _ in range(1000)])
        self.submit_all([{"agent_id": f"away-{n}", "priority": "urgent"} for n in range(300)])
        fits = self.submit(priority="low")
        self.assertEqual(self.served(1), [fits])

    def test_turns(self) -> None:
        """Submitters of equal priority take turns, however much each has submitted."""
        for name, count in (("ana", 4), ("bob", 2), ("cy", 1)):
            self.submit_all([{"description": name}] * count, token=self.hub.token(name))
        order = [self.hub.task(task_id)["submitted_by"] for task_id in self.served(7)]
        self.assertEqual(order, ["ana", "bob", "cy", "ana", "bob", "ana", "ana"])

    def test_ten_thousand_do_not_starve_one(self) -> None:
        """Behind 10 000 tasks of one submitter, another's single task is the next but one."""
        agent = self.hub.agent("worker")
        for _ in range(10):
            self.submit_all([{} for _ in range(1000)])
        self.assertEqual(len(self.assigned(agent)), 1)
        single = self.submit(token=self.hub.token("ana"))
        agent.say("task_complete", task_id=self.assigned(agent)[0])
        self.assertEqual(self.assigned(agent)[1:], [single])
        agent.say("task_complete", task_id=single)
        self.assert_fields(self.hub.task(self.assigned(agent)[2]), submitted_by="admin")

    def test_priority_before_turns(self) -> None:
        """Turns are taken among equal priorities: another's low task waits for the urgent ones."""
        urgent = self.submit_all([{"priority": "urgent"}] * 3)
        low = self.submit(token=self.hub.token("ana"), priority="low")
        self.assertEqual(self.served(4), [*urgent, low])

    def test_what_comes_back_keeps_its_age(self) -> None:
        """A task that went back to the queue is as old as it was."""
        agent = self.hub.agent("a")
        first = self.submit()
        self.hub.advance(1)
        second = self.submit()
        agent.say("task_rejected", task_id=first)
        self.assertEqual(self.served(2), [first, second])


class LastingTests(QueueTests):
    """What waits is on disk, whole, and in its order."""

    def test_restart(self) -> None:
        """Queued tasks wait on after a restart: needs, order, pins, delays and all."""
        low = self.submit(priority="low")
        gpu = self.submit(capabilities=["gpu"], labels={"zone": {"!=": "us"}})
        pinned = self.submit(agent_id="a")
        delayed = self.submit(not_before=later(self.hub, 60))
        urgent = self.submit(priority="urgent")
        self.restart()
        agent = self.hub.agent("a", slots=9)
        self.assertEqual(self.assigned(agent), [urgent, pinned, low])
        right = self.hub.agent("b", slots=9, capabilities=["gpu"], labels={"zone": "us"})
        self.assertEqual(self.assigned(right), [])
        right = self.hub.agent("c", slots=9, capabilities=["gpu"])
        self.assertEqual(self.assigned(right), [gpu])
        self.hub.advance(60, step=1)
        self.assert_task(delayed, status="assigned")

    def test_parked(self) -> None:
        """Tasks beyond those that memory keeps whole are handed out whole, in order."""
        self.patch(ledger, "WARM_TASKS", 5)
        tasks = self.submit_all(
            [{"description": f"job {n}", "metadata": {"n": n}} for n in range(30)]
        )
        self.assertLess(len(self.hub.hub.ledger.live), 10)
        agent = self.hub.agent("a")
        for number in range(30):
            (frame,) = agent.of("task_assign")[number:]
            self.assert_fields(
                frame, task_id=tasks[number], description=f"job {number}", metadata={"n": number}
            )
            agent.say("task_complete", task_id=frame["task_id"])
        self.assertEqual({self.status_of(task_id) for task_id in tasks}, {"completed"})

    def test_parked_tasks_can_be_changed(self) -> None:
        """Cancelling, expiring and failing reach parked tasks like all others."""
        self.patch(ledger, "WARM_TASKS", 2)
        self.submit_all([{} for _ in range(5)])
        cancelled = self.submit()
        expiring = self.submit(deadline=later(self.hub, 5))
        self.assertNotIn(cancelled, self.hub.hub.ledger.live)
        self.assertEqual(self.cancel(cancelled).status, 200)
        self.hub.advance(6)
        self.assert_task(cancelled, status="cancelled")
        self.assert_task(expiring, status="expired")
        self.explain(cancelled, decision="cancelled")

    def test_stats(self) -> None:
        """The counts by status and priority follow every move, and a restart."""
        agent = self.hub.agent("a")
        self.submit()
        done = self.submit(priority="urgent")
        self.cancel(done)
        self.submit_all([{"priority": "low"}, {"priority": "low"}, {"priority": "high"}])
        agent.say("task_complete", task_id=self.assigned(agent)[0])
        expected = {
            "by_status": {
                "queued": 2,
                "assigned": 1,
                "working": 0,
                "completed": 1,
                "dead_letter": 0,
                "cancelled": 1,
                "expired": 0,
            },
            "by_priority": {"urgent": 0, "high": 0, "normal": 0, "low": 2},
        }
        self.assertEqual(self.hub.request("GET", "/api/tasks/stats").body, expected)
        self.restart()
        self.assertEqual(self.hub.request("GET", "/api/tasks/stats").body, expected)
