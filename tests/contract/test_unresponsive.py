"""Agents that are connected and take no work.  Section 4, "Time limits"; DESIGN.md, liveness."""

from __future__ import annotations

from typing import Any

from tests.contract.queueing import QueueTests

PROBE_S = 30.0
PROBE_MOST_S = 600.0
"""Seconds until an unresponsive agent is tried again, doubling from one to the other."""

ACCEPT_S = 5


class SilentTests(QueueTests):
    """What the tests of this module share: an agent with three slots that says nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a", slots=3)

    def state(self) -> str:
        """The agent's state, as the API shows it."""
        return str(self.hub.request("GET", "/api/agents/a").body["state"])

    def ignore(self, *tasks: str) -> None:
        """The agent lets its time to accept pass."""
        self.hub.advance(ACCEPT_S)
        for task_id in tasks:
            self.assertEqual(
                self.last_payload(task_id, "task_requeued")["reason"], "accept_timeout"
            )

    def ask_for(self, **fields: Any) -> str:
        """A task with a short time to accept it."""
        return self.submit(accept_timeout_s=ACCEPT_S, **fields)


class UnresponsiveTests(SilentTests):
    """An agent that lets assignments pass without a word."""

    def test_marked(self) -> None:
        """Its state says so, over HTTP and to other agents; it is still connected."""
        self.assertEqual(self.state(), "idle")
        task_id = self.ask_for()
        self.assertEqual(self.state(), "busy")
        self.ignore(task_id)
        self.assertEqual(self.state(), "unresponsive")
        (answer,) = self.hub.agent("b", slots=0).say("list_agents")
        states = {told["agent_id"]: told["state"] for told in answer["agents"]}
        self.assertEqual(states["a"], "unresponsive")
        self.assert_answer(self.agent.say("ping"), "pong")

    def test_offered_nothing(self) -> None:
        """It is offered nothing, however idle; others are."""
        task_id = self.ask_for()
        self.ignore(task_id)
        tasks = [self.ask_for(), self.ask_for(agent_id="a")]
        self.hub.advance(PROBE_S - 0.5)
        self.assertEqual(self.assigned(self.agent), [task_id])
        other = self.hub.agent("b", slots=5)
        self.assertEqual(self.assigned(other), [task_id, tasks[0]])

    def test_probed_with_one(self) -> None:
        """After 30 s it is tried with one task, although it has room for more."""
        task_id = self.ask_for()
        self.ignore(task_id)
        for _ in range(4):
            self.ask_for()
        self.hub.advance(PROBE_S - 0.25)
        self.assertEqual(self.assigned(self.agent), [task_id])
        self.hub.advance(0.25)
        self.assertEqual(self.assigned(self.agent), [task_id, task_id])
        self.hub.advance(ACCEPT_S + PROBE_S)
        self.assertEqual(len(self.assigned(self.agent)), 2)

    def test_several_at_once_are_one_time(self) -> None:
        """Ignoring several tasks at the same time is ignoring once: it is tried in 30 s."""
        tasks = [self.ask_for() for _ in range(3)]
        self.ignore(*tasks)
        self.hub.advance(PROBE_S)
        self.assertEqual(len(self.assigned(self.agent)), 4)

    def test_takes_the_probe(self) -> None:
        """Once it takes the probe it is like any other, and gets all that it has room for."""
        task_id = self.ask_for()
        self.ignore(task_id)
        tasks = [self.ask_for() for _ in range(2)]
        self.hub.advance(PROBE_S)
        self.assertEqual(self.assigned(self.agent), [task_id, task_id])
        self.agent.say("task_accepted", task_id=task_id, generation=2)
        self.assertEqual(self.state(), "busy")
        self.assertEqual(self.assigned(self.agent), [task_id, task_id, *tasks])

    def test_takes_a_probe_that_came_late(self) -> None:
        """If nothing waits when it is to be tried, the next task that comes is the probe."""
        task_id = self.ask_for()
        self.ignore(task_id)
        self.cancel(task_id)
        self.hub.advance(PROBE_S + 10)
        self.assertEqual(self.state(), "unresponsive")
        probe, following = self.ask_for(), self.ask_for()
        self.assertEqual(self.assigned(self.agent), [task_id, probe])
        self.agent.say("task_accepted", task_id=probe)
        self.assertEqual(self.assigned(self.agent), [task_id, probe, following])

    def test_ignores_the_probe(self) -> None:
        """The time until the next probe doubles, up to ten minutes."""
        task_id = self.ask_for()
        self.ignore(task_id)
        wait = PROBE_S
        for _ in range(7):
            count = len(self.assigned(self.agent))
            self.hub.advance(wait - 0.5, step=0.5)
            self.assertEqual(len(self.assigned(self.agent)), count, wait)
            self.hub.advance(0.5)
            self.assertEqual(len(self.assigned(self.agent)), count + 1, wait)
            self.ignore(task_id)
            wait = min(PROBE_MOST_S, wait * 2)
        self.assertEqual(wait, PROBE_MOST_S)

    def test_doubling_ends_with_its_first_word(self) -> None:
        """An agent that took work again begins with 30 s the next time."""
        task_id = self.ask_for()
        for wait in (PROBE_S, 2 * PROBE_S):
            self.ignore(task_id)
            self.hub.advance(wait)
        self.agent.say("task_complete", task_id=task_id)
        self.ignore(self.ask_for())
        count = len(self.assigned(self.agent))
        self.hub.advance(PROBE_S)
        self.assertEqual(len(self.assigned(self.agent)), count + 1)

    def test_any_report_will_do(self) -> None:
        """A report on another task that it has shows that it is alive."""
        for type in ("task_progress", "task_complete", "task_failed"):
            other = self.submit()
            self.agent.say("task_accepted", task_id=other)
            task_id = self.ask_for()
            self.ignore(task_id)
            self.assertEqual(self.state(), "unresponsive")
            self.agent.say(type, task_id=other, message="on it")
            self.assertNotEqual(self.state(), "unresponsive", type)
            self.assertEqual(self.assigned(self.agent)[-1], task_id)
            for held in (other, task_id):
                self.cancel(held)

    def test_rejecting_is_a_word_too(self) -> None:
        """An agent that rejects the probe takes notice: it is only paused."""
        task_id = self.ask_for()
        self.ignore(task_id)
        self.hub.advance(PROBE_S)
        self.agent.say("task_rejected", task_id=task_id)
        self.assertEqual(self.state(), "idle")
        self.hub.advance(5)
        self.assertEqual(len(self.assigned(self.agent)), 3)

    def test_other_frames_are_no_sign(self) -> None:
        """Pings, a status, messages and refused reports do not show that it takes work."""
        task_id = self.ask_for()
        self.ignore(task_id)
        self.agent.say("ping")
        self.agent.say("status", status="fine")
        self.agent.say("message", to="b", payload={})
        answers = self.agent.say("task_accepted", task_id=task_id, generation=1)
        self.assert_error(answers, "invalid_state")
        self.assertEqual(self.state(), "unresponsive")
        self.assertEqual(self.assigned(self.agent), [task_id])

    def test_new_line(self) -> None:
        """An agent that connects again begins anew, its waits too."""
        task_id = self.ask_for()
        for wait in (PROBE_S, 2 * PROBE_S):
            self.ignore(task_id)
            self.hub.advance(wait)
        self.agent.vanish()
        self.hub.advance(30)
        self.agent = self.hub.agent("a")
        self.hub.advance(2.25)
        self.assertEqual(self.assigned(self.agent), [task_id])
        self.assertEqual(self.state(), "busy")
        self.ignore(task_id)
        self.hub.advance(PROBE_S)
        self.assertEqual(self.assigned(self.agent), [task_id, task_id])


class OrderTests(SilentTests):
    """Pushes: orders to one agent, which stay with it."""

    def ignored_push(self) -> str:
        """An order that the agent let pass."""
        task_id = self.hub.push("a")
        self.hub.advance(60)
        self.assertEqual(self.state(), "unresponsive")
        return task_id

    def test_not_taken_back(self) -> None:
        """An order that is not accepted marks the agent and stays with it."""
        self.hub.agent("b")
        task_id = self.ignored_push()
        self.assert_task(task_id, status="assigned", agent_id="a", generation=1, requeues=0)
        self.assertEqual(self.told_off(self.agent), [])

    def test_sent_again(self) -> None:
        """The probe is the order that was ignored, sent again as the same attempt."""
        task_id = self.ignored_push()
        waiting = self.submit()
        self.hub.advance(PROBE_S)
        frames = self.agent.of("task_assign")
        self.assertEqual([f["task_id"] for f in frames], [task_id, task_id])
        self.assert_fields(frames[1], generation=1, attempt=1)
        self.agent.say("task_accepted", task_id=task_id)
        self.assert_task(task_id, status="working")
        self.assertEqual(self.assigned(self.agent), [task_id, task_id, waiting])

    def test_ignored_again(self) -> None:
        """It is sent again and again, with doubling waits, and never given up."""
        task_id = self.ignored_push()
        self.hub.advance(PROBE_S + 60 + 2 * PROBE_S + 60 + 4 * PROBE_S)
        self.assertEqual(self.assigned(self.agent), [task_id] * 4)
        answers = self.agent.say("task_complete", task_id=task_id)
        self.assert_answer(answers, "task_ack", status="complete")

    def test_busy(self) -> None:
        """Rejecting what is sent again means busy: it is heard of, and asked again later."""
        task_id = self.ignored_push()
        self.hub.advance(PROBE_S)
        answers = self.agent.say("task_rejected", task_id=task_id)
        self.assert_answer(answers, "task_ack", status="rejected")
        self.assertEqual(self.state(), "busy")
        self.hub.advance(59.75)
        self.assertEqual(self.assigned(self.agent), [task_id] * 2)
        self.hub.advance(0.25)
        self.assertEqual(self.assigned(self.agent), [task_id] * 3)
        self.assert_task(task_id, status="assigned", generation=1)

    def test_push_to_one(self) -> None:
        """An unresponsive agent is pushed to all the same: it is an order, not an offer."""
        self.ignore(self.ask_for())
        task_id = self.hub.push("a")
        self.assertEqual(self.assigned(self.agent)[-1], task_id)
        self.agent.say("task_accepted", task_id=task_id)
        self.assertEqual(self.state(), "busy")


class CrashLoopTests(QueueTests):
    """An agent that dies of a task, or before it can say a word of it, again and again."""

    def test_it_does_not_hold_the_task(self) -> None:
        """A task that was sent again twice to an agent that comes back without a word goes to
        somebody else, and the agent is unresponsive."""
        dying = self.hub.agent("a")
        task_id = self.submit()
        self.hub.agent("b")
        for _ in range(3):
            self.assert_task(task_id, status="assigned", agent_id="a", generation=1)
            dying.vanish()
            self.hub.advance(5)
            dying = self.hub.agent("a")
            self.hub.advance(2.5)
        self.assert_task(task_id, status="assigned", agent_id="b", generation=2, attempts=1)
        self.assertEqual(self.hub.request("GET", "/api/agents/a").body["state"], "unresponsive")

    def test_one_that_accepts_keeps_it(self) -> None:
        """One that accepts in between begins the count anew."""
        agent = self.hub.agent("a")
        task_id = self.submit()
        self.hub.agent("b")
        for _ in range(6):
            agent.vanish()
            agent = self.hub.agent("a")
            self.hub.advance(2.5)
            agent.say("task_accepted", task_id=task_id, generation=1)
        self.assert_task(task_id, status="working", agent_id="a", generation=1)

    def test_a_push_stays(self) -> None:
        """An order stays with its agent, which is shown as unresponsive."""
        agent = self.hub.agent("a")
        task_id = self.hub.push("a")
        for _ in range(4):
            agent.vanish()
            agent = self.hub.agent("a")
            self.hub.advance(2.5)
        self.assert_task(task_id, status="assigned", agent_id="a", generation=1)
        self.assertEqual(self.hub.request("GET", "/api/agents/a").body["state"], "unresponsive")
