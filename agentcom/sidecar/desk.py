"""The tasks of an agent: offered, running, ended and not yet acknowledged.

Outlives connections: while there is none, runs go on and their reports wait.
Outlives its process too, through the ``journal``: :meth:`Desk.take_up` goes on
with what an earlier one left.  It speaks in frames through whatever session is
up and knows no connection; the ``bench`` has the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.sidecar.bench import Bench
from agentcom.sidecar.jobs import (
    Frame,
    Job,
    Key,
    Send,
    Stage,
    Workshop,
    about,
    ref,
)
from agentcom.sidecar.journal import Journal, JournalFailed
from agentcom.sidecar.mending import Mending
from agentcom.sidecar.outbox import Outbox
from agentcom.sidecar.replies import Replies
from agentcom.sidecar.report import crashed_report, final_report, stopped_report
from agentcom.sidecar.runner import Outcome
from agentcom.sidecar.waiting import Waiting

# What is not mentioned is told by its report, or asked for by the hub.
MAX_MENTIONS = 4_000


class Desk:
    """Decides what is run, and what is said about it."""

    log = Logger()

    def __init__(
        self, slots: int, journal: Journal, workshop: Workshop, clock: IReactorTime
    ) -> None:
        self.slots = slots
        self.closing = False
        self._waiting = Waiting()
        self._bench = Bench(journal, workshop, clock, self._ended, self._look)
        self._outbox = Outbox(journal)
        again = partial(self._outbox.send, send=self._say)
        self._replies = Replies(self._bench, self._outbox, self._begin, self._crashed, again)
        self._send: Send | None = None
        self._mending = Mending(journal, self._outbox, clock)

    def take_up(self) -> None:
        """Go on with what an earlier process of this agent left; before the first session.

        :raises JournalFailed: the journal cannot be read.
        """
        for key in self._bench.take_up():
            self._outbox.found(key)

    def mentions(self) -> list[dict[str, Any]]:
        """What ``identify`` names: all that the hub may still think is ours.

        Not what was accepted and never begun: for that the hub has an answer
        of its own, to ``task_recovering``.
        """
        unnamed = (Stage.ABORTED, Stage.UNBEGUN)
        keys = [*(job.key for job in self._bench if job.stage not in unnamed), *self._outbox]
        return [{"task_id": t, "generation": g} for t, g in keys[:MAX_MENTIONS]]

    def online(self, send: Send, verdicts: Sequence[Frame]) -> None:
        """A session is identified: heed its verdicts, say again what may be lost."""
        self._send = send
        for verdict in verdicts:
            self._replies.judged(verdict)
        for key in self._outbox:
            self._outbox.send(key, send)
        for job in self._bench:
            self._tell(job)
        self.writable(True)

    def offline(self) -> None:
        """No session any more; runs go on."""
        self.writable(False)
        self._send = None
        self._waiting.look()

    def writable(self, yes: bool) -> None:
        """Whether live output is welcome; reports are sent in any case."""
        for job in self._bench:
            job.feed.connect(self._send if yes else None)

    def received(self, kind: str, frame: Frame) -> None:
        """A frame of the hub; what is not about tasks is passed over."""
        if kind == "task_assign":
            self._assigned(frame)
        else:
            self._replies.received(kind, frame)
        self._look()

    def abort_all(self, why: str) -> None:
        """The hub takes nothing more from this agent: end all, report nothing.

        What has ended before stays in the journal: another token may come.
        """
        self._outbox.clear()
        for job in self._bench:
            self._bench.abort(job, why)

    def drain(self) -> list[Key]:
        """Take nothing more; what is at work goes on, and is what this returns."""
        self.closing = True
        for job in self._bench:
            if job.stage is Stage.OFFERED:
                self._hand_back(job)
        return self._bench.at_work

    def close(self) -> bool:
        """Take nothing more, end what runs; whether something has yet to end."""
        self.drain()
        self._bench.stop()
        self._waiting.look()
        return bool(self._bench.at_work)

    def kill(self) -> None:
        """End what still runs without further patience."""
        self._bench.kill()

    def still(self) -> Deferred[None]:
        """Fires when nothing is at work."""
        return self._waiting.until(lambda: not self._bench.at_work)

    def idle(self) -> Deferred[None]:
        """Fires when nothing is at work and, in a session, nothing waits for the hub's word."""
        return self._waiting.until(lambda: not (self._bench.at_work or self._unsaid()))

    @property
    def unreported(self) -> int:
        """How many runs ended and are not acknowledged."""
        return len(self._outbox)

    def _assigned(self, frame: Frame) -> None:
        key = (frame["task_id"], frame["generation"])
        job = self._bench.get(key)
        # The hub says it again after a lost line; so do we.
        if job is not None and job.stage in (Stage.OFFERED, Stage.RUNNING):
            self._say(about(key, "task_accepted"))
        elif job is not None and job.stage is Stage.LOST:
            self._crashed(job)
        elif key in self._outbox:
            self._outbox.send(key, self._say)
        else:
            self._offered(key, frame)

    def _offered(self, key: Key, frame: Frame) -> None:
        self._outbox.supersede(key)
        for job in self._bench:
            if job.key[0] == key[0] and job.key[1] < key[1]:
                self._bench.abort(job, "a newer attempt was assigned")
        here = self._bench.get(key)
        # The same attempt is still here if it was just aborted.
        aborted = here is not None and here.stage is not Stage.UNBEGUN
        if self.closing or aborted or self._bench.taken >= self.slots:
            self._reject(key, "the agent stops" if self.closing else "busy")
        elif self._mending.lasts:
            self._reject(key, "the agent could not begin a task just now; its log says why")
        else:
            try:
                self._bench.accept(key, frame)
            except JournalFailed as e:
                self._reject(key, str(e))
            else:
                self._say(about(key, "task_accepted"))

    def _reject(self, key: Key, reason: str) -> None:
        self._say({**about(key, "task_rejected"), "reason": reason})

    def _tell(self, job: Job) -> None:
        if job.stage is Stage.OFFERED:
            self._say(about(job.key, "task_accepted"))
        elif job.last_status is not None:
            self._say({**about(job.key, "task_recovering"), "last_status": job.last_status})

    def _hand_back(self, job: Job) -> None:
        """Accepted and not begun: what is said so of goes back to the queue, no attempt spent."""
        job.stage = Stage.UNBEGUN
        self._tell(job)

    def _begin(self, job: Job) -> None:
        if self.closing:
            return
        try:
            self._bench.begin(job, self._send)
        except JournalFailed:
            self._hand_back(job)
            self._mending.look(trouble=True)

    def _crashed(self, job: Job) -> None:
        self.log.warn("task {task_id} failed: the agent crashed", task_id=job.key[0])
        self._report(job, crashed_report(job.key))

    def _ended(self, job: Job, outcome: Outcome) -> None:
        if not outcome.begun:
            self._could_not_begin(job, outcome.problem)
            return
        make = stopped_report if job.stage is Stage.STOPPED else final_report
        self._report(job, make(job.key, outcome))

    def _could_not_begin(self, job: Job, problem: str | None) -> None:
        """The agent's own trouble costs the task no attempt, and no other task comes for now."""
        self.log.error("task {task_id} could not begin: {p}", task_id=job.key[0], p=problem)
        job.let_go()
        self._hand_back(job)
        self._mending.look(trouble=True)

    def _report(self, job: Job, report: Frame) -> None:
        before = job.feed.finish()
        self._outbox.put(job.key, before, {**report, "ref": ref(job.key)}, job.work)
        self._bench.remove(job)
        if self._send is not None:
            self._outbox.send(job.key, self._send)

    def _say(self, frame: Frame) -> None:
        if self._send is not None:
            self._send(frame)

    def _look(self) -> None:
        self._mending.look()
        self._waiting.look()

    def _unsaid(self) -> bool:
        asked = any(job.last_status for job in self._bench)
        return self._send is not None and (asked or len(self._outbox) > 0)
