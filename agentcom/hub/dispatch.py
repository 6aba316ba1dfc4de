"""Who gets a task, and the frame that hands it over.

The decision is made in memory and at once; the frame leaves after the
commit, to the connection that the decision was made for.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw

from agentcom.core.changes import Assign, Cancel
from agentcom.core.task import Priority, Task
from agentcom.hub.agenda import Agenda
from agentcom.hub.holdings import Holdings
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Link, Roster
from agentcom.wire.codec import encode
from agentcom.wire.frames import TaskAssign, TaskCancelled

PAUSE_S = 5.0
PAUSE_MOST_S = 60.0
"""Seconds without offers after a rejection, doubling from one to the other."""

_RANK = {p: i for i, p in enumerate(Priority)}


class Dispatch:
    """Hands tasks to the agents in the map.

    :param roster: the factory-level agent map.
    """

    def __init__(self, ledger: Ledger, roster: Roster, agenda: Agenda) -> None:
        self._ledger = ledger
        self._roster = roster
        self._agenda = agenda
        self._open = False
        self.holdings = Holdings(roster, agenda, self.offer)
        ledger.on_move(self.holdings.moved)
        agenda.on("pause", self._pause_over)

    def open(self) -> None:
        """Begin to assign."""
        self._open = True

    def close(self) -> None:
        """Assign nothing more."""
        self._open = False

    def is_draining(self, agent_id: str) -> bool:
        """Whether the agent asked for no more work."""
        found = self.holdings.get(agent_id)
        return found is not None and found.draining

    def drain(self, agent_id: str) -> None:
        """Offer this agent nothing more on this connection."""
        self.holdings.of(agent_id).draining = True

    def rejected(self, agent_id: str) -> None:
        """A counted rejection: no offers for a while, longer each time."""
        holding = self.holdings.of(agent_id)
        holding.pause_s = min(PAUSE_MOST_S, max(PAUSE_S, holding.pause_s * 2))
        holding.paused = True
        self._agenda.after("pause", agent_id, holding.pause_s)

    def resume(self, agent_id: str) -> None:
        """The agent reported an end: it may have work again."""
        holding = self.holdings.get(agent_id)
        if holding is None:
            return
        holding.pause_s = 0.0
        if holding.paused:
            self._pause_over(agent_id)
            self._agenda.cancel("pause", agent_id)
        self.holdings.forget_if_empty(agent_id)

    def offer(self, agent_id: str) -> None:
        """Assign what waits for this agent, as far as it may have more."""
        holding = self.holdings.get(agent_id)
        if holding is None or not holding.waiting:
            return
        link = self._roster.get(agent_id)
        if link is None or not self._open:
            return
        if holding.draining or holding.quiet or holding.paused:
            return
        while holding.waiting and len(holding.held) < link.agent.slots:
            self._assign(min(holding.waiting, key=self._turn), link)

    def send(self, task: Task, link: Link) -> None:
        """Send an assignment, unless the world has moved on since."""
        current = self._ledger.live.get(task.id)
        if current is None or current.generation != task.generation:
            return
        if not current.status.held or self._roster.get(link.agent.agent_id) is not link:
            # A newer connection is told by itself of what it does not mention.
            return
        link.send(encode(assignment(current)))

    def cancel(self, task_id: str, by: str, reason: str | None, then: Callable[[], None]) -> None:
        """End a live task that nobody wants; a running agent is told."""
        task = self._ledger.live[task_id]
        self._ledger.change(task_id, Cancel(by, reason), then)
        if task.status.held:
            self.call_off(task, reason or "cancelled")

    def call_off(self, task: Task, reason: str) -> None:
        """Tell the agent to stop, after all that was handed to the store before."""
        frame = encode(TaskCancelled(task_id=task.id, generation=task.generation, reason=reason))

        def committed() -> None:
            # The agent may be on a newer line by now.
            link = self._roster.get(task.agent_id or "")
            if link is not None:
                link.send(frame)

        self._ledger.answer(committed)

    def _assign(self, task_id: str, link: Link) -> None:
        new = self._ledger.change(
            task_id, Assign(link.agent.agent_id), lambda: self.send(new, link)
        )

    def _pause_over(self, agent_id: str) -> None:
        holding = self.holdings.get(agent_id)
        if holding is not None:
            holding.paused = False
            self.offer(agent_id)

    def _turn(self, task_id: str) -> tuple[int, int]:
        task = self._ledger.live[task_id]
        return _RANK[task.priority], task.created_at


def assignment(task: Task) -> TaskAssign:
    """The frame that hands a task to its agent."""
    return TaskAssign(
        task_id=task.id,
        description=task.description,
        metadata=Raw(task.metadata),
        assigned_at=task.assigned_at or task.updated_at,
        generation=task.generation,
        attempt=task.attempts,
        priority=task.priority.value,
        submitted_by=task.submitted_by,
        submitted_at=task.created_at,
    )
