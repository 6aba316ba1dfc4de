"""Every assignment, judged in the moment when it is decided.

Hears each move of the ledger before the hub's own listeners do, and keeps its
own books of who may be offered something: nothing is asked of the hub's
holdings, nor of its matching.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentcom.core.agent import Agent
from agentcom.core.matching import LabelRule
from agentcom.core.state import PUSH, Priority, Status, Task
from agentcom.hub.hub import Hub

QUIET_S = 2.0
PAUSE_S, PAUSE_MOST_S, CALM_S = 5.0, 60.0, 600.0

RANK = {priority: rank for rank, priority in enumerate(Priority)}


def fits(task: Task, agent: Agent) -> bool:
    """Whether an agent may have a task, by the words of the contract."""
    if task.pinned not in (None, agent.agent_id):
        return False
    if not set(task.needs.capabilities) <= set(agent.capabilities):
        return False
    return all(_holds(rule, agent.labels.get(rule.key)) for rule in task.needs.labels)


def _holds(rule: LabelRule, value: str | None) -> bool:
    if rule.op == "exists":
        return value is not None
    if rule.op == "absent":
        return value is None
    if rule.op == "!=":
        return value != rule.values[0]
    return value in rule.values


class Offers:
    """Books about agents, for one life of the hub.

    :ivar broken: what was found, to be told after the step.
    :ivar operator: somebody takes a task back by hand just now.
    :ivar draining: who asked for no more work.
    :ivar drained: who is drained by an operator.
    :ivar standstill: the whole hub is.
    """

    def __init__(self, hub: Hub, seconds: Callable[[], float]) -> None:
        self._hub = hub
        self._seconds = seconds
        self.broken: list[str] = []
        self.operator = False
        self.draining: set[str] = set()
        self.drained: set[str] = set()
        self.standstill = False
        self._quiet: dict[str, float] = {}
        self._pause: dict[str, tuple[float, float]] = {}
        self._ignores: dict[str, tuple[str, int] | None] = {}
        self._earliest: dict[str, float] = {}
        listeners: Any = hub.ledger._listeners
        listeners.insert(0, self._moved)

    def came(self, agent_id: str) -> None:
        """An agent identifies on a new line: it may say first what it has."""
        self.draining.discard(agent_id)
        self._ignores.pop(agent_id, None)
        self._quiet.pop(agent_id, None)
        for task in self._hub.ledger.live.values():
            if task.agent_id == agent_id and (task.status.held or _lost(task)):
                self._quiet[agent_id] = self._seconds() + QUIET_S

    def spoke(self, agent_id: str) -> None:
        """An agent reported something: it may be taken for one that takes work."""
        self._ignores.pop(agent_id, None)

    def _moved(self, old: Task | None, new: Task) -> None:
        if new.generation > (0 if old is None else old.generation):
            self._assigned(old, new)
        if old is None or new.agent_id is None:
            return
        if new.ending is not None and new.ending != old.ending:
            self._ended(new.ending.agent_id, new.ending.kind)
            self._put_off(new, new.ending.answer)
        elif old.status.held and new.status is Status.QUEUED:
            if self.operator:
                self._ended(new.agent_id, "task_rejected")
            elif (
                old.status is Status.ASSIGNED
                and new.agent_id in self._hub.roster
                # From whom an operator drains it may be taken back in time.
                and new.agent_id not in self.drained
            ):
                self._ignores.setdefault(new.agent_id, None)

    def _put_off(self, task: Task, answer: str) -> None:
        """After a failure at least half of the backoff passes."""
        self._earliest.pop(task.id, None)
        if answer == "retried":
            asked = task.terms.backoff
            wait = min(asked.max_s, asked.initial_s * asked.factor ** (task.attempts - 1))
            # The hub counts in whole milliseconds.
            self._earliest[task.id] = self._seconds() + wait / 2 - 0.002

    def _ended(self, agent_id: str, kind: str) -> None:
        if kind == "task_rejected":
            now = self._seconds()
            before, until = self._pause.get(agent_id, (0.0, 0.0))
            if now - (until - before) >= CALM_S:
                # That long after a rejection it may begin anew.
                before = 0.0
            pause = min(PAUSE_MOST_S, max(PAUSE_S, before * 2))
            self._pause[agent_id] = pause, now + pause
        elif kind in ("task_complete", "task_failed"):
            self._pause.pop(agent_id, None)

    def _assigned(self, old: Task | None, new: Task) -> None:
        agent_id = new.agent_id or ""
        link = self._hub.roster.get(agent_id)
        what = f"{new.id}, generation {new.generation}, given to {agent_id}"
        if link is None:
            self.broken.append(f"{what}, who is away")
            return
        if agent_id in self.draining | self.drained:
            self.broken.append(f"{what}, who is draining")
        if self.standstill:
            self.broken.append(f"{what}, and the hub is drained")
        if old is None and new.origin == PUSH:
            if new.pinned != agent_id or new.max_attempts != 1:
                self.broken.append(f"{what} and pinned to {new.pinned}")
            return
        # One that was given to somebody when it came did not wait.
        asked = old or new
        now = self._seconds()
        held = [
            task.id
            for task in self._hub.ledger.live.values()
            if task.status.held and task.agent_id == agent_id and task.id != new.id
        ]
        if len(held) >= link.agent.slots:
            self.broken.append(f"{what}, whose {link.agent.slots} slots have {held}")
        if not fits(asked, link.agent):
            self.broken.append(f"{what}, who does not fit {asked.pinned} {asked.needs}")
        if now < self._quiet.get(agent_id, 0.0):
            self.broken.append(f"{what}, who has not said yet what it has")
        if now < self._pause.get(agent_id, (0.0, 0.0))[1]:
            self.broken.append(f"{what}, who pauses")
        if agent_id in self._ignores:
            self._tried(agent_id, new, what)
        self._in_turn(asked, link.agent, what)

    def _tried(self, agent_id: str, new: Task, what: str) -> None:
        """Who takes no work is tried with one task at a time."""
        task_id, generation = self._ignores[agent_id] or ("", 0)
        trial = self._hub.ledger.live.get(task_id)
        if (
            trial is not None
            and (trial.agent_id, trial.generation) == (agent_id, generation)
            and trial.status is Status.ASSIGNED
        ):
            self.broken.append(f"{what}, who has not yet taken {task_id}")
        self._ignores[agent_id] = new.id, new.generation

    def _in_turn(self, task: Task, agent: Agent, what: str) -> None:
        early = self._earliest.pop(task.id, 0.0) - self._seconds()
        if early > 0:
            self.broken.append(f"{what} {early} s before its backoff can be over")
        now = self._hub.now()
        not_before = task.terms.not_before if task.series == 1 else None
        for due in (task.ready_at, not_before):
            # Time is counted in seconds here and in milliseconds there.
            if due is not None and due > now + 1:
                self.broken.append(f"{what} {due - now} ms too early")
        queue = self._hub.dispatch.queue
        for other in self._hub.ledger.live.values():
            if (
                RANK[other.priority] < RANK[task.priority]
                and other.id in queue
                and queue.is_ready(other.id)
                and fits(other, agent)
            ):
                self.broken.append(f"{what} before {other.id}, which is {other.priority}")


def _lost(task: Task) -> bool:
    """Its agent may still work on it: nobody's word has ended it."""
    ended = task.ending is not None and task.ending.generation == task.generation
    return task.status is Status.QUEUED and not ended
