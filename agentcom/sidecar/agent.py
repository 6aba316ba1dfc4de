"""An agent put together: :class:`Sidecar` is what ``agentcom agent`` runs.

The reactor comes as an argument and is handed on in parts: processes to the
runner, time to the desk and the sessions, connections to the connector.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.client.backoff import Backoff
from agentcom.client.unreached import unreached
from agentcom.client.urls import HubURL
from agentcom.sidecar.connector import Connector, GiveUp, TokenSource
from agentcom.sidecar.desk import Desk
from agentcom.sidecar.jobs import Frame, Work
from agentcom.sidecar.protocol import LineFactory
from agentcom.sidecar.runner import Ears, Runner
from agentcom.sidecar.session import Identity, Session

ACKNOWLEDGE_LIMIT_S = 3.0
# A run that was stopped has 10 s to go; then it is killed and soon gone.
END_LIMIT_S = 15.0
# Some senders, timeout(1) for one, signal a process and then its group.
SAME_WISH_S = 1.0
LAST_WORD_S = 1.0


class Sidecar:
    """One agent, from start to stop.

    :param command: what is run for each task, with its arguments.
    :param tokens: gives the token, see ``connector``.
    :param renewable: whether it can give another one.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: HubURL,
        identity: Identity,
        runner: Runner,
        slots: int,
        tokens: TokenSource,
        renewable: bool = False,
    ) -> None:
        self._reactor = reactor
        self._url = url

        def start(task: Frame, ears: Ears) -> Work:
            return runner.start(identity.agent_id, task, ears)

        self._desk = Desk(slots, start, reactor)
        self._connector = Connector(
            identity.agent_id,
            lambda token: Session(identity, token, self._desk, reactor),
            self._open_line,
            tokens,
            renewable,
            Backoff(SystemRandom().random),
        )
        self._stopping_since: float | None = None

    async def run(self) -> None:
        """Serve until :meth:`stop`.

        :raises GiveUp: the hub will not have this agent.
        """
        try:
            await self._connector.run(self._reactor)
        except GiveUp:
            self._desk.abort_all("the hub will not have this agent")
            await self._settled(END_LIMIT_S)
            raise

    def stop(self) -> None:
        """End what runs, say so, and go; a second time: at once."""
        now = self._reactor.seconds()
        if self._stopping_since is not None:
            if now - self._stopping_since < SAME_WISH_S:
                return
            self._desk.kill()
            # What was killed can still be reported, if that takes no longer.
            self._reactor.callLater(LAST_WORD_S, self._connector.stop)
            return
        self._stopping_since = now
        Deferred.fromCoroutine(self._stop()).addErrback(
            lambda failure: self.log.failure("while stopping", failure)
        )

    async def _stop(self) -> None:
        if self._connector.session is not None:
            self._connector.session.drain()
        running = self._desk.close()
        await self._settled(END_LIMIT_S if running else ACKNOWLEDGE_LIMIT_S)
        if self._desk.unreported:
            self.log.warn(
                "ends of tasks that the hub has not acknowledged: {n}", n=self._desk.unreported
            )
        self._connector.stop()

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


def runner_for(reactor: Any, command: Sequence[str], environment: Mapping[str, str]) -> Runner:
    """A runner that starts real processes."""
    return Runner(
        command,
        environment,
        spawn=reactor.spawnProcess,
        clock=reactor,
        kill_group=os.killpg,
    )
