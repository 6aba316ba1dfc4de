"""Who is here: the events of it, and the frames that tell other agents.

One encoded frame an event for all receivers.  They are sent some at a time,
so that a storm of agents never holds up task frames and API calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime

from agentcom.core import events
from agentcom.core.agent import Presence as Mode
from agentcom.core.events import Draft, payload
from agentcom.hub.link import Frame, Link, Roster, SharedFrame
from agentcom.store.interface import Store, Unit
from agentcom.wire.codec import encode
from agentcom.wire.frames import AgentJoined, AgentLeft, PresenceDiff, StatusChanged

DIFF_S = 1.0
"""Seconds between two ``presence_diff`` at the least."""

AT_A_TIME = 64
"""Frames of a fan-out in one turn of the reactor."""

TOGETHER = 8
"""Frames for the same receivers that go out side by side."""

RECEIVER_BYTES = 8
"""Bytes that each receiver of a frame that waits takes."""

Done = Callable[[], None]


class _Job(NamedTuple):
    frame: SharedFrame
    links: list[Link]
    done: Done | None
    follow: bool


class Fanout:
    """Sends one frame to many, some in each turn of the reactor, in order.

    It goes to the connection that an agent has when its turn comes.
    """

    def __init__(self, clock: IReactorTime, roster: Roster) -> None:
        self._clock = clock
        self._roster = roster
        self._jobs: deque[_Job] = deque()
        # What is being sent, and how many receivers have it already.
        self._together: list[_Job] = []
        self._done = 0
        self.waiting_bytes = 0
        self._sent = 0
        self._turning = False
        self._going = False

    def send(
        self, frame: Frame, links: list[Link], done: Done | None = None, *, follow: bool = True
    ) -> None:
        """Send a frame to each of these; the list is this object's from now on.

        :param done: called once the last of them was sent to.
        :param follow: whether it goes to the newer connection of an agent whose
            own was replaced meanwhile.
        """
        if not links and not self._jobs:
            if done is not None:
                done()
            return
        self._jobs.append(_Job(SharedFrame(frame), links, done, follow))
        self.waiting_bytes += len(frame) + RECEIVER_BYTES * len(links)
        self._go_on()

    @property
    def busy(self) -> bool:
        """Whether frames wait for their turn."""
        return bool(self._jobs)

    def _turn(self) -> None:
        self._turning = False
        self._sent = 0
        self._go_on()

    def _go_on(self) -> None:
        """Send what this turn has room for."""
        if self._going:
            # A line that was cut while it was sent to: its leaving is told behind.
            return
        self._going = True
        try:
            self._send_some()
        finally:
            self._going = False
        if self._sent and not self._turning:
            self._turning = True
            self._clock.callLater(0, self._turn)

    def _send_some(self) -> None:
        while self._jobs and self._sent < AT_A_TIME:
            if not self._together:
                self._together = self._alike()
            jobs = self._together
            links = jobs[0].links
            before = self._done
            while self._done < len(links) and self._sent < AT_A_TIME:
                self._sent += len(jobs)
                self._done += 1
                for job in jobs:
                    self._deliver(job, links[self._done - 1])
            self.waiting_bytes -= RECEIVER_BYTES * (self._done - before) * len(jobs)
            if self._done == len(links):
                self._end(jobs)

    def _alike(self) -> list[_Job]:
        """The first jobs with the same receivers: what each gets of them leaves in one write."""
        first = self._jobs[0]
        found = [first]
        for job in islice(self._jobs, 1, TOGETHER):
            if job.links != first.links:
                break
            found.append(job)
        return found

    def _end(self, jobs: list[_Job]) -> None:
        self._done = 0
        self._together = []
        for job in jobs:
            self._jobs.popleft()
            self.waiting_bytes -= len(job.frame)
        for job in jobs:
            if job.done is not None:
                job.done()

    def _deliver(self, job: _Job, link: Link) -> None:
        newest = self._roster.get(link.agent.agent_id)
        if newest is None:
            return
        if newest is link:
            link.send(job.frame)
        elif job.follow and newest.agent.connected_at == link.agent.connected_at:
            # Replaced, and never away: nobody else keeps it for the agent.
            newest.send(job.frame)


class Presence:
    """Tells of agents that come, go and change.

    :param info: AgentInfo of a connected agent.
    :param limit: agents connected up to which ``auto`` is like ``events``.
    :ivar pending: how many events of it are not on disk yet.
    """

    def __init__(
        self,
        store: Store,
        clock: IReactorTime,
        now: Callable[[], int],
        roster: Roster,
        info: Callable[[Link], dict[str, Any]],
        limit: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._now = now
        self._roster = roster
        self._info = info
        self._limit = limit
        self.pending = 0
        self._fanout = Fanout(clock, roster)
        self._joined: dict[str, dict[str, Any]] = {}
        self._left: dict[str, None] = {}
        self._changed: dict[str, dict[str, Any]] = {}
        self._diff_waits = False
        # Those who hear of everybody: looked up for each event, so not in the whole map.
        self._events: dict[str, Link] = {}
        self._diffs: dict[str, Link] = {}

    def listens(self, link: Link) -> None:
        """An agent has identified: from now on it hears what it asked for."""
        agent_id = link.agent.agent_id
        for mode, listeners in ((Mode.EVENTS, self._events), (Mode.DIFF, self._diffs)):
            if link.agent.presence is mode:
                listeners[agent_id] = link
            else:
                listeners.pop(agent_id, None)

    def joined(self, link: Link) -> None:
        """An agent is here that was not."""
        agent_id = link.agent.agent_id
        info = self._info(link)
        frame = encode(AgentJoined(agent=info))
        self._log(
            events.AGENT_JOINED, agent_id, payload(agent=info), lambda: self._tell(frame, link)
        )
        if agent_id in self._left:
            del self._left[agent_id]
            self._changed[agent_id] = info
        else:
            self._joined[agent_id] = info
        self._plan_diff()

    def left(self, agent_id: str) -> None:
        """An agent is gone."""
        self._events.pop(agent_id, None)
        self._diffs.pop(agent_id, None)
        frame = encode(AgentLeft(agent_id=agent_id))
        self._log(events.AGENT_LEFT, agent_id, b"{}", lambda: self._tell(frame, None))
        self._changed.pop(agent_id, None)
        if agent_id in self._joined:
            del self._joined[agent_id]
        else:
            self._left[agent_id] = None
        self._plan_diff()

    def changed(self, link: Link, reply: Frame | None) -> None:
        """An agent's status changed; the sender gets its reply and the news."""
        agent_id = link.agent.agent_id
        info = self._info(link)
        frame = encode(StatusChanged(agent=info))

        def committed() -> None:
            if reply is not None:
                link.send(reply)
            link.send(frame)
            self._tell(frame, link)

        self._log(events.STATUS_CHANGED, agent_id, payload(agent=info), committed)
        if agent_id in self._joined:
            self._joined[agent_id] = info
        else:
            self._changed[agent_id] = info
        self._plan_diff()

    def backlog(self) -> int:
        """Bytes of frames that wait to be sent to many."""
        return self._fanout.waiting_bytes

    def broadcast(self, frame: Frame, links: list[Link], done: Done | None = None) -> None:
        """Send any frame to many at the pace of presence; ``done`` once all were sent to."""
        self._fanout.send(frame, links, done)

    def direct(self, frame: Frame, link: Link, done: Done | None = None) -> None:
        """Send a frame to one agent, behind the broadcasts that are under way."""
        if self._fanout.busy:
            self._fanout.send(frame, [link], done, follow=False)
            return
        link.send(frame)
        if done is not None:
            done()

    def _tell(self, frame: Frame, about: Link | None) -> None:
        links = [link for link in self._events.values() if link is not about]
        if len(self._roster) <= self._limit:
            links += [
                link
                for link in self._roster.values()
                if link.agent.presence is Mode.AUTO and link is not about
            ]
        self._fanout.send(frame, links)

    def _plan_diff(self) -> None:
        if not self._diff_waits:
            self._diff_waits = True
            self._clock.callLater(DIFF_S, self._send_diff)

    def _send_diff(self) -> None:
        self._diff_waits = False
        diff = PresenceDiff(
            joined=list(self._joined.values()),
            left=list(self._left),
            changed=list(self._changed.values()),
        )
        self._joined, self._left, self._changed = {}, {}, {}
        if self._diffs and (diff.joined or diff.left or diff.changed):
            self._fanout.send(encode(diff), list(self._diffs.values()))

    def _log(self, event: str, agent_id: str, told: bytes, then: Callable[[], None]) -> None:
        draft = Draft(events.PRESENCE, event, self._now(), None, agent_id, None, told)
        self.pending += 1

        def committed() -> None:
            self.pending -= 1
            then()

        self._store.commit(Unit(drafts=(draft,), then=committed))
