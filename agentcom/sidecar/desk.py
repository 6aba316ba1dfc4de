"""The tasks of an agent: offered, running, ended and not yet acknowledged.

Outlives connections: while there is none, runs go on and their reports wait.
It speaks in frames through whatever session is up and knows no connection,
and starts runs through a callable and knows no process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.sidecar.jobs import (
    Feed,
    Frame,
    Job,
    Key,
    Outbox,
    Send,
    Stage,
    Work,
    about,
    lost,
    ref,
    which,
)
from agentcom.sidecar.report import final_report, stopped_report
from agentcom.sidecar.runner import Ears, Outcome

NEVER_TAKEN = frozenset({"not_assignee", "stale_generation", "invalid_state", "validation_failed"})


Start = Callable[[Frame, Ears], Work]


class Desk:
    """Decides what is run, and what is said about it.

    :param start: runs a task and tells the ears.
    """

    log = Logger()

    def __init__(self, slots: int, start: Start, clock: IReactorTime) -> None:
        self.slots = slots
        self._start = start
        self._clock = clock
        self._jobs: dict[Key, Job] = {}
        self._outbox = Outbox()
        self._send: Send | None = None
        self._closing = False
        self._idle: Deferred[None] | None = None
        self._table: dict[str, Callable[[Frame], None]] = {
            "task_assign": self._assigned,
            "task_ack": self._acknowledged,
            "task_cancelled": self._cancelled,
            "state_report_ack": self._judged,
            "error": self._refused,
        }

    def mentions(self) -> list[dict[str, Any]]:
        """What ``identify`` names: all that the hub may still think is ours."""
        jobs = [key for key, job in self._jobs.items() if job.stage is not Stage.ABORTED]
        return [{"task_id": t, "generation": g} for t, g in [*jobs, *self._outbox]]

    def online(self, send: Send, verdicts: Sequence[Frame]) -> None:
        """A session is identified: heed its verdicts, say again what may be lost."""
        self._send = send
        for verdict in verdicts:
            self._judged(verdict)
        for key in self._outbox:
            self._outbox.send(key, send)
        for job in self._jobs.values():
            if job.stage is Stage.OFFERED:
                self._say(about(job.key, "task_accepted"))
        self.writable(True)

    def offline(self) -> None:
        """No session any more; runs go on."""
        self.writable(False)
        self._send = None
        self._check_idle()

    def writable(self, yes: bool) -> None:
        """Whether live output is welcome; reports are sent in any case."""
        for job in self._jobs.values():
            job.feed.connect(self._send if yes else None)

    def received(self, kind: str, frame: Frame) -> None:
        """A frame of the hub; what is not about tasks is passed over."""
        take = self._table.get(kind)
        if take is not None:
            take(frame)

    def abort_all(self, why: str) -> None:
        """The hub takes nothing more from this agent: end all, report nothing."""
        self._outbox.clear()
        for job in list(self._jobs.values()):
            self._abort(job, why)

    def close(self) -> bool:
        """Take nothing more, end what runs; whether something has yet to end."""
        self._closing = True
        for job in list(self._jobs.values()):
            if job.stage is Stage.OFFERED:
                del self._jobs[job.key]
            elif job.work is not None and job.stage is Stage.RUNNING:
                job.stage = Stage.STOPPED
                self.log.info("stopping task {task_id}: the agent stops", task_id=job.key[0])
                job.work.stop()
        self._check_idle()
        return bool(self._jobs)

    def kill(self) -> None:
        """End what still runs without further patience."""
        for job in list(self._jobs.values()):
            if job.work is not None:
                job.work.kill()

    def idle(self) -> Deferred[None]:
        """Fires when nothing runs and, in a session, nothing waits for the hub's word."""
        waiter = self._idle = Deferred()
        self._check_idle()
        return waiter

    @property
    def unreported(self) -> int:
        """How many runs ended and are not acknowledged."""
        return len(self._outbox)

    def _assigned(self, frame: Frame) -> None:
        key = (frame["task_id"], frame["generation"])
        job = self._jobs.get(key)
        # The hub says it again after a lost line; so do we.
        if job is not None and job.stage in (Stage.OFFERED, Stage.RUNNING):
            self._say(about(key, "task_accepted"))
        elif key in self._outbox:
            self._outbox.send(key, self._say)
        else:
            self._offered(key, frame)

    def _offered(self, key: Key, frame: Frame) -> None:
        self._outbox.supersede(key)
        for job in list(self._jobs.values()):
            if job.key[0] == key[0] and job.key[1] < key[1]:
                self._abort(job, "a newer attempt was assigned")
        # The same attempt is still here if it was just aborted.
        if self._closing or len(self._jobs) >= self.slots or key in self._jobs:
            reason = "the agent stops" if self._closing else "busy"
            self._say({**about(key, "task_rejected"), "reason": reason})
            return
        self._jobs[key] = Job(key, frame, Feed(key, self._clock))
        self._say(about(key, "task_accepted"))

    def _acknowledged(self, frame: Frame) -> None:
        key = which(frame, [*self._jobs, *self._outbox])
        job = self._jobs.get(key)
        status = frame.get("status")
        if status == "accepted":
            # Not before: what the hub refuses must not have run.
            if job is not None and job.stage is Stage.OFFERED:
                self._run(job)
        elif self._outbox.acknowledged(key, status):
            outcome = f" ({frame['outcome']})" if frame.get("outcome") else ""
            self.log.info(
                "task {key[0]} {status}{outcome}", key=key, status=status, outcome=outcome
            )
            self._check_idle()

    def _cancelled(self, frame: Frame) -> None:
        for job in list(self._jobs.values()):
            if job.key[0] == frame["task_id"] and job.key[1] <= frame["generation"]:
                self._abort(job, f"cancelled ({frame.get('reason')})")

    def _judged(self, verdict: Frame) -> None:
        if verdict.get("action") != "abort":
            return
        for job in list(self._jobs.values()):
            said = verdict.get("generation")
            if job.key[0] == verdict.get("task_id") and said in (None, job.key[1]):
                self._abort(job, "it is not this agent's any more")

    def _refused(self, frame: Frame) -> None:
        error, kind = frame.get("error"), frame.get("message_type")
        if error not in NEVER_TAKEN:
            return
        key = which(frame, [*self._jobs, *self._outbox])
        if self._outbox.refused(key, kind):
            self.log.warn("the hub did not take the end of {key[0]}: {error}", key=key, error=error)
            self._check_idle()
            return
        job = self._jobs.get(key)
        if job is not None and (job.stage is Stage.OFFERED or lost(frame)):
            self._abort(job, f"the hub says {error}")

    def _run(self, job: Job) -> None:
        job.stage = Stage.RUNNING
        self.log.info("task {task_id} begins", task_id=job.key[0])
        job.feed.connect(self._send)
        ears = Ears(job.feed.text, job.feed.note, lambda outcome: self._ended(job, outcome))
        job.work = self._start(job.task, ears)

    def _ended(self, job: Job, outcome: Outcome) -> None:
        del self._jobs[job.key]
        left = job.feed.finish()
        if job.stage is Stage.ABORTED:
            self.log.info("task {task_id} is stopped", task_id=job.key[0])
        else:
            make = stopped_report if job.stage is Stage.STOPPED else final_report
            report = {**make(job.key, outcome), "ref": ref(job.key)}
            self._outbox.put(job.key, left, report)
            if self._send is not None:
                self._outbox.send(job.key, self._send)
        self._check_idle()

    def _abort(self, job: Job, why: str) -> None:
        if job.work is None:
            del self._jobs[job.key]
            self._check_idle()
        elif job.stage is not Stage.ABORTED:
            job.stage = Stage.ABORTED
            job.feed.connect(None)
            self.log.info("stopping task {task_id}: {why}", task_id=job.key[0], why=why)
            job.work.stop()

    def _say(self, frame: Frame) -> None:
        if self._send is not None:
            self._send(frame)

    def _check_idle(self) -> None:
        waiter = self._idle
        unsaid = self._send is not None and len(self._outbox) > 0
        if waiter is not None and not self._jobs and not unsaid:
            self._idle = None
            waiter.callback(None)
