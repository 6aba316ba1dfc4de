"""The book of what operators were told of drains: it outlives the hub's lives, as they must."""

from __future__ import annotations

from collections.abc import Iterable

from agentcom.core.drain import Drain
from agentcom.hub.hub import Hub
from tests.model.promises import demand

GRACE_MS = 2_500
"""The hub looks once a second."""


class Drained:
    """Which agents are drained, by what operators asked for and were answered."""

    def __init__(self) -> None:
        self._promised: dict[str, Drain | None] = {}
        self._asked: dict[str, list[tuple[int, Drain | None]]] = {}
        self._number = 0

    def asked(self, agent_id: str, drain: Drain | None) -> int:
        """An operator asked for this; the number of the question."""
        self._number += 1
        self._asked.setdefault(agent_id, []).append((self._number, drain))
        return self._number

    def answered(self, agent_id: str, number: int) -> None:
        """The question was answered: this, or something newer, must be on disk."""
        for place, drain in self._asked.get(agent_id, []):
            if place == number:
                self._promised[agent_id] = drain
        later = [item for item in self._asked.get(agent_id, []) if item[0] > number]
        self._asked[agent_id] = later

    def born(self, hub: Hub, agents: Iterable[str]) -> set[str]:
        """Who is drained in a hub that has just begun; none else may be."""
        found = set()
        for agent_id in agents:
            holding = hub.dispatch.holdings.get(agent_id)
            drain = None if holding is None else holding.drain
            may_be = [self._promised.get(agent_id)]
            may_be += [wanted for _, wanted in self._asked.get(agent_id, [])]
            alike = [d for d in may_be if _said(d) == _said(drain)]
            demand(alike, f"{agent_id} has {drain} after a restart, may have {may_be}")
            self._promised[agent_id] = drain
            if drain is not None:
                found.add(agent_id)
        self._asked.clear()
        return found

    def to_come(self, now: int) -> float:
        """Seconds until the next deadline, 0 where none is to come.

        :param now: Unix milliseconds.
        """
        drains = self._promised.values()
        to_come = [d.deadline - now for d in drains if d and d.deadline and d.deadline > now]
        return min(to_come, default=0) / 1000

    def kept(self, hub: Hub) -> None:
        """Nothing runs where the time to finish is over."""
        for agent_id, drain in self._promised.items():
            if self._asked.get(agent_id) or drain is None or drain.deadline is None:
                continue
            late = hub.now() - drain.deadline
            running = hub.dispatch.holdings.running(agent_id)
            demand(late < GRACE_MS or not running, f"{agent_id} runs {running} after {drain}")


def _said(drain: Drain | None) -> object:
    return None if drain is None else (drain.note, drain.deadline)
