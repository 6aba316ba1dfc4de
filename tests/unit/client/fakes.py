"""A hub in memory for the client's tests: canned answers, and streams fed by hand.

Requests go through Twisted's real HTTP client and server over linked
transports; ``flush`` moves their bytes.  Time is a ``Clock``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import Clock
from twisted.web.iweb import IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from agentcom.client.hub import HubClient
from agentcom.client.urls import HubURL

Answer = tuple[int, Any]
HALF: Answer = (200, "half an answer, and then nothing")
LOCAL = HubURL.parse("http://127.0.0.1:4000")


@implementer(IBodyProducer)
class WholeBody:
    """A request body that is there at once, without the global cooperator."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def stopProducing(self) -> None:
        """Nothing to stop."""

    def pauseProducing(self) -> None:
        """Nothing to pause."""

    def resumeProducing(self) -> None:
        """Nothing to resume."""


class FakeHub(Resource):
    """Answers from a table of ``"METHOD /path"``.

    :ivar default: the answer to everything that is not in it.
    :ivar requests: method and path with query, body, and headers of each.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Answer | Callable[[Any], Answer]] = {}
        self.default: Answer = (404, {"error": "not_found"})
        self.requests: list[tuple[str, Any]] = []
        self.tokens: list[str | None] = []
        self.streams: list[Request] = []
        self.stream_refusal: Answer | None = None
        self.clock = Clock()
        self._agent = RequestTraversalAgent(self)
        self.down: Exception | None = None

    def client(self, url: HubURL = LOCAL, token: str | None = "secret") -> HubClient:
        return HubClient(url, token, HTTPClient(self, None, WholeBody), self.clock)

    def request(self, *args: Any) -> Deferred[Any]:
        """As an ``IAgent``: fails like a real one when the hub is down."""
        if self.down is not None:
            failed: Deferred[Any] = Deferred()
            failed.errback(self.down)
            return failed
        done: Deferred[Any] = self._agent.request(*args)
        return done

    def render(self, request: Request) -> Any:
        assert request.content is not None
        body = request.content.read()
        uri = request.uri.decode("ascii")
        self.requests.append((f"{request.method.decode()} {uri}", json.loads(body or b"null")))
        self.tokens.append(request.getHeader("authorization"))
        if request.path == b"/api/events" and self.stream_refusal is None:
            request.setHeader("content-type", "text/event-stream")
            request.write(b": open\n\n")
            self.streams.append(request)
            request.notifyFinish().addErrback(lambda _: None)
            return NOT_DONE_YET
        key = f"{request.method.decode()} {uri.partition('?')[0]}"
        answer = self.answers.get(key, self.default)
        if request.path == b"/api/events":
            assert self.stream_refusal is not None
            answer = self.stream_refusal
        if answer == HALF:
            request.write(b"{")
            return NOT_DONE_YET
        code, value = answer(json.loads(body or b"null")) if callable(answer) else answer
        request.setResponseCode(code)
        return value if isinstance(value, bytes) else json.dumps(value).encode()

    def flush(self) -> None:
        for _ in range(3):
            self._agent.flush()

    def stream(self, data: bytes) -> None:
        """Send bytes on the newest event stream."""
        self.streams[-1].write(data)
        self.flush()

    def cut(self) -> None:
        """Break the newest event stream."""
        channel: Any = self.streams[-1].channel
        channel.transport.loseConnection()
        self.flush()


def start(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """Run a coroutine as far as it goes."""
    return Deferred.fromCoroutine(coroutine)


def event(
    seq: int | None, kind: str, task_id: str | None = "task-1", **payload: Any
) -> dict[str, Any]:
    """An event of the log."""
    return {
        "seq": seq,
        "topic": "tasks",
        "event": kind,
        "task_id": task_id,
        "agent_id": "bot",
        "generation": 1,
        "timestamp": 1_700_000_000_000,
        "payload": payload,
    }


def sse(value: dict[str, Any], kind: str = "", epoch: str = "ep") -> bytes:
    """An event as the hub streams it."""
    lines = [f"event: {kind}"] if kind else []
    if value.get("seq") is not None:
        lines.append(f"id: {epoch}:{value['seq']}")
    lines.append(f"data: {json.dumps(value)}")
    return ("\n".join(lines) + "\n\n").encode()
