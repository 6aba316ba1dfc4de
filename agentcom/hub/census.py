"""All agents in numbers, for ``/metrics``: kept as things change, so that to ask costs little."""

from __future__ import annotations

import msgspec

from agentcom.core.state import Status
from agentcom.hub.holdings import Holdings
from agentcom.hub.standings import Standings, State


class Census(msgspec.Struct, frozen=True):
    """All agents, in numbers.

    :ivar states: connected agents by state.
    :ivar held: tasks that agents have, by status.
    :ivar away: agents that are away and for which tasks are held.
    :ivar waits: tasks that are held for them.
    """

    states: dict[State, int]
    held: dict[Status, int]
    away: int
    waits: int


def census(standings: Standings, holdings: Holdings, working: int) -> Census:
    """Count the agents; costs a look at each that has changed since somebody asked.

    :param working: how many of the tasks that agents have are worked on.
    """
    standings.look(len(holdings.changed))
    states = {state: standings.counts[state] for state in State}
    held = {Status.ASSIGNED: holdings.total() - working, Status.WORKING: working}
    return Census(states, held, len(holdings.absent), holdings.absent.tasks)
