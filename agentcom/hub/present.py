"""Who is connected, as the event log tells it: what a list of agents is made of.

The list is the log up to a sequence number, added up, so a reader that goes
on from there by events can never disagree with it.  What changes without
an event (how busy an agent is) is taken from the agent map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from agentcom.core import events
from agentcom.core.events import Event
from agentcom.hub.eventlog import EventLog
from agentcom.hub.link import Link, Roster
from agentcom.hub.presence import Presence
from agentcom.store.interface import Store, Unit

WAIT_S = 1.0
"""Seconds that a list waits for the disk: a store that fails must not hold it up."""

AT_A_TIME = 1_000
"""Agents of a list in one turn of the reactor: 3 ms."""

_LIVE = ("state", "running")
"""What of an AgentInfo changes without an event."""


class Listed(msgspec.Struct, frozen=True):
    """The connected agents at one moment.

    :ivar agents: AgentInfo of each, in the order in which they came.
    :ivar cursor: from here on events go on.
    """

    agents: list[dict[str, Any]]
    cursor: str


class Present:
    """Adds the log's presence events up.

    :param info: AgentInfo of a connected agent.
    """

    def __init__(
        self,
        store: Store,
        clock: IReactorTime,
        log: EventLog,
        presence: Presence,
        roster: Roster,
        info: Callable[[Link], dict[str, Any]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._presence = presence
        self._roster = roster
        self._info = info
        # As the log has them: thousands of decoded objects would be looked at
        # by each pass of the garbage collector.
        self._told: dict[str, Raw] = {}
        store.on_commit(self._committed)

    async def listed(self) -> Listed:
        """The connected agents.

        Whoever was told that it is identified is among them, unless the
        store hangs.
        """
        if self._presence.pending:
            await self._settled()
        # One moment of the log; what has to be decoded then takes several turns.
        told = list(self._told.items())
        cursor = self._log.cursor(self._log.last_seq)
        agents: list[dict[str, Any]] = []
        for begin in range(0, len(told), AT_A_TIME):
            if begin:
                await deferLater(self._clock, 0, lambda: None)
            agents += [self._shown(*one) for one in told[begin : begin + AT_A_TIME]]
        return Listed(agents, cursor)

    def _shown(self, agent_id: str, told: Raw) -> dict[str, Any]:
        info: dict[str, Any] = msgspec.json.decode(told)["agent"]
        link = self._roster.get(agent_id)
        if link is not None:
            live = self._info(link)
            for name in _LIVE:
                info[name] = live[name]
        return info

    def _settled(self) -> Deferred[None]:
        """Fires when what was said of presence until now is committed, or after a while."""
        done: Deferred[None] = Deferred()

        def fire() -> None:
            if not done.called:
                done.callback(None)

        late = self._clock.callLater(WAIT_S, fire)

        def committed() -> None:
            if late.active():
                late.cancel()
            fire()

        self._store.commit(Unit(then=committed))
        return done

    def _committed(self, batch: list[Event]) -> None:
        # All of a batch before anybody is answered: the log's end is that of the batch.
        for event in batch:
            if event.topic != events.PRESENCE:
                continue
            if event.event in (events.AGENT_JOINED, events.STATUS_CHANGED):
                self._told[event.agent_id or ""] = event.payload
            elif event.event == events.AGENT_LEFT:
                self._told.pop(event.agent_id or "", None)
            elif event.event == events.HUB_STARTED:
                self._told.clear()
