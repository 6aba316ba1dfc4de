"""Clients of a hub that share no code with it: ``websockets`` and ``http.client``."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

LIMIT_S = 15.0
"""Seconds after which a silent hub fails the test."""


class Reply:
    """An HTTP answer; ``body`` is decoded where it is JSON."""

    def __init__(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data
        try:
            self.body: Any = json.loads(data)
        except ValueError:
            self.body = data

    def __repr__(self) -> str:
        return f"<{self.status} {self.data[:300]!r}>"


class Http:
    """One HTTP connection, opened again when it was lost between requests.

    A request that failed half-way is never sent twice: the error goes on.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        context: ssl.SSLContext | None = None,
        timeout: float = LIMIT_S,
    ) -> None:
        parts = urlsplit(url)
        host, port = str(parts.hostname), int(parts.port or 0)
        self.connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self.connection = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=context
            )
        else:
            self.connection = http.client.HTTPConnection(host, port, timeout=timeout)
        self._token = token

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        """Send a request; :meth:`answer` gives what comes back."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            self.connection.request(method, path, data, headers)
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def answer(self) -> Reply:
        """The answer to the request that was sent."""
        try:
            response = self.connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, data)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """A request, answered."""
        self.send(method, path, body, **headers)
        return self.answer()

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """The body of an answer that must be a good one."""
        reply = self.request(method, path, body)
        if reply.status not in (200, 201):
            raise AssertionError(f"{method} {path}: {reply}")
        return reply.body

    def push(self, agent_id: str, description: str = "work", **fields: Any) -> str:
        """Push a task; gives its id."""
        body = {"agent_id": agent_id, "description": description, **fields}
        return str(self.ok("POST", "/api/admin/push-task", body)["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """One task."""
        return dict(self.ok("GET", f"/api/tasks/{task_id}"))

    def all_tasks(self) -> dict[str, dict[str, Any]]:
        """Every task, by id, page by page."""
        found: dict[str, dict[str, Any]] = {}
        cursor = ""
        while cursor is not None:
            page = self.ok("GET", f"/api/tasks?limit=1000{cursor and '&cursor=' + cursor}")
            found.update({task["id"]: task for task in page["tasks"]})
            cursor = page["cursor"]
        return found

    def events_of(self, task_id: str) -> list[str]:
        """The names of a task's events, oldest first."""
        found = self.ok("GET", f"/api/tasks/{task_id}/events?limit=1000")["events"]
        return [event["event"] for event in found]


class Agent:
    """An agent that does only what the test tells it.

    :ivar frames: what came and was not asked for yet, oldest first.
    """

    def __init__(
        self,
        url: str,
        agent_id: str,
        token: str,
        context: ssl.SSLContext | None = None,
        **fields: Any,
    ) -> None:
        parts = urlsplit(url)
        host, port = str(parts.hostname), int(parts.port or 0)
        scheme = "wss" if parts.scheme == "https" else "ws"
        self.agent_id = agent_id
        self.frames: list[dict[str, Any]] = []
        self.connection = connect(
            f"{scheme}://{host}:{port}/ws",
            # A socket of our own: no proxy of the environment comes between.
            sock=socket.create_connection((host, port), LIMIT_S),
            ssl=context,
            compression=None,
            max_size=None,
            close_timeout=1,
        )
        self.say("identify", agent_id=agent_id, token=token, **fields)
        self.identified = self.next("identified")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def say(self, type: str, **fields: Any) -> None:
        """Send a frame."""
        self.connection.send(json.dumps({"type": type, **fields}))

    def next(self, type: str, seconds: float = LIMIT_S, **fields: Any) -> dict[str, Any]:
        """The next frame of a type and with these fields; others wait their turn."""
        end = time.monotonic() + seconds
        seen = 0
        while True:
            for frame in self.frames[seen:]:
                if frame["type"] == type and fields.items() <= frame.items():
                    self.frames.remove(frame)
                    return frame
            seen = len(self.frames)
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {type} {fields} within {seconds:g} s: {self.frames}")
            try:
                self.receive(left)
            except TimeoutError:
                continue

    def receive(self, seconds: float) -> dict[str, Any]:
        """Wait for one more frame."""
        frame: dict[str, Any] = json.loads(self.connection.recv(timeout=seconds))
        self.frames.append(frame)
        return frame

    def close_code(self, seconds: float = LIMIT_S) -> int | None:
        """The code that the hub closes with; ``None`` for a line that just broke."""
        end = time.monotonic() + seconds
        try:
            while True:
                self.receive(max(0.0, end - time.monotonic()))
        except ConnectionClosed as e:
            return e.rcvd.code if e.rcvd is not None else None
        except TimeoutError:
            raise AssertionError(f"still open after {seconds:g} s") from None


def server_sent_events(
    http_client: Http, path: str, **headers: str
) -> Iterator[tuple[str | None, str | None, str]]:
    """The events of a stream as ``(id, event, data)``; comments are ``(None, None, text)``."""
    http_client.send("GET", path, **headers)
    response = http_client.connection.getresponse()
    if response.status != 200:
        raise AssertionError(f"{path}: {response.status} {response.read()!r}")
    cursor = event = None
    data = ""
    while line := response.readline():
        text = line.decode().rstrip("\r\n")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "" and text:
            yield None, None, value
        elif name == "id":
            cursor = value
        elif name == "event":
            event = value
        elif name == "data":
            data = value
        elif not text and event is not None:
            yield cursor, event, data
            cursor = event = None
            data = ""
