"""New tasks: an agent that has room is given one at once, any other waits.

What needs no turn in the queue never sees it; see :mod:`.dispatch` for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from agentcom.core.changes import Assign
from agentcom.core.events import Draft
from agentcom.core.state import Task
from agentcom.core.task import apply, submitted
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Link, Roster
from agentcom.hub.queue import RANK

Given = list[tuple[Task, Link]]
"""Tasks with the connections that they were decided for."""


class Arrivals:
    """Takes new tasks.

    :param roster: the factory-level agent map.
    """

    def __init__(self, ledger: Ledger, dispatch: Dispatch, roster: Roster) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._roster = roster

    def take(self, task: Task, then: Callable[[], None]) -> None:
        """Take a task.

        :param then: called after the commit, before an agent is told.
        """
        new, drafts, link = self._decide(task)
        if link is not None:
            then = partial(self._committed, then, new, link)
        self._ledger.add(new, drafts, then)

    def _committed(self, then: Callable[[], None], task: Task, link: Link) -> None:
        try:
            then()
        finally:
            self._dispatch.send(task, link)

    def take_all(self, tasks: Sequence[Task], then: Callable[[], None]) -> None:
        """Take tasks as one unit, those that go first before the rest.

        :param then: called after the commit, before agents are told.
        """
        given: Given = []

        def take() -> None:
            try:
                for task in sorted(tasks, key=_rank):
                    new, drafts, link = self._decide(task)
                    self._ledger.add(new, drafts)
                    if link is not None:
                        given.append((new, link))
                # Last: nobody is told of a batch that broke half-way.
                self._ledger.answer(then)
            finally:
                self._ledger.answer(partial(self._hand_over, given))

        self._dispatch.together(take)

    def _decide(self, task: Task) -> tuple[Task, list[Draft], Link | None]:
        """A new task with its events, and the connection that it is given to, if it is."""
        link = self._taker(task)
        if link is None:
            return task, submitted(task), None
        new, drafts = apply(task, Assign(link.agent.agent_id), task.updated_at)
        return new, submitted(task) + drafts, link

    def _taker(self, task: Task) -> Link | None:
        """Who has room for a task that may begin now."""
        dispatch = self._dispatch
        if task.ready_at is not None or not dispatch.assigns:
            return None
        group = dispatch.staff.group(task.pinned, task.needs)
        # Where others wait already, nobody who fits has room.
        agent_id = None if group.ready else dispatch.staff.first(group)
        if agent_id is None:
            return None
        dispatch.queue.pass_by(group, task.submitted_by)
        dispatch.holdings.of(agent_id).tries(task.id)
        return self._roster[agent_id]

    def _hand_over(self, given: Given) -> None:
        for task, link in given:
            self._dispatch.send(task, link)


def _rank(task: Task) -> int:
    return RANK[task.priority]
