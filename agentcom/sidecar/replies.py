"""What the hub answers to reports, and what it says of tasks unasked.

One table from frame to method; offers are the ``desk``'s own.  Every answer,
a refusal too, settles what it is about, so nothing is said for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from agentcom.client.errors import wrong_fields
from agentcom.sidecar.bench import Bench
from agentcom.sidecar.jobs import Frame, Job, Key, Stage, lost, ref, which
from agentcom.sidecar.outbox import Outbox
from agentcom.sidecar.report import unreadable_report

NEVER_TAKEN = frozenset(
    {
        "not_assignee",
        "stale_generation",
        "invalid_state",
        "validation_failed",
        "unknown_message_type",
    }
)
"""Errors that a report would get again; after others it is said again on the next connection."""


class Replies:
    """Heeds the hub's words.

    :param begin: works on a job that the hub agrees to.
    :param crashed: reports a job of which nothing is left.
    :param again: says again what is in the outbox of an attempt.
    """

    log = Logger()

    def __init__(
        self,
        bench: Bench,
        outbox: Outbox,
        begin: Callable[[Job], None],
        crashed: Callable[[Job], None],
        again: Callable[[Key], None],
    ) -> None:
        self._bench = bench
        self._outbox = outbox
        self._begin = begin
        self._crashed = crashed
        self._again = again
        self._table: dict[str, Callable[[Frame], None]] = {
            "task_ack": self._acknowledged,
            "task_cancelled": self._cancelled,
            "task_continue": self._continued,
            "task_reassign": self._reassigned,
            "state_report_ack": self.judged,
            "error": self._refused,
        }

    def received(self, kind: str, frame: Frame) -> None:
        """A frame of the hub; what is not about tasks is passed over."""
        take = self._table.get(kind)
        if take is not None:
            take(frame)

    def _acknowledged(self, frame: Frame) -> None:
        key = which(frame, [*(job.key for job in self._bench), *self._outbox])
        job = self._bench.get(key)
        status = frame.get("status")
        if status == "accepted":
            # Not before: what the hub refuses must not have run.
            if job is not None and job.stage is Stage.OFFERED:
                self._begin(job)
        elif self._outbox.acknowledged(key, status):
            outcome = f" ({frame['outcome']})" if frame.get("outcome") else ""
            self.log.info(
                "task {key[0]} {status}{outcome}", key=key, status=status, outcome=outcome
            )

    def _cancelled(self, frame: Frame) -> None:
        for job in self._bench:
            if job.key[0] == frame["task_id"] and job.key[1] <= frame["generation"]:
                self._bench.abort(job, f"the hub calls it off ({frame.get('reason')})")

    def judged(self, verdict: Frame) -> None:
        """Whether to go on with a task that was mentioned."""
        if verdict.get("action") != "abort":
            return
        for job in self._bench:
            said = verdict.get("generation")
            if job.key[0] == verdict.get("task_id") and said in (None, job.key[1]):
                self._bench.abort(job, "it is not this agent's any more")

    def _continued(self, frame: Frame) -> None:
        job = self._asked(frame)
        if job is None:
            return
        job.adopted = False
        if job.work is not None:
            job.work.go_on()
        if job.stage is Stage.LOST:
            self._crashed(job)
        elif job.stage is Stage.UNBEGUN:
            # Not what this hub says, but an order is an order.
            self._begin(job)

    def _reassigned(self, frame: Frame) -> None:
        job = self._asked(frame)
        if job is not None:
            self._bench.abort(job, "the hub has given it back to the queue")

    def _refused(self, frame: Frame) -> None:
        error, kind = frame.get("error"), frame.get("message_type")
        if error not in NEVER_TAKEN:
            return
        key = which(frame, [*(job.key for job in self._bench), *self._outbox])
        if error == "validation_failed":
            # Forgotten, the task would seem to be worked on for ever.
            detail = wrong_fields(frame.get("errors"))
            plain = {**unreadable_report(key, detail), "ref": ref(key)}
            if self._outbox.simplify(key, kind, plain):
                self.log.error("the hub cannot read the end of {key[0]}: {d}", key=key, d=detail)
                self._again(key)
                return
        if self._outbox.refused(key, kind):
            self.log.warn("the hub did not take the end of {key[0]}: {error}", key=key, error=error)
            return
        job = self._bench.get(key)
        asked = kind == "task_recovering"
        offer = job is not None and job.stage is Stage.OFFERED
        if offer and kind not in ("task_accepted", None):
            # Of an earlier attempt, by a hub that repeats no ref.
            return
        if job is not None and (asked or offer or lost(frame)):
            self._bench.abort(job, f"the hub says {error}")

    def _asked(self, frame: Frame) -> Job | None:
        """The job whose ``task_recovering`` this answers."""
        key = which(frame, [job.key for job in self._bench if job.last_status])
        job = self._bench.get(key)
        return job if job is not None and job.last_status else None
