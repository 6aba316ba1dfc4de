"""Whether an agent takes work: the second question of liveness (DESIGN.md).

Its connection may be open and it may answer pings, and still it takes
nothing.  One that rejects a task pauses; one that lets a task pass without a
word is unresponsive, and is tried again later with one task at a time.
"""

from __future__ import annotations

from twisted.logger import Logger

from agentcom.core.state import PUSH, Status
from agentcom.hub.agenda import Agenda
from agentcom.hub.counts import Counts
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Roster
from agentcom.hub.returning import Returning

PAUSE_S = 5.0
PAUSE_MOST_S = 60.0
"""Seconds without offers after a rejection, doubling from one to the other."""

CALM_S = 600.0
"""Seconds after a rejection until an agent that went away begins anew."""

PROBE_S = 30.0
PROBE_MOST_S = 600.0
"""Seconds until an unresponsive agent is tried again, doubling from one to the other."""


class Willingness:
    """Keeps work from agents that do not take it."""

    log = Logger()

    def __init__(
        self,
        ledger: Ledger,
        dispatch: Dispatch,
        returning: Returning,
        roster: Roster,
        agenda: Agenda,
        counts: Counts,
    ) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._returning = returning
        self._roster = roster
        self._agenda = agenda
        self._counts = counts
        agenda.on("pause", self._pause_over)
        agenda.on("calm", self._calm)
        agenda.on("probe", self._probe)

    def rejected(self, agent_id: str) -> None:
        """It rejected a task, or was relieved of one: no offers, longer each time."""
        holding = self._dispatch.holdings.of(agent_id)
        holding.pause_s = min(PAUSE_MOST_S, max(PAUSE_S, holding.pause_s * 2))
        holding.paused = True
        self._dispatch.holdings.touch(agent_id)
        self._agenda.after("pause", agent_id, holding.pause_s)
        self._agenda.after("calm", agent_id, CALM_S)

    def ended_one(self, agent_id: str) -> None:
        """It reported an end: it may have work, and what it was too busy for."""
        holding = self._dispatch.holdings.get(agent_id)
        if holding is None:
            return
        holding.pause_s = 0.0
        if holding.paused:
            self._agenda.cancel("pause", agent_id)
            self._pause_over(agent_id)
        if holding.busy:
            self._returning.ask_again_all(agent_id)
        self._dispatch.holdings.forget_if_empty(agent_id)

    def heard(self, agent_id: str) -> None:
        """It spoke of a task: it takes work."""
        holding = self._dispatch.holdings.get(agent_id)
        if holding is None:
            return
        holding.answered_at = self._agenda.seconds()
        holding.ignored = 0
        if holding.unresponsive:
            holding.unresponsive = holding.probing = False
            holding.probe_s = 0.0
            self._agenda.cancel("probe", agent_id)
            self.log.info("agent {agent_id} takes work again", agent_id=agent_id)
            self._dispatch.offer(agent_id)

    def ignored(self, agent_id: str, task_id: str) -> None:
        """It let the assignment of a task pass without a word."""
        holding = self._dispatch.holdings.of(agent_id)
        self._counts.ignored += 1
        holding.ignored += 1
        if not holding.unresponsive:
            holding.unresponsive = True
            self._dispatch.holdings.touch(agent_id)
            holding.ignored_at = self._agenda.seconds()
            holding.probe_s = PROBE_S
            self.log.warn(
                "agent {agent_id} is connected and takes no work; tried again in {seconds:g} s",
                agent_id=agent_id,
                seconds=PROBE_S,
            )
        elif holding.trial == task_id:
            holding.probe_s = min(PROBE_MOST_S, holding.probe_s * 2)
        else:
            # One of several that passed at one time.
            return
        holding.trial = None
        self._agenda.after("probe", agent_id, holding.probe_s)

    def _pause_over(self, agent_id: str) -> None:
        holding = self._dispatch.holdings.get(agent_id)
        if holding is not None:
            holding.paused = False
            self._dispatch.offer(agent_id)

    def _calm(self, agent_id: str) -> None:
        """Its last rejection is long ago: of one that went away nothing is remembered."""
        holding = self._dispatch.holdings.get(agent_id)
        if holding is None or not holding.pause_s:
            return
        if agent_id in self._roster:
            self._agenda.after("calm", agent_id, CALM_S)
            return
        holding.pause_s = 0.0
        self._dispatch.holdings.forget_if_empty(agent_id)

    def _probe(self, agent_id: str) -> None:
        """Try it: with an order that it ignored, else with one task."""
        holding = self._dispatch.holdings.get(agent_id)
        if holding is None or not holding.unresponsive:
            return
        # Should the try end in some other way than with its time to accept.
        self._agenda.after("probe", agent_id, holding.probe_s)
        live = self._ledger.live
        open_tasks = [live[i] for i in holding.held if live[i].status is Status.ASSIGNED]
        if not open_tasks:
            if not holding.probing:
                self._counts.probes += 1
            holding.probing = True
            self._dispatch.offer(agent_id)
            return
        oldest = open_tasks[0]
        if oldest.origin == PUSH and self._agenda.left("accept", oldest.id) is None:
            holding.trial = oldest.id
            self._counts.probes += 1
            self._returning.send_again(oldest.id)
