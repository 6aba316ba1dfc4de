"""The root service: opens everything in order, closes it in the reverse one.

A plain ``MultiService`` would listen before the store is open and stop
everything at once.  Here a failure to start is one sentence, and a stop
answers what was received before the lines are closed (PROTOCOL.md section 1).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.assembly import Assembly
from agentcom.config import Config
from agentcom.core.ids import Ids
from agentcom.datadir import DataDir, Lock
from agentcom.errors import StartError
from agentcom.hub.goodbyes import GOING_AWAY, close_all
from agentcom.hub.pacing import told
from agentcom.openfiles import room
from agentcom.opening import OnDisk
from agentcom.pace import Pace
from agentcom.shortcuts.writes import Lines, quick_writes
from agentcom.site import AgentComSite

BACKLOG = 4_096
TAKE_BACKLOG = ("tcp", "tcp6", "ssl", "unix")
"""Connections that may wait to be accepted, and the endpoints that can be told so."""

POLL_S = 0.05
"""Seconds between looks at what a stop waits for."""

AGENTS_CLOSE_S = 2.0
"""Seconds that agents have to answer the close frame of a stopping hub."""

WRITER_ENDS_S = 2.0
"""Seconds that the process that writes has to end once all is written; it ends in any case."""


class HubService(Service):
    """One hub, from its data directory to its ports.

    :param reactor: time, threads and sockets.
    :param fail: told why the hub cannot start; ends the process.
    :param give_up: ends the process when the store has failed for a minute, or when what
        writes it has ended.
    :param wall: seconds since the epoch; the reactor's by default.
    :param unclean: told when a stop ends before everything is on disk.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        fail: Callable[[StartError], None],
        give_up: Callable[[], None],
        unclean: Callable[[], None] = lambda: None,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._wall = wall
        self._unclean = unclean
        self.config = config
        self._reactor = reactor
        self._fail = fail
        self._give_up = give_up
        self._data = DataDir(config.data_dir)
        # Two data directories may name one database, so that is locked too.
        self._lock = Lock(config.database.with_name(config.database.name + ".lock"))
        self._ports: list[IListeningPort] = []
        self._disk: OnDisk | None = None
        self.parts: Assembly | None = None
        self._pace = Pace(reactor, config)
        self._lines: Lines | None = None

    def startService(self) -> None:
        """Open, load, listen; all of it or nothing."""
        super().startService()  # type: ignore[no-untyped-call]  # untyped in Twisted
        try:
            self._data.acquire()
            self._lock.acquire()
            locks = (self._data.lock, self._lock)
            self._disk = OnDisk(self.config, self._data, locks, self._reactor, self._give_up)
            parts = Assembly(
                self._disk.store,
                self._reactor,
                Ids(os.urandom),
                self.config,
                self._wall,
                room(self.config.max_connections, self.log),
                self._disk.audit.write,
                self._disk.writer.pid,
            )
            self._listen(parts.site)
        except StartError as e:
            self._close()
            self._fail(e)
            return
        except BaseException:
            # The threads of the pools would keep a broken process alive.
            self._close()
            raise
        self.parts = parts
        parts.start()
        # Not before the signal handlers are there: who reads it may stop us.
        ready = self._disk.writer.ready
        self._reactor.callWhenRunning(ready.addCallback, lambda _: self._say_ready())
        self._pace.start(parts, self._disk.writer.place)

    def _say_ready(self) -> None:
        for url in self.urls():
            self.log.info(
                "AgentCom is ready: listening on {url} (dashboard: {base}/dashboard)",
                url=url,
                base=self.config.public_url or url,
            )

    def urls(self) -> list[str]:
        """The address of each port, with the number that it really has."""
        found = []
        for text, port in zip(self.config.listen, self._ports, strict=False):
            scheme = "https" if text.startswith("ssl:") else "http"
            address: Any = port.getHost()
            host = getattr(address, "host", None)
            if host is None:
                found.append(f"{scheme}+unix:{os.fsdecode(getattr(address, 'name', ''))}")
                continue
            host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
            if ":" in host and not host.startswith("["):
                host = f"[{host}]"
            found.append(f"{scheme}://{host}:{address.port}")
        return found

    def stopService(self) -> Deferred[None]:
        """Answer what was received, close the lines, close the store."""
        super().stopService()  # type: ignore[no-untyped-call]  # untyped in Twisted
        done: Deferred[None] = Deferred.fromCoroutine(self._stop())
        return done.addErrback(lambda f: self.log.failure("while stopping", f))

    async def _stop(self) -> None:
        if self.parts is None:
            return
        hub, factory, api = self.parts.hub, self.parts.factory, self.parts.api
        ends = self._reactor.seconds() + self.config.drain_s
        # Of the time that a stop may take, agents keep their share: a disk
        # that is stuck must not cost them the word that the hub stops.
        share = min(AGENTS_CLOSE_S, self.config.drain_s / 4)
        self.log.info("stopping: answering what was received")
        factory.admission.stopping = True
        drained = hub.drain()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        await self._until(lambda: bool(drained.called) and not api.in_progress, ends - share)
        factory.watchers.stop()
        factory.rivals.stop()
        await self.parts.stop()
        # Those that have not identified, too.
        await close_all(
            self._reactor,
            factory.connections,
            lambda one: one.close(GOING_AWAY, told("hub stopping", hub.pacing.retry_after_ms())),
        )
        await self._until(lambda: not factory.connections, self._reactor.seconds() + share)
        # Those that did not answer: thousands, where a network is gone.
        await close_all(self._reactor, factory.connections, lambda one: one.abort())
        idle = hub.drain()
        await self._until(lambda: bool(idle.called), ends)
        # One more turn, so that what was written reaches the sockets.
        await deferLater(self._reactor, POLL_S, lambda: None)
        if idle.called:
            # All is on disk: what comes now needs no part of the time for that.
            writer = self._disk.writer.stop() if self._disk is not None else idle
            now = self._reactor.seconds()
            await self._until(lambda: bool(writer.called), now + WRITER_ENDS_S)
            self._close()
        else:
            # A disk that is stuck would hold up whoever closes it: the process
            # ends with it open, and the next start recovers.
            self.log.error("stopped before everything was on disk: the drain limit is over")
            self._unclean()
        self.log.info("stopped")

    async def _until(self, done: Callable[[], bool], end: float) -> None:
        """Wait for something, until a time of the reactor's clock at the most."""
        while not done() and self._reactor.seconds() < end:
            await deferLater(self._reactor, POLL_S, lambda: None)

    def _listen(self, site: AgentComSite) -> None:
        for text in self.config.listen:
            try:
                endpoint = _endpoint(self._reactor, text)
                outcome: list[Any] = []
                endpoint.listen(site).addBoth(outcome.append)
            except Exception as e:
                raise StartError(f"--listen {text}: {e}") from e
            if not outcome:
                raise StartError(f"--listen {text}: this kind of endpoint cannot be used")
            if isinstance(outcome[0], Failure):
                raise StartError(_cannot_listen(text, outcome[0].value))
            self._ports.append(outcome[0])
            site.door.ports.append(outcome[0])
        if "writes" in self.config.shortcuts:
            self._lines = quick_writes(self._reactor, self._ports)

    def _close(self) -> None:
        self._pace.stop()
        if self._lines is not None:
            self._lines.end()
            self._lines = None
        for port in self._ports:
            port.stopListening()
        self._ports.clear()
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        self._lock.release()
        self._data.release()


def _endpoint(reactor: Any, text: str) -> Any:
    """An endpoint with room in the kernel for many who connect at once.

    Twisted's 50 would make those beyond it wait for TCP's own retries, which
    take a second and more.
    """
    if text.partition(":")[0] in TAKE_BACKLOG and ":backlog=" not in text:
        with suppress(TypeError, ValueError):
            return serverFromString(reactor, f"{text}:backlog={BACKLOG}")
    return serverFromString(reactor, text)


def _cannot_listen(text: str, error: BaseException | None) -> str:
    if isinstance(error, CannotListenError):
        reason = getattr(error.socketError, "strerror", None) or error.socketError
        taken = getattr(error.socketError, "errno", None) == errno.EADDRINUSE
        hint = "; end what uses it, or choose another with --listen" if taken else ""
        return f"cannot listen on {text}: {reason}{hint}"
    return f"cannot listen on {text}: {error}"
