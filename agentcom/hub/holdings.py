"""What each agent has, and whether it may have more: follows the ledger.

A slot is taken when an assignment is decided and freed by any end of that
task, whoever caused it, because nothing but the ledger's moves changes this.
"""

from __future__ import annotations

from collections.abc import Callable

from agentcom.core.drain import Drain
from agentcom.core.fence import unsaid
from agentcom.core.state import OnDisconnect, Task
from agentcom.hub.absent import Absent
from agentcom.hub.agenda import Agenda
from agentcom.hub.link import Roster
from agentcom.hub.queue import Group, Place

SENT_AGAIN = 2
"""Times that a task is sent again to an agent that comes back without a word of it."""


class Holding:
    """What one agent has, and may be offered.

    :ivar held: tasks that it has now, oldest first, each with when the agent last
        spoke of it: in seconds of the agenda's clock, ``None`` for not since the hub started.
    :ivar lost: tasks of its own that went back to the queue without its word:
        it may still work on them.
    :ivar groups: groups of tasks that it fits, while it is in the map, each with the
        place at which it is entered there; see :mod:`.staff`.
    :ivar stamp: when what it has changed last, as a growing number.
    :ivar unconfirmed: held tasks that it has not mentioned since it is back.
    :ivar repeated: held tasks that were sent again: a rejection means busy.
    :ivar unheard: how often a task was sent again to one that came back, and
        not accepted.
    :ivar busy: those of them to be asked about later.
    :ivar draining: it is offered nothing more: it asked for that itself, until it
        connects anew, or there is a ``drain``.
    :ivar asked: why it asked for that, in its own words.
    :ivar drain: an operator's, until an operator ends it.
    :ivar overdue: the drain's deadline has passed: nothing may run there.
    :ivar quiet: it is back and tells what it has; nothing is offered.
    :ivar paused: it rejected a task lately; ``pause_s`` is for how long.
    :ivar unresponsive: it let an assignment pass without a word; ``probe_s``
        is how long until it is tried again.
    :ivar probing: it may have one task, to see whether it takes it; ``trial``
        is that task once it was given.
    :ivar answered_at: when it last spoke of a task, ``ignored_at`` when it became
        unresponsive, ``left_at`` when its last connection went: in seconds of the
        agenda's clock, ``None`` for not since the hub started.
    :ivar ignored: offers that it let pass since it last spoke of a task.
    """

    def __init__(self) -> None:
        self.held: dict[str, float | None] = {}
        self.lost: set[str] = set()
        self.groups: dict[Group, Place | None] = {}
        self.stamp = 0
        self.unconfirmed: set[str] = set()
        self.repeated: set[str] = set()
        self.unheard: dict[str, int] = {}
        self.busy: dict[str, None] = {}
        self.draining = False
        self.asked: str | None = None
        self.drain: Drain | None = None
        self.overdue = False
        self.quiet = False
        self.paused = False
        self.pause_s = 0.0
        self.unresponsive = False
        self.probing = False
        self.trial: str | None = None
        self.probe_s = 0.0
        self.answered_at: float | None = None
        self.ignored_at: float | None = None
        self.left_at: float | None = None
        self.ignored = 0

    def has_room(self, slots: int) -> bool:
        """Whether a task may be offered to it now."""
        return (
            len(self.held) < slots
            and not (self.draining or self.quiet or self.paused)
            and (self.probing or not self.unresponsive)
        )

    def tries(self, task_id: str) -> None:
        """It is given a task: if it was to be tried, this is the try."""
        if self.probing:
            self.probing = False
            self.trial = task_id

    def ignores(self, task_id: str) -> bool:
        """It is back, and said nothing of a task that it never accepted: whether once too often."""
        self.unheard[task_id] = self.unheard.get(task_id, 0) + 1
        return self.unheard[task_id] > SENT_AGAIN

    def release(self, task_id: str) -> None:
        """The task is no longer its own."""
        self.held.pop(task_id, None)
        self.unconfirmed.discard(task_id)
        self.unheard.pop(task_id, None)
        if self.repeated:
            self.repeated.discard(task_id)
            self.busy.pop(task_id, None)

    def empty(self) -> bool:
        """Whether nothing need be remembered once the agent is away."""
        # A pause must outlast a line that is dropped to escape it.
        return not (self.held or self.lost or self.pause_s or self.drain)


class Holdings:
    """Every agent's holding.

    :param roster: the factory-level agent map.
    :ivar get: gives an agent's holding, ``None`` where there is nothing to remember.
    :ivar changed: agents in the map that may take more or less than when
        :mod:`.standings` looked last.
    :ivar absent: agents that are away and have tasks.
    """

    def __init__(self, roster: Roster, agenda: Agenda) -> None:
        self._roster = roster
        self._agenda = agenda
        self._of: dict[str, Holding] = {}
        # The dictionary's own: each report asks several times.
        self.get: Callable[[str], Holding | None] = self._of.get
        self.changed: set[str] = set()
        self.absent = Absent()
        self._changes = self._held = 0

    def of(self, agent_id: str) -> Holding:
        """The agent's holding, made empty where it has none."""
        found = self._of.get(agent_id)
        if found is None:
            found = self._of[agent_id] = Holding()
        return found

    def forget_if_empty(self, agent_id: str) -> None:
        """Drop what need not be remembered of an agent that is away."""
        if agent_id not in self._roster:
            found = self._of.get(agent_id)
            if found is not None and found.empty():
                del self._of[agent_id]

    def running(self, agent_id: str) -> list[str]:
        """The ids of the tasks that the agent has now."""
        found = self._of.get(agent_id)
        return list(found.held) if found else []

    def total(self) -> int:
        """How many tasks agents have now, all agents together."""
        return self._held

    def came(self, agent_id: str) -> None:
        """An agent is in the map, or says something new of itself."""
        self.changed.add(agent_id)
        self.absent.came(agent_id)

    def left(self, agent_id: str) -> None:
        """An agent is not in the map any more."""
        self.changed.discard(agent_id)
        found = self._of.get(agent_id)
        self.absent.has(agent_id, len(found.held) if found else 0)

    def touch(self, agent_id: str) -> None:
        """What an agent may be offered has changed by something else than a task of its own."""
        if agent_id in self._roster:
            self.changed.add(agent_id)

    def take(self, task: Task) -> None:
        """The task is its agent's now."""
        agent_id = task.agent_id or ""
        holding = self.of(agent_id)
        self._held += task.id not in holding.held
        holding.held[task.id] = None
        self._changes += 1
        holding.stamp = self._changes
        if agent_id not in self._roster:
            # A replaced line spoke for an agent that is gone since.
            self.hold(task)
            self.absent.has(agent_id, len(holding.held))
        else:
            self.changed.add(agent_id)

    def release(self, task: Task) -> None:
        """The task is its agent's no more."""
        agent_id = task.agent_id or ""
        holding = self.of(agent_id)
        self._held -= task.id in holding.held
        holding.release(task.id)
        self._changes += 1
        holding.stamp = self._changes
        self._agenda.cancel_all(("hold", "ask_again", "recover"), task.id)
        if agent_id in self._roster:
            self.changed.add(agent_id)
        else:
            self.absent.has(agent_id, len(holding.held))
            self.forget_if_empty(agent_id)

    def hold(self, task: Task) -> None:
        """Its agent is away: it keeps the task for a while, or for ever."""
        if task.terms.on_disconnect is not OnDisconnect.KEEP:
            self._agenda.after("hold", task.id, task.hold_s)

    def waits(self, task: Task) -> None:
        """The task is back in the queue; the agent that had it may still go on."""
        if task.agent_id is not None and unsaid(task):
            self.of(task.agent_id).lost.add(task.id)

    def waits_no_more(self, task_id: str, agent_id: str | None) -> None:
        """The task left the queue, in which this agent had it last."""
        if agent_id is not None:
            found = self._of.get(agent_id)
            if found is not None and found.lost:
                found.lost.discard(task_id)
                self.forget_if_empty(agent_id)
