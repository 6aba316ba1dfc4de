"""Ten times the load that a hub can take, from one process of its own.

    python -m agentcom.bench.loads.flood --url URL --admin-token-file FILE

Requests are due at an even pace, whatever the server does (open loop). They go out over connections
that stay, one at a time over each, and every tenth over a connection of its own. A request that
finds no free connection waits for one, two seconds at the most, then it is given up: both are
counted. Agents take what is accepted and complete it at once.

Commands come on standard input, a line each, and are answered by a line of JSON:

    capacity S       the same mix as fast as it is answered (closed loop), for S seconds
    lone S           one push at a time, 50 a second, over a connection that nobody else uses
    flood RATE S     RATE requests a second for S seconds

The end of the input ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections import deque
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from agentcom.bench.loads.callers import (
    DESCRIPTION,
    Write,
    is_whole,
    push_request,
    request,
    task_request,
)
from agentcom.bench.loads.cameback import Answers, keep
from agentcom.bench.loads.lone import Lone, back_s, usual
from agentcom.bench.loads.modes import SETUP_S, agent_tokens, reach
from agentcom.bench.loads.sockets import Agent
from agentcom.bench.loads.tally import MARK, Tally
from agentcom.bench.measure import raise_open_files, spread
from agentcom.bench.servers import end_cleanly_on_sigterm

AGENTS = 8
CAPABILITY = "flood"
CLOSED_LINES = 32
FRESH_EACH = 10
MOST_FRESH = 200
PATIENCE_S = 2.0
ANSWER_S = 10.0
BATCH = 20
LONE_RATE = 50.0
TICK_S = 0.002


def get_request(path: str, token: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()


def mix(token: str) -> list[tuple[str, bytes]]:
    """What is asked, in turn: kind and request."""
    needs = {"capabilities": [CAPABILITY]}
    single = ("task", task_request(token, **needs))
    push = [("push", push_request(f"bench-flood-{n}", token)) for n in range(AGENTS)]
    batch = request(
        "/api/tasks/batch", token, {"tasks": [{"description": DESCRIPTION, **needs}] * BATCH}
    )
    return [
        single, push[0], single, ("list", get_request("/api/tasks?limit=50", token)), single,
        single, push[1], single, ("batch", batch), single,
        single, push[2], single, ("agents", get_request("/api/agents", token)), single,
        single, push[3], single, ("stats", get_request("/api/tasks/stats", token)), single,
    ]  # fmt: skip


class Line(asyncio.Protocol):
    """One connection with one request under way at the most."""

    def __init__(self, flood: Flood, once: bool = False) -> None:
        self._flood = flood
        self._once = once
        self._kind = ""
        self._sent_at = 0.0
        self._buffer = b""
        self.answers: Answers | None = None
        self._write: Write

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._write = transport.write

    def ask(self, kind: str, request: bytes, answers: Answers, sent_at: float = 0.0) -> None:
        """Send a request."""
        self.answers = answers
        self._kind = kind
        self._sent_at = sent_at or perf_counter()
        answers.sent += 1
        self._write(request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if not is_whole(data):
            self._buffer = data
            return
        self._buffer = b""
        answers, self.answers = self.answers, None
        if answers is None:
            return
        head, _, _ = data.partition(b"\r\n\r\n")
        answers.answered(self._kind, head, perf_counter() - self._sent_at)
        if self._once or b"connection: close" in head.lower():
            self._transport.close()
        else:
            self._flood.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        answers, self.answers = self.answers, None
        if answers is not None:
            answers.lost += 1
            answers.wrong(f"line lost: {exc}")
        self._flood.gone(self, self._once)


class Flood:
    """All connections of the generator."""

    def __init__(self, url: str, token: str, lines: int) -> None:
        self._url = url
        self._token = token
        self._wanted = lines
        self._mix = mix(token)
        self._number = 0
        self._idle: deque[Line] = deque()
        self._all: set[Line] = set()
        self._fresh = 0
        self._fresh_due = 0
        self._waiting: deque[float] = deque()
        self._answers: Answers | None = None
        self._closed_loop = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        for _ in range(self._wanted):
            await self._add()

    async def _add(self) -> None:
        line = await reach(self._url, partial(Line, self))
        self._all.add(line)
        self._idle.append(line)

    def free(self, line: Line) -> None:
        """A line has its answer."""
        if self._answers is None:
            self._idle.append(line)
        elif self._closed_loop:
            self._ask(line)
        elif self._waiting:
            keep(self._answers.late_s, perf_counter() - self._waiting.popleft())
            self._ask(line)
        else:
            self._idle.append(line)

    def gone(self, line: Line, once: bool) -> None:
        """A line is closed: one that stays is opened anew."""
        if once:
            self._fresh -= 1
        elif line in self._all:
            self._all.discard(line)
            with_line = [kept for kept in self._idle if kept is not line]
            self._idle = deque(with_line)
            self._spawn(self._add())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._quiet(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quiet(self, work: Any) -> None:
        try:
            await work
        except OSError as e:
            if self._answers is not None:
                self._answers.lost += 1
                self._answers.wrong(f"no connection: {e}")

    def _next(self) -> tuple[str, bytes]:
        self._number += 1
        kind, template = self._mix[self._number % len(self._mix)]
        return kind, template.replace(MARK, b"%010d" % self._number)

    def _ask(self, line: Line) -> None:
        assert self._answers is not None
        kind, request = self._next()
        line.ask(kind, request, self._answers)

    async def _ask_once(self, answers: Answers) -> None:
        kind, request = self._next()
        began = perf_counter()
        try:
            line = await reach(self._url, partial(Line, self, True))
        except OSError:
            self._fresh -= 1
            raise
        line.ask("fresh " + kind, request, answers, began)

    async def capacity(self, seconds: float) -> dict[str, Any]:
        """As fast as it is answered."""
        self._answers = answers = Answers()
        self._closed_loop = True
        for _ in range(min(CLOSED_LINES, len(self._idle))):
            self._ask(self._idle.popleft())
        await asyncio.sleep(seconds)
        took = perf_counter() - answers.began
        self._answers = None
        self._closed_loop = False
        await self._settle(answers)
        good = sum(n for status, n in answers.statuses.items() if status[0] == "2")
        return {**answers.report(), "per_s": round(good / took, 1)}

    async def flood(self, rate: float, seconds: float) -> dict[str, Any]:
        """At that rate, whatever comes back."""
        self._answers = answers = Answers()
        cpu = process_time()
        step, due, number = 1 / rate, perf_counter(), 0
        end = due + seconds
        while (now := perf_counter()) < end:
            while due <= now:
                due += step
                number += 1
                answers.offered += 1
                if number % FRESH_EACH == 0:
                    self._offer_fresh(answers)
                elif self._idle:
                    self._ask(self._idle.popleft())
                else:
                    self._waiting.append(due)
            while self._waiting and now - self._waiting[0] > PATIENCE_S:
                self._waiting.popleft()
                answers.given_up += 1
            await asyncio.sleep(TICK_S)
        self._answers = None
        answers.given_up += len(self._waiting)
        self._waiting.clear()
        used = process_time() - cpu
        report = answers.report()
        await self._settle(answers)
        return {
            **answers.report(),
            "seconds": report["seconds"],
            "generator_cpu": round(used / report["seconds"], 3),
        }

    def _offer_fresh(self, answers: Answers) -> None:
        if self._fresh >= MOST_FRESH:
            answers.given_up += 1
            return
        self._fresh += 1
        self._spawn(self._ask_once(answers))

    async def _settle(self, answers: Answers) -> None:
        """Wait for what is under way; what is not answered then never was."""
        deadline = perf_counter() + ANSWER_S
        while perf_counter() < deadline and answers.sent > self._done(answers):
            await asyncio.sleep(0.02)
        answers.unanswered = answers.sent - self._done(answers)

    def _done(self, answers: Answers) -> int:
        return sum(answers.statuses.values()) + answers.lost

    async def lone(self, seconds: float) -> dict[str, Any]:
        """Pushes one by one; when they take how long."""
        line = await reach(self._url, partial(Lone, push_request("bench-flood-0", self._token)))
        began, took = perf_counter(), []
        refused = 0
        while (at := perf_counter() - began) < seconds:
            good, took_s = await line.push()
            refused += not good
            took.append((at, took_s if good else 60.0))
            await asyncio.sleep(max(0.0, 1 / LONE_RATE - took_s))
        line.close()
        return {"ms": spread([s for _, s in took]), "refused": refused, "took": took}


async def run(options: argparse.Namespace) -> None:
    """Connect, and do as told until the input ends."""
    token = options.admin_token_file.read_text().strip()
    tally = Tally()
    for agent, secret in agent_tokens(
        options.url, token, [f"bench-flood-{n}" for n in range(AGENTS)]
    ).items():
        peer = await reach(
            options.url, partial(Agent, tally, agent, secret, capabilities=[CAPABILITY])
        )
        await asyncio.wait_for(peer.identified, SETUP_S)
    tally.running = True
    flood = Flood(options.url, token, options.lines)
    await flood.connect()
    say({"ready": True})
    loop = asyncio.get_running_loop()
    before: tuple[float, float] | None = None
    while words := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        gc.collect()
        gc.disable()
        if words[0] == "capacity":
            told = await flood.capacity(float(words[1]))
        elif words[0] == "lone":
            told = await flood.lone(float(words[1]))
            took = told.pop("took")
            if before is None:
                before = usual(took, 0.99), usual(took, 0.5)
            told["back_s"] = back_s(took, 0.99, 1.5 * before[0])
            told["median_back_s"] = back_s(took, 0.5, 1.5 * before[1])
        else:
            told = await flood.flood(float(words[1]), float(words[2]))
        say({**told, "agents": {"completed": tally.lifecycles, "errors": tally.errors,
                                "examples": tally.examples}})  # fmt: skip
        gc.enable()
    tally.stopping = True


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Offer a hub more than it can take.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--admin-token-file", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=400, help="connections that stay (400)")
    options = parser.parse_args()
    if not CLOSED_LINES <= options.lines <= 5_000:
        parser.error(f"--lines goes from {CLOSED_LINES} to 5000")
    end_cleanly_on_sigterm()
    raise_open_files()
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
