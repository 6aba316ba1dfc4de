"""The two kinds of peer that the load generator plays: pushers over HTTP and agents over WebSocket.

Both are hand-made on asyncio protocols instead of an HTTP and a WebSocket library, because the
generator must stay far cheaper than what it measures. They know just enough of each protocol for
the benchmark's own servers and for the hub, and count everything else as an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

import msgspec

# A push is numbered in its description, fixed in width, so that its Content-Length never changes
# and the agent that gets the task can tell when it was sent without looking anything up.
NUMBER_WIDTH = 10
MAX_PUSHES = 5_000_000
DESCRIPTION = "benchmark push, as short as a chat line: "

Write = Callable[[bytes], None]


class Tally:
    """What the run counts. Latencies are kept only while `measuring`; the counters always run."""

    def __init__(self) -> None:
        self.measuring = False
        self.stopping = False
        self.with_agents = True
        self.pushes = 0
        self.assigned = 0
        self.lifecycles = 0
        self.errors = 0
        self.examples: list[str] = []
        self.sent_at: list[float] = []
        self.answer_s: list[float] = []
        self.assign_s: list[float] = []
        self.lifecycle_s: list[float] = []

    def error(self, what: str) -> None:
        """Count an error, and keep the first few to show."""
        self.errors += 1
        if len(self.examples) < 5:
            self.examples.append(what[:300])


class Pusher(asyncio.Protocol):
    """One keep-alive connection that posts its next push as soon as the last one was answered."""

    def __init__(self, tally: Tally, agents: list[str], token: str, first: int) -> None:
        self.tally = tally
        self._requests = [push_request(agent, token) for agent in agents]
        self._turn = first
        self._number = 0
        self._buffer = b""
        self._write: Write
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._write = transport.write

    def post(self) -> None:
        """Send the next push, to the next agent in turn."""
        tally = self.tally
        if len(tally.sent_at) >= MAX_PUSHES:
            tally.error(f"stopped after {MAX_PUSHES} pushes")
            return
        head, tail = self._requests[self._turn % len(self._requests)]
        self._turn += 1
        self._number = len(tally.sent_at)
        self.busy = True
        tally.sent_at.append(perf_counter())
        self._write(b"%s%010d%s" % (head, self._number, tail))

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = whole_response(data)
        if end is None:
            self._buffer = data
            return
        # One request is under way at a time, so nothing can follow its answer.
        self._buffer = b""
        self.busy = False
        tally = self.tally
        if data.startswith(b"HTTP/1.1 200"):
            tally.pushes += 1
            if tally.measuring:
                tally.answer_s.append(perf_counter() - tally.sent_at[self._number])
        else:
            tally.error("HTTP: " + data.decode(errors="replace"))
        if not tally.stopping:
            self.post()

    def connection_lost(self, exc: Exception | None) -> None:
        self.busy = False
        if not self.tally.stopping:
            self.tally.error(f"HTTP connection lost: {exc}")


def push_request(agent_id: str, token: str) -> tuple[bytes, bytes]:
    """What of a push request can be made before the run: all before and after its number."""
    mark = "#" * NUMBER_WIDTH
    body = msgspec.json.encode(
        {"agent_id": agent_id, "description": DESCRIPTION + mark, "metadata": {"source": "bench"}}
    )
    head = (
        "POST /api/admin/push-task HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    before, _, after = (head.encode() + body).partition(mark.encode())
    return before, after


def whole_response(data: bytes) -> int | None:
    """Where the HTTP response at the start of `data` ends, or None while some of it is missing."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = data[:head_end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        # Chunked: the last chunk closes it.
        return len(data) if data.endswith(b"0\r\n\r\n") else None
    end = head_end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
    return end if len(data) >= end else None


class HubFrame(msgspec.Struct):
    """The fields of the hub's frames that an agent of the benchmark looks at."""

    type: str
    task_id: str = ""
    generation: int = 0
    status: str = ""
    description: str = ""
    error: str = ""


decode_hub_frame = msgspec.json.Decoder(HubFrame).decode


def client_frame(payload: bytes, opcode: int = 1) -> bytes:
    """Frame a client's message.

    The masking key is zero: the RFC allows every value, and with this one masked and plain payload
    are the same, which makes masking free here while the server unmasks as it does for any key.
    """
    size = len(payload)
    if size < 126:
        return b"%c%c\0\0\0\0%s" % (0x80 | opcode, 0x80 | size, payload)
    return b"%c\xfe%s\0\0\0\0%s" % (0x80 | opcode, size.to_bytes(2, "big"), payload)


class Agent(asyncio.Protocol):
    """One agent: accepts what it is assigned and, once that is acknowledged, completes it."""

    def __init__(self, tally: Tally, agent_id: str, token: str) -> None:
        self.tally = tally
        self.identified: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._identify = client_frame(
            msgspec.json.encode(
                {"type": "identify", "agent_id": agent_id, "token": token, "capabilities": []}
            )
        )
        self._open = False
        self._buffer = b""
        self._running: dict[str, tuple[int, int]] = {}
        self._write: Write

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._write = transport.write
        self._write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        if not self._open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._fail("no WebSocket: " + head.decode(errors="replace"))
                return
            self._open = True
            self._write(self._identify)
        self._frames(data)

    def _frames(self, data: bytes) -> None:
        at, have = 0, len(data)
        replies = []
        while have - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                start += 2
                size = int.from_bytes(data[at + 2 : start], "big")
            elif size == 127:
                start += 8
                size = int.from_bytes(data[at + 2 : start], "big")
            end = start + size
            if end > have:
                break
            opcode = data[at] & 0x0F
            if opcode == 1:
                reply = self._message(data[start:end])
                if reply is not None:
                    replies.append(client_frame(reply))
            elif opcode == 9:
                replies.append(client_frame(data[start:end], opcode=10))
            elif opcode == 8:
                self._fail(f"closed with {int.from_bytes(data[start : start + 2], 'big')}")
            at = end
        self._buffer = data[at:]
        if replies:
            self._write(b"".join(replies))

    def _message(self, payload: bytes) -> bytes | None:
        frame = decode_hub_frame(payload)
        tally = self.tally
        kind = frame.type
        if kind == "task_assign":
            number = int(frame.description[-NUMBER_WIDTH:])
            self._running[frame.task_id] = frame.generation, number
            tally.assigned += 1
            if tally.measuring:
                tally.assign_s.append(perf_counter() - tally.sent_at[number])
            return b'{"type":"task_accepted","task_id":"%s","generation":%d}' % (
                frame.task_id.encode(),
                frame.generation,
            )
        if kind == "task_ack":
            if frame.status == "accepted":
                return (
                    b'{"type":"task_complete","task_id":"%s","generation":%d,"result":{"ok":1}}'
                    % (
                        frame.task_id.encode(),
                        self._running[frame.task_id][0],
                    )
                )
            number = self._running.pop(frame.task_id)[1]
            tally.lifecycles += 1
            if tally.measuring:
                tally.lifecycle_s.append(perf_counter() - tally.sent_at[number])
        elif kind == "identified":
            self.identified.set_result(None)
        elif kind == "error":
            self._fail("frame: " + payload.decode(errors="replace"))
        return None

    def _fail(self, why: str) -> None:
        if not self.identified.done():
            self.identified.set_exception(ConnectionError(why))
        if not self.tally.stopping:
            self.tally.error(why)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"WebSocket lost: {exc}")
