"""The HTTP side of the load generator: keep-alive connections, and who sends when over them.

Hand-made on asyncio protocols instead of an HTTP library, because the generator must stay far
cheaper than what it measures. It knows just enough of HTTP for the benchmark's own servers and for
the hub, and counts everything else as an error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Protocol

import msgspec

from agentcom.bench.loads.tally import MARK, Tally

DESCRIPTION = "benchmark task, as short as a chat line: " + MARK.decode()

Write = Callable[[bytes], None]


def request(path: str, token: str, body: dict[str, Any]) -> bytes:
    """A whole POST with :data:`MARK` where the number of the submission belongs."""
    encoded = msgspec.json.encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


def push_request(agent_id: str, token: str) -> bytes:
    body = {"agent_id": agent_id, "description": DESCRIPTION, "metadata": {"source": "bench"}}
    return request("/api/admin/push-task", token, body)


def task_request(token: str, **more: Any) -> bytes:
    return request("/api/tasks", token, {"description": DESCRIPTION, **more})


def batch_request(token: str, tasks: int, **more: Any) -> bytes:
    one = {"description": DESCRIPTION, **more}
    return request("/api/tasks/batch", token, {"tasks": [one] * tasks})


class Caller(asyncio.Protocol):
    """One connection with at most one request under way; `free` is told when it was answered."""

    def __init__(self, tally: Tally, tasks: int, free: Callable[[Caller], None]) -> None:
        self.busy = False
        self._tally = tally
        self._tasks = tasks
        self._free = free
        self._number = 0
        self._buffer = b""
        self._write: Write

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._write = transport.write

    def post(self, template: bytes, number: int) -> None:
        """Send a request for the submission of that number."""
        self.busy = True
        self._number = number
        self._write(template.replace(MARK, b"%010d" % number))

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not is_whole(data):
            self._buffer = data
            return
        # One request is under way at a time, so nothing can follow its answer.
        self._buffer = b""
        self.busy = False
        tally = self._tally
        if data.startswith(b"HTTP/1.1 20"):
            tally.answered += self._tasks
            tally.keep(tally.answer_s, self._number)
        else:
            tally.error("HTTP: " + data.decode(errors="replace"))
        self._free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.busy = False
        if not self._tally.stopping:
            self._tally.error(f"HTTP connection lost: {exc}")


def is_whole(data: bytes) -> bool:
    """Whether all of the HTTP response that begins `data` is there."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    head = data[:head_end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        # Chunked: the last chunk closes it.
        return data.endswith(b"0\r\n\r\n")
    return len(data) >= head_end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])


class Poster(Protocol):
    """Whoever can send a request for a submission."""

    def post(self, template: bytes, number: int) -> None:
        """Send it."""


class ClosedLoop:
    """Every connection posts again once it was answered and the tally has room for more."""

    def __init__(self, tally: Tally, templates: Sequence[bytes], tasks: int) -> None:
        self.tasks = tasks
        self._tally = tally
        self._templates = templates
        self._idle: list[Caller] = []
        tally.ended = self.pump

    def free(self, caller: Caller) -> None:
        self._idle.append(caller)
        self.pump()

    def pump(self) -> None:
        """Post over every connection that is idle, while there is room."""
        tally = self._tally
        while self._idle and tally.room(self.tasks):
            number = tally.number(self.tasks)
            self._idle.pop().post(self._templates[number % len(self._templates)], number)


class Paced:
    """One post at every tick of a clock, whether or not the earlier ones were answered.

    A post counts from when it was due. One that finds no idle connection waits for one, and one
    that the generator sends late is as late as that: nothing that stalls can hide its own delay.
    """

    def __init__(self, tally: Tally, template: bytes, rate: float) -> None:
        self.tasks = 1
        self._tally = tally
        self._template = template
        self._step = 1 / rate
        # First in, first out: one that is never used is closed by the server after a while.
        self._idle: deque[Poster] = deque()
        self._waiting: deque[int] = deque()
        self._due = 0.0

    def free(self, caller: Poster) -> None:
        if self._waiting:
            self._post(caller, self._waiting.popleft())
        else:
            self._idle.append(caller)

    def pump(self) -> None:
        """Begin; each tick orders the next one."""
        self._due = perf_counter()
        self._tick()

    def _tick(self) -> None:
        tally = self._tally
        while (now := perf_counter()) >= self._due and tally.running:
            number = tally.number(1, self._due)
            self._due += self._step
            if self._idle:
                self._post(self._idle.popleft(), number)
            else:
                self._waiting.append(number)
        if tally.running:
            asyncio.get_running_loop().call_later(self._due - now, self._tick)

    def _post(self, caller: Poster, number: int) -> None:
        self._tally.keep(self._tally.late_s, number)
        caller.post(self._template, number)
