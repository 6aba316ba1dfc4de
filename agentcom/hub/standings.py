"""Which agents take work now, and what keeps the others from it: counted, not looked for.

Whoever changes what an agent may take notes its name (``Holdings.changed``);
those names alone are looked at again, when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentcom.hub.holdings import Holding, Holdings
from agentcom.hub.link import Roster

States = tuple[str, ...]
"""Rules of docs/http-api.rst that keep any task from an agent; none: it has room."""

ROOM: States = ()
NO_SLOTS = "no_slots"


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
    """The agents in the map by their states, as they were at the last look."""

    def __init__(self, roster: Roster, holdings: Holdings) -> None:
        self._roster = roster
        self._holdings = holdings
        self._of: dict[str, States] = {}
        self._agents: dict[States, set[str]] = {}

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
            now = states(self._holdings.get(agent_id), link.agent.slots)
            if self._of.get(agent_id) != now:
                self.left(agent_id)
                self._of[agent_id] = now
                self._agents.setdefault(now, set()).add(agent_id)
        return not changed

    def left(self, agent_id: str) -> None:
        """An agent is not in the map any more."""
        before = self._of.pop(agent_id, None)
        if before is not None:
            agents = self._agents[before]
            agents.discard(agent_id)
            if not agents:
                del self._agents[before]

    def groups(self) -> Iterable[tuple[States, set[str]]]:
        """The agents of each state, those with the fewest rules first; to be read only."""
        return sorted(self._agents.items(), key=lambda item: (len(item[0]), item[0]))
