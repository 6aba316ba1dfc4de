"""The hub: composes its parts and is what the edges (``ws``, ``http``) call.

Everything new passes ``check_open`` first; see :mod:`.gate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agentcom.core import events
from agentcom.core.agent import Agent
from agentcom.core.events import Draft
from agentcom.core.ids import Ids
from agentcom.hub.agenda import Agenda
from agentcom.hub.archive import Archive
from agentcom.hub.arrivals import Arrivals
from agentcom.hub.auth import Auth
from agentcom.hub.counts import Counts
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.drains import Drains
from agentcom.hub.eventlog import EventLog
from agentcom.hub.explain import Explain
from agentcom.hub.gate import Gate
from agentcom.hub.goodbyes import say_goodbye
from agentcom.hub.hubdrain import HubDrain
from agentcom.hub.idempotency import IdempotencyKeys
from agentcom.hub.interventions import Interventions
from agentcom.hub.ledger import Ledger
from agentcom.hub.limits import TimeLimits
from agentcom.hub.link import Link, Roster
from agentcom.hub.load import Load
from agentcom.hub.messages import Messages, MessageSettings
from agentcom.hub.overview import Overview
from agentcom.hub.pacing import Pacing
from agentcom.hub.presence import Presence
from agentcom.hub.present import Present
from agentcom.hub.pushes import Pushes
from agentcom.hub.reports import Reports
from agentcom.hub.retention import Retention
from agentcom.hub.returning import Returning
from agentcom.hub.revocation import Revocation
from agentcom.hub.submissions import Submissions
from agentcom.hub.tasks import Tasks
from agentcom.hub.willingness import Willingness
from agentcom.store.interface import Store, Unit
from agentcom.wire.frames import TaskMention


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of a hub.

    :ivar presence_limit: see :class:`.presence.Presence`.
    :ivar max_queued: tasks that may wait; each takes some 350 bytes of memory,
        one whose needs no other task shares some 2 KB.
    :ivar retain_s: seconds that ended tasks are kept, ``None`` for ever.
    """

    presence_limit: int = 200
    max_queued: int = 2_000_000
    retain_s: float | None = 30 * 86_400.0
    messages: MessageSettings = MessageSettings()


class Hub:
    """One hub.

    :param roster: the factory-level agent map; the hub reads it, and only
        connections write themselves into it.
    :param clock: for everything that waits; it should never go backwards.
    :param wall: seconds since the epoch, for what is told; the clock's by default.
    """

    def __init__(
        self,
        store: Store,
        clock: IReactorTime,
        ids: Ids,
        roster: Roster,
        settings: Settings,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall or clock.seconds
        self.store = store
        self.roster = roster
        self.ids = ids
        self.counts = counts = Counts()
        store.on_commit(counts.committed)
        self.pacing = Pacing(roster, ids.fraction)
        self._gate = gate = Gate(store)
        self.check_open = gate.check_open
        self.check_running = gate.check_running
        loaded = store.load()
        self.events = EventLog(store, loaded.epoch, loaded.last_seq, loaded.pruned_seq)
        self.agenda = Agenda(clock)
        self.ledger = ledger = Ledger(store, clock, self.now)
        over = Interventions(ledger, roster, ids.fraction, counts)
        self.dispatch = dispatch = Dispatch(ledger, roster, self.agenda, over, self.now)
        self.returning = returning = Returning(ledger, dispatch, over, roster, self.agenda)
        self._willingness = willingness = Willingness(
            ledger, dispatch, returning, roster, self.agenda, counts
        )
        self.limits = TimeLimits(
            store, ledger, dispatch, over, willingness, roster, self.agenda, self.now
        )
        self.reports = Reports(
            store, ledger, returning, willingness, self.events, self.now, ids.fraction, counts.stale
        )
        self.revocation = ends = Revocation(returning)
        self.auth = auth = Auth(store, loaded.tokens, loaded.sessions, ids, self.now, ends.ended)
        self.drains = Drains(
            store, ledger, dispatch, over, roster, self.agenda, auth.knows, self.now
        )
        self.hub_drain = HubDrain(store, ledger, dispatch, self.check_open, self.now)
        check_push = self.hub_drain.check_push
        keys = IdempotencyKeys(store)
        self.pushes = Pushes(
            ledger, dispatch, roster, keys, ids, self.now, check_push, store.next_number
        )
        self.submissions = Submissions(
            Arrivals(ledger, dispatch, roster),
            dispatch,
            keys,
            ids,
            self.now,
            self.check_open,
            settings.max_queued,
            store.next_number,
        )
        self.tasks = Tasks(store, ledger, over, willingness, self.check_running)
        self.archive = Archive(
            store,
            ledger,
            dispatch,
            self.events,
            self.now,
            self.check_open,
            self.submissions.check_room,
        )
        self.overview = Overview(store, ledger, dispatch)
        self.explain = Explain(
            store, ledger, dispatch, roster, self.agenda, self.auth, self.now, self.turn
        )
        self.presence = Presence(store, clock, self.now, roster, self.info, settings.presence_limit)
        self.load = load = Load(store, self.presence, ids.fraction, counts.shed)
        self.overloaded = load.behind
        self.present = Present(store, clock, self.events, self.presence, roster, self.info)
        self.messages = messages = Messages(
            store,
            clock,
            ids,
            roster,
            self.presence,
            auth,
            loaded.messages,
            settings.messages,
            self.now,
            self.check_open,
        )
        self.retention = Retention(
            self.archive, messages.retention, clock, self.now, settings.retain_s, gate.well
        )
        # Limits first: what the dispatcher does next may begin new ones.
        ledger.on_move(self.limits.follow)
        ledger.on_move(dispatch.moved)
        ledger.on_move(self.drains.follow)
        ledger.load(loaded.tasks)
        dispatch.load(loaded.waiting)
        self.drains.load(loaded.drains)
        for step in (
            store.check_space,
            store.check_commit,
            auth.tick,
            self.retention.tick,
            messages.messaging.catch_up,
        ):
            self.agenda.every_tick(step)
        self.agenda.every_tick(self.pacing.tick)

    def now(self) -> int:
        """Unix milliseconds."""
        return int(self._wall() * 1000)

    def turn(self) -> Deferred[None]:
        """Fires in the next turn of the reactor."""
        done: Deferred[None] = Deferred()
        self._clock.callLater(0, done.callback, None)
        return done

    def start(self) -> None:
        """The hub listens: log it, count holds from now, begin to assign."""
        self.store.check_space()
        draft = Draft(events.PRESENCE, events.HUB_STARTED, self.now())
        self.store.commit(Unit(drafts=(draft,)))
        self.dispatch.open()
        self.returning.restarted()
        self.limits.restarted()
        self.drains.restarted()
        self.agenda.start()

    def trouble(self) -> str | None:
        """Why nothing new can be taken now, for ``/ready``; ``None`` when ready."""
        return self._gate.trouble() or self.hub_drain.trouble()

    def drain(self) -> Deferred[None]:
        """Take and assign nothing more; fires when all that was said is on disk."""
        self._gate.stopping = True
        self.messages.waits.stop()
        self.dispatch.close()
        self.ledger.flush()
        return self.store.idle()

    def stop(self) -> Deferred[None]:
        """Close the connections in the map; no more time passes.  Fires when all are."""
        self.agenda.stop()
        return say_goodbye(self._clock, self.roster, self.pacing)

    # -- agents ---------------------------------------------------------

    def info(self, link: Link) -> dict[str, Any]:
        """AgentInfo of a connected agent."""
        holding = self.dispatch.holdings.get(link.agent.agent_id)
        return link.agent.info(
            running=0 if holding is None else len(holding.held),
            draining=holding is not None and holding.draining,
            unresponsive=holding is not None and holding.unresponsive,
        )

    def identified(
        self, link: Link, mentions: list[TaskMention], before: Agent | None, *, again: bool
    ) -> list[dict[str, object]]:
        """An agent's connection is in the map.

        :param before: what the agent said of itself until now, where it was
            connected already.
        :param again: on this very connection.
        :returns: what to do with each task that it mentioned.
        """
        self.revocation.opened(link)
        self.dispatch.came(link.agent)
        actions = self.returning.connected(link.agent.agent_id, mentions, again)
        if any(told["action"] == "continue" for told in actions):
            self._willingness.heard(link.agent.agent_id)
        self.drains.came(link)
        self.presence.listens(link)
        self.messages.identified(link, again)
        if before is None:
            self.presence.joined(link)
        elif before != link.agent:
            self.presence.changed(link, None)
        return actions

    def gone(self, agent_id: str) -> None:
        """An agent's last connection left the map."""
        self.messages.messaging.gone(agent_id)
        self.dispatch.left(agent_id)
        self.returning.disconnected(agent_id)
        self.presence.left(agent_id)
