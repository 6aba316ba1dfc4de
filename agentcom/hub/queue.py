"""The tasks that wait for an agent, and whose turn it is.

Tasks that ask for the same wait in one :class:`Group`, so matching costs
groups and not tasks.  In a group, and among groups, priority goes first, then
the submitter that was served least lately, then age.  Of each task only what
decides this is kept: there may be a million (DESIGN.md, "What must stay flat").

Pure bookkeeping: knows no agents but for what a group notes of them, and no
clock.  :mod:`.dispatch` asks it, and follows the ledger with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice
from typing import Any

import msgspec

from agentcom.core.matching import Needs
from agentcom.core.state import Priority, Task
from agentcom.hub.lanes import Eldest, Item, Lane
from agentcom.store.interface import Waiting

RANK = {priority: rank for rank, priority in enumerate(Priority)}

SAME_MS = 20
"""Bits that tell tasks of one millisecond apart."""

KEPT_EMPTY = 256
"""Groups without tasks that are kept: the next such task finds its agents at once."""

SLACK = 64
"""Stale entries that a heap may have beside the good ones."""

Place = tuple[float, int, str]
"""Load, stamp and id of an agent that has room: the smallest gets the next task."""

Turn = tuple[int, int, int]
"""Rank, last turn of the submitter, order: the smallest goes first."""


class Entry(msgspec.Struct, gc=False):
    """One waiting task.

    :ivar order: grows with age; the same task keeps its age when it comes back.
    :ivar ready: whether it may be given to somebody now.
    """

    order: int
    rank: int
    submitter: str
    group: Group
    ready: bool


class Group:
    """Tasks that ask for the same.

    :ivar count: how many wait, delayed ones included.
    :ivar ready: how many may be given to somebody now.
    :ivar members: agents in the map that fit.
    :ivar free: a heap of the places of those of them that have room; which of
        them still stand, each agent's holding knows.
    """

    def __init__(self, pinned: str | None, needs: Needs) -> None:
        self.pinned = pinned
        self.needs = needs
        self.count = 0
        self.ready = 0
        self.members: set[str] = set()
        self.free: list[Place] = []
        self._lanes: list[dict[str, Lane]] = [{} for _ in Priority]
        self._turns: list[list[tuple[int, int, str]]] = [[] for _ in Priority]

    def put(self, task_id: str, entry: Entry, turn: int) -> Lane:
        """A task of the group is ready; gives the lane that it is in now."""
        self.ready += 1
        lanes = self._lanes[entry.rank]
        lane = lanes.get(entry.submitter)
        if lane is None:
            lane = lanes[entry.submitter] = Lane()
        lane.count += 1
        heappush(lane.heap, (entry.order, task_id))
        if lane.listed is None or entry.order < lane.listed:
            lane.listed = entry.order
            turns = self._turns[entry.rank]
            heappush(turns, (turn, entry.order, entry.submitter))
            if len(turns) > 2 * len(lanes) + SLACK:
                self._list_anew(entry.rank)
        return lane

    def drop(self, entry: Entry, entries: dict[str, Entry]) -> None:
        """A ready task is so no more: ``entries`` has it no longer, or as not ready."""
        self.ready -= 1
        lane = self._lanes[entry.rank][entry.submitter]
        lane.count -= 1
        if not lane.count:
            lane.heap.clear()
        elif len(lane.heap) > 2 * lane.count + SLACK:
            lane.heap = [item for item in lane.heap if _is_good(item, entries)]
            heapify(lane.heap)

    def first(self, entries: dict[str, Entry], served: dict[str, int]) -> tuple[Turn, str] | None:
        """Whose turn it is in this group: its place among groups, and the task's id."""
        if not self.ready:
            return None
        for rank, lanes in enumerate(self._lanes):
            if not lanes:
                continue
            turns = self._turns[rank]
            while turns:
                turn, order, who = turns[0]
                lane = lanes.get(who)
                if lane is None or not lane.count:
                    heappop(turns)
                    lanes.pop(who, None)
                    continue
                heap = lane.heap
                while not _is_good(heap[0], entries):
                    heappop(heap)
                now = served.get(who, 0), heap[0][0]
                if now != (turn, order):
                    # It stood further in front than it should: others may go first.
                    lane.listed = now[1]
                    heapreplace(turns, (*now, who))
                    continue
                return (rank, turn, order), heap[0][1]
        return None

    def _list_anew(self, rank: int) -> None:
        turns = []
        for who, lane in self._lanes[rank].items():
            if lane.count:
                # As far in front as it can stand; ``first`` puts it right.
                lane.listed = lane.heap[0][0]
                turns.append((0, lane.listed, who))
            else:
                lane.listed = None
        heapify(turns)
        self._turns[rank] = turns

    def some(self, most: int, entries: dict[str, Entry]) -> list[str]:
        """Some of the ready tasks, in no particular order."""
        lanes = (lane for at_rank in self._lanes for lane in at_rank.values())
        good = (item[1] for lane in lanes for item in lane.heap if _is_good(item, entries))
        return list(islice(good, most))


def _is_good(item: Item, entries: dict[str, Entry]) -> bool:
    entry = entries.get(item[1])
    return entry is not None and entry.ready and entry.order == item[0]


class Queue:
    """All tasks that wait."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._groups: dict[tuple[str | None, Needs], Group] = {}
        self._pinned: dict[str, dict[Group, None]] = {}
        self._empty: dict[Group, None] = {}
        self._delayed: list[tuple[int, str, int]] = []
        self._served: dict[str, int] = {}
        self._turn = 0
        self._count = 0
        self._at = [0] * len(RANK)
        self._eldest = Eldest()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._entries

    def group(self, pinned: str | None, needs: Needs) -> Group | None:
        """The group of tasks that ask for this, if there is one."""
        return self._groups.get((pinned, needs))

    def new_group(self, pinned: str | None, needs: Needs) -> Group:
        """Make a group."""
        group = self._groups[pinned, needs] = Group(pinned, needs)
        if pinned is not None:
            self._pinned.setdefault(pinned, {})[group] = None
        self._empty[group] = None
        return group

    def trim(self) -> list[Group]:
        """Forget the empty groups that are too many; gives them."""
        gone: list[Group] = []
        while len(self._empty) > KEPT_EMPTY:
            oldest = next(iter(self._empty))
            self._forget(oldest)
            gone.append(oldest)
        return gone

    def groups(self) -> Iterable[Group]:
        """All groups, empty ones that are kept included."""
        return self._groups.values()

    def pinned_to(self, agent_id: str) -> Iterable[Group]:
        """The groups of tasks that only this agent may have."""
        return self._pinned.get(agent_id, ())

    def group_of(self, task_id: str) -> Group:
        """The group that a waiting task is in."""
        return self._entries[task_id].group

    def is_ready(self, task_id: str) -> bool:
        """Whether a waiting task may be given to somebody now."""
        return self._entries[task_id].ready

    def add(self, task: Task | Waiting, group: Group, now: int) -> bool:
        """A task waits; says whether it is ready.

        :param now: Unix milliseconds.
        """
        self._count += 1
        order = (task.created_at << SAME_MS) | (self._count & ((1 << SAME_MS) - 1))
        ready = task.ready_at is None or task.ready_at <= now
        entry = Entry(order, RANK[task.priority], task.submitted_by, group, ready)
        self._entries[task.id] = entry
        if not group.count:
            self._empty.pop(group, None)
        group.count += 1
        self._at[entry.rank] += 1
        if ready:
            lane = group.put(task.id, entry, self._served.get(entry.submitter, 0))
            self._eldest.note(lane, order)
        else:
            heappush(self._delayed, (task.ready_at or 0, task.id, order))
            if len(self._delayed) > 2 * len(self._entries) + SLACK:
                self._delayed = [d for d in self._delayed if self._is_delayed(d)]
                heapify(self._delayed)
        return ready

    def remove(self, task_id: str, served: bool) -> bool:
        """A task waits no more.

        :param served: an agent has it now: its submitter had a turn.
        :returns: whether it was the last one of its group.
        """
        entry = self._entries.pop(task_id)
        group = entry.group
        group.count -= 1
        self._at[entry.rank] -= 1
        if entry.ready:
            group.drop(entry, self._entries)
        if not group.count:
            self._empty[group] = None
        if served:
            self._turn += 1
            self._served[entry.submitter] = self._turn
        return not group.count

    def pass_by(self, group: Group, submitter: str) -> None:
        """A new task went to an agent without waiting: its submitter had a turn."""
        if group in self._empty:
            # It is used: others are forgotten before it.
            del self._empty[group]
            self._empty[group] = None
        self._turn += 1
        self._served[submitter] = self._turn

    def set_aside(self, task_id: str, until: int) -> None:
        """Keep a ready task back until a time, in Unix milliseconds."""
        entry = self._entries[task_id]
        entry.ready = False
        entry.group.drop(entry, self._entries)
        heappush(self._delayed, (until, task_id, entry.order))

    def first(self, groups: Iterable[Group]) -> str | None:
        """The task whose turn it is among these groups."""
        best: tuple[Turn, str] | None = None
        for group in groups:
            if group.ready:
                found = group.first(self._entries, self._served)
                if found is not None and (best is None or found < best):
                    best = found
        return None if best is None else best[1]

    def next_ready(self) -> int | None:
        """When the next delayed task becomes ready, Unix milliseconds."""
        while self._delayed and not self._is_delayed(self._delayed[0]):
            heappop(self._delayed)
        return self._delayed[0][0] if self._delayed else None

    def ripen(self, now: int, most: int = 500) -> list[Group]:
        """Make ready what is due; gives the groups that have more now.

        :param most: tasks at a time; the rest is still due.
        """
        groups: dict[Group, None] = {}
        for _ in range(most):
            due = self.next_ready()
            if due is None or due > now:
                break
            _, task_id, _ = heappop(self._delayed)
            groups[self.ripen_one(task_id)] = None
        return list(groups)

    def ripen_one(self, task_id: str) -> Group:
        """Make a delayed task ready; gives its group."""
        entry = self._entries[task_id]
        entry.ready = True
        lane = entry.group.put(task_id, entry, self._served.get(entry.submitter, 0))
        self._eldest.note(lane, entry.order)
        return entry.group

    def oldest(self) -> int | None:
        """When the oldest ready task was submitted, Unix milliseconds; ``None`` where
        there is none."""
        found = self._eldest.first(lambda item: _is_good(item, self._entries))
        return None if found is None else found >> SAME_MS

    def by_priority(self) -> dict[str, int]:
        """How many wait at each priority."""
        return {priority.value: self._at[rank] for priority, rank in RANK.items()}

    def some_of(self, group: Group, most: int) -> list[str]:
        """Some of the ready tasks of a group, in no particular order."""
        return group.some(most, self._entries)

    def _forget(self, group: Group) -> None:
        del self._empty[group], self._groups[group.pinned, group.needs]
        if group.pinned is None:
            return
        alike = self._pinned[group.pinned]
        del alike[group]
        if not alike:
            del self._pinned[group.pinned]

    def _is_delayed(self, item: tuple[int, str, int]) -> bool:
        entry: Any = self._entries.get(item[1])
        return entry is not None and not entry.ready and entry.order == item[2]
