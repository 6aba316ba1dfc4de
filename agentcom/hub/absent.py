"""Agents that are away and for which tasks are held, counted as tasks come and go."""

from __future__ import annotations


class Absent:
    """How many there are, and how many tasks are held for them.

    As large as there are such agents, each of which has a task.

    :ivar tasks: of all of them together.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self.tasks = 0

    def __len__(self) -> int:
        return len(self._held)

    def has(self, agent_id: str, tasks: int) -> None:
        """An agent that is away has so many tasks now."""
        self.tasks += tasks - self._held.pop(agent_id, 0)
        if tasks:
            self._held[agent_id] = tasks

    def came(self, agent_id: str) -> None:
        """It is away no more."""
        self.tasks -= self._held.pop(agent_id, 0)
