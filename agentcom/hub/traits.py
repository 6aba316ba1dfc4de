"""Which agents have a capability or a label, and which groups want one.

A new group of tasks finds its agents here, and a new agent its groups,
without a look at all of them: each of thousands may be the only one of its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from agentcom.core.agent import Agent
from agentcom.core.matching import ABSENT, EQUAL, EXISTS, IN, LabelRule, Needs
from agentcom.hub.queue import Group

Trait = tuple[str, ...]
"""``capability`` and its name, ``label`` and its key, or these and its value."""


class Traits:
    """The agents in the map by what they have."""

    def __init__(self) -> None:
        self._having: dict[Trait, set[str]] = {}
        self._of: dict[str, list[Trait]] = {}
        self._wanting: dict[Trait | None, dict[Group, None]] = {}

    def knows(self, agent: Agent) -> bool:
        """Whether an agent was added, and has just the same as then."""
        return self._of.get(agent.agent_id) == list(_traits(agent))

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

    def want(self, group: Group) -> None:
        """A group that is not pinned looks for agents."""
        self._wanting.setdefault(_sought(group.needs), {})[group] = None

    def want_no_more(self, group: Group) -> None:
        """It was forgotten."""
        trait = _sought(group.needs)
        alike = self._wanting.get(trait)
        if alike is not None:
            alike.pop(group, None)
            if not alike:
                del self._wanting[trait]

    def wanting(self, agent_id: str) -> Iterator[Group]:
        """Groups among which are all that an added agent fits, but for pinned ones."""
        yield from self._wanting.get(None, ())
        for trait in self._of.get(agent_id, ()):
            yield from self._wanting.get(trait, ())

    def likely(self, needs: Needs) -> Set[str] | None:
        """Agents among which are all that fit; ``None``: it may be any."""
        found: list[Set[str]] = [self._with(("capability", c)) for c in needs.capabilities]
        for rule in needs.labels:
            having = self._by_label(rule)
            if having is not None:
                found.append(having)
        return min(found, key=len, default=None)

    def lacking(self, needs: Needs) -> list[tuple[str, str, int]]:
        """How many agents each single need keeps out: ``capability`` or ``label``, what is
        needed as people write it, and their number."""
        found = [("capability", one, self._lack([one])) for one in needs.capabilities]
        return found + [("label", str(rule), self._fail([rule])) for rule in needs.labels]

    def lacking_some(self, needs: Needs) -> dict[str, int]:
        """How many agents lack any of the capabilities, or do not satisfy any of the labels."""
        return {"capability": self._lack(needs.capabilities), "label": self._fail(needs.labels)}

    def _lack(self, capabilities: Iterable[str]) -> int:
        return self._not_in([self._with(("capability", one)) for one in capabilities], ())

    def _fail(self, rules: Iterable[LabelRule]) -> int:
        inside, outside = [], []
        for rule in rules:
            having = self._by_label(rule)
            if having is not None:
                inside.append(having)
            elif rule.op == ABSENT:
                outside.append(self._with(("label", rule.key)))
            else:
                outside.append(self._with(("label", rule.key, rule.values[0])))
        return self._not_in(inside, outside)

    def _not_in(self, inside: Iterable[Set[str]], outside: Iterable[Set[str]]) -> int:
        """How many agents are not in all of the one, or in any of the other."""
        least = sorted(inside, key=len)
        if not least:
            return len(set().union(*outside))
        found = least[0]
        for having in least[1:]:
            found = found & having
        for having in outside:
            found = found - having
        return len(self._of) - len(found)

    def _by_label(self, rule: LabelRule) -> Set[str] | None:
        if rule.op in (EQUAL, IN):
            return set().union(*(self._with(("label", rule.key, v)) for v in rule.values))
        if rule.op == EXISTS:
            return self._with(("label", rule.key))
        return None

    def _with(self, trait: Trait) -> Set[str]:
        return self._having.get(trait, frozenset())


def _traits(agent: Agent) -> Iterator[Trait]:
    for capability in dict.fromkeys(agent.capabilities):
        yield "capability", capability
    for key, value in agent.labels.items():
        yield "label", key
        yield "label", key, value


def _sought(needs: Needs) -> Trait | None:
    """One thing that whoever fits must have, ``None`` where there is none."""
    for capability in needs.capabilities:
        return "capability", capability
    for rule in needs.labels:
        if rule.op == EQUAL:
            return "label", rule.key, rule.values[0]
        if rule.op in (IN, EXISTS):
            return "label", rule.key
    return None
