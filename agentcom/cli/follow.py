"""Following one task to its end, hub restarts included.

The live stream is opened before the task is made, so nothing is missed;
whenever it opens again the task's own log is read, which is the truth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.python.failure import Failure

from agentcom.cli.show import line
from agentcom.cli.task import all_events
from agentcom.core.events import (
    AGENT_JOINED,
    AGENT_LEFT,
    PRESENCE,
    TASK_ASSIGNED,
    TASK_REQUEUED,
    TASKS,
    TERMINAL_EVENTS,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from agentcom.client.hub import HubClient
    from agentcom.client.replies import EventReply, Gap, Made, TaskReply

M = TypeVar("M", bound="Made")

EARLY_EVENTS = 10_000

EXPLAIN_AFTER_S = 4.0
"""So long a task waits for an agent before it is asked, once, why."""


class Follower:
    """Follows the task that one push or submission makes.

    :param show: called with each of its events, in order, once.
    """

    def __init__(self, hub: HubClient, show: Callable[[EventReply], None]) -> None:
        self._hub = hub
        self._show = show
        self._task_id: str | None = None
        self._last_seq = 0
        self._early: deque[EventReply] = deque(maxlen=EARLY_EVENTS)
        self._open: Deferred[None] = Deferred()
        self._over = False
        self._ended: Deferred[None] = Deferred()
        self._assigned = False
        self._agent_id: str | None = None
        self._away = False
        self._patience: IDelayedCall | None = None

    async def follow(
        self,
        submit: Callable[[HubClient], Coroutine[Any, Any, M]],
        show_made: Callable[[M], None],
        timeout: float | None,
    ) -> TaskReply:
        """Make the task, and give it as it is when it has ended.

        :raises click.ClickException: it had not when the timeout passed.
        """
        stream = self._hub.events(self, topics=[TASKS, PRESENCE])
        Deferred.fromCoroutine(stream.run()).addErrback(self._fail)
        try:
            await self._open
            made = await submit(self._hub)
            show_made(made)
            self._task_id = made["task_id"]
            for event in self._early:
                self._mine(event)
            self._early.clear()
            # The same idempotency key gives a task that may have ended long ago.
            await self._catch_up()
            if not self._assigned and not self._over:
                self._patience = self._hub.clock.callLater(EXPLAIN_AFTER_S, self._impatient)
            if timeout is not None:
                self._ended.addTimeout(timeout, self._hub.clock)
            await self._ended
            return await self._hub.task(self._task_id)
        except (CancelledError, DeferredTimeout):
            raise click.ClickException(
                f"{self._task_id} had not ended after {timeout:g} s; it goes on, "
                f"see `agentcom task {self._task_id}`"
            ) from None
        finally:
            stream.stop()
            if self._patience is not None and self._patience.active():
                self._patience.cancel()

    def opened(self) -> None:
        if not self._open.called:
            self._open.callback(None)
        elif self._task_id is not None:
            Deferred.fromCoroutine(self._catch_up()).addErrback(self._fail)

    def lost(self, why: str) -> None:
        if self._open.called:
            click.echo(f"{why}; waiting for it", err=True)
        else:
            # There is no task yet, so there is nothing to be patient for.
            self._open.errback(click.ClickException(why))

    def gap(self, gap: Gap) -> None:
        """The task's own log was read when the stream opened."""

    def event(self, cursor: str | None, event: EventReply) -> None:
        if self._task_id is None:
            self._early.append(event)
        elif event["event"] in (AGENT_LEFT, AGENT_JOINED):
            self._whereabouts(event)
        else:
            self._mine(event)
            self._settle()

    def _whereabouts(self, event: EventReply) -> None:
        """The agent that has the task goes, or comes back: else the wait is silent."""
        agent_id = event.get("agent_id")
        if agent_id is None or agent_id != self._agent_id or self._over:
            return
        left = event["event"] == AGENT_LEFT
        if left != self._away:
            self._away = left
            said = "is away; the task is kept for it for a while" if left else "is back"
            click.echo(line(f"agent {agent_id} {said}"), err=True)

    async def _catch_up(self) -> None:
        assert self._task_id is not None
        for event in await all_events(self._hub, self._task_id):
            self._mine(event)
        self._settle()

    def _mine(self, event: EventReply) -> None:
        seq = event["seq"]
        if event.get("task_id") != self._task_id or seq is None or seq <= self._last_seq:
            return
        self._last_seq = seq
        self._show(event)
        # A dead letter may have been put back into the queue since.
        self._over = event["event"] in TERMINAL_EVENTS
        if event["event"] == TASK_ASSIGNED:
            self._assigned = True
            self._agent_id, self._away = event.get("agent_id"), False
        elif event["event"] == TASK_REQUEUED:
            self._agent_id = None

    def _settle(self) -> None:
        """End the waiting, if what was read last was the end."""
        if self._over and not self._ended.called:
            self._ended.callback(None)

    def _impatient(self) -> None:
        if not self._assigned and not self._over:
            Deferred.fromCoroutine(self._explain()).addErrback(self._fail)

    async def _explain(self) -> None:
        from agentcom.client.errors import ClientError

        assert self._task_id is not None
        try:
            found = await self._hub.explain(self._task_id)
        except ClientError:
            # It was a kindness: what is wrong with the line is told elsewhere.
            return
        if not self._assigned and not self._over:
            click.echo(line(found["summary"]), err=True)

    def _fail(self, failure: Failure) -> None:
        for waiter in (self._open, self._ended):
            if not waiter.called:
                waiter.errback(failure)
                return
