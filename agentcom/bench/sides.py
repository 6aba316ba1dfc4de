"""One of the two hubs whose operations are compared, and the blocking lines to it.

Requests go one after the other over one connection, so that what the server's processor does
meanwhile belongs to the request under way, but for what it does when nobody asks.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from time import perf_counter, sleep
from typing import Any
from urllib.parse import urlsplit

from agentcom.bench import stalls
from agentcom.bench.loads.crowd import HANDSHAKE, split
from agentcom.bench.loads.sockets import client_frame
from agentcom.bench.measure import family, threads

IDLE_S = 3.0
"""Seconds over which it is read what a hub uses when nobody asks."""

READ = 1 << 18
LIMIT_S = 60.0


def cpu_s(pids: Iterable[int]) -> float:
    """Processor time of processes and all their threads, in seconds, as exact as the kernel
    knows it.

    Threads that have ended are not in it.
    """
    total = 0
    for thread in chain.from_iterable(map(threads, pids)):
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9


def pin(pid: int, processors: set[int]) -> None:
    """Let a process with all its threads run on these processors alone."""
    for thread in threads(pid):
        os.sched_setaffinity(int(thread.name), processors)


class Refused(Exception):
    """A hub answered an operation with an error."""


class Line:
    """A connection to a hub.

    :param address: host and port.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = b""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def next(self) -> bytes:
        """What comes next.

        :raises Refused: the hub has closed the connection.
        """
        data = self._socket.recv(READ)
        if not data:
            raise Refused("the hub has closed the connection")
        return data

    def take(self) -> bytes:
        """What was heard and not used."""
        data, self._heard = self._heard, b""
        return data

    def keep(self, data: bytes) -> None:
        """Put back what is not used yet."""
        self._heard = data

    def until(self, end: bytes) -> bytes:
        """All up to and with these bytes."""
        while end not in self._heard:
            self._heard += self.next()
        head, _, self._heard = self._heard.partition(end)
        return head + end

    def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._heard) < size:
            self._heard += self.next()
        data, self._heard = self._heard[:size], self._heard[size:]
        return data

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class Agent:
    """One agent and its line."""

    def __init__(self, address: tuple[str, int], agent_id: str, token: str, **more: Any) -> None:
        self.agent_id = agent_id
        self.token = token
        self._line = Line(address)
        self._line.send(HANDSHAKE)
        self._line.until(b"\r\n\r\n")
        self._waiting: deque[dict[str, Any]] = deque()
        self.say("identify", agent_id=agent_id, token=token, **more)
        self.hear("identified")

    def say(self, kind: str, **fields: Any) -> None:
        """Send a frame."""
        self._line.send(client_frame(json.dumps({"type": kind, **fields}).encode()))

    def hear(self, *kinds: str) -> dict[str, Any]:
        """The next frame of one of these types; those before it are left out.

        :raises Refused: one of them is an error.
        """
        while True:
            while self._waiting:
                frame = self._waiting.popleft()
                if frame["type"] in kinds:
                    return frame
                if frame["type"] == "error":
                    raise Refused(f"{self.agent_id}: {frame}")
            frames, rest = split(self._line.take() or self._line.next())
            self._line.keep(rest)
            for opcode, payload in frames:
                if opcode == 1:
                    self._waiting.append(json.loads(payload))
                elif opcode == 9:
                    self._line.send(client_frame(payload, opcode=10))
            if not frames:
                self._line.keep(self._line.take() + self._line.next())

    def close(self) -> None:
        """Cut the line."""
        self._line.close()


class Side:
    """A hub that is measured.

    :param url: where it listens.
    :param admin: its admin token.
    :ivar idle: processors that it uses when nobody asks.
    :ivar ids: ids of tasks, by status, spread over all of them.
    :ivar run: a word of this run alone: a database that is used again knows the names of
        earlier ones.
    """

    def __init__(
        self, name: str, url: str, pid: int, admin: str, ids: dict[str, list[str]]
    ) -> None:
        parts = urlsplit(url)
        self.name = name
        self.pid = pid
        self._family = family(pid)
        self.ids = ids
        self.address = (parts.hostname or "", parts.port or 0)
        self._admin = admin
        self._line = Line(self.address)
        self.idle = 0.0
        self.run = secrets.token_hex(3)
        self._count = 0
        self.kept: dict[str, Any] = {}

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Send a request; the answer's body.

        :raises Refused: it is an error.
        """
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {token or self._admin}\r\n"
        )
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        self._line.send(head.encode() + b"\r\n" + data)
        answer = self._line.until(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:-2])
        content = self._body(fields)
        if not 200 <= int(answer[9:12]) < 300:
            raise Refused(f"{method} {path}: {answer[9:12].decode()} {content[:300].decode()}")
        return content

    def told(self, method: str, path: str, body: Any = None) -> Any:
        """The same with the answer read as JSON."""
        return json.loads(self.ask(method, path, body))

    def stall(self, seconds: float) -> stalls.Stall | None:
        """The longest turn of its event loop in the last seconds, 60 at the most."""
        text = self.ask("GET", "/metrics").decode("utf-8", "replace")
        return stalls.stall(text, min(seconds, stalls.WINDOWS_S[-1]))

    def follow(self, path: str, count: int) -> None:
        """Follow a stream of events on a line of its own until so many came.

        :raises Refused: the hub has closed the line.
        """
        line = Line(self.address)
        try:
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._admin}"
            line.send(head.encode() + b"\r\n\r\n")
            line.until(b"\r\n\r\n")
            heard = line.take()
            while heard.count(b"data:") < count:
                heard += line.next()
        finally:
            line.close()

    def name_of(self, word: str) -> str:
        """A name that was not used before."""
        self._count += 1
        return f"{word}-{self.run}-{self._count}"

    def agent(self, agent_id: str, **more: Any) -> Agent:
        """A new agent, identified."""
        token = self.told("POST", "/admin/tokens", {"agent_id": agent_id})["token"]
        return Agent(self.address, agent_id, token, **more)

    def rest(self) -> float:
        """Read what it uses while nobody asks, to be left out of what follows; in processors."""
        before, began = cpu_s(self._family), perf_counter()
        sleep(IDLE_S)
        self.idle = (cpu_s(self._family) - before) / (perf_counter() - began)
        return self.idle

    def measure(
        self, step: Callable[[int], object], numbers: Sequence[int], pause: float = 0.0
    ) -> tuple[float, list[float]]:
        """Do something so often: processor seconds of one, and how long each took.

        :param pause: seconds before each, which are not measured.
        """
        took: list[float] = []
        used = wall = 0.0
        for some in [[n] for n in numbers] if pause else [numbers]:
            sleep(pause)
            before, began = cpu_s(self._family), perf_counter()
            for number in some:
                sent = perf_counter()
                step(number)
                took.append(perf_counter() - sent)
            wall += perf_counter() - began
            used += cpu_s(self._family) - before
        return max(0.0, used - wall * self.idle) / len(numbers), took

    def close(self) -> None:
        """Close its line."""
        self._line.close()

    def _body(self, fields: dict[bytes, bytes]) -> bytes:
        if fields.get(b"transfer-encoding") != b"chunked":
            return self._line.exactly(int(fields.get(b"content-length", b"0")))
        content = b""
        while size := int(self._line.until(b"\r\n"), 16):
            content += self._line.exactly(size)
            self._line.exactly(2)
        self._line.exactly(2)
        return content


def some_ids(database: Path, statuses: Sequence[str], most: int) -> dict[str, list[str]]:
    """Ids of tasks of each status, from all over the table."""
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        (last,) = db.execute("SELECT COALESCE(MAX(number), 0) FROM tasks").fetchone()
        numbers = random.Random(7).sample(range(1, last + 1), min(last, most * 4))
        found: dict[str, list[str]] = {status: [] for status in statuses}
        for number in numbers:
            row = db.execute("SELECT id, status FROM tasks WHERE number=?", (number,)).fetchone()
            if row is not None and row[1] in found and len(found[row[1]]) < most:
                found[row[1]].append(row[0])
    finally:
        db.close()
    return found
