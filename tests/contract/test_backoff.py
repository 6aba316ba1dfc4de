"""When a task may begin: ``not_before``, and the waits between its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentcom.testing import FakeAgent
from tests.contract.queueing import QueueTests, later


class NotBeforeTests(QueueTests):
    """``not_before``."""

    def test_waits(self) -> None:
        """An idle agent is given it when its time comes, and not before."""
        agent = self.hub.agent("a")
        task_id = self.submit(not_before=later(self.hub, 30))
        self.hub.advance(29.75)
        self.assertEqual(self.assigned(agent), [])
        self.hub.advance(0.25)
        self.assertEqual(self.assigned(agent), [task_id])

    def test_between_two_ticks(self) -> None:
        """It begins at its very moment, wherever in a second that is."""
        agent = self.hub.agent("a")
        self.submit(not_before=later(self.hub, 3.3))
        self.hub.advance(3.29, step=0.01)
        self.assertEqual(self.assigned(agent), [])
        self.hub.advance(0.02, step=0.01)
        self.assertEqual(len(self.assigned(agent)), 1)

    def test_past(self) -> None:
        """A time that is over means at once."""
        agent = self.hub.agent("a", slots=3)
        for seconds in (-100, -0.001, 0):
            self.submit(not_before=later(self.hub, seconds))
        self.assertEqual(len(self.assigned(agent)), 3)

    def test_does_not_hold_up_others(self) -> None:
        """It takes no part in turns and priorities until then, and then its full part."""
        delayed = self.submit(not_before=later(self.hub, 30), priority="urgent")
        low, last = (self.submit(priority="low") for _ in range(2))
        agent = self.hub.agent("a")
        self.assertEqual(self.assigned(agent), [low])
        self.hub.advance(30)
        agent.say("task_complete", task_id=low)
        agent.say("task_complete", task_id=delayed)
        self.assertEqual(self.assigned(agent), [low, delayed, last])

    def test_restart(self) -> None:
        """A restart changes nothing."""
        task_id = self.submit(not_before=later(self.hub, 30))
        self.hub.advance(10)
        self.restart()
        agent = self.hub.agent("a")
        self.hub.advance(19.75)
        self.assertEqual(self.assigned(agent), [])
        self.hub.advance(0.25)
        self.assertEqual(self.assigned(agent), [task_id])

    def test_only_the_first_time(self) -> None:
        """A task that comes back later is not delayed again."""
        agent = self.hub.agent("a")
        task_id = self.submit(not_before=later(self.hub, 5), hold_s=1)
        self.hub.advance(5)
        agent.vanish()
        self.hub.advance(1)
        self.assert_task(task_id, status="queued", ready_at=None)
        self.assertEqual(self.assigned(self.hub.agent("b")), [task_id])


class BackoffTests(QueueTests):
    """``backoff``: exponential, with jitter."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a", slots=100)

    def wait_of(self, task_id: str, agent: FakeAgent | None = None) -> float:
        """Let the attempt fail; gives the seconds until the next may begin."""
        agent = agent or self.agent
        self.assertIn(self.status_of(task_id), ("assigned", "working"))
        answers = agent.say("task_failed", task_id=task_id, error="x")
        self.assert_answer(answers, "task_ack", outcome="retried")
        ready_at = self.hub.task(task_id)["ready_at"]
        self.assertEqual(self.last_payload(task_id, "task_requeued")["ready_at"], ready_at)
        return float(ready_at - self.hub.hub.now()) / 1000

    def waits(self, count: int, **fields: Any) -> list[float]:
        """The waits after so many failed attempts of one task, each waited out."""
        task_id = self.submit(max_attempts=count + 1, **fields)
        found = []
        for _ in range(count):
            found.append(self.wait_of(task_id))
            self.hub.advance(found[-1] + 0.01, step=found[-1] / 8 + 0.01)
        self.assert_task(task_id, status="assigned", attempts=count + 1)
        return found

    def assert_waits(self, found: Sequence[float], whole: Sequence[float]) -> None:
        """Each wait is from half to all of what it would be without jitter."""
        for wait, most in zip(found, whole, strict=True):
            self.assertTrue(most / 2 - 0.001 <= wait <= most, (found, whole))

    def test_usual(self) -> None:
        """After 1 s it doubles up to a minute."""
        self.assert_waits(self.waits(9), [1, 2, 4, 8, 16, 32, 60, 60, 60])

    def test_own(self) -> None:
        """A task may ask for its own."""
        found = self.waits(5, backoff={"initial_s": 2, "factor": 3, "max_s": 100})
        self.assert_waits(found, [2, 6, 18, 54, 100])

    def test_constant(self) -> None:
        """A factor of 1 always waits the same."""
        self.assert_waits(self.waits(4, backoff={"initial_s": 10, "factor": 1}), [10] * 4)

    def test_none(self) -> None:
        """An ``initial_s`` of 0 does not wait at all, also of the very same agent."""
        task_id = self.submit(backoff={"initial_s": 0})
        self.agent.say("task_failed", task_id=task_id)
        self.assertEqual(self.assigned(self.agent), [task_id, task_id])
        self.assert_fields(self.agent.of("task_assign")[1], generation=2, attempt=2)

    def test_never_over_its_limit(self) -> None:
        """Factors beyond all numbers do not break it."""
        asked = {"initial_s": 1, "factor": 1000, "max_s": 5}
        found = self.waits(120, backoff=asked)
        self.assert_waits(found, [1] + [5] * 119)

    def test_jitter(self) -> None:
        """Tasks that failed together do not come back together, and use the whole half."""
        tasks = self.submit_all([{"backoff": {"initial_s": 100, "max_s": 100}}] * 100)
        found = sorted(self.wait_of(task_id) for task_id in tasks)
        self.assertTrue(50 <= found[0] < 60 and 90 < found[-1] <= 100, found)
        self.assertGreater(len(set(found)), 90)
        self.hub.advance(75, step=1)
        count = sum(self.status_of(task_id) == "assigned" for task_id in tasks)
        self.assertTrue(25 < count < 75, count)

    def test_nobody_else_begins_earlier(self) -> None:
        """Other agents, however idle, are not given it before its time."""
        other = self.hub.agent("b", slots=100)
        task_id = self.submit(agent_id=None, backoff={"initial_s": 100})
        holder = self.agent if self.assigned(self.agent) else other
        wait = self.wait_of(task_id, holder)
        self.hub.advance(wait - 0.1, step=1)
        self.assert_task(task_id, status="queued")
        self.hub.advance(0.2, step=0.1)
        self.assert_task(task_id, status="assigned", generation=2, attempts=2)

    def test_not_for_what_is_nobodys_fault(self) -> None:
        """What goes back at nobody's fault may begin at once, and counts no attempt."""
        task_id = self.submit(hold_s=5, backoff={"initial_s": 100})
        self.agent.vanish()
        self.hub.advance(5)
        self.assert_task(task_id, status="queued", ready_at=None, attempts=0)
        other = self.hub.agent("b")
        self.assertEqual(self.assigned(other), [task_id])

    def test_restart(self) -> None:
        """After a restart the wait goes on, and the next one grows from where it was."""
        task_id = self.submit(backoff={"initial_s": 40}, max_attempts=5)
        wait = self.wait_of(task_id)
        self.hub.advance(10)
        self.restart()
        self.agent = self.hub.agent("a")
        self.hub.advance(wait - 10.25)
        self.assert_task(task_id, status="queued", attempts=1)
        self.hub.advance(0.5)
        self.assert_task(task_id, status="assigned", attempts=2)
        self.assert_waits([self.wait_of(task_id)], [60])
