"""What agents report on tasks: judge, apply, answer after the commit.

One table from frame to method.  ``core/fence.py`` decides whether a report
counts; here stands what follows from it, and what it is answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from agentcom.core import events
from agentcom.core.changes import (
    Accept,
    Change,
    Complete,
    Fail,
    Progress,
    Reassign,
    Recover,
    Reject,
)
from agentcom.core.events import Draft
from agentcom.core.fence import Counts, Kind, Refused, Repeated, judge
from agentcom.core.task import Task
from agentcom.errors import AgentComError, InvalidState, NotAssignee, StaleGeneration
from agentcom.hub.eventlog import EventLog
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Link
from agentcom.hub.lookup import Lookup
from agentcom.hub.returning import RECOVER_TIMEOUT_S, Returning
from agentcom.hub.willingness import Willingness
from agentcom.store.interface import Store
from agentcom.wire import frames
from agentcom.wire.codec import cut, encode
from agentcom.wire.frames import TaskAck, ref_of

NOT_BEGUN = frozenset({"accepted", "waking", "waking_confirmation"})
"""``last_status`` of work that had not started (section 3.2)."""

COST_BYTES = 4_096
"""Bytes of a progress report's ``cost`` that are kept."""

Refuse = Callable[[Any, AgentComError], None]
"""Sends an ``error`` frame for a report."""

_BEGUN = frozenset({Kind.ACCEPTED, Kind.PROGRESS})
"""Reports of an agent that works on the task."""

# Kept, because a member is found in the time of some comparisons.
_STATE, _REJECTED = Kind.STATE, Kind.REJECTED
_ACCEPT = Accept()

_REFUSALS: dict[str, type[AgentComError]] = {
    e.code: e for e in (NotAssignee, StaleGeneration, InvalidState)
}


class Reports:
    """Takes the reports of connected agents.

    :param now: Unix milliseconds.
    :param jitter: gives numbers from 0 to 1, for backoff.
    :param stale: counts the refused ones, by error.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        returning: Returning,
        willingness: Willingness,
        event_log: EventLog,
        now: Callable[[], int],
        jitter: Callable[[], float],
        stale: Counter[str],
    ) -> None:
        self._ledger = ledger
        self._returning = returning
        self._willingness = willingness
        self._event_log = event_log
        self._now = now
        self._jitter = jitter
        self._stale = stale
        self._lookup = Lookup(ledger, store)
        self._steps: dict[type, tuple[Kind, Callable[[Task, Link, Any], None]]] = {
            frames.TaskAccepted: (Kind.ACCEPTED, self._accepted),
            frames.TaskProgress: (Kind.PROGRESS, self._progress),
            frames.TaskComplete: (Kind.COMPLETE, self._complete),
            frames.TaskFailed: (Kind.FAILED, self._failed),
            frames.TaskRejected: (Kind.REJECTED, self._rejected),
            frames.TaskRecovering: (Kind.RECOVERING, self._recovering),
            frames.StateReport: (Kind.STATE, self._state),
        }

    def receive(self, link: Link, frame: frames.Report, refuse: Refuse) -> Deferred[None] | None:
        """Take a report.

        :param refuse: called when it does not count.
        :returns: what to wait for where the task had to be looked up.
        """

        task = self._lookup.at_hand(frame.task_id)
        if task is not None:
            self._weigh(task, link, frame, refuse)
            return None

        def found(task: Task | None) -> None:
            if task is None:
                self._unknown(link, frame)
            else:
                self._weigh(task, link, frame, refuse)

        return self._lookup.find(frame.task_id, found)

    def _weigh(self, task: Task, link: Link, frame: frames.Report, refuse: Refuse) -> None:
        kind, step = self._steps[type(frame)]
        agent_id = link.agent.agent_id
        if kind is _STATE:
            # Rule 3.2: it is always answered, with continue or abort.
            step(task, link, frame)
            return
        if (
            kind is _REJECTED
            and (not frame.generation or frame.generation == task.generation)
            and self._returning.rejects_repetition(agent_id, task.id)
        ):
            self._answer(link, TaskAck(task_id=task.id, status="rejected", ref=ref_of(frame)))
            self._willingness.heard(agent_id)
            return
        verdict = judge(task, kind, agent_id, frame.generation)
        if isinstance(verdict, Counts):
            self._returning.heard(agent_id, task.id, kind in _BEGUN)
            step(task, link, frame)
            self._willingness.heard(agent_id)
        elif isinstance(verdict, Repeated):
            self._answer_again(verdict, link, frame)
        else:
            # What the verdict rests on may not be on disk yet: an agent that
            # drops its result for it must not be wrong after a crash.
            refusal = _refusal(verdict, task.id, kind)
            self._stale[refusal.code] += 1
            self._ledger.answer(lambda: refuse(frame, refusal))

    def _accepted(self, task: Task, link: Link, frame: frames.TaskAccepted) -> None:
        ack = TaskAck(task_id=task.id, status="accepted", ref=ref_of(frame))
        self._change(task, link, _ACCEPT, ack)
        self._returning.watch_recovery(task)

    def _progress(self, task: Task, link: Link, frame: frames.TaskProgress) -> None:
        self._ledger.progress(
            task.id, Progress(frame.progress, cut(frame.message), frame.output, _small(frame.cost))
        )
        self._returning.watch_recovery(task)

    def _complete(self, task: Task, link: Link, frame: frames.TaskComplete) -> None:
        change = Complete(bytes(frame.result) or None, frame.tokens_used)
        ack = TaskAck(task_id=task.id, status="complete", ref=ref_of(frame))
        self._change(task, link, change, ack)
        self._willingness.ended_one(link.agent.agent_id)

    def _failed(self, task: Task, link: Link, frame: frames.TaskFailed) -> None:
        reason = cut(frame.reason)
        change = Fail(
            cut(frame.error) or reason or "failed",
            reason,
            frame.retryable is not False,
            result=bytes(frame.result) or None,
            jitter=self._jitter(),
        )

        def committed() -> None:
            outcome = new.ending.answer if new.ending else None
            ack = TaskAck(task_id=new.id, status="failed", outcome=outcome, ref=ref_of(frame))
            link.send(encode(ack))

        new = self._ledger.change(task.id, change, committed)
        self._willingness.ended_one(link.agent.agent_id)

    def _rejected(self, task: Task, link: Link, frame: frames.TaskRejected) -> None:
        # First the pause: the change itself offers what waits.
        self._willingness.rejected(link.agent.agent_id)
        change = Reject(cut(frame.reason))
        ack = TaskAck(task_id=task.id, status="rejected", ref=ref_of(frame))
        self._change(task, link, change, ack)

    def _recovering(self, task: Task, link: Link, frame: frames.TaskRecovering) -> None:
        kept = self._returning.keeps(task, link.agent.agent_id, frame.generation)
        if frame.last_status in NOT_BEGUN or not kept:
            # Of an attempt that it ended by its own word there is nothing to go on with.
            reassign = frames.TaskReassign(task_id=task.id, ref=ref_of(frame))
            if task.status.held:
                self._change(task, link, Reassign(frame.last_status), reassign)
            else:
                self._answer(link, reassign)
            return
        due = None if frame.generation else self._now() + int(RECOVER_TIMEOUT_S * 1000)
        change = Recover("task_recovering", frame.last_status, due)
        goes_on = frames.TaskContinue(
            task_id=task.id, generation=task.generation, ref=ref_of(frame)
        )
        self._change(task, link, change, goes_on)
        self._returning.heard(link.agent.agent_id, task.id, began=True)
        self._returning.watch_recovery(self._ledger.live[task.id])

    def _state(self, task: Task, link: Link, frame: frames.StateReport) -> None:
        agent_id = link.agent.agent_id
        goes_on = self._returning.still_has(agent_id, task.id, frame.generation, Kind.STATE)
        if goes_on:
            self._willingness.heard(agent_id)
        action = "continue" if goes_on else "abort"
        self._answer(link, frames.StateReportAck(task_id=task.id, action=action, ref=ref_of(frame)))

    def _answer_again(self, verdict: Repeated, link: Link, frame: frames.Report) -> None:
        task_id, ref, said = frame.task_id, ref_of(frame), verdict.answer
        if said == "reassign":
            self._answer(link, frames.TaskReassign(task_id=task_id, ref=ref))
        elif said in ("retried", "dead_letter"):
            self._answer(link, TaskAck(task_id=task_id, status="failed", outcome=said, ref=ref))
        else:
            self._answer(link, TaskAck(task_id=task_id, status=said, ref=ref))

    def _unknown(self, link: Link, frame: frames.Report) -> None:
        """Rule 1: answered as if it were known, shown to live watchers, not stored."""
        kind, _ = self._steps[type(frame)]
        self._event_log.announce(
            Draft(
                events.TASKS,
                kind.value,
                self._now(),
                frame.task_id,
                link.agent.agent_id,
                frame.generation or None,
                b'{"unknown_task":true}',
            )
        )
        answer = _answer_of_unknown(kind, frame)
        if answer is not None:
            self._answer(link, answer)

    def _change(self, task: Task, link: Link, change: Change, answer: frames.ToAgent) -> None:
        self._ledger.change(task.id, change, partial(link.send, encode(answer)))

    def _answer(self, link: Link, answer: frames.ToAgent) -> None:
        """Answer what changes nothing, after all that was decided before it."""
        self._ledger.answer(partial(link.send, encode(answer)))


def _answer_of_unknown(kind: Kind, frame: frames.Report) -> frames.ToAgent | None:
    task_id, ref = frame.task_id, ref_of(frame)
    if kind is Kind.RECOVERING:
        return frames.TaskReassign(task_id=task_id, ref=ref)
    if kind is Kind.STATE:
        return frames.StateReportAck(task_id=task_id, action="abort", ref=ref)
    if kind is Kind.FAILED:
        return TaskAck(task_id=task_id, status="failed", outcome="dead_letter", ref=ref)
    if kind is Kind.PROGRESS:
        return None
    return TaskAck(task_id=task_id, status=kind.value.removeprefix("task_"), ref=ref)


def _small(cost: dict[str, Any] | None) -> dict[str, Any] | None:
    """A cost as it is kept: each progress brings one, and none is needed whole."""
    if cost is None or len(encode(cost)) <= COST_BYTES:
        return cost
    return {"note": f"over {COST_BYTES} bytes, not kept"}


def _refusal(verdict: Refused, task_id: str, kind: Kind) -> AgentComError:
    fields: dict[str, object] = {"task_id": task_id, "message_type": kind.value}
    if verdict.status is not None:
        fields["status"] = verdict.status.value
    return _REFUSALS[verdict.error](**fields)
