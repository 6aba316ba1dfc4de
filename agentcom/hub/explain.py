"""Why a task waits, rule by rule; :mod:`.explained` tells of tasks that do not.

Nothing here decides: it reads what the dispatcher reads, and gives each rule
its name.  The rules are listed in docs/http-api.rst.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from agentcom.core.agent import Agent
from agentcom.core.drain import Drain
from agentcom.core.matching import ABSENT, EQUAL, EXISTS, IN, LabelRule, Unmet, unmet
from agentcom.core.state import Status, Task
from agentcom.errors import TaskNotFound
from agentcom.hub.agenda import Agenda
from agentcom.hub.auth import Auth
from agentcom.hub.candidates import Candidates
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.explained import ended, runs, short
from agentcom.hub.holdings import Holding
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Roster
from agentcom.hub.standings import states
from agentcom.store.interface import Store

LOOKED_AT = 8
"""Agents that fit best of whom it is asked which task they would get next."""

Told = dict[str, Any]

A_TURN = 500
"""Agents looked at in one turn of the reactor."""


class Explain:
    """Answers ``GET /api/tasks/:id/explain``.

    :param now: Unix milliseconds.
    :param turn: fires when others had a turn of the reactor.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        dispatch: Dispatch,
        roster: Roster,
        agenda: Agenda,
        auth: Auth,
        now: Callable[[], int],
        turn: Callable[[], Deferred[None]],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._dispatch = dispatch
        self._roster = roster
        self._agenda = agenda
        self._auth = auth
        self._now = now
        self._turn = turn

    async def task(self, task_id: str, most: int) -> Told:
        """Explain one task.

        :param most: agents to tell of one by one; those that fit best come first.
        :raises TaskNotFound: there is no such task.
        """
        if self._store.trouble() is None:
            await self._ledger.settled()
        task = self._ledger.peek(task_id)
        if task is None:
            task = await self._store.task(task_id)
            if task is None:
                raise TaskNotFound(task_id=task_id)
            # It may have been retried while the store was read.
            task = self._ledger.peek(task_id) or task
        told: Told = {"task_id": task.id, "status": task.status.value}
        if task.status is Status.QUEUED:
            now: Task | None = task
            while not self._dispatch.staff.standings.look(A_TURN):
                await self._turn()
                now = None
            if now is None:
                now = self._ledger.peek(task_id)
            if now is None or now.status is not Status.QUEUED:
                # It moved on while the agents were looked at.
                return await self.task(task_id, most)
            return {**told, **self._waits(now, most)}
        if task.status.held:
            holding = self._dispatch.holdings.get(task.agent_id or "")
            here = task.agent_id in self._roster
            return {**told, **runs(task, holding, here, self._agenda, self._now())}
        return {**told, **ended(task, await self._store.last_event(task_id))}

    def _waits(self, task: Task, most: int) -> Told:
        staff, queue = self._dispatch.staff, self._dispatch.queue
        candidates = Candidates(task.pinned, task.needs, self._roster, staff)
        agents = self._agents(task, candidates.likeliest(most))
        reasons = self._reasons(task, candidates, agents)
        return {
            "waiting": True,
            "summary": f"It waits: {reasons[0]['detail']}.",
            "since": task.updated_at,
            "reasons": reasons,
            "agents": agents[:most],
            "agents_total": candidates.total,
            "by_rule": dict(candidates.by_rule()),
            "queue": {
                "waiting": len(queue),
                "alike": staff.group(task.pinned, task.needs).ready,
            },
        }

    def _agents(self, task: Task, names: list[str]) -> list[Told]:
        """Agents with the rules that keep the task from each, the fewest first."""
        asked = {str(rule): rule for rule in task.needs.labels}
        links = [self._roster[name] for name in names]
        agents: list[Told] = [
            {"agent_id": link.agent.agent_id, "rules": self._rules(task, asked, link.agent)}
            for link in links
        ]
        agents.sort(key=lambda told: len(told["rules"]))
        return agents

    def _reasons(self, task: Task, candidates: Candidates, agents: list[Told]) -> list[Told]:
        """What keeps the task as a whole, the strongest reason first."""
        found: list[Told] = []
        if not self._dispatch.is_open:
            found.append(_rule("hub_stopping", "the hub is stopping and assigns nothing"))
        if (drain := self._dispatch.standstill) is not None:
            detail = f"the hub assigns nothing: it is drained {short(drain.words())}"
            found.append(_rule("hub_draining", detail, **_of(drain)))
        now = self._now()
        if task.ready_at is not None and task.ready_at > now:
            found.append(_delayed(task, task.ready_at, (task.ready_at - now) / 1000))
        if task.pinned is not None and task.pinned not in self._roster:
            found.append(self._pinned_away(task.pinned))
        elif not candidates.total:
            found.append(_rule("no_agents", "no agent is connected"))
        elif not candidates.fit:
            found.append(_rule("no_agent_fits", _nobody_fits(task.pinned, candidates, agents)))
        elif not found:
            if candidates.free:
                found.append(_rule("turn", "it is about to be assigned"))
            else:
                fit = [told for told in agents if not _never_fits(told)][:LOOKED_AT]
                found.append(_rule("no_room", _no_room(candidates, fit)))
                found.extend(self._drained(fit))
                found.extend(self._behind(task, fit))
        return found

    def _pinned_away(self, agent_id: str) -> Told:
        holding = self._dispatch.holdings.get(agent_id)
        if self._auth.knows(agent_id) or holding is not None:
            detail = f"only {agent_id} may have it, and {agent_id} is away"
            if holding is None or holding.drain is None:
                return _rule("pinned_away", detail, needed=agent_id)
            detail += f", and drained {short(holding.drain.words())}"
            return _rule("pinned_away", detail, needed=agent_id, drain=_of(holding.drain))
        detail = f"only {agent_id} may have it, and no agent of that name was ever known"
        return _rule("pinned_unknown", detail, needed=agent_id)

    def _drained(self, fit: list[Told]) -> list[Told]:
        """Those that fit best and that operators drain: somebody can end that."""
        found: list[Told] = []
        for told in fit if len(fit) > 1 else []:
            agent_id = told["agent_id"]
            holding = self._dispatch.holdings.get(agent_id)
            if holding is not None and (drain := holding.drain) is not None:
                detail = f"{agent_id}, which fits it, is drained {short(drain.words())}"
                found.append(_rule("draining", detail, agent_id=agent_id, **_of(drain)))
        return found

    def _behind(self, task: Task, fit: list[Told]) -> list[Told]:
        """Whether other tasks go first with those agents that fit best."""
        queue, holdings = self._dispatch.queue, self._dispatch.holdings
        firsts = []
        for told in fit:
            holding = holdings.get(told["agent_id"])
            firsts.append(None if holding is None else queue.first(holding.groups))
        if task.id in firsts or firsts[0] is None:
            return []
        first = self._ledger.peek(firsts[0])
        if first is None:
            return []
        if first.priority is not task.priority:
            why = f"its priority is {first.priority.value}"
        elif first.submitted_by != task.submitted_by:
            why = f"submitters take turns, and it is {first.submitted_by}'s"
        else:
            why = "it is older"
        detail = f"other tasks go first, the next of them {first.id}: {why}"
        return [_rule("behind", detail, first=first.id)]

    def _rules(self, task: Task, asked: dict[str, LabelRule], agent: Agent) -> list[Told]:
        """What keeps a task from an agent."""
        rules = [
            _rule(rule.rule, _lacks(rule, asked), needed=rule.needed, found=rule.found)
            for rule in unmet(task.needs, task.pinned, agent)
        ]
        holding = self._dispatch.holdings.get(agent.agent_id)
        if holding is not None:
            for state in states(holding, agent.slots):
                rules.append(self._state(state, agent, holding))
        return rules

    def _state(self, rule: str, agent: Agent, holding: Holding) -> Told:
        """A rule that comes from what an agent does now, with its words."""
        agent_id = agent.agent_id
        if rule == "draining":
            return _draining(agent_id, holding)
        if rule == "unresponsive":
            left = self._agenda.left("probe", agent_id)
            again = "" if left is None else f"; it is tried again in {left:.1f} s"
            return _rule(rule, "it did not answer its last assignment in time" + again)
        if rule == "paused":
            detail = "it rejected a task, or was relieved of one"
            return _rule(rule, detail + self._nothing_for("pause", agent_id))
        if rule == "returning":
            detail = "it is just back and says what it still has"
            return _rule(rule, detail + self._nothing_for("quiet", agent_id))
        if rule == "slots":
            return _rule(rule, _slots(len(holding.held), agent.slots))
        return _rule(rule, "it takes no work (slots: 0)")

    def _nothing_for(self, kind: str, agent_id: str) -> str:
        left = self._agenda.left(kind, agent_id)
        return "" if left is None else f"; it is offered nothing for another {left:.1f} s"


_FOR_GOOD = frozenset({"pinned", "capability", "label", "no_slots"})
"""Rules that waiting alone does not change."""


def _never_fits(told: Told) -> bool:
    return any(rule["rule"] in _FOR_GOOD for rule in told["rules"])


def _rule(rule: str, detail: str, **fields: object) -> Told:
    return {"rule": rule, "detail": detail, **fields}


def _of(drain: Drain) -> Told:
    return {"by": drain.by, "note": drain.note, "deadline": drain.deadline}


def _draining(agent_id: str, holding: Holding) -> Told:
    if (drain := holding.drain) is not None:
        return _rule("draining", f"it is drained {short(drain.words())}", **_of(drain))
    why = "" if holding.asked is None else f": {short(holding.asked)}"
    detail = f"it asked for no more work{why}"
    return _rule("draining", detail, by=agent_id, note=holding.asked, deadline=None)


NAMED = 4
"""Things that agents lack, of which a sentence tells how many lack each."""


def _missing(candidates: Candidates) -> str:
    """How many agents lack what, the most frequent first."""
    counts = candidates.lacking()
    said = [_LACK[rule](count, needed) for rule, needed, count in counts[:NAMED]]
    if len(counts) > NAMED:
        said.append(f"and {len(counts) - NAMED} more")
    return ", ".join(said)


_LACK: dict[str, Callable[[int, str | None], str]] = {
    "capability": lambda count, needed: (
        f"{count} {'lacks' if count == 1 else 'lack'} the capability {needed}"
    ),
    "label": lambda count, needed: (
        f"{count} {'does' if count == 1 else 'do'} not satisfy the label {needed}"
    ),
    "no_slots": lambda count, needed: f"{count} {'takes' if count == 1 else 'take'} no work",
}

_FULL = {"slots": "full", "returning": "just back"}
"""What an agent is that can take no more now, where that is not the rule's own name."""


def _details(told: Told) -> str:
    return "; ".join(rule["detail"] for rule in told["rules"])


def _delayed(task: Task, until: int, left: float) -> Told:
    if until == task.terms.not_before:
        detail = f"it was asked not to begin for another {left:.1f} s"
        return _rule("not_before", detail, until=until)
    detail = f"attempt {task.attempts} of {task.max_attempts} failed"
    error = f" ({short(task.last_error)})" if task.last_error else ""
    detail += f"{error}, the next may begin in {left:.1f} s"
    return _rule("backoff", detail, until=until, error=task.last_error)


def _nobody_fits(pinned: str | None, candidates: Candidates, agents: list[Told]) -> str:
    if pinned is not None:
        own = [told for told in agents if told["agent_id"] == pinned]
        why = _details(own[0]) if own else "it has just come"
        return f"only {pinned} may have it, and {pinned} does not fit it: {why}"
    if len(agents) == 1:
        only = agents[0]["agent_id"]
        return f"{only}, the only agent that is connected, does not fit it: {_details(agents[0])}"
    return f"none of the {candidates.total} connected agents fits it ({_missing(candidates)})"


def _no_room(candidates: Candidates, fit: list[Told]) -> str:
    if candidates.fit == 1:
        only = fit[0]["agent_id"]
        return f"only {only} fits it, and {only} can take no more now: {_details(fit[0])}"
    found: Counter[str] = Counter()
    for rules, count in candidates.by_state.items():
        found.update(dict.fromkeys(rules, count))
    counts = ", ".join(f"{n} {_FULL.get(rule, rule)}" for rule, n in found.most_common())
    return f"{candidates.fit} agents fit it, and none can take more now ({counts})"


def _slots(held: int, slots: int) -> str:
    if held > slots:
        return f"it has {held} tasks, more than its {slots} slot{'s' * (slots > 1)}"
    return "its only slot is taken" if slots == 1 else f"all of its {slots} slots are taken"


def _lacks(rule: Unmet, asked: dict[str, LabelRule]) -> str:
    """What an agent does not satisfy, said of the agent."""
    if rule.rule == "pinned":
        return f"the task is for {rule.needed} alone"
    if rule.rule == "capability":
        return f"it lacks the capability {rule.needed}"
    label = asked[rule.needed]
    has = f"its label {label.key} is {rule.found}"
    if rule.found is None:
        has = f"it has no label {label.key}"
    if label.op == EXISTS:
        return f"{has}, and must have one"
    if label.op == ABSENT:
        return f"{has}, and it must have no such label"
    values = ", ".join(label.values)
    must = {EQUAL: "must be", IN: "must be one of"}.get(label.op, "must not be")
    return f"{has}, and {'it' if rule.found is not None else 'that'} {must} {values}"
