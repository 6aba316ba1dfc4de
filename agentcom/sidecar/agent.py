"""An agent put together: :class:`Sidecar` is what ``agentcom agent`` runs.

The reactor comes as an argument and is handed on in parts: processes to the
runner, time to the desk and the sessions, connections to the connector.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import SystemRandom
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.client.backoff import Backoff
from agentcom.client.errors import ClientError
from agentcom.client.unreached import unreached
from agentcom.client.urls import HubURL
from agentcom.sidecar.connector import Connector, GiveUp, Revoked, TokenSource
from agentcom.sidecar.desk import Desk
from agentcom.sidecar.jobs import Key, Workshop
from agentcom.sidecar.journal import Journal, JournalFailed
from agentcom.sidecar.protocol import LineFactory
from agentcom.sidecar.runner import Runner
from agentcom.sidecar.session import Identity, Session

ACKNOWLEDGE_LIMIT_S = 3.0
# A run that was stopped has 10 s to go; then it is killed and soon gone.
END_LIMIT_S = 15.0
# Some senders, timeout(1) for one, signal a process and then its group.
SAME_WISH_S = 1.0
LAST_WORD_S = 1.0
NAMED_TASKS = 5


@dataclass(frozen=True)
class Access:
    """How the hub is reached.

    :ivar tokens: gives the token, see ``connector``.
    :ivar renewable: whether it can give another one.
    """

    url: HubURL
    tokens: TokenSource
    renewable: bool = False


class Sidecar:
    """One agent, from start to stop.

    :param workshop: where tasks are worked on: commands in ``runner``,
        coroutines in ``functions``.
    :param journal: of a ``state`` that this process holds; whoever opened it
        closes it after :meth:`run`.
    :param slots: how many tasks are worked on at a time.
    :param drain_limit_s: how long work may go on after the first :meth:`stop`,
        in seconds.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        access: Access,
        identity: Identity,
        workshop: Workshop,
        journal: Journal,
        *,
        slots: int = 1,
        drain_limit_s: float = 0.0,
    ) -> None:
        self._reactor = reactor
        self._url = access.url
        self._drain_limit_s = drain_limit_s
        self._desk = Desk(slots, journal, workshop, reactor)
        self._connector = Connector(
            identity.agent_id,
            lambda token: Session(identity, token, self._desk, reactor),
            self._open_line,
            access.tokens,
            access.renewable,
            Backoff(SystemRandom().random),
        )
        self._last_wish = -inf
        self._stopping = False
        self._draining: Deferred[None] | None = None

    async def run(self) -> None:
        """Take up what an earlier process left, and serve until :meth:`stop`.

        :raises GiveUp: the hub will not have this agent, or its journal
            cannot be read.
        :raises ClientError: the hub will make no first token.
        """
        try:
            self._desk.take_up()
            await self._connector.run(self._reactor)
        except JournalFailed as e:
            raise GiveUp(str(e)) from e
        except Revoked:
            self._desk.abort_all("the hub will not have this agent")
            await self._settled(END_LIMIT_S)
            raise
        except (GiveUp, ClientError):
            # It may be the token alone that is wrong, and work is dear.
            left = self._desk.drain()
            if left:
                self.log.warn("left to the next start: {tasks}", tasks=_names(left))
            raise

    def stop(self) -> None:
        """Go; each further time by one step faster.

        First what runs may end, for as long as the drain limit allows; then it
        is stopped and reported as such; then it is killed.
        """
        now = self._reactor.seconds()
        if now - self._last_wish < SAME_WISH_S:
            return
        self._last_wish = now
        if not self._stopping:
            self._stopping = True
            Deferred.fromCoroutine(self._stop()).addErrback(
                lambda failure: self.log.failure("while stopping", failure)
            )
        elif self._draining is not None:
            self._draining.cancel()
        else:
            self._desk.kill()
            # What was killed can still be reported, if that takes no longer.
            self._reactor.callLater(LAST_WORD_S, self._connector.stop)

    async def _stop(self) -> None:
        if self._connector.session is not None:
            self._connector.session.drain()
        await self._drained()
        running = self._desk.close()
        await self._settled(END_LIMIT_S if running else ACKNOWLEDGE_LIMIT_S)
        if self._desk.unreported:
            self.log.warn(
                "ends of tasks that the hub has not acknowledged: {n}; "
                "the next start says them again",
                n=self._desk.unreported,
            )
        self._connector.stop()

    async def _drained(self) -> None:
        at_work = self._desk.drain()
        if not at_work or not self._drain_limit_s:
            return
        self.log.info(
            "nothing new is taken; waiting up to {s:g} s for tasks: {tasks}",
            s=self._drain_limit_s,
            tasks=_names(at_work),
        )
        self._draining = self._desk.still()
        try:
            await self._draining.addTimeout(self._drain_limit_s, self._reactor)
        except DeferredTimeout:
            self.log.warn("the drain limit is over; what still runs is stopped")
        except CancelledError:
            self.log.warn("the agent is not to wait; what still runs is stopped")
        finally:
            self._draining = None

    async def _settled(self, limit_s: float) -> None:
        try:
            await self._desk.idle().addTimeout(limit_s, self._reactor)
        except DeferredTimeout:
            self.log.warn("not everything could be ended in {s:.0f} s", s=limit_s)

    def _open_line(self, session: Session) -> Deferred[Any]:
        endpoint: Any = HostnameEndpoint(self._reactor, self._url.host, self._url.port)
        if self._url.secure:
            endpoint = wrapClientTLS(optionsForClientTLS(self._url.host), endpoint)
        factory = LineFactory(self._url.websocket, session, self._reactor)
        connecting: Deferred[Any] = endpoint.connect(factory)
        return connecting.addErrback(self._unreached)

    def _unreached(self, failure: Failure) -> NoReturn:
        raise unreached(self._url, failure.value) from None


def _names(keys: Sequence[Key]) -> str:
    named = ", ".join(task_id for task_id, _ in keys[:NAMED_TASKS])
    return named if len(keys) <= NAMED_TASKS else f"{named} and {len(keys) - NAMED_TASKS} more"


def runner_for(
    reactor: Any,
    command: Sequence[str],
    environment: Mapping[str, str],
    agent_id: str,
    state_dir: Path,
) -> Runner:
    """A runner that starts real processes."""
    return Runner(
        command,
        environment,
        agent_id=agent_id,
        state_dir=state_dir,
        spawn=reactor.spawnProcess,
        clock=reactor,
        kill_group=os.killpg,
    )
