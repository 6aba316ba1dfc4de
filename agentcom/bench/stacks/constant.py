"""A server that costs almost nothing: it answers the load generator with constants.

    python -m agentcom.bench.stacks.constant PORT

`load.py --self-test` runs against it. It speaks just enough HTTP and WebSocket for the generator's
own requests, one after the other, and stores nothing, so what the generator reaches here is near
its own limit.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
from collections.abc import Callable
from itertools import count

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
ASSIGN = b'{"type":"task_assign","task_id":"task-%d","description":"%s","generation":1}'
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
DESCRIPTION = re.compile(rb'"description":"([^"]*)"')
LENGTH = re.compile(rb"content-length: (\d+)\r\n(?:.*\r\n)*?\r\n", re.IGNORECASE)

Write = Callable[[bytes], None]


def server_frame(payload: bytes) -> bytes:
    """Frame a server's text message (never over 64 KiB here)."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%s" % (size, payload)
    return b"\x81\x7e%s%s" % (size.to_bytes(2, "big"), payload)


def field(data: bytes, name: bytes) -> bytes:
    """The value of a string field in JSON that the generator wrote (no escapes, no spaces)."""
    start = data.index(b'"' + name + b'":"') + len(name) + 4
    return data[start : data.index(b'"', start)]


class Agents:
    """Who takes work; tasks are handed round."""

    def __init__(self) -> None:
        self._writes: list[Write] = []
        self._numbers = count()

    def add(self, write: Write) -> None:
        self._writes.append(write)

    def assign(self, descriptions: list[bytes]) -> list[bytes]:
        """Hand tasks out; their ids."""
        numbers = []
        for description in descriptions:
            number = next(self._numbers)
            write = self._writes[number % len(self._writes)]
            write(server_frame(ASSIGN % (number, description)))
            numbers.append(b'"task-%d"' % number)
        return numbers


class Constant(asyncio.Protocol):
    """One connection of either kind; which one it is shows in its first bytes."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._upgraded = False
        self._buffer = b""
        self._write: Write

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        self._buffer = b""
        if self._upgraded:
            self._frames(data)
        elif data.startswith(b"POST"):
            length = LENGTH.search(data)
            if length is None or len(data) < length.end() + int(length[1]):
                self._buffer = data
                return
            ids = self._agents.assign(DESCRIPTION.findall(data))
            body = b'{"task_ids":[%s]}' % b",".join(ids)
            self._write(ANSWER % (len(body), body))
        else:
            self._upgraded = True
            self._write(UPGRADE)

    def _frames(self, data: bytes) -> None:
        at, have = 0, len(data)
        while have - at >= 8:
            size, start = data[at + 1] & 0x7F, at + 6
            if size == 126:
                start += 2
                size = int.from_bytes(data[at + 2 : at + 4], "big")
            end = start + size
            if end > have:
                break
            # The generator's masking key is zero, so the payload can be read as it is.
            self._message(data[start:end])
            at = end
        self._buffer = data[at:]

    def _message(self, payload: bytes) -> None:
        kind = field(payload, b"type")
        if kind == b"identify":
            if b'"slots":0' not in payload:
                self._agents.add(self._write)
            self._write(server_frame(b'{"type":"identified"}'))
        elif kind == b"task_submit":
            ref = payload[payload.index(b'"ref":') + 6 :].partition(b",")[0]
            answer = b'{"type":"task_submitted","ref":%s,"task_id":"task-0"}'
            self._write(server_frame(answer % ref))
            self._agents.assign([field(payload, b"description")])
        else:
            status = b"accepted" if kind == b"task_accepted" else b"complete"
            ack = b'{"type":"task_ack","task_id":"%s","status":"%s"}'
            self._write(server_frame(ack % (field(payload, b"task_id"), status)))


async def serve(port: int) -> None:
    """Listen on loopback, print the ready line, and run until SIGTERM."""
    loop = asyncio.get_running_loop()
    agents = Agents()
    server = await loop.create_server(lambda: Constant(agents), "127.0.0.1", port, backlog=1024)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer the load generator with constants.")
    parser.add_argument("port", type=int, help="0 for a free one")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
