"""The hub's other clients in a run: who submits the tasks, and who watches the events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from agentcom.chaos.history import Acked, AnyRecord, Told, Trouble
from agentcom.chaos.pace import Pace
from agentcom.chaos.plan import Work
from agentcom.client.errors import HubError, HubUnreachable
from agentcom.client.hub import HubClient
from agentcom.client.replies import EventReply, Gap
from agentcom.client.stream import Watcher

AGAIN_S = 0.3
"""Seconds until what was not answered is submitted again."""

AT_ONCE = 16
"""Submissions that are on their way at a time."""

CHECKED_AGAIN = 10
"""One in so many tasks is submitted once more after it was answered."""

Record = Callable[[AnyRecord], None]


def cancelled(failure: Failure) -> None:
    """What comes of a Deferred that nobody needs any more."""
    failure.trap(CancelledError)


class Submitter:
    """Submits tasks until each is answered, always under the same key.

    :ivar answered: how many were.
    """

    def __init__(self, reactor: Any, hub: HubClient, pace: Pace, record: Record) -> None:
        self._reactor = reactor
        self._hub = hub
        self._pace = pace
        self._record = record
        self._room = DeferredSemaphore(AT_ONCE)
        self.answered = 0

    async def run(self, works: list[Work]) -> None:
        """Submit each task at its time; return when all are answered.

        What is refused for good is recorded as trouble.
        """
        waiting = []
        try:
            for at_s, some in groupby(works, lambda work: work.at_s):
                await self._pace.until(at_s)
                waiting.append(self._room.run(self._soon, list(some)))
            await gatherResults(waiting, consumeErrors=True)
        finally:
            for one in waiting:
                one.cancel()
                one.addErrback(cancelled)

    def _soon(self, some: list[Work]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._submit(some))

    async def _submit(self, some: list[Work]) -> None:
        number = self.answered
        try:
            await self._until_answered(some)
            self.answered += len(some)
            if number % CHECKED_AGAIN == 0:
                await self._until_answered(some)
        except HubError as e:
            self._record(Trouble(who=some[0].key, what=f"its submission was refused: {e}"))

    async def _until_answered(self, some: list[Work]) -> None:
        while True:
            try:
                ids = await self._ask(some)
            except HubUnreachable:
                pass
            except HubError as e:
                if not e.passing:
                    raise
            else:
                for work, task_id in zip(some, ids, strict=True):
                    self._record(Acked(key=work.key, task_id=task_id))
                return
            await deferLater(self._reactor, AGAIN_S, lambda: None)

    async def _ask(self, some: list[Work]) -> list[str]:
        """Submit once; gives the ids of the tasks in their order."""
        if len(some) == 1:
            return [(await self._hub.submit(some[0].body))["task_id"]]
        return (await self._hub.submit_batch([work.body for work in some]))["task_ids"]


class Chronicler(Watcher):
    """Writes down every event that the hub tells while the run goes on.

    :ivar seq: the last one.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self.seq = 0

    def opened(self) -> None:
        """Nothing to write down."""
        return

    def lost(self, why: str) -> None:
        """That is what the run is for."""
        return

    def event(self, cursor: str | None, event: EventReply) -> None:
        """An event; one that is not in the log is nothing to hold the hub to."""
        seq = event["seq"]
        if seq is None:
            return
        self.seq = seq
        self._record(
            Told(
                seq=seq,
                event=event["event"],
                task_id=event.get("task_id"),
                agent_id=event.get("agent_id"),
                generation=event.get("generation"),
            )
        )

    def gap(self, gap: Gap) -> None:
        """Events that the hub does not have any more; it never should."""
        self._record(Trouble(who="watcher", what=f"it was told of a gap: {dict(gap)}"))


async def all_tasks(hub: HubClient) -> list[Mapping[str, Any]]:
    """Every task of the hub."""
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await hub.tasks(limit=1_000, cursor=cursor)
        found += page["tasks"]
        cursor = page.get("cursor")
        if cursor is None:
            return found


async def all_events(hub: HubClient, task_id: str) -> list[dict[str, Any]]:
    """Every event of a task, oldest first."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await hub.task_events(task_id, cursor=cursor, limit=1_000)
        found += [dict(event) for event in page["events"]]
        cursor = page.get("cursor")
        if cursor is None:
            return found
