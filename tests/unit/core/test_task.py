"""The life of a task by table: from which status each change is legal, and what it does."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

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
from agentcom.core.task import (
    DESCRIPTION_IN_EVENT,
    MAX_REQUEUES,
    OUTPUT_KEPT,
    TRANSITIONS,
    Ending,
    IllegalTransition,
    Status,
    Task,
    apply,
    submitted,
)

Q, A, W = Status.QUEUED, Status.ASSIGNED, Status.WORKING
ENDED = {Status.COMPLETED, Status.DEAD_LETTER, Status.CANCELLED, Status.EXPIRED}
LATER = 1_000

# Each change, the statuses from which PROTOCOL.md lets it happen, the status it leads to.
LIFE: list[tuple[Change, set[Status], Status]] = [
    (Assign("w"), {Q}, A),
    (Accept(), {A, W}, W),
    (Progress(0.5), {A, W}, W),
    (Complete(b"1"), {Q, A, W}, Status.COMPLETED),
    (Fail("e"), {Q, A, W}, Status.DEAD_LETTER),
    (Reject(), {A}, Q),
    (Recover("task_recovering"), {Q, A, W}, W),
    (Reassign(), {A, W}, Q),
    (Requeue("hold_expired"), {A, W}, Q),
    (Cancel("boss"), {Q, A, W}, Status.CANCELLED),
    (Expire("deadline"), {Q, A, W}, Status.EXPIRED),
    (Retry("boss"), {Status.DEAD_LETTER}, Q),
]


def task_in(status: Status, **fields: Any) -> Task:
    """A task that an agent has, or had, in its first generation."""
    fields = {
        "agent_id": "w",
        "generation": 1,
        "attempts": 0 if status is Q else 1,
        "assigned_at": 10,
        **fields,
    }
    return Task(
        id="task-1",
        number=7,
        description="work",
        submitted_by="boss",
        created_at=0,
        updated_at=10,
        status=status,
        **fields,
    )


def told(drafts: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Names and payloads of events."""
    return [(d.event, json.loads(d.payload)) for d in drafts]


class TransitionTests(SynchronousTestCase):
    """Each change is legal where the contract says so, and nowhere else."""

    def test_statuses(self) -> None:
        """There are seven statuses; four are ends and two mean that an agent has the task."""
        self.assertEqual({s for s in Status if s.ended}, ENDED)
        self.assertEqual({s for s in Status if s.held}, {A, W})
        self.assertEqual(len(Status), 7)

    def test_table_is_whole(self) -> None:
        """Every change that there is stands in the table."""
        self.assertEqual({type(change) for change, _, _ in LIFE}, set(TRANSITIONS))
        self.assertEqual(set(Change.__args__), set(TRANSITIONS))

    def test_illegal(self) -> None:
        """A change from a status that does not allow it is refused and says so."""
        for change, legal, _ in LIFE:
            for status in set(Status) - legal:
                error = self.assertRaises(IllegalTransition, apply, task_in(status), change, LATER)
                self.assertIn("task-1", str(error))
                self.assertIn(status, str(error))

    def test_legal(self) -> None:
        """A legal change leads to its status, stamps the time, and is told in events."""
        for change, legal, leads_to in LIFE:
            for status in legal:
                before = task_in(status)
                new, drafts = apply(before, change, LATER)
                self.assertEqual(new.status, leads_to, (change, status))
                self.assertEqual(before, task_in(status))
                if isinstance(change, Accept) and status is W:
                    self.assertEqual((new, drafts), (before, []))
                    continue
                self.assertEqual(new.updated_at, LATER)
                self.assertTrue(drafts, (change, status))
                for draft in drafts:
                    self.assertEqual((draft.topic, draft.task_id), ("tasks", "task-1"))
                    self.assertEqual((new.number, draft.number), (7, 7))
                    self.assertEqual(draft.timestamp, LATER, (change, draft.event))

    def test_nothing_after_an_end(self) -> None:
        """An ended task takes no change at all, but that a dead letter may be retried."""
        for change, legal, _ in LIFE:
            dead = {Status.DEAD_LETTER} if isinstance(change, Retry) else set()
            self.assertEqual(legal & ENDED, dead, change)


class StepTests(SynchronousTestCase):
    """What each change does beside the status."""

    def test_submitted(self) -> None:
        """A new task is told with what was asked for, its description cut."""
        task = msgspec.structs.replace(task_in(Q), description="x" * 500, pinned="w")
        ((name, payload),) = told(submitted(task))
        self.assertEqual(name, "task_submitted")
        self.assertEqual(len(payload["description"]), DESCRIPTION_IN_EVENT)
        self.assertEqual((payload["submitted_by"], payload["pinned"]), ("boss", "w"))

    def test_assign(self) -> None:
        """An assignment is a new generation and a new attempt; progress begins anew."""
        before = task_in(Q, generation=4, attempts=1, progress=0.9, recover_due=5, max_attempts=3)
        new, drafts = apply(before, Assign("v"), LATER)
        self.assertEqual((new.agent_id, new.generation, new.attempts), ("v", 5, 2))
        self.assertEqual((new.assigned_at, new.progress, new.recover_due), (LATER, None, None))
        self.assertEqual(told(drafts), [("task_assigned", {"attempt": 2})])
        self.assertEqual((drafts[0].agent_id, drafts[0].generation), ("v", 5))

    def test_first_generation_is_1(self) -> None:
        """The generation is 1 at the first assignment."""
        fresh = Task(id="t", number=1, description="", submitted_by="b", created_at=0, updated_at=0)
        self.assertEqual((fresh.generation, apply(fresh, Assign("w"), 1)[0].generation), (0, 1))

    def test_complete(self) -> None:
        """A completion keeps the result as it came, and the tokens used."""
        new, drafts = apply(task_in(W, recover_due=7), Complete(b'{"a": 1}', 12), LATER)
        self.assertEqual((new.result, new.tokens_used, new.recover_due), (b'{"a": 1}', 12, None))
        self.assertEqual(new.ending, Ending("task_complete", "w", 1, "complete"))
        self.assertEqual(told(drafts), [("task_complete", {"tokens_used": 12})])

    def test_complete_from_the_queue_counts_the_attempt(self) -> None:
        """Work that is finished after its task went back to the queue spent its attempt."""
        held, _ = apply(task_in(Q, generation=0), Assign("w"), 20)
        back, _ = apply(held, Requeue("hold_expired"), 30)
        self.assertEqual(back.attempts, 0)
        for change in (Complete(), Fail("e"), Recover("identify")):
            self.assertEqual(apply(back, change, LATER)[0].attempts, 1, change)

    def test_fail_with_attempts_left(self) -> None:
        """A failed attempt with others left goes back to the queue, to wait there a while."""
        new, drafts = apply(task_in(W, max_attempts=2), Fail("broke", "because"), LATER)
        self.assertEqual((new.status, new.attempts, new.last_error), (Q, 1, "broke"))
        self.assertEqual(new.ending, Ending("task_failed", "w", 1, "retried"))
        failed = {"error": "broke", "reason": "because", "retryable": True, "attempt": 1}
        self.assertEqual(
            told(drafts),
            [("task_failed", failed), ("task_requeued", {"reason": "retry", "ready_at": 2_000})],
        )
        self.assertEqual(new.ready_at, 2_000)

    def test_fail_for_good(self) -> None:
        """Without attempts left, or not retryable, it is a dead letter that says which."""
        for fields, change, why in (
            ({"max_attempts": 1}, Fail("e"), "attempts_exhausted"),
            ({"max_attempts": 9}, Fail("e", retryable=False), "not_retryable"),
        ):
            new, drafts = apply(task_in(W, **fields), change, LATER)
            self.assertEqual(new.status, Status.DEAD_LETTER)
            self.assertEqual(new.ending, Ending("task_failed", "w", 1, "dead_letter"))
            self.assertEqual([d.event for d in drafts], ["task_failed", "task_dead_letter"])
            self.assertEqual(told(drafts)[1][1], {"reason": why, "error": "e"})

    def test_what_the_hub_decided_is_no_report(self) -> None:
        """A failure that the hub decided is not the agent's word, to be repeated to it."""
        new, _ = apply(task_in(W), Fail("recovery_timeout", reported=False), LATER)
        self.assertNotEqual(new.ending and new.ending.kind, "task_failed")

    def test_reject(self) -> None:
        """A rejection spends no attempt, counts as a requeue, and names the agent."""
        new, drafts = apply(task_in(A), Reject("busy"), LATER)
        self.assertEqual((new.attempts, new.requeues, new.agent_id), (0, 1, "w"))
        self.assertEqual(new.ending, Ending("task_rejected", "w", 1, "rejected"))
        requeued = {"reason": "rejected", "requeues": 1}
        self.assertEqual(
            told(drafts), [("task_rejected", {"reason": "busy"}), ("task_requeued", requeued)]
        )

    def test_requeue_limit(self) -> None:
        """After 100 requeues that are nobody's fault the task is a dead letter."""
        self.assertEqual(MAX_REQUEUES, 100)
        for change in (Reject(), Requeue("hold_expired"), Reassign("waking")):
            new, _ = apply(task_in(A, requeues=99), change, LATER)
            self.assertEqual((new.status, new.requeues), (Q, 100), change)
            new, drafts = apply(task_in(A, requeues=100), change, LATER)
            self.assertEqual((new.status, new.last_error), (Status.DEAD_LETTER, "requeue_limit"))
            self.assertEqual(told(drafts)[-1][0], "task_dead_letter")
            self.assertEqual(told(drafts)[-1][1]["reason"], "requeue_limit")

    def test_waiting_for_a_pinned_agent_does_not_count(self) -> None:
        """An absence of the agent to which a task is pinned is not counted; a rejection is."""
        away = task_in(A, requeues=100, pinned="w")
        for reason in ("hold_expired", "token_revoked"):
            new, _ = apply(away, Requeue(reason), LATER)
            self.assertEqual((new.status, new.requeues), (Q, 100), reason)
        self.assertEqual(apply(away, Reject(), LATER)[0].status, Status.DEAD_LETTER)

    def test_recover(self) -> None:
        """Recovery goes on in the same generation, with the limit it was given."""
        new, drafts = apply(task_in(A), Recover("identify", "working", 77), LATER)
        self.assertEqual((new.generation, new.attempts, new.recover_due), (1, 1, 77))
        payload = {"outcome": "continue", "via": "identify", "last_status": "working"}
        self.assertEqual(told(drafts), [("task_recovering", payload)])

    def test_reassign(self) -> None:
        """Work that had not begun goes back to the queue without spending its attempt."""
        new, drafts = apply(task_in(W), Reassign("waking"), LATER)
        self.assertEqual((new.attempts, new.requeues), (0, 1))
        self.assertEqual(new.ending, Ending("task_recovering", "w", 1, "reassign"))
        self.assertEqual([d.event for d in drafts], ["task_recovering", "task_requeued"])

    def test_cancel_and_expire(self) -> None:
        """Who cancelled, why, and why a task expired, is told."""
        new, drafts = apply(task_in(W, recover_due=1), Cancel("boss", "late"), LATER)
        self.assertEqual(told(drafts), [("task_cancelled", {"by": "boss", "reason": "late"})])
        self.assertIsNone(new.recover_due)
        _, drafts = apply(task_in(Q), Expire("deadline"), LATER)
        self.assertEqual(told(drafts), [("task_expired", {"reason": "deadline"})])


class ProgressTests(SynchronousTestCase):
    """Progress: implied acceptance, and the cap on stored output."""

    def test_implies_acceptance(self) -> None:
        """Progress without an acceptance is both, in that order."""
        _, drafts = apply(task_in(A), Progress(0.5, "half"), LATER)
        self.assertEqual(
            told(drafts),
            [
                ("task_accepted", {"implied_by": "task_progress"}),
                ("task_progress", {"progress": 0.5, "message": "half"}),
            ],
        )

    def test_keeps_the_last_number(self) -> None:
        """Progress without a number keeps the one before; one that says nothing logs nothing."""
        working = task_in(W, progress=0.5)
        new, drafts = apply(working, Progress(None, "still"), LATER)
        self.assertEqual(new.progress, 0.5)
        self.assertEqual(told(drafts), [("task_progress", {"message": "still"})])
        self.assertEqual(apply(working, Progress(), LATER)[1], [])
        self.assertEqual(apply(working, Progress(0.0), LATER)[0].progress, 0.0)

    def outputs(self, task: Task, *pieces: str) -> tuple[Task, list[tuple[str, Any]]]:
        events = []
        for piece in pieces:
            task, drafts = apply(task, Progress(output=piece), LATER)
            events += told(drafts)
        return task, events

    def test_output_is_capped(self) -> None:
        """4 MiB of output are kept of a task, then one ``output_truncated`` and no more."""
        self.assertEqual(OUTPUT_KEPT, 4 * 1024 * 1024)
        mib = "x" * (1024 * 1024)
        task, events = self.outputs(task_in(W), mib, mib, mib, mib)
        self.assertEqual([name for name, _ in events], ["task_progress"] * 4)
        _, events = self.outputs(task, "y", "z", mib)
        self.assertEqual(events, [("output_truncated", {"kept_bytes": OUTPUT_KEPT})])

    def test_output_is_cut_between_characters(self) -> None:
        """What fits is kept, whole characters only."""
        nearly = task_in(W, output_bytes=OUTPUT_KEPT - 5)
        _, events = self.outputs(nearly, "ab\u2603\u2603")
        self.assertEqual([name for name, _ in events], ["task_progress", "output_truncated"])
        self.assertEqual(events[0][1]["output"], "ab\u2603")

    def test_one_piece_over_the_cap(self) -> None:
        """One piece larger than the cap is cut and told of in one go."""
        _, events = self.outputs(task_in(W), "x" * (OUTPUT_KEPT + 1), "y")
        self.assertEqual([name for name, _ in events], ["task_progress", "output_truncated"])
        self.assertEqual(len(events[0][1]["output"]), OUTPUT_KEPT)
