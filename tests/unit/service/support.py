"""A reactor in memory with real threads, and a hub service on it."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError, ProcessDone
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from agentcom.config import Config
from agentcom.errors import StartError
from agentcom.service import HubService
from agentcom.store import connections, writer
from agentcom.testing import Answered, FakeAgent, HttpClient
from agentcom.workers import Workers
from tests.unit.store.support import NOW


class Port:
    """A port that listens until it is told not to."""

    def __init__(self, reactor: MemoryReactor, address: Any) -> None:
        self._reactor = reactor
        self.address = address

    def getHost(self) -> Any:
        return self.address

    def stopListening(self) -> None:
        self._reactor.listening.pop(self.address.port, None)


class MemoryReactor(MemoryReactorClock):  # type: ignore[misc]  # untyped in Twisted
    """Time stands still, ports are numbers in a table, threads are real.

    :ivar listening: what listens, by port number.
    :ivar events: what happened, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.advance(NOW / 1000)
        self.listening: dict[int, Any] = {}
        self._from_threads: queue.Queue[Callable[[], Any]] = queue.Queue()

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        number = port or 40_000 + len(self.listening)
        if number in self.listening:
            raise CannotListenError(interface, number, OSError(98, "Address already in use"))
        self.listening[number] = factory
        kind = IPv6Address if ":" in interface else IPv4Address
        return Port(self, kind("TCP", interface or "0.0.0.0", number))

    def spawnProcess(
        self, protocol: Any, path: str, args: list[str], childFDs: dict[int, Any], **_: Any
    ) -> WriterThread:
        return WriterThread(self, protocol, args[-1], childFDs[0])

    def callFromThread(self, f: Callable[..., Any], *args: Any, **kw: Any) -> None:
        self._from_threads.put(lambda: f(*args, **kw))

    def turn(self, seconds: float = 0.0) -> bool:
        """One turn of the loop; gives whether a thread was done in so many seconds."""
        self.advance(0)
        for pipe in self.getWriters():
            if reason := pipe.doWrite():
                self.removeWriter(pipe)
                pipe.connectionLost(Failure(reason))
        try:
            self._from_threads.get(seconds > 0, seconds)()
        except queue.Empty:
            return False
        return True

    def start(self) -> None:
        """The reactor runs: what waited for it happens."""
        self.hasRun = True
        for f, args, kwargs in self.whenRunningHooks:
            f(*args, **kwargs)


class WriterThread:
    """The program of the process that writes, in a thread."""

    def __init__(self, reactor: MemoryReactor, protocol: Any, database: str, source: int) -> None:
        self.pid = os.getpid()
        self._reactor = reactor
        self._protocol = protocol
        self._database = database
        self._source = os.dup(source)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection = connections.connect(self._database)
        with open(self._source, "rb") as source:
            writer.serve(connection, source, self._answer)
        connection.close()
        ended = Failure(ProcessDone(0))
        self._reactor.callFromThread(self._protocol.processEnded, ended)

    def _answer(self, told: bytes) -> None:
        self._reactor.callFromThread(self._protocol.outReceived, writer.framed(told))


class ServiceCase(SynchronousTestCase):
    """Hub services in a directory of the test's own.

    :ivar failures: why services could not start.
    :ivar lines: everything that was logged, formatted.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.reactor = MemoryReactor()
        self.failures: list[StartError] = []
        self.given_up = 0
        self.lines: list[str] = []
        self._pumps: list[IOPump] = []
        self._services: list[HubService] = []
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)
        self.addCleanup(self._clean)

    def _observe(self, event: dict[str, Any]) -> None:
        if str(event.get("log_namespace", "")).startswith("agentcom"):
            self.lines.append(formatEvent(event))

    def _clean(self) -> None:
        for service in self._services:
            if service.running:
                self.stop(service)
            # After a test that failed while it stopped: its threads would keep the process.
            for workers in workers_of(service):
                workers.stop()
            # A hub sets aside what there is when it starts; tests do not.
            service._pace.stop()

    def _give_up(self) -> None:
        self.given_up += 1

    def service(self, data_dir: Path | None = None, **settings: Any) -> HubService:
        data_dir = data_dir or self.folder
        settings.setdefault("database", data_dir / "agentcom.db")
        settings.setdefault("listen", ("tcp:0:interface=127.0.0.1",))
        config = Config(data_dir=data_dir, **settings)
        service = HubService(config, self.reactor, self.failures.append, self._give_up)
        self._services.append(service)
        return service

    def started(self, data_dir: Path | None = None, **settings: Any) -> HubService:
        """A service that has started."""
        service = self.service(data_dir, **settings)
        service.startService()
        self.assertEqual(self.failures, [])
        return service

    def refused(self, service: HubService) -> str:
        """The sentence with which a service refuses to start; nothing of it stays."""
        before = dict(self.reactor.listening)
        service.startService()
        (error,) = self.failures
        self.failures.clear()
        self.assertEqual(self.reactor.listening, before)
        self.assertIsNone(service.parts)
        self.assertNotIn("\n", str(error))
        self.assertEqual(self.flushLoggedErrors(), [])
        return str(error)

    def settle(self) -> None:
        """Let everything happen that needs no time, in threads too."""
        busy = True
        while busy:
            moved = [pump.flush() for pump in self._pumps]
            now = self.reactor.seconds()
            due = any(call.getTime() <= now for call in self.reactor.getDelayedCalls())
            turned = self.reactor.turn(0.01 if self._threads_work() else 0.0)
            busy = any(moved) or due or turned or self._threads_work()

    def _threads_work(self) -> bool:
        disks = [s._disk for s in self._services if s._disk is not None]
        return any(disk.writer.busy or any(w.busy for w in disk.workers) for disk in disks)

    def until(self, done: Callable[[], object]) -> None:
        """Let everything happen, after which something must be so."""
        self.settle()
        self.assertTrue(done())

    def pass_time(self, seconds: float) -> None:
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() < end:
            self.reactor.advance(0.05)
            self.settle()

    def stop(self, service: HubService) -> float:
        """Stop a service; gives the seconds that it took."""
        begun = self.reactor.seconds()
        outcome: list[Any] = []
        service.stopService().addBoth(outcome.append)
        while not outcome and self.reactor.seconds() < begun + 60:
            self.pass_time(0.05)
        self.assertEqual(outcome, [None])
        return self.reactor.seconds() - begun

    def join(self, service: HubService, client: Any) -> Any:
        """Connect a client to a service."""
        assert service.parts is not None
        server = service.parts.site.buildProtocol(None)
        client_side, server_side = FakeTransport(client, False), FakeTransport(server, True)
        self._pumps.append(connect(server, server_side, client, client_side))
        return client

    def begin(self, service: HubService, method: str, path: str, body: bytes = b"") -> HttpClient:
        """Send a request with the admin token of the file."""
        token = (self.folder / "admin.token").read_text().strip()
        client: HttpClient = self.join(service, HttpClient())
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n"
        client.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.settle()
        return client

    def request(self, service: HubService, method: str, path: str, body: bytes = b"") -> Answered:
        """A request, answered."""
        client = self.begin(service, method, path, body)
        self.until(lambda: client.received)
        return Answered(client.received)

    def stranger(self, service: HubService) -> FakeAgent:
        """An agent that has not said who it is."""
        factory = WebSocketClientFactory("ws://localhost/ws", reactor=self.reactor)
        factory.protocol = FakeAgent
        factory.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
        )
        agent: FakeAgent = factory.buildProtocol(None)
        agent.hub = self  # type: ignore[assignment]  # it needs only ``settle``
        self.join(service, agent)
        self.settle()
        return agent

    def agent(self, service: HubService, agent_id: str) -> FakeAgent:
        """A connected and identified agent."""
        body = b'{"agent_id":"%s"}' % agent_id.encode()
        token = self.request(service, "POST", "/admin/tokens", body).body["token"]
        agent = self.stranger(service)
        agent.say("identify", agent_id=agent_id, token=token)
        self.until(lambda: agent.of("identified"))
        return agent


def workers_of(service: HubService) -> list[Workers]:
    """The threads of a service, while its files are open."""
    return [] if service._disk is None else service._disk.workers
