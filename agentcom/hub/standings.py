"""Which agents take work now, and what keeps the others from it: counted, not looked for.

Whoever changes what an agent may take notes its name (``Holdings.changed``);
those names alone are looked at again, when somebody asks: to explain a task
(:mod:`.explain`), or for the numbers of ``/metrics`` (:mod:`.census`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum

from twisted.internet.defer import Deferred

from agentcom.hub.holdings import Holding, Holdings
from agentcom.hub.link import Roster

States = tuple[str, ...]
"""Rules of docs/http-api.rst that keep any task from an agent; none: it has room."""

ROOM: States = ()
NO_SLOTS = "no_slots"

A_TURN = 500
"""Agents looked at in one turn of the reactor: half a millisecond."""


class State(StrEnum):
    """What a connected agent is counted as: one of them."""

    IDLE = "idle"
    BUSY = "busy"
    UNRESPONSIVE = "unresponsive"
    DRAINING = "draining"
    PAUSED = "paused"
    RETURNING = "returning"


# Kept, because a member is found in the time of some comparisons.
_IDLE, _BUSY = State.IDLE, State.BUSY


def state(holding: Holding | None) -> State:
    """What a connected agent is counted as; what keeps work from it goes first."""
    if holding is None:
        return _IDLE
    if holding.unresponsive:
        return State.UNRESPONSIVE
    if holding.draining:
        return State.DRAINING
    if holding.paused:
        return State.PAUSED
    if holding.quiet:
        return State.RETURNING
    return _BUSY if holding.held else _IDLE


def states(holding: Holding | None, slots: int) -> States:
    """What keeps any task from an agent now."""
    if holding is None or holding.has_room(slots):
        return ROOM
    found = []
    if holding.draining:
        found.append("draining")
    if holding.unresponsive and not holding.probing:
        found.append("unresponsive")
    if holding.paused:
        found.append("paused")
    if holding.quiet:
        found.append("returning")
    if slots == 0:
        found.append(NO_SLOTS)
    elif len(holding.held) >= slots:
        found.append("slots")
    return tuple(found)


class Standings:
    """The agents in the map by their states, as they were at the last look.

    :ivar counts: how many there are of each state.
    """

    def __init__(self, roster: Roster, holdings: Holdings) -> None:
        self._roster = roster
        self._holdings = holdings
        self._of: dict[str, States] = {}
        self._agents: dict[States, set[str]] = {}
        self._state: dict[str, State] = {}
        self.counts: Counter[State] = Counter()

    async def catch_up(self, turn: Callable[[], Deferred[None]]) -> None:
        """Look again at agents that have changed, until the rest is what one turn may look at.

        :param turn: fires when others had a turn of the reactor.
        """
        for _ in range(len(self._holdings.changed) // A_TURN):
            self.look(A_TURN)
            await turn()

    def look(self, most: int) -> bool:
        """Look again at agents that have changed.

        :param most: how many at a time.
        :returns: whether those were all.
        """
        changed = self._holdings.changed
        for _ in range(min(most, len(changed))):
            agent_id = changed.pop()
            link = self._roster.get(agent_id)
            if link is None:
                self.left(agent_id)
                continue
            holding = self._holdings.get(agent_id)
            now, counted = states(holding, link.agent.slots), state(holding)
            if self._of.get(agent_id) != now or self._state[agent_id] is not counted:
                self.left(agent_id)
                self._of[agent_id] = now
                self._agents.setdefault(now, set()).add(agent_id)
                self._state[agent_id] = counted
                self.counts[counted] += 1
        return not changed

    def left(self, agent_id: str) -> None:
        """An agent is not in the map any more."""
        before = self._of.pop(agent_id, None)
        if before is not None:
            self.counts[self._state.pop(agent_id)] -= 1
            agents = self._agents[before]
            agents.discard(agent_id)
            if not agents:
                del self._agents[before]

    def groups(self) -> Iterable[tuple[States, set[str]]]:
        """The agents of each state, those with the fewest rules first; to be read only."""
        return sorted(self._agents.items(), key=lambda item: (len(item[0]), item[0]))
