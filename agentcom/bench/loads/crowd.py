"""Thousands of agents as they have been in the field for long, in one process of its own.

    python -m agentcom.bench.loads.crowd --url URL --tokens TOKENS.json

Each says `identify` without slots and without presence, pings every 30 s and tears its line down
when no `pong` comes within 10 s; it connects again after 1 s, doubling to 60 s, from 1 s anew
whenever a socket opens. Raw non-blocking sockets on epoll with hand-made frames, so that the server
is the limit and not this.

Commands come on standard input, a line each, and are answered by a line of JSON once they are done
or the limit has passed:

    connect N    have N agents connected, all new ones at once
    return       all that are connected will lose their lines: wait until they are back
    look         say what has happened so far

The end of the input ends it.
"""

from __future__ import annotations

import argparse
import errno
import heapq
import json
import os
import select
import socket
import sys
from collections import Counter
from pathlib import Path
from time import monotonic, process_time
from typing import Any
from urllib.parse import urlsplit

from agentcom.bench.loads.sockets import client_frame
from agentcom.bench.measure import raise_open_files, spread
from agentcom.bench.servers import end_cleanly_on_sigterm

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
PING_S, PONG_S = 30.0, 10.0
PING = client_frame(b'{"type":"ping"}')
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
AWAY, CONNECTING, UPGRADING, IDENTIFYING, IDENTIFIED = range(5)
ERRORS, LOST = "error frames", "after identified"
READ = 64 * 1024
EVENTS = 1024


def identify(agent_id: str, token: str) -> bytes:
    """What an older agent says first."""
    told = {"type": "identify", "agent_id": agent_id, "token": token, "name": agent_id}
    more = {"status": "idle", "capabilities": ["code"], "client_type": "sidecar"}
    return client_frame(json.dumps({**told, **more, "protocol_version": 1}).encode())


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames that a server's bytes begin with, as opcode and payload, and the rest."""
    frames = []
    at, have = 0, len(data)
    while have - at >= 2:
        size, start = data[at + 1], at + 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + wide], "big"), start + wide
        if start + size > have:
            break
        frames.append((data[at] & 0x0F, data[start : start + size]))
        at = start + size
    return frames, data[at:]


class Member:
    """One agent and its line; `turn` tells the present line's timers from those of earlier ones."""

    __slots__ = ("agent_id", "buffer", "hello", "line", "ponged", "stage", "turn", "wait_s")

    def __init__(self, agent_id: str, token: str) -> None:
        self.agent_id = agent_id
        self.hello = identify(agent_id, token)
        self.line: socket.socket | None = None
        self.stage = AWAY
        self.buffer = b""
        self.wait_s = FIRST_WAIT_S
        self.turn = 0
        self.ponged = True


class Wish:
    """What a command waits for: so many agents identified since it came."""

    def __init__(self, wanted: set[str], limit_s: float) -> None:
        self.began = monotonic()
        self.deadline = self.began + limit_s
        self.wanted = wanted
        self.done_s: list[float] = []

    def seen(self, agent_id: str) -> None:
        """An agent has identified."""
        if agent_id in self.wanted:
            self.wanted.remove(agent_id)
            self.done_s.append(monotonic() - self.began)

    def answer(self) -> dict[str, Any]:
        """How it went."""
        last = max(self.done_s, default=0.0)
        return {
            "identified": len(self.done_s),
            "missing": len(self.wanted),
            "all_s": None if self.wanted else round(last, 3),
            "identify_ms": spread(self.done_s),
        }


class Crowd:
    """All agents, on one epoll."""

    def __init__(self, url: str, tokens: dict[str, str], limit_s: float) -> None:
        parts = urlsplit(url)
        self._address = (socket.gethostbyname(parts.hostname or ""), parts.port or 0)
        self._waiting = [Member(agent, token) for agent, token in reversed(tokens.items())]
        self._limit_s = limit_s
        self._members: list[Member] = []
        self._by_fd: dict[int, Member] = {}
        self._timers: list[tuple[float, int, Member, int, str]] = []
        self._number = 0
        self._epoll = select.epoll()
        self._wish: Wish | None = None
        self._input = b""
        self.told: Counter[str] = Counter()
        self.examples: list[str] = []

    def run(self) -> None:
        """Serve until the input ends."""
        os.set_blocking(sys.stdin.fileno(), False)
        self._epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        while True:
            for fd, event in self._epoll.poll(self._patience(), EVENTS):
                if fd == sys.stdin.fileno():
                    if not self._commands():
                        return
                elif fd in self._by_fd:
                    self._ready(self._by_fd[fd], event)
            self._due()

    def close(self) -> None:
        """Close every line."""
        for member in self._members:
            if member.line is not None:
                member.line.close()

    def _commands(self) -> bool:
        data = os.read(sys.stdin.fileno(), READ)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            word, _, count = line.decode().partition(" ")
            if word == "return":
                self._wish = Wish({member.agent_id for member in self._members}, self._limit_s)
            elif word == "look":
                say(self.report())
            else:
                self._connect_all(int(count))
        return bool(data)

    def _connect_all(self, count: int) -> None:
        new = [self._waiting.pop() for _ in range(count - len(self._members))]
        self._members += new
        self._wish = Wish({member.agent_id for member in new}, self._limit_s)
        for member in new:
            self._connect(member)

    def _look(self) -> None:
        """Answer the command, if it is done or has taken too long."""
        wish = self._wish
        if wish is not None and (not wish.wanted or monotonic() >= wish.deadline):
            self._wish = None
            say({**wish.answer(), **self.report()})

    def report(self) -> dict[str, Any]:
        """What has happened so far."""
        return {
            "connected": sum(member.stage == IDENTIFIED for member in self._members),
            "told": dict(sorted(self.told.items())),
            "examples": self.examples,
            "cpu_s": round(process_time(), 3),
        }

    def _connect(self, member: Member) -> None:
        self.told["attempts"] += 1
        member.turn += 1
        member.buffer = b""
        member.stage = CONNECTING
        member.line = line = socket.socket()
        line.setblocking(False)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = line.connect_ex(self._address)
        if code not in (0, errno.EINPROGRESS):
            self._lost(member, errno.errorcode.get(code, str(code)))
            return
        self._by_fd[line.fileno()] = member
        self._epoll.register(line.fileno(), select.EPOLLOUT)

    def _ready(self, member: Member, event: int) -> None:
        line = member.line
        assert line is not None
        try:
            if member.stage == CONNECTING:
                code = line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    self._lost(member, errno.errorcode.get(code, str(code)))
                    return
                member.stage = UPGRADING
                line.send(HANDSHAKE)
                self._epoll.modify(line.fileno(), select.EPOLLIN)
                return
            data = line.recv(READ)
        except OSError as e:
            self._lost(member, errno.errorcode.get(e.errno or 0, "OSError"))
            return
        if data:
            self._received(member, line, member.buffer + data)
        else:
            self._lost(member, "dropped without a code")

    def _received(self, member: Member, line: socket.socket, data: bytes) -> None:
        if member.stage == UPGRADING:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                member.buffer = data
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._lost(member, "HTTP " + head[9:12].decode("latin-1"))
                return
            member.wait_s = FIRST_WAIT_S
            member.stage = IDENTIFYING
            line.send(member.hello)
            data = rest
        frames, member.buffer = split(data)
        for opcode, payload in frames:
            if opcode == 1:
                self._text(member, payload)
            elif opcode == 9:
                line.send(client_frame(payload, opcode=10))
            elif opcode == 8:
                code, why = int.from_bytes(payload[:2], "big"), payload[2:].decode("latin-1")
                self._lost(member, f"closed with {code}", why)
                return

    def _text(self, member: Member, payload: bytes) -> None:
        if b'"pong"' in payload:
            member.ponged = True
        elif b'"identified"' in payload and member.stage == IDENTIFYING:
            member.stage = IDENTIFIED
            member.ponged = True
            self._later(PING_S, member, "ping")
            if self._wish is not None:
                self._wish.seen(member.agent_id)
        elif b'"error"' in payload:
            self._note(ERRORS, payload.decode(errors="replace"))

    def _lost(self, member: Member, why: str, detail: str = "") -> None:
        line = member.line
        assert line is not None
        when = LOST if member.stage == IDENTIFIED else "before identified"
        self._note(f"{why} {when}", detail)
        if self._by_fd.pop(line.fileno(), None) is not None:
            self._epoll.unregister(line.fileno())
        line.close()
        member.line = None
        member.stage = AWAY
        self._later(member.wait_s, member, "connect")
        member.wait_s = min(member.wait_s * 2, LONGEST_WAIT_S)

    def _note(self, what: str, example: str) -> None:
        self.told[what] += 1
        if self.told[what] == 1:
            self.examples.append(f"{what}: {example}"[:300])

    def _later(self, wait_s: float, member: Member, what: str) -> None:
        self._number += 1
        due = monotonic() + wait_s
        heapq.heappush(self._timers, (due, self._number, member, member.turn, what))

    def _patience(self) -> float:
        ends = [self._wish.deadline] if self._wish else []
        ends += [self._timers[0][0]] if self._timers else []
        return max(0.0, min(ends) - monotonic()) if ends else -1

    def _due(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, member, turn, what = heapq.heappop(self._timers)
            if turn != member.turn:
                continue
            if what == "connect":
                self._connect(member)
            elif member.stage == IDENTIFIED and member.line is not None:
                self._beat(member, member.line, what)
        self._look()

    def _beat(self, member: Member, line: socket.socket, what: str) -> None:
        if what == "ping":
            member.ponged = False
            try:
                line.send(PING)
            except OSError as e:
                self._lost(member, errno.errorcode.get(e.errno or 0, "OSError"))
                return
            self._later(PONG_S, member, "pong")
            self._later(PING_S, member, "ping")
        elif not member.ponged:
            self._lost(member, "no pong")


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Be thousands of older agents.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--tokens", type=Path, required=True, help="JSON, agent id to token")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for a command (60)")
    options = parser.parse_args()
    end_cleanly_on_sigterm()
    raise_open_files()
    crowd = Crowd(options.url, json.loads(options.tokens.read_text()), options.limit)
    say({"ready": True})
    try:
        crowd.run()
    finally:
        crowd.close()


if __name__ == "__main__":
    main()
