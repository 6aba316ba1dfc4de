"""Which agents fit which tasks, and which of them have room.

An index between the agent map and the queue's groups.  An agent that has
room is entered in the groups that it fits, so the next task finds it at once:
the least loaded first, then the one that was idle longest.

What an agent is given moves it back, so its place in a group may be too far in
front and is put right when it is looked at; it is never too far behind.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from itertools import chain

from agentcom.core.agent import Agent
from agentcom.core.matching import Needs, fits
from agentcom.hub.holdings import Holding, Holdings
from agentcom.hub.link import Roster
from agentcom.hub.queue import SLACK, Group, Place, Queue
from agentcom.hub.standings import Standings
from agentcom.hub.traits import Traits


class Staff:
    """The agents in the map, as the queue sees them.

    :ivar traits: what they have.
    :ivar standings: whether they take work now.
    """

    def __init__(self, roster: Roster, holdings: Holdings, queue: Queue) -> None:
        self._roster = roster
        self._holdings = holdings
        self._queue = queue
        self.traits = Traits()
        self.standings = Standings(roster, holdings)

    def came(self, agent: Agent) -> None:
        """An agent is in the map, or says something new of itself."""
        agent_id = agent.agent_id
        known = self.traits.knows(agent)
        if not known:
            self._forget(agent_id)
        self._holdings.came(agent_id)
        if known:
            return
        self.traits.add(agent)
        holding = self._holdings.of(agent_id)
        for group in chain(self.traits.wanting(agent_id), self._queue.pinned_to(agent_id)):
            if fits(group.needs, group.pinned, agent):
                _join(group, agent_id, holding)

    def left(self, agent_id: str) -> None:
        """An agent is not in the map any more."""
        self._forget(agent_id)
        self._holdings.left(agent_id)

    def _forget(self, agent_id: str) -> None:
        self.traits.remove(agent_id)
        self.standings.left(agent_id)
        holding = self._holdings.get(agent_id)
        if holding is None:
            return
        for group in holding.groups:
            group.members.discard(agent_id)
        holding.groups.clear()

    def group(self, pinned: str | None, needs: Needs) -> Group:
        """The group of tasks that ask for this; a new one finds its agents."""
        found = self._queue.group(pinned, needs)
        if found is not None:
            return found
        group = self._queue.new_group(pinned, needs)
        if pinned is None:
            self.traits.want(group)
        self.trim()
        likely = self.traits.likely(needs) if pinned is None else {pinned}
        for agent_id in self._roster if likely is None else likely:
            link = self._roster.get(agent_id)
            if link is None or not fits(needs, pinned, link.agent):
                continue
            holding = self._holdings.of(agent_id)
            _join(group, agent_id, holding)
            if holding.has_room(link.agent.slots):
                place = holding.groups[group] = _place(link.agent, holding)
                group.free.append(place)
        heapify(group.free)
        return group

    def trim(self) -> None:
        """Forget empty groups that are too many."""
        for old in self._queue.trim():
            self.traits.want_no_more(old)
            for agent_id in old.members:
                holding = self._holdings.get(agent_id)
                if holding is not None:
                    holding.groups.pop(old, None)

    def has_room(self, agent_id: str) -> None:
        """An agent may have room, or has more than before: enter it where it will be found."""
        link = self._roster.get(agent_id)
        holding = self._holdings.get(agent_id)
        if link is None or holding is None:
            return
        self._holdings.changed.add(agent_id)
        if not holding.has_room(link.agent.slots):
            return
        place = _place(link.agent, holding)
        for group, entered in holding.groups.items():
            if entered is None or place < entered:
                holding.groups[group] = place
                heappush(group.free, place)
                if len(group.free) > 2 * len(group.members) + SLACK:
                    group.free = [item for item in group.free if self._is_entered(group, item)]
                    heapify(group.free)

    def first(self, group: Group) -> str | None:
        """The agent that gets the group's next task, ``None`` where none has room."""
        free = group.free
        while free:
            place = free[0]
            agent_id = place[2]
            holding = self._holdings.get(agent_id)
            if holding is None or holding.groups.get(group) is not place:
                heappop(free)
                continue
            agent = self._roster[agent_id].agent
            if not holding.has_room(agent.slots):
                holding.groups[group] = None
                heappop(free)
                continue
            now = _place(agent, holding)
            if now == place:
                return agent_id
            holding.groups[group] = now
            heapreplace(free, now)
        return None

    def _is_entered(self, group: Group, place: Place) -> bool:
        holding = self._holdings.get(place[2])
        return holding is not None and holding.groups.get(group) is place


def _join(group: Group, agent_id: str, holding: Holding) -> None:
    group.members.add(agent_id)
    holding.groups[group] = None


def _place(agent: Agent, holding: Holding) -> Place:
    return len(holding.held) / agent.slots, holding.stamp, agent.agent_id
