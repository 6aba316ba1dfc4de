"""What each agent has and waits for: an index that follows the ledger.

A slot is taken when an assignment is decided and freed by any end of that
task, whoever caused it, because nothing but the ledger's moves changes this.
"""

from __future__ import annotations

from collections.abc import Callable

from agentcom.core.task import Status, Task
from agentcom.hub.agenda import Agenda
from agentcom.hub.link import Roster


class Holding:
    """What one agent has, waits for, and may be offered.

    :ivar held: tasks that it has now, oldest first.
    :ivar waiting: queued tasks that only it may have.
    :ivar unconfirmed: held tasks that it has not mentioned since it is back.
    :ivar repeated: held tasks that were sent again: a rejection means busy.
    :ivar busy: those of them to be asked about later.
    :ivar quiet: it is back and tells what it has; nothing is offered.
    :ivar paused: it rejected a task lately.
    """

    def __init__(self) -> None:
        self.held: dict[str, None] = {}
        self.waiting: dict[str, None] = {}
        self.unconfirmed: set[str] = set()
        self.repeated: set[str] = set()
        self.busy: dict[str, None] = {}
        self.draining = False
        self.quiet = False
        self.paused = False
        self.pause_s = 0.0

    def release(self, task_id: str) -> None:
        """The task is no longer its own."""
        self.held.pop(task_id, None)
        self.unconfirmed.discard(task_id)
        self.repeated.discard(task_id)
        self.busy.pop(task_id, None)

    def empty(self) -> bool:
        """Whether nothing need be remembered once the agent is away."""
        # A pause must outlast a line that is dropped to escape it.
        return not (self.held or self.waiting or self.pause_s)


class Holdings:
    """Every agent's holding.

    :param roster: the factory-level agent map.
    :param room: told of an agent that may have room for what waits for it.
    """

    def __init__(self, roster: Roster, agenda: Agenda, room: Callable[[str], None]) -> None:
        self._roster = roster
        self._agenda = agenda
        self._room = room
        self._of: dict[str, Holding] = {}

    def get(self, agent_id: str) -> Holding | None:
        """The agent's holding, if there is anything to remember."""
        return self._of.get(agent_id)

    def of(self, agent_id: str) -> Holding:
        """The agent's holding, made empty where it has none."""
        found = self._of.get(agent_id)
        if found is None:
            found = self._of[agent_id] = Holding()
        return found

    def forget_if_empty(self, agent_id: str) -> None:
        """Drop what need not be remembered of an agent that is away."""
        found = self._of.get(agent_id)
        if found is not None and found.empty() and agent_id not in self._roster:
            del self._of[agent_id]

    def running(self, agent_id: str) -> list[str]:
        """The ids of the tasks that the agent has now."""
        found = self._of.get(agent_id)
        return list(found.held) if found else []

    def moved(self, old: Task | None, new: Task) -> None:
        """Follow a change of a task."""
        if old is not None:
            if old.status.held:
                if new.status.held and new.agent_id == old.agent_id:
                    return
                self._released(old)
            elif old.status is Status.QUEUED and old.pinned is not None:
                self.of(old.pinned).waiting.pop(old.id, None)
        if new.status.held and new.agent_id is not None:
            self.of(new.agent_id).held[new.id] = None
            if new.agent_id not in self._roster:
                # A replaced line spoke for an agent that is gone since.
                self._agenda.after("hold", new.id, new.hold_s)
        elif new.status is Status.QUEUED and new.pinned is not None:
            self.of(new.pinned).waiting[new.id] = None
            self._room(new.pinned)
        elif old is not None and new.pinned is not None:
            self.forget_if_empty(new.pinned)

    def _released(self, task: Task) -> None:
        agent_id = task.agent_id or ""
        holding = self.of(agent_id)
        holding.release(task.id)
        for kind in ("hold", "ask_again", "recover"):
            self._agenda.cancel(kind, task.id)
        if holding.waiting:
            self._room(agent_id)
        else:
            self.forget_if_empty(agent_id)
