"""The hub: composes its parts and is what the edges (``ws``, ``http``) call.

Everything new passes :meth:`Hub.check_open` first: a hub that is stopping,
or whose store fails, takes no new work and says so; reports it always takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.core import events
from agentcom.core.agent import Agent
from agentcom.core.changes import Assign
from agentcom.core.events import Draft
from agentcom.core.ids import Ids
from agentcom.core.task import Task, apply, submitted
from agentcom.errors import (
    AgentDraining,
    AgentNotConnected,
    HubStopping,
    InvalidState,
    StoreUnavailable,
    TaskNotFound,
)
from agentcom.hub.agenda import Agenda
from agentcom.hub.auth import Auth
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.eventlog import EventLog
from agentcom.hub.idempotency import IdempotencyKeys
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Link, Roster
from agentcom.hub.messaging import Messaging
from agentcom.hub.presence import Presence
from agentcom.hub.reports import Reports
from agentcom.hub.returning import Returning
from agentcom.hub.revocation import Revocation
from agentcom.store.interface import Store, Unit
from agentcom.wire.codec import canonical
from agentcom.wire.frames import TaskMention
from agentcom.wire.http import PushTask

GOING_AWAY = 1001

BACKLOG = 10_000
"""Units waiting for the store at which peers are no longer read from."""

FANOUT_BYTES = 8 * 1024 * 1024
"""The same for bytes of frames that wait to be sent to many."""


class Hub:
    """One hub.

    :param roster: the factory-level agent map; the hub reads it, and only
        connections write themselves into it.
    :param clock: for everything that waits; it should never go backwards.
    :param wall: seconds since the epoch, for what is told; the clock's by default.
    :param presence_limit: see :class:`.presence.Presence`.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        clock: IReactorTime,
        ids: Ids,
        roster: Roster,
        presence_limit: int,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._wall = wall or clock.seconds
        self.store = store
        self.roster = roster
        self.ids = ids
        self._keys = IdempotencyKeys(store)
        self._stopping = False
        loaded = store.load()
        self.events = EventLog(store, loaded.epoch, loaded.last_seq)
        self.agenda = Agenda(clock)
        self.ledger = Ledger(store, clock, self.now)
        self.dispatch = Dispatch(self.ledger, roster, self.agenda)
        self.returning = Returning(self.ledger, self.dispatch, roster, self.agenda)
        self.reports = Reports(
            store, self.ledger, self.dispatch, self.returning, self.events, self.now
        )
        self.revocation = Revocation(self.returning)
        self.auth = Auth(store, loaded.tokens, ids, self.now, self.revocation.revoked)
        self.presence = Presence(store, clock, self.now, roster, self.info, presence_limit)
        self.messaging = Messaging(roster, self.presence, self.auth, ids, self.now)
        self.ledger.load(loaded.tasks)
        self.agenda.every_tick(store.check_space)
        self.agenda.every_tick(store.check_commit)
        self.agenda.every_tick(self.auth.reload)

    def now(self) -> int:
        """Unix milliseconds."""
        return int(self._wall() * 1000)

    def start(self) -> None:
        """The hub listens: log it, count holds from now, begin to assign."""
        self.store.check_space()
        draft = Draft(events.PRESENCE, events.HUB_STARTED, self.now())
        self.store.commit(Unit(drafts=(draft,)))
        self.dispatch.open()
        self.returning.restarted()
        self.agenda.start()

    def trouble(self) -> str | None:
        """Why nothing new can be taken now, for ``/ready``; ``None`` when ready."""
        if self._stopping:
            return "the hub is stopping"
        return self.store.trouble()

    def overloaded(self) -> bool:
        """Whether so much waits for the disk or for receivers that peers must wait."""
        return self.store.backlog() > BACKLOG or self.presence.backlog() > FANOUT_BYTES

    def check_running(self) -> None:
        """Refuse what changes anything while the hub drains.

        :raises HubStopping: it does.
        """
        if self._stopping:
            raise HubStopping("the hub is stopping: try again in some seconds")

    def check_open(self) -> None:
        """Let nothing new in when it could not be kept.

        :raises HubStopping: the hub drains.
        :raises StoreUnavailable: the store fails, or the disk is nearly full.
        """
        self.check_running()
        trouble = self.store.trouble()
        if trouble is not None:
            raise StoreUnavailable(f"{trouble}: nothing new is taken now, try again later")

    def drain(self) -> Deferred[None]:
        """Take and assign nothing more; fires when all that was said is on disk."""
        self._stopping = True
        self.dispatch.close()
        self.ledger.flush()
        return self.store.idle()

    def stop(self) -> None:
        """Close the connections in the map; no more time passes."""
        self.agenda.stop()
        for link in list(self.roster.values()):
            link.close(GOING_AWAY, "hub stopping")

    # -- agents ---------------------------------------------------------

    def info(self, link: Link) -> dict[str, Any]:
        """AgentInfo of a connected agent."""
        agent_id = link.agent.agent_id
        return link.agent.info(
            running=len(self.dispatch.holdings.running(agent_id)),
            draining=self.dispatch.is_draining(agent_id),
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
        actions = self.returning.connected(link.agent.agent_id, mentions, again)
        if before is None:
            self.presence.joined(link)
        elif before != link.agent:
            self.presence.changed(link, None)
        return actions

    def gone(self, agent_id: str) -> None:
        """An agent's last connection left the map."""
        self.returning.disconnected(agent_id)
        self.presence.left(agent_id)

    # -- tasks ----------------------------------------------------------

    async def push(self, submitter: str, body: PushTask) -> tuple[Task, bool]:
        """Order a task to an agent that is connected now (section 4, push-task).

        :returns: the task once it is on disk, and whether it is new.
        :raises AgentNotConnected: the agent is not in the map.
        :raises AgentDraining: the agent takes nothing more.
        :raises IdempotencyConflict: the key was used with another body.
        """
        if body.idempotency_key is None:
            return await self._push(submitter, body, None), True
        told = canonical([body.agent_id, body.description, body.metadata or {}])
        body_hash = hashlib.sha256(told).hexdigest()
        return await self._keys.once(
            submitter,
            body.idempotency_key,
            body_hash,
            lambda: self._push(submitter, body, body_hash),
        )

    def _push(self, submitter: str, body: PushTask, body_hash: str | None) -> Deferred[Task]:
        self.check_open()
        link = self.roster.get(body.agent_id)
        if link is None:
            raise AgentNotConnected(agent_id=body.agent_id)
        if self.dispatch.is_draining(body.agent_id):
            raise AgentDraining(agent_id=body.agent_id)
        now = self.now()
        task = _pushed(self.ids.task(), submitter, body, body_hash, now)
        new, drafts = apply(task, Assign(body.agent_id), now)
        on_disk: Deferred[Task] = Deferred()

        def committed() -> None:
            on_disk.callback(new)
            self.dispatch.send(new, link)

        self.ledger.add(new, submitted(task) + drafts, committed)
        return on_disk

    def cancel(self, task_id: str, by: str, reason: str | None) -> Deferred[None]:
        """Cancel a live task; fires after the commit.

        The Deferred fails with :class:`InvalidState` where it has ended.

        :raises TaskNotFound: no live or lately ended task has the id; one
            that ended long ago must be looked up by the caller.
        """
        self.check_running()
        task = self.ledger.find(task_id)
        if task is None:
            raise TaskNotFound(task_id=task_id)
        done: Deferred[None] = Deferred()
        if task.status.ended:
            # That it ended may not be on disk yet, and is told only then.
            refusal = InvalidState(task_id=task_id, status=task.status.value)
            self.ledger.answer(lambda: done.errback(refusal))
            return done
        self.dispatch.cancel(task_id, by, reason, lambda: done.callback(None))
        return done


def _pushed(task_id: str, submitter: str, body: PushTask, body_hash: str | None, now: int) -> Task:
    return Task(
        id=task_id,
        description=body.description,
        metadata=msgspec.json.encode(body.metadata or {}),
        submitted_by=submitter,
        pinned=body.agent_id,
        created_at=now,
        updated_at=now,
        idempotency_key=body.idempotency_key,
        body_hash=body_hash,
    )
