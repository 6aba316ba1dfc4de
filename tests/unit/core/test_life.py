"""Any sequence of changes keeps what a task promises (Hypothesis)."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core import events
from agentcom.core.changes import (
    Accept,
    Assign,
    Cancel,
    Change,
    Complete,
    Expire,
    Fail,
    Progress,
    Reassign,
    Recover,
    Reject,
    Requeue,
    Retry,
)
from agentcom.core.events import Draft
from agentcom.core.fence import keeps
from agentcom.core.state import Terms
from agentcom.core.task import IllegalTransition, Status, Task, apply, expiry, submitted

agents = st.sampled_from(["w1", "w2"])
texts = st.none() | st.sampled_from(["", "x", "\u2603" * 3])

# Ends are rare, so that tasks live long enough to go wrong.
ends: st.SearchStrategy[Change] = st.one_of(
    st.builds(Complete, st.sampled_from([None, b"null", b"1"]), st.none() | st.just(5)),
    st.builds(Cancel, agents, texts),
    st.builds(Expire, st.just("deadline")),
)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Assign, agents),
    st.builds(Assign, agents),
    st.just(Accept()),
    st.builds(Progress, st.none() | st.floats(0, 1), texts, texts),
    st.builds(Fail, st.just("broke"), texts, st.sampled_from([True, True, False]), st.booleans()),
    st.builds(Reject, texts),
    st.builds(Recover, st.just("identify"), texts, st.none() | st.just(9)),
    st.builds(Reassign, texts),
    st.builds(Requeue, st.sampled_from(["hold_expired", "token_revoked", "drained"])),
    st.just(Retry("boss")),
    ends,
)

LEADS_TO = {
    events.TASK_SUBMITTED: Status.QUEUED,
    events.TASK_ASSIGNED: Status.ASSIGNED,
    events.TASK_ACCEPTED: Status.WORKING,
    events.TASK_PROGRESS: Status.WORKING,
    events.TASK_RECOVERING: Status.WORKING,
    events.TASK_REQUEUED: Status.QUEUED,
    events.TASK_COMPLETE: Status.COMPLETED,
    events.TASK_DEAD_LETTER: Status.DEAD_LETTER,
    events.TASK_CANCELLED: Status.CANCELLED,
    events.TASK_EXPIRED: Status.EXPIRED,
}


def replayed(drafts: list[Draft]) -> Status:
    """The status that the names of a task's events tell, oldest first."""
    status = Status.QUEUED
    for draft in drafts:
        status = LEADS_TO.get(draft.event, status)
    return status


class LifeTests(SynchronousTestCase):
    """Invariants over whole lives."""

    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(
        st.lists(changes, max_size=25),
        st.integers(1, 3),
        st.sampled_from([None, "w1"]),
        st.sampled_from([0, 99]),
        st.sampled_from([Terms(), Terms(deadline=7), Terms(deadline=7, queue_timeout_s=0.003)]),
    )
    # An agent that goes on with an attempt which it said had failed, and vanishes.
    @example(
        [
            Assign("w1"),
            Fail("broke"),
            Recover("task_recovering"),
            Requeue("hold_expired"),
            Recover("task_recovering"),
            Requeue("hold_expired"),
        ],
        2,
        None,
        0,
        Terms(),
    )
    # A dead letter that is retried and waits, then another one that fails again.
    @example(
        [Assign("w1"), Fail("broke"), Retry("boss"), Assign("w2"), Fail("broke"), Retry("boss")],
        1,
        None,
        0,
        Terms(deadline=3, queue_timeout_s=0.003),
    )
    def test_any_life(
        self,
        life: list[Change],
        max_attempts: int,
        pinned: str | None,
        requeues: int,
        terms: Terms,
    ) -> None:
        """Generations only grow, by 1 at an assignment; an end is told once, and final but for
        the retry of a dead letter; the events tell the status; attempts stay within what was
        allowed; times are those of the state."""
        task = Task(
            id="t",
            number=1,
            description="work",
            submitted_by="boss",
            created_at=0,
            updated_at=0,
            max_attempts=max_attempts,
            pinned=pinned,
            requeues=requeues,
            terms=terms,
        )
        retries = 0
        log = submitted(task)
        for now, change in enumerate(life, 1):
            if isinstance(change, Assign) and task.attempts >= task.max_attempts:
                continue
            if task.agent_id is None and isinstance(change, (Complete, Fail, Recover)):
                # Nobody has had it: the fence lets no such report through.
                continue
            if (
                isinstance(change, Recover)
                and task.series > 1
                and not keeps(task, task.agent_id or "", None)
            ):
                # What ended in an earlier series does not go on: the fence asks `keeps`.
                continue
            try:
                new, drafts = apply(task, change, now)
            except IllegalTransition:
                continue
            if isinstance(change, Retry):
                self.assertEqual((task.status, new.status), (Status.DEAD_LETTER, Status.QUEUED))
                retries += 1
            else:
                self.assertFalse(task.status.ended)
            self.assertEqual(new.series, 1 + retries)
            self.assertEqual(new.generation, task.generation + isinstance(change, Assign))
            if new.agent_id != task.agent_id:
                self.assertIsInstance(change, Assign)
            if new is not task:
                self.assertEqual(new.updated_at, now)
            for draft in drafts:
                self.assertEqual(draft.generation, new.generation)
            log += drafts
            task = new
            self.assertEqual(replayed(log), task.status)
            self.assertTrue(0 <= task.attempts <= max_attempts, task)
            if task.status.held:
                self.assertIsNotNone(task.agent_id)
                self.assertGreaterEqual(task.attempts, 1)
            else:
                self.assertIsNone(task.recover_due)
            self.check_times(task, now)
        terminal = [d.event for d in log if d.event in events.TERMINAL_EVENTS]
        self.assertEqual(len(terminal), retries + task.status.ended)
        if task.status.ended:
            self.assertEqual(log[-1].event, terminal[-1])

    def check_times(self, task: Task, now: int) -> None:
        """A task is delayed only while it waits, and ends by itself only while it lives."""
        if task.status is Status.QUEUED:
            if task.ready_at is not None:
                self.assertGreaterEqual(task.ready_at, now)
            self.assertEqual(task.expires_at, expiry(task, task.ready_at or now))
        else:
            self.assertIsNone(task.ready_at)
            self.assertEqual(task.expires_at, None if task.status.ended else task.deadline)
