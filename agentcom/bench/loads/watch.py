"""What the others notice while a storm goes on: health checks and agents that work, in one process.

    python -m agentcom.bench.loads.watch --url URL --admin-token-file FILE

`GET /health` goes out 200 times a second over connections that stay, and 50 times a second over a
new one each. The agents take tasks that only they fit, 100 a second: accept, work for half a
second, report progress half-way, complete. Everything is sent when it is due, whatever the server
does, and counts from then.

Commands come on standard input, a line each: `open` begins the measured window, `close` ends it,
the end of the input ends everything once the tasks under way have ended; then it reports.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import urllib.request
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from agentcom.bench.loads.callers import Caller, Paced, is_whole, task_request
from agentcom.bench.loads.modes import SETUP_S, agent_tokens, reach
from agentcom.bench.loads.sockets import Agent, HubFrame, client_frame
from agentcom.bench.loads.tally import Tally
from agentcom.bench.measure import spread
from agentcom.bench.servers import end_cleanly_on_sigterm

HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HEALTH_ONCE = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
KEPT_LINES, SUBMITTERS = 16, 32
CAPABILITY = "worker"
SLOTS = 4
WORK_S = 0.5
DRAIN_S = 60.0
"""As long as a task may be held by a hub that lost its agent, and then some."""


class Watched(Tally):
    """A tally that also knows how long reports waited for their acknowledgement."""

    def __init__(self) -> None:
        super().__init__()
        self.ack_s: list[float] = []


class Worker(Agent):
    """Works on each task for a while; a task that comes twice, or back, is an error."""

    tally: Watched

    def __init__(self, tally: Watched, agent_id: str, token: str, name: str) -> None:
        super().__init__(tally, agent_id, token, SLOTS, [f"{name}-{CAPABILITY}"])
        self._told: dict[str, float] = {}

    def frame(self, frame: HubFrame) -> bytes | None:
        task_id = frame.task_id
        if frame.type == "task_assign":
            if task_id in self._told or frame.generation != 1:
                self.tally.error(f"assigned again: {task_id}, generation {frame.generation}")
            self._told[task_id] = perf_counter()
        elif frame.type == "task_cancelled":
            self.tally.error(f"taken away: {task_id}")
        elif frame.type == "task_ack":
            number = self._running[task_id][1]
            if self.tally.within(number):
                self.tally.ack_s.append(perf_counter() - self._told[task_id])
            if frame.status == "accepted":
                loop = asyncio.get_running_loop()
                loop.call_later(WORK_S / 2, self._progress, task_id)
                loop.call_later(WORK_S, self._complete, frame)
                return None
        return super().frame(frame)

    def _progress(self, task_id: str) -> None:
        self.write(
            client_frame(
                b'{"type":"task_progress","task_id":"%s","progress":50}' % task_id.encode()
            )
        )

    def _complete(self, acknowledged: HubFrame) -> None:
        self._told[acknowledged.task_id] = perf_counter()
        # What an agent that works for no time would have answered at once.
        complete = super().frame(acknowledged)
        assert complete is not None
        self.write(client_frame(complete))


class Checks:
    """Health checks of one kind."""

    def __init__(self, rate: float) -> None:
        self.tally = Tally()
        self.pace = Paced(self.tally, HEALTH, rate)

    def report(self) -> dict[str, Any]:
        """How long they took."""
        tally = self.tally
        return {
            "ms": spread(tally.answer_s),
            "late_ms": spread(tally.late_s),
            "answered": len(tally.answer_s),
            "unanswered": tally.asked - tally.answered,
            "errors": tally.errors,
            "examples": tally.examples,
        }


class Once(asyncio.Protocol):
    """One request over a connection of its own."""

    def __init__(self, tally: Tally, number: int) -> None:
        self._tally = tally
        self._number = number
        self._buffer = b""
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(HEALTH_ONCE)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._answered or not is_whole(self._buffer):
            return
        self._answered = True
        if self._buffer.startswith(b"HTTP/1.1 200"):
            self._tally.answered += 1
            self._tally.keep(self._tally.answer_s, self._number)
        else:
            self._tally.error("HTTP: " + self._buffer.decode(errors="replace"))
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answered:
            self._tally.error(f"connection lost without an answer: {exc}")


class Fresh:
    """Stands where :class:`callers.Paced` has its connections: one more for each request."""

    busy = False

    def __init__(self, tally: Tally, url: str, pace: Paced) -> None:
        self._tally = tally
        self._url = url
        self._pace = pace
        self._tasks: set[asyncio.Task[None]] = set()

    def post(self, template: bytes, number: int) -> None:
        """Ask once; the next one need not wait for the answer."""
        task = asyncio.get_running_loop().create_task(self._ask(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._pace.free(self)

    async def _ask(self, number: int) -> None:
        try:
            await reach(self._url, partial(Once, self._tally, number))
        except OSError as e:
            self._tally.error(f"no connection: {e}")


async def work(url: str, token: str, workers: int, tally: Watched, rate: float, name: str) -> Paced:
    """Connect those who work and those who submit; the pace of their tasks."""
    agents = [f"{name}-worker-{number}" for number in range(workers)]
    for agent, secret in agent_tokens(url, token, agents).items():
        peer = await reach(url, partial(Worker, tally, agent, secret, name))
        await peer.identified
    pace = Paced(tally, task_request(token, capabilities=[f"{name}-{CAPABILITY}"]), rate)
    for _ in range(SUBMITTERS):
        pace.free(await reach(url, partial(Caller, tally, 1, pace.free)))
    return pace


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Connect, do it all until the input ends, and report."""
    gc.disable()
    tasks, kept = Watched(), Checks(options.health_rate or 1.0)
    fresh = Checks(options.fresh_rate)
    paces = []
    if options.health_rate:
        for _ in range(KEPT_LINES):
            line = await reach(options.url, partial(Caller, kept.tally, 1, kept.pace.free))
            kept.pace.free(line)
        fresh.pace.free(Fresh(fresh.tally, options.url, fresh.pace))
        paces += [kept.pace, fresh.pace]
    if options.admin_token_file is not None:
        token = options.admin_token_file.read_text().strip()
        before = stats(options.url, token)
        workers = work(options.url, token, options.workers, tasks, options.task_rate, options.name)
        paces.append(await asyncio.wait_for(workers, SETUP_S))
    tallies = (tasks, kept.tally, fresh.tally)
    for tally in tallies:
        tally.running = True
    for pace in paces:
        pace.pump()
    say({"ready": True})
    await obey(tallies)
    for tally in tallies:
        tally.running = False
    unfinished = await drain(tallies)
    stored = {}
    if options.admin_token_file is not None:
        stored = {k: n - before.get(k, 0) for k, n in stats(options.url, token).items()}
    for tally in tallies:
        tally.stopping = True
    return {
        "health_kept": kept.report(),
        "health_fresh": fresh.report(),
        "tasks": {
            "submitted": tasks.asked,
            "completed": tasks.lifecycles,
            "unanswered": tasks.asked - tasks.answered,
            "not_assigned": tasks.asked - tasks.assigned,
            "unfinished": unfinished,
            "stored": {status: count for status, count in stored.items() if count},
            "measured": len(tasks.lifecycle_s),
            "answer_ms": spread(tasks.answer_s),
            "assign_ms": spread(tasks.assign_s),
            "ack_ms": spread(tasks.ack_s),
            "lifecycle_ms": spread([took - WORK_S for took in tasks.lifecycle_s]),
            "errors": tasks.errors,
            "examples": tasks.examples,
        },
        "cpu_s": round(process_time(), 3),
    }


async def obey(tallies: tuple[Tally, ...]) -> None:
    """Follow the commands until there are no more."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def commands() -> None:
        words = os.read(sys.stdin.fileno(), 4096).split()
        for word in words:
            for tally in tallies:
                tally.window(word == b"open")
        if not words and not ended.done():
            ended.set_result(None)
            loop.remove_reader(sys.stdin.fileno())

    loop.add_reader(sys.stdin.fileno(), commands)
    await ended


async def drain(tallies: tuple[Tally, ...]) -> int:
    """Wait for what is under way; tasks that have not ended by the limit."""
    tasks, *checks = tallies
    deadline = perf_counter() + DRAIN_S
    while perf_counter() < deadline:
        waits = sum(tally.asked - tally.answered - tally.errors for tally in checks)
        # One that was refused never ends.
        if tasks.asked <= tasks.lifecycles + tasks.errors and waits <= 0:
            break
        await asyncio.sleep(0.02)
    return tasks.asked - tasks.lifecycles


def stats(url: str, token: str) -> dict[str, int]:
    """How many tasks the hub has, by status."""
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url + "/api/tasks/stats", headers=headers)
    with urllib.request.urlopen(request, timeout=SETUP_S) as answer:
        found: dict[str, int] = json.load(answer)["by_status"]
    return found


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Watch a server from outside during a storm.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--admin-token-file", type=Path, help="the hub's; without it nobody works")
    parser.add_argument("--name", default="bench", help="what agents' ids begin with (bench)")
    parser.add_argument("--workers", type=int, default=100, help="agents that work (100)")
    parser.add_argument("--task-rate", type=float, default=100.0, help="tasks a second (100)")
    parser.add_argument(
        "--health-rate",
        type=float,
        default=200.0,
        help="health checks a second over lines that stay, 0 for none at all (200)",
    )
    parser.add_argument(
        "--fresh-rate", type=float, default=50.0, help="checks a second over a new line each (50)"
    )
    options = parser.parse_args()
    end_cleanly_on_sigterm()
    say(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
