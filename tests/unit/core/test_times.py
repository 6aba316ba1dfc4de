"""When a task is ready, and when it ends by itself: ``ready_at`` and ``expires_at``.

Also what changes both: a failed attempt, a retry by hand, and the end of its time.
"""

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
from agentcom.core.retry import Backoff
from agentcom.core.state import Ending, Status, Task, Terms
from agentcom.core.task import apply, expiry, submitted

Q, A, W = Status.QUEUED, Status.ASSIGNED, Status.WORKING
DEADLINE = 50_000
LATER = 1_000

BACK: tuple[Change, ...] = (
    Reject(),
    Reassign(),
    Requeue("hold_expired"),
    Requeue("accept_timeout"),
    Requeue("operator", "boss"),
)
"""What puts a held task back into the queue at nobody's fault."""


def asked(status: Status = Q, terms: Terms | None = None, **fields: Any) -> Task:
    """A task in its first attempt, with these terms."""
    fields = {
        "agent_id": "w",
        "generation": 1,
        "attempts": 0 if status is Q else 1,
        "max_attempts": 5,
        **fields,
    }
    return Task(
        id="t",
        number=1,
        description="work",
        submitted_by="boss",
        created_at=0,
        updated_at=0,
        status=status,
        terms=Terms() if terms is None else terms,
        **fields,
    )


def times(task: Task) -> tuple[int | None, int | None]:
    return task.ready_at, task.expires_at


class ExpiryTests(SynchronousTestCase):
    """``expires_at``: the sooner of the deadline and the time that it may wait."""

    def test_expiry(self) -> None:
        """It is the sooner one of those that were asked for, or never."""
        for terms, ready_at, expected in (
            (Terms(), 10, None),
            (Terms(deadline=DEADLINE), 10, DEADLINE),
            (Terms(queue_timeout_s=2.5), 10, 2_510),
            (Terms(deadline=DEADLINE, queue_timeout_s=2.5), 10, 2_510),
            (Terms(deadline=2_000, queue_timeout_s=2.5), 10, 2_000),
            (Terms(queue_timeout_s=0.001), 0, 1),
        ):
            self.assertEqual(expiry(asked(terms=terms), ready_at), expected, terms)

    def test_waiting_counts_from_when_it_is_ready(self) -> None:
        """The time in which nobody may have it is no waiting; a deadline knows no delay."""
        terms = Terms(deadline=DEADLINE, queue_timeout_s=10)
        self.assertEqual(expiry(asked(terms=terms), 30_000), 40_000)
        self.assertEqual(expiry(asked(terms=terms), 90_000), DEADLINE)

    def test_later_series(self) -> None:
        """After a retry by hand the deadline counts no more; waiting does."""
        later = asked(terms=Terms(deadline=DEADLINE, queue_timeout_s=100), series=2)
        self.assertEqual(expiry(later, 0), 100_000)
        self.assertIsNone(expiry(asked(terms=Terms(deadline=DEADLINE), series=2), 0))

    def test_held(self) -> None:
        """While an agent has it, only the deadline can end it."""
        terms = Terms(deadline=DEADLINE, queue_timeout_s=1)
        waits = asked(terms=terms, ready_at=500, expires_at=1_500)
        self.assertEqual(times(apply(waits, Assign("w"), LATER)[0]), (None, DEADLINE))
        self.assertEqual(times(apply(waits, Recover("identify"), LATER)[0]), (None, DEADLINE))
        without = asked(terms=Terms(queue_timeout_s=1), expires_at=1_500)
        self.assertEqual(times(apply(without, Assign("w"), LATER)[0]), (None, None))
        held = asked(A, terms, expires_at=DEADLINE)
        for change in (Accept(), Progress(0.5)):
            self.assertEqual(times(apply(held, change, LATER)[0]), (None, DEADLINE))

    def test_back_in_the_queue(self) -> None:
        """Whatever brings it back, it is ready at once and its waiting begins anew."""
        held = asked(A, Terms(deadline=DEADLINE, queue_timeout_s=3), expires_at=DEADLINE)
        for change in BACK:
            new, _ = apply(held, change, LATER)
            self.assertEqual((new.status, *times(new)), (Q, None, 4_000), change)

    def test_ended(self) -> None:
        """What has ended is neither ready nor ends again."""
        terms = Terms(deadline=DEADLINE, queue_timeout_s=3)
        waits = asked(terms=terms, ready_at=2_000, expires_at=5_000)
        held = asked(A, terms, expires_at=DEADLINE, recover_due=9, requeues=100)
        ends: tuple[Change, ...] = (
            Complete(),
            Fail("e", retryable=False),
            Cancel("boss"),
            Expire("deadline"),
        )
        for task, changes in ((waits, ends), (held, (*ends, *BACK))):
            for change in changes:
                new, _ = apply(task, change, LATER)
                self.assertTrue(new.status.ended, change)
                self.assertEqual((*times(new), new.recover_due), (None, None, None), change)


class BackoffTests(SynchronousTestCase):
    """The wait after a failed attempt."""

    def failed(self, task: Task, **fields: Any) -> Task:
        return apply(task, Fail("e", **fields), LATER)[0]

    def test_grows_with_the_attempts(self) -> None:
        """Each attempt of the series waits longer than the one before."""
        terms = Terms(backoff=Backoff(initial_s=2, factor=3, max_s=10))
        for attempts, ready_at in ((1, 3_000), (2, 7_000), (3, 11_000), (4, 11_000)):
            self.assertEqual(self.failed(asked(W, terms, attempts=attempts)).ready_at, ready_at)

    def test_jitter(self) -> None:
        """The jitter that comes with the change takes up to half of the wait away."""
        self.assertEqual(self.failed(asked(W), jitter=0.0).ready_at, LATER + 500)
        self.assertEqual(self.failed(asked(W), jitter=0.5).ready_at, LATER + 750)

    def test_without_wait(self) -> None:
        """Asked not to wait, it is ready now."""
        new = self.failed(asked(W, Terms(backoff=Backoff(initial_s=0))))
        self.assertEqual((new.status, new.ready_at), (Q, LATER))

    def test_told(self) -> None:
        """The event says when it may begin again."""
        _, drafts = apply(asked(W), Fail("e", jitter=0.0), LATER)
        self.assertEqual(json.loads(drafts[-1].payload)["ready_at"], LATER + 500)

    def test_expiry(self) -> None:
        """The wait is no waiting for an agent; the deadline ends it all the same."""
        terms = Terms(queue_timeout_s=3)
        self.assertEqual(times(self.failed(asked(W, terms))), (2_000, 5_000))
        terms = Terms(queue_timeout_s=3, deadline=1_500)
        self.assertEqual(times(self.failed(asked(W, terms))), (2_000, 1_500))

    def test_failed_in_the_queue(self) -> None:
        """A failure that is reported when the task is back in the queue delays it too."""
        back, _ = apply(asked(W), Requeue("hold_expired"), 500)
        new = self.failed(back)
        self.assertEqual((new.status, new.attempts, new.ready_at), (Q, 1, 2_000))

    def test_taken_back_is_ready_now(self) -> None:
        """A requeue at nobody's fault waits for nothing, though attempts failed before."""
        held, _ = apply(self.failed(asked(W)), Assign("w"), 9_000)
        self.assertIsNone(apply(held, Requeue("operator", "boss"), 9_500)[0].ready_at)


class RetryTests(SynchronousTestCase):
    """A dead letter is given a new series of attempts."""

    def dead(self, **fields: Any) -> Task:
        fields = {
            "attempts": 5,
            "requeues": 7,
            "progress": 0.9,
            "last_error": "broke",
            "generation": 4,
            "ending": Ending("task_failed", "w", 4, "dead_letter"),
            **fields,
        }
        return asked(Status.DEAD_LETTER, **fields)

    def test_new_series(self) -> None:
        """Attempts, requeues and progress begin anew; the generation goes on growing."""
        new, _ = apply(self.dead(), Retry("boss"), LATER)
        self.assertEqual((new.status, new.series, new.attempts, new.requeues), (Q, 2, 0, 0))
        self.assertEqual((new.progress, new.generation, new.ready_at), (None, 4, None))
        self.assertEqual(new.updated_at, LATER)
        again, _ = apply(new, Assign("v"), LATER)
        self.assertEqual((again.generation, again.attempts), (5, 1))

    def test_whole_series(self) -> None:
        """It may fail as often as at first before it is a dead letter again."""
        task, _ = apply(self.dead(max_attempts=3), Retry("boss"), LATER)
        for now in range(3):
            self.assertEqual(task.status, Q)
            task, _ = apply(task, Assign("w"), LATER + now)
            task, _ = apply(task, Fail("e"), LATER + now)
        self.assertEqual((task.status, task.attempts), (Status.DEAD_LETTER, 3))
        self.assertEqual(apply(task, Retry("boss"), 9_000)[0].series, 3)

    def test_told(self) -> None:
        """The event says who retried it, and which series it is."""
        _, drafts = apply(self.dead(), Retry("boss"), LATER)
        told = [(d.event, json.loads(d.payload)) for d in drafts]
        payload = {"reason": "retried", "by": "boss", "series": 2}
        self.assertEqual(told, [("task_requeued", payload)])

    def test_times(self) -> None:
        """Its deadline counts no more, or nobody could retry it; its waiting begins now."""
        for terms, expires_at in (
            (Terms(deadline=DEADLINE), None),
            (Terms(deadline=500), None),
            (Terms(deadline=DEADLINE, queue_timeout_s=3), 4_000),
        ):
            new, _ = apply(self.dead(terms=terms), Retry("boss"), LATER)
            self.assertEqual(times(new), (None, expires_at), terms)
            held, _ = apply(new, Assign("w"), LATER)
            self.assertIsNone(held.expires_at)

    def test_backoff_begins_anew(self) -> None:
        """The first failure of the new series waits as the very first one did."""
        new, _ = apply(self.dead(attempts=4), Retry("boss"), LATER)
        held, _ = apply(new, Assign("w"), LATER)
        self.assertEqual(apply(held, Fail("e"), LATER)[0].ready_at, LATER + 1_000)

    def test_the_last_word_stays(self) -> None:
        """The report that ended the last attempt is still known as said before."""
        dead = self.dead()
        self.assertEqual(apply(dead, Retry("boss"), LATER)[0].ending, dead.ending)


class ExpireTests(SynchronousTestCase):
    """The time of a task is over."""

    def test_from_anywhere(self) -> None:
        """It may end a task that waits as well as one that an agent has, and says why."""
        for status in (Q, A, W):
            before = asked(status, Terms(deadline=500), expires_at=500)
            new, drafts = apply(before, Expire("deadline"), LATER)
            self.assertEqual((new.status, new.updated_at), (Status.EXPIRED, LATER))
            told = [(d.event, json.loads(d.payload)) for d in drafts]
            self.assertEqual(told, [("task_expired", {"reason": "deadline"})])
            # Whose it was, and in which attempt, is still to be seen.
            self.assertEqual((new.agent_id, new.generation), ("w", 1))
            self.assertEqual(new.attempts, before.attempts)


class SubmittedTests(SynchronousTestCase):
    """What is told of a new task."""

    def told(self, task: Task) -> dict[str, Any]:
        (draft,) = submitted(task)
        found: dict[str, Any] = json.loads(draft.payload)
        return found

    def test_times(self) -> None:
        """When it may begin and until when it is of use is told, where it was asked for."""
        told = self.told(asked(terms=Terms(not_before=5, deadline=9)))
        self.assertEqual((told["not_before"], told["deadline"]), (5, 9))
        for name in ("not_before", "deadline", "needs", "pinned"):
            self.assertNotIn(name, self.told(asked()))

    def test_needs(self) -> None:
        """So is what it asks of its agent, and how often it may be tried."""
        one = msgspec.structs.replace(asked(), needs=msgspec.convert(NEEDS, type(asked().needs)))
        self.assertEqual(self.told(one)["needs"], NEEDS)
        self.assertEqual(self.told(one)["max_attempts"], 5)


NEEDS = {
    "capabilities": ["code"],
    "labels": [{"key": "os", "op": "=", "values": ["linux"]}],
}
