"""All connected agents as one waiting task sees them: counted, and the likeliest by name.

There may be ten thousand, so nothing here looks at each of them: the counts
come from the groups, :mod:`.traits` and :mod:`.standings`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from agentcom.core.matching import Needs
from agentcom.hub.link import Roster
from agentcom.hub.staff import Staff
from agentcom.hub.standings import NO_SLOTS, ROOM, States

LOOKED_AT = 50
"""Agents that are looked at one by one, where not more are asked for."""


class Candidates:
    """What keeps a task from whom, at one moment.

    The standings must be those of now (:meth:`.Standings.look`).

    :ivar total: agents that are connected.
    :ivar fit: those that fit and take work at all.
    :ivar free: those that may have it now.
    :ivar by_state: those that fit and take work at all, by what keeps it from them now.
    """

    def __init__(self, pinned: str | None, needs: Needs, roster: Roster, staff: Staff) -> None:
        self._pinned = pinned
        self._needs = needs
        self._roster = roster
        self._staff = staff
        self._members = staff.group(pinned, needs).members
        self.total = len(roster)
        self.by_state = {
            states: count
            for states, count in self._counts(list(staff.standings.groups()))
            if count and NO_SLOTS not in states
        }
        self.fit = sum(self.by_state.values())
        self.free = self.by_state.get(ROOM, 0)

    def by_rule(self) -> Counter[str]:
        """How many agents each rule keeps it from; one may have several."""
        found: Counter[str] = Counter()
        if self._pinned is not None:
            found["pinned"] = self.total - (self._pinned in self._roster)
        found.update(self._staff.traits.lacking_some(self._needs))
        for states, agents in self._staff.standings.groups():
            for rule in states:
                found[rule] += len(agents)
        return +found

    def lacking(self) -> list[tuple[str, str | None, int]]:
        """What agents lack for good: the rule, what is needed, and how many; most of all first."""
        found: list[tuple[str, str | None, int]] = [*self._staff.traits.lacking(self._needs)]
        idle = sum(len(a) for states, a in self._staff.standings.groups() if NO_SLOTS in states)
        found.append((NO_SLOTS, None, idle))
        return sorted((one for one in found if one[2]), key=lambda one: -one[2])

    def likeliest(self, most: int) -> list[str]:
        """Ids of agents: those that fit come first where there are many, and those of
        them with the least that keeps it from them."""
        most = max(most, LOOKED_AT)
        if self.total <= most:
            return list(self._roster)
        found: dict[str, None] = {}
        for names in self._in_turn():
            found.update(dict.fromkeys(islice(names, most)))
            if len(found) >= most:
                break
        return list(islice(found, most))

    def _in_turn(self) -> Iterator[Iterable[str]]:
        """Ids, those that are likely first; one may come twice."""
        if self._pinned in self._roster:
            yield (self._pinned,)
        for _, agents in self._staff.standings.groups():
            fewer, more = sorted((agents, self._members), key=len)
            if fewer:
                yield filter(more.__contains__, fewer)
        yield self._staff.traits.likely(self._needs) or ()
        yield self._roster

    def _counts(self, groups: list[tuple[States, set[str]]]) -> list[tuple[States, int]]:
        """How many agents of each state fit the task, but for what keeps any task from them."""
        if len(self._members) == self.total:
            return [(states, len(agents)) for states, agents in groups]
        # The largest group, in which most may be, has what is left of them.
        largest = max(groups, key=lambda group: len(group[1]), default=(ROOM, ()))[0]
        counts = {
            states: len(self._members & agents) for states, agents in groups if states != largest
        }
        counts[largest] = len(self._members) - sum(counts.values())
        return [(states, counts[states]) for states, _ in groups]
