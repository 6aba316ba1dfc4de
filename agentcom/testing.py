"""Supported fakes: a whole hub in memory, driven by a clock.

A :class:`MemoryHub` is the real hub with a store in memory, behind the real
site.  Agents and HTTP clients are joined to it by linked in-memory
transports, so a test is synchronous: say something, :meth:`MemoryHub.settle`,
look.  Time passes only by :meth:`MemoryHub.advance`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump, connect

from agentcom.assembly import Assembly
from agentcom.config import Config
from agentcom.core.ids import ADMIN_ID, Ids
from agentcom.core.tokens import ADMIN, DEFAULT_SCOPES
from agentcom.store.sqlite import SqliteStore, open_in_memory

STARTED_AT = 1_700_000_000.0
"""Seconds since the epoch at which the clock of a new hub stands."""


class FakeAgent(WebSocketClientProtocol):
    """An agent that does only what the test tells it.

    :ivar frames: every frame that came, oldest first.
    :ivar closed: the close code and reason, once the line is down.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[dict[str, Any]] = []
        self.pings = 0
        self.closed: tuple[int | None, str | None] | None = None
        self.hub: MemoryHub
        self.pump: IOPump

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.frames.append(json.loads(payload))

    def onPing(self, payload: bytes) -> None:
        self.pings += 1
        super().onPing(payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.closed = code, reason

    def say(self, type: str, **fields: Any) -> list[dict[str, Any]]:
        """Send a frame and give what came in return."""
        return self.say_text(json.dumps({"type": type, **fields}).encode())

    def say_text(self, text: bytes, binary: bool = False) -> list[dict[str, Any]]:
        """Send a frame of any bytes and give what came in return."""
        before = len(self.frames)
        self.sendFrame(opcode=2 if binary else 1, payload=text)
        self.hub.settle()
        return self.frames[before:]

    def of(self, type: str) -> list[dict[str, Any]]:
        """The frames of one type that came so far."""
        return [frame for frame in self.frames if frame["type"] == type]

    def vanish(self) -> None:
        """The line breaks without a word."""
        self.hub.cut(self)


class Answered:
    """An HTTP answer.

    :ivar body: decoded JSON, or the text where it is none.
    """

    def __init__(self, raw: bytes) -> None:
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        self.text = body
        try:
            self.body: Any = json.loads(body)
        except ValueError:
            self.body = body


class HttpClient(Protocol):
    """One HTTP connection; collects what the hub writes."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True


class MemoryHub:
    """A whole hub in memory.

    :param store: what to run on; a new empty one by default.  Give it the
        store of an earlier hub to restart.
    :param seed: of ids and tokens.
    :ivar audited: lines of the audit log.
    """

    def __init__(
        self,
        store: SqliteStore | None = None,
        clock: Clock | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        if clock is None:
            clock = Clock()
            clock.advance(STARTED_AT)
        self.clock = clock
        self.store = open_in_memory(clock) if store is None else store
        config = Config(data_dir=Path("unused"), database=Path("unused"), **settings)
        ids = Ids(random.Random(seed).randbytes)
        self.audited: list[bytes] = []
        self.parts = Assembly(self.store, clock, ids, config, audited=self.audited.append)
        self.hub = self.parts.hub
        self._pumps: list[IOPump] = []
        self._tokens: dict[str, str] = {}
        self.hub.start()
        self.settle()
        self.admin_token = self.token(ADMIN_ID, (ADMIN,))

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        busy = True
        while busy:
            busy = False
            for pump in list(self._pumps):
                busy = bool(pump.flush()) or busy
            calls = [c for c in self.clock.getDelayedCalls() if c.getTime() <= self.clock.seconds()]
            if calls:
                self.clock.advance(0)
                busy = True

    def advance(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass, in small steps."""
        end = self.clock.seconds() + seconds
        self.settle()
        while self.clock.seconds() < end:
            self.clock.advance(min(step, end - self.clock.seconds()))
            self.settle()

    def token(self, agent_id: str, scopes: tuple[str, ...] = DEFAULT_SCOPES) -> str:
        """A token of an agent, always the same one for the same scopes."""
        name = f"{agent_id} {scopes}"
        if name not in self._tokens:
            made: list[Any] = []
            self.hub.auth.create(agent_id, scopes).addCallback(made.append)
            self.settle()
            self._tokens[name] = made[0][0]
        return self._tokens[name]

    def connect(self) -> FakeAgent:
        """A WebSocket connection that has said nothing yet."""
        factory = WebSocketClientFactory("ws://localhost/ws", reactor=self.clock)
        factory.protocol = FakeAgent
        factory.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
        )
        agent: Any = factory.buildProtocol(None)
        agent.hub = self
        agent.pump = self.join(agent)
        self.settle()
        made: FakeAgent = agent
        return made

    def agent(self, agent_id: str, **fields: Any) -> FakeAgent:
        """A connected and identified agent; ``frames`` begins after ``identified``."""
        agent = self.connect()
        fields.setdefault("token", self.token(agent_id))
        answers = agent.say("identify", agent_id=agent_id, **fields)
        if not any(frame["type"] == "identified" for frame in answers):
            raise AssertionError(f"{agent_id} was not identified: {answers}")
        return agent

    def cut(self, agent: FakeAgent) -> None:
        """Break an agent's line."""
        self._pumps.remove(agent.pump)
        for side in (agent.pump.serverIO, agent.pump.clientIO):
            side.disconnect_done = True
        # The WebSocket took the place of the HTTP channel.
        agent.pump.serverIO.protocol.connectionLost(_lost())
        self.settle()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """An HTTP request, answered.

        :param body: bytes as they are, anything else as JSON.
        :param token: the admin token by default, ``None`` for none.
        """
        client = self.open_request(method, path, body, token, headers)
        return Answered(client.received)

    def open_request(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> HttpClient:
        """Like :meth:`request`, with whatever has come so far."""
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        fields = {"Host": "hub.example:4000", "Content-Length": str(len(data)), **(headers or {})}
        if token is not None:
            fields["Authorization"] = f"Bearer {token or self.admin_token}"
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        client = self.open_http()
        transport: Any = client.transport
        transport.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + data)
        self.settle()
        return client

    def open_http(self) -> HttpClient:
        """A bare HTTP connection."""
        client = HttpClient()
        self.join(client)
        return client

    def push(self, agent_id: str, description: str = "work", **fields: Any) -> str:
        """Push a task and give its id."""
        body = {"agent_id": agent_id, "description": description, **fields}
        answer = self.request("POST", "/api/admin/push-task", body)
        if answer.status != 200:
            raise AssertionError(f"the push was refused: {answer.body}")
        return str(answer.body["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """A task, as the API shows it."""
        return dict(self.request("GET", f"/api/tasks/{task_id}").body)

    def events_of(self, task_id: str) -> list[str]:
        """The names of a task's events, oldest first."""
        names: list[str] = []
        cursor: str | None = "0"
        while cursor is not None:
            path = f"/api/tasks/{task_id}/events?limit=1000&cursor={cursor}"
            page = self.request("GET", path).body
            names += [event["event"] for event in page["events"]]
            cursor = page["cursor"]
        return names

    def join(self, client: Any) -> IOPump:
        """Join any client protocol to the hub's port."""
        site: Any = self.parts.site
        server = site.buildProtocol(None)
        pump: IOPump = connect(
            server, FakeTransport(server, True), client, FakeTransport(client, False)
        )
        self._pumps.append(pump)
        return pump


def _lost() -> Any:
    from twisted.internet.error import ConnectionLost
    from twisted.python.failure import Failure

    return Failure(ConnectionLost("cut by the test"))
