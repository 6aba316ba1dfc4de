"""Time limits of tasks (PROTOCOL.md section 4).

What runs is in memory, so its limits stand in the agenda, on a clock that
never jumps.  What waits may be parked, so its limits are found by one indexed
query, once a tick; the live task decides.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.changes import Requeue
from agentcom.core.state import PUSH, Status, Task
from agentcom.core.task import expired
from agentcom.hub.agenda import Agenda
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.interventions import Interventions
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Roster
from agentcom.hub.willingness import Willingness
from agentcom.store.interface import Store

ACCEPT_TIMEOUT = "accept_timeout"
ATTEMPT_TIMEOUT = "attempt_timeout"

FAIR_S = 1.0
"""Seconds to accept a task, of which an agent can be expected to make use: who
asks for less gets the task back, and says nothing of the agent."""

AT_A_TIME = 40
"""Tasks that one look for expired ones ends: more would hold up the reactor."""

# Kept, because a member is found in the time of some comparisons.
_ASSIGNED, _WORKING = Status.ASSIGNED, Status.WORKING


class TimeLimits:
    """Sees to it that no task waits, or runs, for longer than was asked for.

    :param now: Unix milliseconds.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        dispatch: Dispatch,
        interventions: Interventions,
        willingness: Willingness,
        roster: Roster,
        agenda: Agenda,
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._dispatch = dispatch
        self._interventions = interventions
        self._willingness = willingness
        self._roster = roster
        self._agenda = agenda
        self._now = now
        self._sweeping = False
        self._failing = False
        agenda.on("accept", self._accept_over)
        agenda.on("attempt", self._attempt_over)
        agenda.every_tick(self.sweep)

    def follow(self, old: Task | None, new: Task) -> None:
        """Begin and end the limits of attempts as tasks move."""
        status = new.status
        if status is _WORKING and old is not None and new.generation == old.generation:
            self._agenda.cancel("accept", new.id)
            if not old.status.held:
                self._time_attempt(new)
        elif status is _ASSIGNED:
            if old is None and new.agent_id not in self._roster:
                # Loaded at the start: it is sent again when its agent is back.
                return
            if old is None or old.generation != new.generation:
                self._begin(new)
        elif old is not None and old.status.held:
            self._agenda.cancel("accept", new.id)
            if new.terms.attempt_timeout_s is not None:
                self._agenda.cancel("attempt", new.id)

    def restarted(self) -> None:
        """The hub listens again: attempts that ran before have the rest of their time."""
        for task in self._ledger.live.values():
            if task.status.held:
                self._time_attempt(task)

    def sweep(self) -> None:
        """End what has expired; one look at a time."""
        if not self._sweeping and self._dispatch.is_open:
            self._sweeping = True
            self._look()

    def _look(self) -> None:
        looking: Deferred[None] = self._store.expired(self._now(), AT_A_TIME).addCallback(
            self._expire
        )
        looking.addErrback(self._failed)

    def _expire(self, found: list[str]) -> None:
        self._failing = False
        now = self._now()
        ended = 0
        for task_id in found:
            try:
                task = self._ledger.peek(task_id)
                why = None if task is None else expired(task, now)
                # Where it is not, it moved on, and the store will soon know.
                if why is not None:
                    self._interventions.expire(task_id, why)
                    ended += 1
            except Exception:
                self.log.failure("while ending task {task_id}, which expired", task_id=task_id)
        if len(found) < AT_A_TIME or not ended or not self._dispatch.is_open:
            self._sweeping = False
        else:
            # Not before these are on disk, or the next look finds them again.
            self._ledger.answer(self._look)

    def _failed(self, failure: Failure) -> None:
        self._sweeping = False
        if not self._failing:
            self._failing = True
            self.log.failure("while looking for expired tasks; tried each second", failure)

    def _begin(self, task: Task) -> None:
        self._agenda.after("accept", task.id, task.terms.accept_timeout_s)
        if task.terms.attempt_timeout_s is not None:
            self._time_attempt(task)

    def _time_attempt(self, task: Task) -> None:
        limit_s = task.terms.attempt_timeout_s
        if limit_s is not None and task.assigned_at is not None:
            gone_s = max(0, self._now() - task.assigned_at) / 1000
            self._agenda.after("attempt", task.id, max(0.0, limit_s - gone_s))

    def _attempt_over(self, task_id: str) -> None:
        task = self._ledger.live.get(task_id)
        if task is not None and task.status.held:
            self._interventions.fail(task_id, ATTEMPT_TIMEOUT)

    def _accept_over(self, task_id: str) -> None:
        task = self._ledger.live.get(task_id)
        if task is None or task.status is not Status.ASSIGNED or task.agent_id is None:
            return
        if task.agent_id not in self._roster:
            return
        if task.terms.accept_timeout_s >= FAIR_S:
            self._willingness.ignored(task.agent_id, task_id)
        if task.origin == PUSH:
            # An order stays with its agent: nobody else may have it.
            return
        self._interventions.take_back(task_id, Requeue(ACCEPT_TIMEOUT))
