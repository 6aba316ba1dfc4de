"""What a task asks of its agent, and whether an agent has it.

:func:`unmet` names every rule that an agent does not satisfy; the dispatcher
asks only whether there is none, ``hub/explain.py`` tells them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from agentcom.core.agent import Agent

EQUAL = "="
NOT_EQUAL = "!="
IN = "in"
EXISTS = "exists"
ABSENT = "absent"


class LabelRule(msgspec.Struct, frozen=True, order=True):
    """A rule on one label of the agent.

    :ivar op: ``=``, ``!=`` (satisfied by an agent without the label), ``in``,
        ``exists``, or ``absent`` (asked for as ``exists: false``).
    :ivar values: one for ``=`` and ``!=``, some for ``in``, none for the rest.
    """

    key: str
    op: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.op == EXISTS:
            return self.key
        if self.op == ABSENT:
            return f"!{self.key}"
        if self.op == IN:
            return f"{self.key} in {','.join(self.values)}"
        return f"{self.key}{self.op}{self.values[0]}"


class Needs(msgspec.Struct, frozen=True):
    """What a task asks of whoever gets it; all of it must be there.

    Sorted and without repetitions, so that equal needs compare equal: tasks
    wait in groups of equal needs.
    """

    capabilities: tuple[str, ...] = ()
    labels: tuple[LabelRule, ...] = ()


NOTHING = Needs()
"""Any agent will do."""


class Unmet(msgspec.Struct, frozen=True):
    """One rule that an agent does not satisfy.

    :ivar rule: ``pinned``, ``capability`` or ``label``.
    :ivar needed: what is asked for, as people write it.
    :ivar found: what the agent has in its place, ``None`` for nothing.
    """

    rule: str
    needed: str
    found: str | None = None


def needs(capabilities: Iterable[str], labels: Iterable[LabelRule]) -> Needs:
    """Needs in their one form."""
    made = Needs(tuple(sorted(set(capabilities))), tuple(sorted(set(labels))))
    return made if made != NOTHING else NOTHING


def fits(wanted: Needs, pinned: str | None, agent: Agent) -> bool:
    """Whether an agent may have a task that asks for this."""
    if pinned is not None and pinned != agent.agent_id:
        return False
    if wanted is NOTHING:
        return True
    return next(_unmet(wanted, agent), None) is None


def unmet(wanted: Needs, pinned: str | None, agent: Agent) -> list[Unmet]:
    """Every rule that keeps a task from an agent, in the order of their weight."""
    if pinned is not None and pinned != agent.agent_id:
        return [Unmet("pinned", pinned, agent.agent_id), *_unmet(wanted, agent)]
    return list(_unmet(wanted, agent))


def _unmet(wanted: Needs, agent: Agent) -> Iterator[Unmet]:
    for capability in wanted.capabilities:
        if capability not in agent.capabilities:
            yield Unmet("capability", capability)
    for rule in wanted.labels:
        if not _HOLDS[rule.op](rule, agent.labels):
            yield Unmet("label", str(rule), agent.labels.get(rule.key))


_HOLDS: Mapping[str, Callable[[LabelRule, Mapping[str, str]], bool]] = {
    EQUAL: lambda rule, has: has.get(rule.key) == rule.values[0],
    NOT_EQUAL: lambda rule, has: has.get(rule.key) != rule.values[0],
    IN: lambda rule, has: has.get(rule.key) in rule.values,
    EXISTS: lambda rule, has: rule.key in has,
    ABSENT: lambda rule, has: rule.key not in has,
}
