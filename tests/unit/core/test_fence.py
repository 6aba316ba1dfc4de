"""Whose report counts: PROTOCOL.md section 3.2, rules 2 to 4, by table."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.changes import Assign, Cancel, Complete, Fail, Reassign, Reject, Requeue
from agentcom.core.fence import Counts, Kind, Refused, Repeated, Verdict, judge, keeps
from agentcom.core.task import Status, Task, apply

REPORTS = (Kind.ACCEPTED, Kind.PROGRESS, Kind.COMPLETE, Kind.FAILED, Kind.REJECTED)
ENDED = (Status.COMPLETED, Status.DEAD_LETTER, Status.CANCELLED, Status.EXPIRED)


def task_in(status: Status, **fields: Any) -> Task:
    """A task that ``w`` has, or had last, in generation 3; nothing has ended it yet."""
    fields = {"agent_id": "w", "generation": 3, "attempts": 1, "max_attempts": 9, **fields}
    return Task(
        id="t",
        number=1,
        description="",
        submitted_by="b",
        created_at=0,
        updated_at=0,
        status=status,
        **fields,
    )


class FenceCase(SynchronousTestCase):
    def refused(self, verdict: Verdict, error: str, status: Status | None = None) -> None:
        self.assertEqual(verdict, Refused(error, status))


class WhoseTests(FenceCase):
    """Rule 3: the agent, and the generation where it carries one."""

    def test_not_the_assignee(self) -> None:
        """A report of another agent is refused as ``not_assignee``, whatever it carries."""
        for status in Status:
            for kind in (*REPORTS, Kind.RECOVERING):
                for generation in (None, 0, 2, 3):
                    self.refused(judge(task_in(status), kind, "v", generation), "not_assignee")

    def test_never_assigned(self) -> None:
        """A task that nobody had yet takes nobody's report."""
        task = task_in(Status.QUEUED, agent_id=None, generation=0)
        self.refused(judge(task, Kind.COMPLETE, "w", None), "not_assignee")

    def test_stale_generation(self) -> None:
        """Any other generation than the current one is refused, older and newer."""
        for status in (Status.QUEUED, Status.ASSIGNED, Status.WORKING, *ENDED):
            for kind in (*REPORTS, Kind.RECOVERING):
                for generation in (1, 2, 4):
                    verdict = judge(task_in(status), kind, "w", generation)
                    self.refused(verdict, "stale_generation")

    def test_no_generation_means_not_sent(self) -> None:
        """0 and null mean not sent: the agent alone decides."""
        for generation in (None, 0, 3):
            verdict = judge(task_in(Status.WORKING), Kind.COMPLETE, "w", generation)
            self.assertEqual(verdict, Counts())


ALLOWED: dict[Kind, set[Status]] = {
    Kind.ACCEPTED: {Status.ASSIGNED, Status.WORKING},
    Kind.PROGRESS: {Status.ASSIGNED, Status.WORKING},
    Kind.COMPLETE: {Status.ASSIGNED, Status.WORKING, Status.QUEUED},
    Kind.FAILED: {Status.ASSIGNED, Status.WORKING, Status.QUEUED},
    Kind.REJECTED: {Status.ASSIGNED},
    Kind.RECOVERING: {Status.ASSIGNED, Status.WORKING, Status.QUEUED},
    Kind.STATE: {Status.ASSIGNED, Status.WORKING, Status.QUEUED},
}


class WhenTests(FenceCase):
    """Rule 4: in which status a report counts."""

    def test_every_kind_in_every_status(self) -> None:
        """A report counts in the statuses of rule 4; elsewhere ``invalid_state`` tells which."""
        self.assertEqual(set(ALLOWED), set(Kind))
        for kind, allowed in ALLOWED.items():
            for status in Status:
                for generation in (None, 3):
                    verdict = judge(task_in(status), kind, "w", generation)
                    if status in allowed:
                        self.assertEqual(verdict, Counts(), (kind, status))
                    else:
                        self.refused(verdict, "invalid_state", status)

    def test_late_report_on_a_cancelled_task(self) -> None:
        """The agent whose task was cancelled is told ``invalid_state`` and that status."""
        task, _ = apply(task_in(Status.WORKING), Cancel("boss"), 1)
        self.refused(judge(task, Kind.COMPLETE, "w", 3), "invalid_state", Status.CANCELLED)


class RepeatedTests(FenceCase):
    """Rule 2: what was said before gets the same answer again."""

    ENDINGS = (
        (Status.WORKING, Complete(), Kind.COMPLETE, "complete"),
        (Status.WORKING, Fail("e"), Kind.FAILED, "retried"),
        (Status.WORKING, Fail("e", retryable=False), Kind.FAILED, "dead_letter"),
        (Status.ASSIGNED, Reject(), Kind.REJECTED, "rejected"),
        (Status.WORKING, Reassign("waking"), Kind.RECOVERING, "reassign"),
    )

    def test_same_again(self) -> None:
        """The same type, agent and generation is repeated; without one, the agent decides."""
        for status, change, kind, answer in self.ENDINGS:
            task, _ = apply(task_in(status), change, 1)
            for generation in (3, None, 0):
                self.assertEqual(judge(task, kind, "w", generation), Repeated(answer), kind)

    def test_other_agent_or_generation(self) -> None:
        """Another agent, or another generation, repeats nothing."""
        for status, change, kind, _ in self.ENDINGS:
            task, _ = apply(task_in(status), change, 1)
            self.refused(judge(task, kind, "v", 3), "not_assignee")
            self.refused(judge(task, kind, "w", 2), "stale_generation")

    def test_other_type(self) -> None:
        """Another report than the one that ended the attempt is no repetition."""
        done, _ = apply(task_in(Status.WORKING), Complete(), 1)
        for kind in (Kind.ACCEPTED, Kind.PROGRESS, Kind.FAILED, Kind.REJECTED, Kind.RECOVERING):
            self.refused(judge(done, kind, "w", 3), "invalid_state", Status.COMPLETED)

    def test_after_the_next_assignment(self) -> None:
        """With the task assigned anew, the old report is still answered, by its generation."""
        back, _ = apply(task_in(Status.WORKING), Fail("e"), 1)
        for agent in ("w", "v"):
            again, _ = apply(back, Assign(agent), 2)
            self.assertEqual(judge(again, Kind.FAILED, "w", 3), Repeated("retried"))
        self.assertEqual(judge(again, Kind.FAILED, "w", None), Repeated("retried"))
        self.refused(judge(again, Kind.COMPLETE, "w", 3), "not_assignee")

    def test_without_generation_a_running_attempt_comes_first(self) -> None:
        """An agent that has the task again and sends no generation speaks of the new attempt."""
        back, _ = apply(task_in(Status.WORKING), Fail("e"), 1)
        again, _ = apply(back, Assign("w"), 2)
        self.assertEqual(judge(again, Kind.FAILED, "w", None), Counts())
        self.assertEqual(judge(again, Kind.FAILED, "w", 4), Counts())

    def test_finished_after_all(self) -> None:
        """Work that is finished after its task went back to the queue counts."""
        back, _ = apply(task_in(Status.WORKING), Requeue("hold_expired"), 1)
        self.assertEqual(judge(back, Kind.COMPLETE, "w", 3), Counts())
        self.refused(judge(back, Kind.ACCEPTED, "w", 3), "invalid_state", Status.QUEUED)
        other, _ = apply(back, Assign("v"), 2)
        self.refused(judge(other, Kind.COMPLETE, "w", 3), "not_assignee")


class KeepsTests(FenceCase):
    """Whether an agent may go on with a task."""

    def test_held(self) -> None:
        """What it has is its own, with the current generation or none."""
        for status in (Status.ASSIGNED, Status.WORKING):
            for agent, generation, mine in (
                ("w", 3, True),
                ("w", None, True),
                ("w", 0, True),
                ("w", 2, False),
                ("w", 4, False),
                ("v", 3, False),
            ):
                self.assertIs(keeps(task_in(status), agent, generation), mine)

    def test_back_in_the_queue(self) -> None:
        """A task in the queue is its own unless it said itself that the attempt ended."""
        back, _ = apply(task_in(Status.WORKING), Requeue("hold_expired"), 1)
        self.assertTrue(keeps(back, "w", 3))
        for change in (Fail("e"), Reassign("waking")):
            ended, _ = apply(task_in(Status.WORKING), change, 1)
            self.assertFalse(keeps(ended, "w", 3), change)

    def test_ended(self) -> None:
        """Nobody goes on with an ended task."""
        for status in ENDED:
            self.assertFalse(keeps(task_in(status), "w", 3))
