"""Agents that send each other messages, all in one process of its own.

    python -m agentcom.bench.loads.gossip --url URL --tokens TOKENS.json --pid SERVER

Raw sockets on epoll with hand-made frames; frames that come are counted, not decoded, so that the
server is the limit and not this. The first agent sends, to the second one or to everybody.

Commands come on standard input, a line each, and are answered by a line of JSON:

    connect N                     have N agents connected and identified
    direct WINDOW WARMUP S        messages to the second agent, for so many seconds
    broadcast WINDOW WARMUP S     messages to everybody, the sender too

At most WINDOW messages are under way: answered and received by all whom they are for, they make
room for new ones. The window of the figures begins after WARMUP seconds; then everything that was
sent must still arrive. The end of the input ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
from collections import Counter, deque
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from agentcom.bench.loads.crowd import HANDSHAKE
from agentcom.bench.loads.sockets import client_frame
from agentcom.bench.measure import Shares, raise_open_files, spread
from agentcom.bench.servers import end_cleanly_on_sigterm

READ = 32 * 1024
EVENTS = 1024
CONNECT_S = 30.0
ARRIVE_S = 15.0
TEXT = "The build of branch main is green; please look at the report when you have time."
MESSAGE, SENT = b'{"type":"message",', b'{"type":"message_sent"'


class Line:
    """One agent and its connection."""

    __slots__ = ("_buffer", "_hello", "_open", "socket", "told")

    def __init__(self, address: tuple[str, int], agent_id: str, token: str) -> None:
        self.told: Counter[str] = Counter()
        self._buffer = b""
        self._open = False
        self.socket = socket.create_connection(address, CONNECT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        identify = {"type": "identify", "agent_id": agent_id, "token": token, "presence": "none"}
        self._hello = client_frame(json.dumps({**identify, "slots": 0}).encode())
        self.socket.sendall(HANDSHAKE)

    def ready(self) -> tuple[int, int]:
        """Read what is there: how many messages, and how many answers.

        :raises ConnectionError: with what is wrong; a line that is wrong once is of no use.
        """
        data = self._buffer + self.socket.recv(READ)
        if len(data) == len(self._buffer):
            raise ConnectionError("the server closed a line")
        if not self._open:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = data
                return 0, 0
            if not head.startswith(b"HTTP/1.1 101"):
                raise ConnectionError(f"no WebSocket: {head[:200].decode(errors='replace')}")
            self._open, data = True, rest
            self.socket.sendall(self._hello)
        return self._count(data)

    def _count(self, data: bytes) -> tuple[int, int]:
        messages = answers = at = 0
        have = len(data)
        while have - at >= 2:
            size, start = data[at + 1], at + 2
            if size >= 126:
                start += 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2 : start], "big")
            end = start + size
            if end > have:
                break
            if data.startswith(MESSAGE, start):
                messages += 1
            elif data.startswith(SENT, start):
                answers += 1
            else:
                self._other(data[at] & 0x0F, data[start:end])
            at = end
        self._buffer = data[at:]
        return messages, answers

    def _other(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self.socket.sendall(client_frame(payload, opcode=10))
        elif opcode == 8:
            raise ConnectionError(f"closed with {int.from_bytes(payload[:2], 'big')}")
        else:
            kind = json.loads(payload)["type"]
            if b"rate_limited" in payload:
                raise ConnectionError("start that hub with --message-rate unlimited")
            if kind == "error":
                raise ConnectionError(f"refused: {payload[:200].decode(errors='replace')}")
            self.told[kind] += 1


class Gossip:
    """All agents, on one epoll; the first of them sends."""

    def __init__(self, url: str, tokens: dict[str, str], server: int | None) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._tokens = list(tokens.items())
        self._server = server
        self._lines: list[Line] = []
        self._by_fd: dict[int, Line] = {}
        self._epoll = select.epoll()
        self._received = self._answered = 0

    def connect(self, agents: int) -> dict[str, Any]:
        """Have so many connected and identified."""
        for agent_id, token in self._tokens[len(self._lines) : agents]:
            line = Line(self._address, agent_id, token)
            self._lines.append(line)
            self._by_fd[line.socket.fileno()] = line
            self._epoll.register(line.socket.fileno(), select.EPOLLIN)
        self._listen_until(CONNECT_S, lambda: all(line.told["identified"] for line in self._lines))
        return {"identified": sum(line.told["identified"] for line in self._lines)}

    def run(self, to: str | None, window: int, warmup_s: float, seconds: float) -> dict[str, Any]:
        """Send for so long, and wait until all has arrived."""
        sender, each = self._lines[0].socket, 1 if to else len(self._lines)
        frame = client_frame(message(to))
        self._received = self._answered = 0
        sent = seen = 0
        sent_at: deque[float] = deque()
        waited: list[float] = []
        begun: tuple[Shares, float, int, int] | None = None
        found: dict[str, Any] = {}
        start = monotonic()
        stop = start + warmup_s + seconds
        while not found:
            under_way = sent - min(self._answered, self._received // each)
            # One write for several, as they would be written by an agent that has many to send.
            if more := window - under_way:
                sender.sendall(frame * more)
                sent += more
                sent_at.extend([monotonic()] * more)
            self._listen(0.1)
            now = monotonic()
            for _ in range(self._answered - seen):
                waited.append(now - sent_at.popleft())
            seen = self._answered
            if begun is None and now >= start + warmup_s:
                shares = Shares(server=self._server, generator=os.getpid())
                begun = shares, now, self._received, self._answered
                waited.clear()
            elif begun is not None and now >= stop:
                found = self._found(*begun)
        self._listen_until(
            ARRIVE_S, lambda: self._answered == sent and self._received == sent * each
        )
        lost = sent * each - self._received
        return {
            **found,
            "answer_ms": spread(waited),
            "sent": sent,
            "errors": abs(lost) if lost < 0 else 0,
            "unfinished": max(0, lost) + abs(sent - self._answered),
            "error_examples": [f"{sent} sent, {self._answered} answered, {self._received} came"],
        }

    def _found(self, shares: Shares, began: float, received: int, answered: int) -> dict[str, Any]:
        came, seconds = self._received - received, monotonic() - began
        wall, cpu = shares.used()
        used, own = cpu["server"], cpu["generator"]
        return {
            "seconds": round(seconds, 3),
            "delivered_per_s": round(came / seconds, 1),
            "sent_per_s": round((self._answered - answered) / seconds, 1),
            "server_cpu": used,
            "generator_cpu": own,
            "generator_limit_per_s": round(came / seconds / own) if own else None,
            "others_cpu": cpu["others"],
            "server_us_each": round(used * wall / came * 1e6, 2) if used and came else None,
        }

    def _listen(self, limit_s: float) -> None:
        for fd, _ in self._epoll.poll(limit_s, EVENTS):
            messages, answers = self._by_fd[fd].ready()
            self._received += messages
            self._answered += answers

    def _listen_until(self, limit_s: float, done: Any) -> None:
        end = monotonic() + limit_s
        while not done() and monotonic() < end:
            self._listen(0.1)


def message(to: str | None) -> bytes:
    """What is sent, always the same."""
    frame: dict[str, Any] = {"type": "message", "payload": {"text": TEXT}}
    return json.dumps({**frame, "to": to} if to else frame).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Send messages between many agents.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--tokens", type=Path, required=True, help="JSON, agent id to token")
    parser.add_argument("--pid", type=int, help="of the server")
    options = parser.parse_args()
    end_cleanly_on_sigterm()
    raise_open_files()
    tokens = json.loads(options.tokens.read_text())
    gossip = Gossip(options.url, tokens, options.pid)
    for command in sys.stdin:
        word, *numbers = command.split()
        try:
            if word == "connect":
                told = gossip.connect(int(numbers[0]))
            else:
                to = list(tokens)[1] if word == "direct" else None
                told = gossip.run(to, int(numbers[0]), float(numbers[1]), float(numbers[2]))
        except OSError as e:
            told = {"failed": f"the agents' lines: {e}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
