"""Which agents fit which tasks, and which of them have room.

An index between the agent map and the queue's groups.  An agent that has
room is entered in the groups that it fits, so the next task finds it at once:
the least loaded first, then the one that was idle longest.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import chain

from agentcom.core.agent import Agent
from agentcom.core.matching import Needs, fits
from agentcom.hub.holdings import Holding, Holdings
from agentcom.hub.link import Roster
from agentcom.hub.queue import SLACK, Group, Queue
from agentcom.hub.traits import Traits


class Staff:
    """The agents in the map, as the queue sees them."""

    def __init__(self, roster: Roster, holdings: Holdings, queue: Queue) -> None:
        self._roster = roster
        self._holdings = holdings
        self._queue = queue
        self._traits = Traits()

    def came(self, agent: Agent) -> None:
        """An agent is in the map, or says something new of itself."""
        agent_id = agent.agent_id
        if self._traits.knows(agent):
            return
        self.left(agent_id)
        self._traits.add(agent)
        holding = self._holdings.of(agent_id)
        for group in chain(self._traits.wanting(agent_id), self._queue.pinned_to(agent_id)):
            if fits(group.needs, group.pinned, agent):
                _join(group, agent_id, holding)

    def left(self, agent_id: str) -> None:
        """An agent is not in the map any more."""
        self._traits.remove(agent_id)
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
            self._traits.want(group)
        self.trim()
        likely = self._traits.likely(needs) if pinned is None else {pinned}
        for agent_id in self._roster if likely is None else likely:
            link = self._roster.get(agent_id)
            if link is None or not fits(needs, pinned, link.agent):
                continue
            holding = self._holdings.of(agent_id)
            _join(group, agent_id, holding)
            if holding.has_room(link.agent.slots):
                group.free.append(_place(link.agent, holding))
        heapify(group.free)
        return group

    def trim(self) -> None:
        """Forget empty groups that are too many."""
        for old in self._queue.trim():
            self._traits.want_no_more(old)
            for agent_id in old.members:
                holding = self._holdings.get(agent_id)
                if holding is not None:
                    holding.groups.pop(old, None)

    def has_room(self, agent_id: str) -> None:
        """Enter an agent that has room where it will be found."""
        link = self._roster.get(agent_id)
        holding = self._holdings.get(agent_id)
        if link is None or holding is None or not holding.has_room(link.agent.slots):
            return
        place = _place(link.agent, holding)
        for group in holding.groups:
            heappush(group.free, place)
            if len(group.free) > 2 * len(group.members) + SLACK:
                group.free = [item for item in set(group.free) if self._stands(group, item)]
                heapify(group.free)

    def first(self, group: Group) -> str | None:
        """The agent that gets the group's next task, ``None`` where none has room."""
        while group.free:
            if self._stands(group, group.free[0]):
                return group.free[0][2]
            heappop(group.free)
        return None

    def _stands(self, group: Group, place: tuple[float, int, str]) -> bool:
        agent_id = place[2]
        if agent_id not in group.members:
            return False
        holding = self._holdings.get(agent_id)
        agent = self._roster[agent_id].agent
        return (
            holding is not None
            and holding.has_room(agent.slots)
            and place == _place(agent, holding)
        )


def _join(group: Group, agent_id: str, holding: Holding) -> None:
    group.members.add(agent_id)
    holding.groups[group] = None


def _place(agent: Agent, holding: Holding) -> tuple[float, int, str]:
    return len(holding.held) / agent.slots, holding.stamp, agent.agent_id
