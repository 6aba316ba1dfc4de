"""Agents that an operator takes out of service: they finish, and get nothing more.

A drain is decided in memory, at once, and stored before it is answered; it
outlives the agent's connection and the hub's process, until somebody resumes
the agent.  What an agent asks for itself (``drain``, ``agent_restarting``)
lasts until its next connection and is not here; the whole hub is in
:mod:`.hubdrain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from agentcom.core import events
from agentcom.core.changes import Requeue
from agentcom.core.drain import Drain
from agentcom.core.events import Draft, payload
from agentcom.core.state import Task
from agentcom.errors import AgentNotFound
from agentcom.hub.agenda import Agenda
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.holdings import Holding
from agentcom.hub.interventions import Interventions
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Frame, Link, Roster
from agentcom.store.interface import Store, Unit
from agentcom.wire.codec import encode
from agentcom.wire.frames import Draining, Resumed

DRAINED = "drained"
"""Why a task went back to the queue whose agent's time to finish was over."""

OPERATOR = "operator"
"""Who drains an agent, as the agent itself is told."""

Told = dict[str, Any]


class Drains:
    """Drains agents, and resumes them.

    :param knows: whether an agent id ever had a token.
    :param now: Unix milliseconds.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        dispatch: Dispatch,
        interventions: Interventions,
        roster: Roster,
        agenda: Agenda,
        knows: Callable[[str], bool],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._dispatch = dispatch
        self._interventions = interventions
        self._roster = roster
        self._agenda = agenda
        self._knows = knows
        self._now = now
        self._drained: dict[str, Holding] = {}
        agenda.on("drain", self._over)

    def load(self, drains: Mapping[str, Drain]) -> None:
        """Take in what was stored, at start."""
        for agent_id, drain in drains.items():
            self._set(agent_id, drain)

    def restarted(self) -> None:
        """The hub listens: what had ended unseen is told now."""
        for agent_id in list(self._drained):
            self._look(agent_id)

    # -- what an operator asks for ----------------------------------------

    def drain(
        self, agent_id: str, by: str, deadline_s: float | None, note: str | None
    ) -> Deferred[Told]:
        """Give an agent nothing more; another word of it replaces deadline and note.

        :param by: the agent id of the operator's token.
        :param deadline_s: seconds after which what still runs there goes back to
            the queue, ``None`` for never.
        :returns: :meth:`state` as it was decided, once that is on disk.
        :raises AgentNotFound: nothing is known of the agent.
        """
        self._check_known(agent_id)
        holding = self._dispatch.holdings.of(agent_id)
        drain = _renewed(holding, by, deadline_s, note, self._now())
        drafts = _told(agent_id, holding.drain, drain, self._now())
        self._set(agent_id, drain)
        self.log.info("agent {agent_id} is drained {words}", agent_id=agent_id, words=drain.words())
        answer = self.state(agent_id)
        done: Deferred[Told] = Deferred()

        def committed() -> None:
            done.callback(answer)
            # As it is by now: another word may have followed.
            if holding.drain is not None:
                self._send(agent_id, _draining(holding.drain))

        self._store.commit(Unit(drafts=drafts, drains={agent_id: drain}, then=committed))
        return done

    def resume(self, agent_id: str, by: str) -> Deferred[None]:
        """Give an agent work again, whoever had drained it; fires once that is on disk.

        Nothing changes where nobody had.

        :param by: the agent id of the operator's token.
        :raises AgentNotFound: nothing is known of the agent.
        """
        self._check_known(agent_id)
        holding = self._dispatch.holdings.get(agent_id)
        if holding is None or not holding.draining:
            return self._ledger.settled()
        self._drained.pop(agent_id, None)
        self._agenda.cancel("drain", agent_id)
        holding.drain = holding.asked = None
        holding.draining = holding.overdue = False
        self.log.info("agent {agent_id} is resumed by {by}", agent_id=agent_id, by=by)
        done: Deferred[None] = Deferred()

        def committed() -> None:
            done.callback(None)
            if not holding.draining:
                self._send(agent_id, encode(Resumed(by=OPERATOR)))

        draft = _draft(events.AGENT_RESUMED, agent_id, self._now(), payload(by=by))
        self._store.commit(Unit(drafts=(draft,), drains={agent_id: None}, then=committed))
        self._dispatch.offer(agent_id)
        self._dispatch.holdings.forget_if_empty(agent_id)
        return done

    # -- what is shown ----------------------------------------------------

    def state(self, agent_id: str) -> Told:
        """Whether an agent drains and how far it is, for its operator.

        :raises AgentNotFound: nothing is known of the agent.
        """
        self._check_known(agent_id)
        holding = self._dispatch.holdings.get(agent_id)
        return _state(agent_id, holding, agent_id in self._roster)

    def shown(self, agent_id: str) -> Told | None:
        """An agent's drain: ``by``, ``note``, ``since``, ``deadline`` (both Unix
        milliseconds) and ``drained``; ``None`` where it is not drained."""
        return _shown(agent_id, self._dispatch.holdings.get(agent_id))

    def everyone(self, most: int) -> tuple[list[Told], int]:
        """:meth:`state` of agents that operators drain, and how many there are of them.

        :param most: agents to tell of, those that are drained longest first.
        """
        return [self.state(a) for a in islice(self._drained, most)], len(self._drained)

    # -- what happens -----------------------------------------------------

    def came(self, link: Link) -> None:
        """An agent identified: tell it, behind ``identified``, that it is drained."""
        agent_id = link.agent.agent_id
        if agent_id not in self._drained:
            return

        def tell() -> None:
            holding = self._drained.get(agent_id)
            if holding is not None and holding.drain is not None:
                link.send(_draining(holding.drain))

        # Twice: ``identified`` itself may wait behind one commit.
        self._ledger.answer(lambda: self._ledger.answer(tell))

    def follow(self, old: Task | None, new: Task) -> None:
        """A task moved: its agent may have ended its last, or may have none any more."""
        if old is None or not self._drained:
            return
        agent_id = old.agent_id or ""
        holding = self._drained.get(agent_id)
        if holding is None:
            return
        if not holding.held:
            self._look(agent_id)
        elif holding.overdue and not old.status.held:
            # It took up again what went back to the queue.
            self._agenda.after("drain", agent_id, 0)

    def _over(self, agent_id: str) -> None:
        """The deadline has passed: others may have what still runs there."""
        holding = self._drained.get(agent_id)
        if holding is None or holding.drain is None:
            return
        holding.overdue = True
        back = Requeue(DRAINED, holding.drain.by, holding.drain.note)
        for task_id in self._dispatch.holdings.running(agent_id):
            self._interventions.take_back(task_id, back)

    def _look(self, agent_id: str) -> None:
        """Tell, once, that nothing runs there any more."""
        holding = self._drained[agent_id]
        drain = holding.drain
        if drain is None or drain.drained_at is not None or holding.held:
            return
        now = self._now()
        holding.drain = msgspec.structs.replace(drain, drained_at=now)
        self.log.info("agent {agent_id} is drained: nothing runs there", agent_id=agent_id)
        draft = _draft(events.AGENT_DRAINED, agent_id, now)
        self._store.commit(Unit(drafts=(draft,), drains={agent_id: holding.drain}))

    def _set(self, agent_id: str, drain: Drain) -> None:
        holding = self._drained[agent_id] = self._dispatch.holdings.of(agent_id)
        holding.drain = drain
        holding.draining = True
        self._dispatch.holdings.touch(agent_id)
        now = self._now()
        holding.overdue = drain.passed(now)
        self._agenda.cancel("drain", agent_id)
        if drain.deadline is not None:
            self._agenda.after("drain", agent_id, max(0.0, (drain.deadline - now) / 1000))

    def _check_known(self, agent_id: str) -> None:
        known = agent_id in self._roster or self._dispatch.holdings.get(agent_id) is not None
        if not known and not self._knows(agent_id):
            raise AgentNotFound(
                "no agent of this id has a connection, a task or a token: look at its spelling",
                agent_id=agent_id,
            )

    def _send(self, agent_id: str, frame: Frame) -> None:
        link = self._roster.get(agent_id)
        if link is not None:
            link.send(frame)


_NOTHING: Told = {"by": None, "note": None, "since": None, "deadline": None}


def _state(agent_id: str, holding: Holding | None, connected: bool) -> Told:
    running = 0 if holding is None else len(holding.held)
    draining = holding is not None and holding.draining
    return {
        "status": "draining" if draining else "serving",
        "agent_id": agent_id,
        "connected": connected,
        "running": running,
        **(_shown(agent_id, holding) or _NOTHING),
        "drained": draining and not running,
    }


def _shown(agent_id: str, holding: Holding | None) -> Told | None:
    if holding is None or not holding.draining:
        return None
    drain = holding.drain
    # Without one it asked for that itself.
    return {
        "by": agent_id if drain is None else drain.by,
        "note": holding.asked if drain is None else drain.note,
        "since": None if drain is None else drain.since,
        "deadline": None if drain is None else drain.deadline,
        "drained": not holding.held,
    }


def _renewed(
    holding: Holding, by: str, deadline_s: float | None, note: str | None, now: int
) -> Drain:
    """A new drain of an agent, or the one that it has in other words."""
    before = holding.drain
    drained_at = None if before is None else before.drained_at
    if drained_at is None and not holding.held:
        drained_at = now
    return Drain(
        by=by,
        since=now if before is None else before.since,
        note=note,
        deadline=None if deadline_s is None else now + int(deadline_s * 1000),
        drained_at=drained_at,
    )


def _told(agent_id: str, before: Drain | None, drain: Drain, now: int) -> list[Draft]:
    told = payload(by=drain.by, note=drain.note, deadline=drain.deadline)
    drafts = [_draft(events.AGENT_DRAINING, agent_id, now, told)]
    known = before is not None and before.drained_at is not None
    if drain.drained_at is not None and not known:
        drafts.append(_draft(events.AGENT_DRAINED, agent_id, now))
    return drafts


def _draining(drain: Drain) -> Frame:
    return encode(Draining(by=OPERATOR, reason=drain.note, deadline=drain.deadline))


def _draft(event: str, agent_id: str, now: int, told: bytes = b"{}") -> Draft:
    return Draft(events.PRESENCE, event, now, None, agent_id, None, told)
