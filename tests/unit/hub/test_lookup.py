"""Reports of tasks that are not in memory: looked up, and answered in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub import ledger
from agentcom.testing import Answered, MemoryHub
from tests.contract.helpers import queue
from tests.unit.store.support import Held, file_store, make_clock, memory_store


class OrderTests(SynchronousTestCase):
    """Reads of the store that end in the other order."""

    def setUp(self) -> None:
        clock = make_clock()
        self.reads = Held()
        store = memory_store(clock, reads=self.reads)
        self.addCleanup(store.close)
        self.hub = MemoryHub(store, clock)

    def last_read_first(self) -> None:
        """All reads end, of those under way always the last one first."""
        while self.reads.waiting:
            work, done = self.reads.waiting.pop()
            done.callback(work())
            self.hub.settle()

    def answers(self, reports: list[tuple[str, str]]) -> list[tuple[Any, Any]]:
        """The ``ref`` and the status or error of what is answered to these reports."""
        agent = self.hub.agent("a")
        before = len(agent.frames)
        self.reads.holding = True
        for number, (kind, task_id) in enumerate(reports, start=1):
            queue(agent, kind, task_id=task_id, ref=number)
        self.hub.settle()
        self.assertEqual(agent.frames[before:], [])
        self.last_read_first()
        return [(f["ref"], f.get("error", f.get("status"))) for f in agent.frames[before:]]

    def test_unknown_task(self) -> None:
        """Reports of one task that nobody knows are answered in the order they came."""
        reports = [("task_accepted", "task-1"), ("task_complete", "task-1")]
        self.assertEqual(self.answers(reports), [(1, "accepted"), (2, "complete")])

    def test_task_that_ended(self) -> None:
        """So are those of one that ended before the hub was started."""
        agent = self.hub.agent("a")
        task_id = self.hub.push("a")
        agent.say("task_complete", task_id=task_id)
        self.hub = MemoryHub(self.hub.store, self.hub.clock, seed=1)
        reports = [("task_complete", task_id), ("task_accepted", task_id)]
        self.assertEqual(self.answers(reports), [(1, "complete"), (2, "invalid_state")])

    def test_other_tasks_do_not_wait(self) -> None:
        """A report of another task does not wait for that look."""
        reports = [("task_accepted", "task-1"), ("task_accepted", "task-2")]
        self.assertEqual(self.answers(reports), [(2, "accepted"), (1, "accepted")])


class EndedAndForgottenTests(SynchronousTestCase):
    """A task has ended, memory has forgotten it, and the store does not know yet."""

    def setUp(self) -> None:
        self.patch(ledger, "ENDED_KEPT", 4)
        path = Path(self.mktemp()).absolute()
        clock = make_clock()
        self.disk = Held()
        # Its readers are of their own: they must not see what is not committed.
        store = file_store(clock, path, commits=self.disk)
        self.addCleanup(store.close)
        self.hub = MemoryHub(store, clock)
        self.agent = self.hub.agent("a", slots=10)
        tasks = [self.hub.push("a") for _ in range(8)]
        for task_id in tasks:
            self.agent.say("task_accepted", task_id=task_id)
        self.disk.holding = True
        for task_id in tasks:
            self.agent.say("task_complete", task_id=task_id)
        self.task_id = tasks[0]
        self.assertIsNone(self.hub.hub.ledger.find(self.task_id))

    def release(self) -> None:
        self.disk.release()
        self.hub.settle()

    def acks(self) -> list[Any]:
        """The ``ref`` of each acknowledgement of its end, in their order."""
        acks = self.agent.of("task_ack")
        return [
            f.get("ref") for f in acks if (f["task_id"], f["status"]) == (self.task_id, "complete")
        ]

    def test_repeated_report(self) -> None:
        """A report repeated meanwhile is answered once the end is on disk."""
        self.assertEqual(self.agent.say("task_complete", task_id=self.task_id, ref=2), [])
        self.release()
        self.assertEqual(self.acks(), [None, 2])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancel(self) -> None:
        """A cancel meanwhile is refused with the status in which the task has ended."""
        cancel = self.hub.open_request("POST", f"/api/tasks/{self.task_id}/cancel")
        self.assertEqual(cancel.received, b"")
        self.release()
        refused = Answered(cancel.received)
        self.assertEqual((refused.status, refused.body["status"]), (409, "completed"))
