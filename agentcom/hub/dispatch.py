"""Who gets a task, and the frame that hands it over.

The decision is made in memory and at once; the frame leaves after the
commit, to the connection that the decision was made for.  What waits is in
:mod:`.queue`, who has room in :mod:`.staff`; they meet in :meth:`Dispatch.match`
(a task came) and :meth:`Dispatch.offer` (an agent has room).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from msgspec import Raw
from twisted.logger import Logger

from agentcom.core.agent import Agent
from agentcom.core.changes import Assign
from agentcom.core.drain import Drain
from agentcom.core.state import Status, Task
from agentcom.core.task import expired
from agentcom.hub.agenda import Agenda
from agentcom.hub.delays import Delays
from agentcom.hub.holdings import Holdings
from agentcom.hub.interventions import Interventions
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Link, Roster
from agentcom.hub.queue import Group, Queue
from agentcom.hub.staff import Staff
from agentcom.store.interface import Waiting
from agentcom.wire.codec import encode
from agentcom.wire.frames import TaskAssign

AGAIN_S = 1.0
"""Seconds until matching goes on when a task could not be read."""

ASIDE_MS = 30_000
"""Milliseconds for which such a task stands back, that others may go on."""

# Kept, because a member is found in the time of some comparisons.
_QUEUED = Status.QUEUED


class Dispatch:
    """Hands tasks to the agents in the map.

    :param roster: the factory-level agent map.
    :param now: Unix milliseconds.
    :ivar staff: which agents fit, and have room.
    :ivar standstill: the drain of the whole hub, while there is one.
    """

    log = Logger()

    def __init__(
        self,
        ledger: Ledger,
        roster: Roster,
        agenda: Agenda,
        interventions: Interventions,
        now: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._roster = roster
        self._agenda = agenda
        self._interventions = interventions
        self._now = now
        self.is_open = False
        self.standstill: Drain | None = None
        self.queue = Queue()
        self.holdings = Holdings(roster, agenda)
        self.staff = Staff(roster, self.holdings, self.queue)
        self._delays = Delays(self.queue, agenda, now, self.match)
        self._later: dict[Group, None] | None = None
        ledger.parked_in(self.queue)
        agenda.on("again", lambda _: self._match_all())

    def open(self) -> None:
        """Begin to assign."""
        self.is_open = True

    def close(self) -> None:
        """Assign nothing more."""
        self.is_open = False

    def stand_still(self, drain: Drain | None) -> None:
        """Assign nothing while there is a drain, and at its end at once what waits."""
        self.standstill = drain
        self._match_all()

    @property
    def assigns(self) -> bool:
        """Whether tasks are given to agents now."""
        return self.is_open and self.standstill is None

    def load(self, waiting: Iterable[Waiting]) -> None:
        """Take in what waits, at start."""
        now = self._now()
        for task in waiting:
            self.queue.add(task, self.staff.group(task.pinned, task.needs), now)
            if task.agent_id is not None:
                self.holdings.of(task.agent_id).lost.add(task.id)
        self._delays.plan()

    # -- agents ---------------------------------------------------------

    def drain(self, agent_id: str, reason: str | None = None) -> None:
        """Offer this agent nothing more on this connection: it asked for that.

        :param reason: why, in its own words.
        """
        holding = self.holdings.of(agent_id)
        holding.draining = True
        holding.asked = reason
        self.holdings.touch(agent_id)

    def came(self, agent: Agent) -> None:
        """An agent is in the map, or says something new of itself."""
        self.staff.came(agent)

    def left(self, agent_id: str) -> None:
        """An agent is not in the map any more."""
        self.staff.left(agent_id)

    # -- matching -------------------------------------------------------

    def together(self, work: Callable[[], None]) -> None:
        """What ``work`` changes is written as one, and matched at its end."""
        if self._later is not None:
            work()
            return
        self._later = {}
        self._ledger.together(partial(self._decide, work))

    def _decide(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            later, self._later = self._later, None
            for group in later or ():
                self.match(group)

    def match(self, group: Group) -> None:
        """Tasks of a group are ready: give them to those who have room."""
        if self._later is not None:
            self._later[group] = None
            return
        while self.assigns and group.ready:
            agent_id = self.staff.first(group)
            if agent_id is None or not self._give(agent_id):
                return

    def _match_all(self) -> None:
        if self.assigns:
            # There may be a group for each of thousands of agents, and nobody with room for most.
            for group in [one for one in self.queue.groups() if one.ready and one.free]:
                self.match(group)
        self._delays.plan()

    def offer(self, agent_id: str) -> None:
        """An agent may have room: give it what waits, as far as it may have more."""
        while self._give(agent_id):
            pass
        self.staff.has_room(agent_id)

    def _give(self, agent_id: str) -> bool:
        """Assign one task to an agent, if it may have one and one waits for it."""
        holding = self.holdings.get(agent_id)
        link = self._roster.get(agent_id)
        if holding is None or link is None or not self.assigns:
            return False
        if not holding.has_room(link.agent.slots):
            return False
        task_id = self.queue.first(holding.groups)
        if task_id is None:
            return False
        try:
            task = self._ledger.get(task_id)
        except Exception:
            self.log.failure("cannot read task {task_id}", task_id=task_id)
            self.queue.set_aside(task_id, self._now() + ASIDE_MS)
            self._agenda.after("again", "", AGAIN_S)
            return False
        if task is None:
            self.log.critical("task {task_id} is not in the store any more", task_id=task_id)
            self.queue.remove(task_id, served=False)
            return True
        over = None if task.expires_at is None else expired(task, self._now())
        if over is not None:
            # Nobody is to begin what is of no use any more.
            self._interventions.expire(task_id, over)
            return True
        holding.tries(task_id)
        new = self._ledger.change(task_id, Assign(agent_id), lambda: self.send(new, link))
        return True

    def moved(self, old: Task | None, new: Task) -> None:
        """Follow a change of a task, then let it find an agent, or its agent a task."""
        was_held = old is not None and old.status.held
        is_held = new.status.held
        if old is not None:
            if was_held:
                if is_held and new.generation == old.generation:
                    return
                self.holdings.release(old)
            elif old.id in self.queue:
                if self.queue.remove(old.id, served=is_held):
                    self.staff.trim()
                if old.ready_at is not None:
                    self._delays.end(old.id)
                self.holdings.waits_no_more(old.id, old.agent_id)
        if is_held:
            self.holdings.take(new)
        elif new.status is _QUEUED:
            self._wait(new)
        if was_held and old is not None and old.agent_id is not None:
            self.offer(old.agent_id)

    def _wait(self, task: Task) -> None:
        group = self.staff.group(task.pinned, task.needs)
        self.holdings.waits(task)
        now = self._now()
        if self.queue.add(task, group, now):
            self.match(group)
        else:
            self._delays.begin(task, now)

    def send(self, task: Task, link: Link) -> None:
        """Send an assignment, unless the world has moved on since."""
        current = self._ledger.live.get(task.id)
        if current is None or current.generation != task.generation:
            return
        if not current.status.held or self._roster.get(link.agent.agent_id) is not link:
            # A newer connection is told by itself of what it does not mention.
            return
        link.send(encode(assignment(current)))


def assignment(task: Task) -> TaskAssign:
    """The frame that hands a task to its agent."""
    return TaskAssign(
        task_id=task.id,
        description=task.description,
        metadata=Raw(task.metadata),
        assigned_at=task.assigned_at or task.updated_at,
        generation=task.generation,
        attempt=task.attempts,
        priority=task.priority,
        submitted_by=task.submitted_by,
        submitted_at=task.created_at,
        deadline=task.deadline,
    )
