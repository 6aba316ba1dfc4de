"""Which agents have a capability or a label: found without asking each.

A new group of tasks looks for its agents here: with thousands of agents
connected, each task may ask for something that only a few of them have.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from agentcom.core.agent import Agent
from agentcom.core.matching import EQUAL, EXISTS, IN, LabelRule, Needs

Trait = tuple[str, ...]
"""``capability`` and its name, ``label`` and its key, or these and its value."""


class Traits:
    """The agents in the map by what they have."""

    def __init__(self) -> None:
        self._having: dict[Trait, set[str]] = {}
        self._of: dict[str, list[Trait]] = {}

    def add(self, agent: Agent) -> None:
        """An agent is in the map; it was not, or was removed before."""
        traits = self._of[agent.agent_id] = list(_traits(agent))
        for trait in traits:
            self._having.setdefault(trait, set()).add(agent.agent_id)

    def remove(self, agent_id: str) -> None:
        """An agent is not in the map any more, or says something new of itself."""
        for trait in self._of.pop(agent_id, ()):
            having = self._having.get(trait)
            if having is not None:
                having.discard(agent_id)
                if not having:
                    del self._having[trait]

    def likely(self, needs: Needs) -> Set[str] | None:
        """Agents among which are all that fit; ``None``: it may be any."""
        found: list[Set[str]] = [self._with(("capability", c)) for c in needs.capabilities]
        for rule in needs.labels:
            having = self._by_label(rule)
            if having is not None:
                found.append(having)
        return min(found, key=len, default=None)

    def _by_label(self, rule: LabelRule) -> Set[str] | None:
        if rule.op in (EQUAL, IN):
            return set().union(*(self._with(("label", rule.key, v)) for v in rule.values))
        if rule.op == EXISTS:
            return self._with(("label", rule.key))
        return None

    def _with(self, trait: Trait) -> Set[str]:
        return self._having.get(trait, frozenset())


def _traits(agent: Agent) -> Iterator[Trait]:
    for capability in set(agent.capabilities):
        yield "capability", capability
    for key, value in agent.labels.items():
        yield "label", key
        yield "label", key, value
