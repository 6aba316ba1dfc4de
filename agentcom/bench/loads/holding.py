"""Agents that hold work while a hub is flooded, and health checks, in one process of their own.

    python -m agentcom.bench.loads.holding --url URL --admin-token-file FILE

The tasks are submitted before; each agent takes four at a time, accepts, works for half a second,
reports progress half-way and completes. `GET /health` goes out 50 times a second over connections
that stay, when it is due, whatever the hub does.

Commands come on standard input, a line each: `open` begins the measured window, `close` ends it,
the end of the input ends everything; then it reports.
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
from time import perf_counter
from typing import Any

from agentcom.bench.loads.callers import Caller
from agentcom.bench.loads.modes import SETUP_S, agent_tokens, reach
from agentcom.bench.loads.sockets import HubFrame, Peer, client_frame
from agentcom.bench.loads.tally import Tally
from agentcom.bench.loads.watch import Checks
from agentcom.bench.measure import spread
from agentcom.bench.servers import end_cleanly_on_sigterm

CAPABILITY = "holder"
KEPT_LINES = 16
SLOTS = 4
WORK_S = 0.5
BATCH = 500
DRAIN_S = 10.0


class Held(Tally):
    """A tally that knows how long reports waited for their acknowledgement."""

    def __init__(self) -> None:
        super().__init__()
        self.open = False
        self.ack_s: list[float] = []
        self.wait_s: list[float] = []


class Holder(Peer):
    """Works on each task for a while; one that comes twice, or is taken away, is an error."""

    tally: Held

    def __init__(self, tally: Held, agent_id: str, token: str) -> None:
        super().__init__(tally, agent_id, token, SLOTS, [CAPABILITY])
        self._told: dict[str, tuple[float, int]] = {}
        self._room_at = 0.0

    @property
    def busy(self) -> int:
        """Tasks that it holds."""
        return len(self._told)

    def frame(self, frame: HubFrame) -> bytes | None:
        task_id, now, tally = frame.task_id, perf_counter(), self.tally
        if frame.type == "task_assign":
            if task_id in self._told or frame.generation != 1:
                tally.error(f"assigned again: {task_id}, generation {frame.generation}")
            self._told[task_id] = now, frame.generation
            if self._room_at and tally.open:
                tally.wait_s.append(now - self._room_at)
            return b'{"type":"task_accepted","task_id":"%s","generation":%d}' % (
                task_id.encode(),
                frame.generation,
            )
        if frame.type == "task_cancelled":
            tally.error(f"taken away: {task_id}")
        elif frame.type == "task_ack" and task_id in self._told:
            said_at, generation = self._told[task_id]
            if tally.open:
                tally.ack_s.append(now - said_at)
            if frame.status == "accepted":
                loop = asyncio.get_running_loop()
                loop.call_later(WORK_S / 2, self._say, "task_progress", task_id, b',"progress":50')
                loop.call_later(WORK_S, self._complete, task_id, generation)
            else:
                del self._told[task_id]
                tally.lifecycles += 1
                self._room_at = now
        return None

    def _complete(self, task_id: str, generation: int) -> None:
        self._told[task_id] = perf_counter(), generation
        self._say("task_complete", task_id, b',"generation":%d,"result":{"ok":1}' % generation)

    def _say(self, kind: str, task_id: str, more: bytes) -> None:
        told = b'{"type":"%s","task_id":"%s"%s}' % (kind.encode(), task_id.encode(), more)
        self.write(client_frame(told))


def submit(url: str, token: str, count: int) -> None:
    """Fill the queue with what only these agents fit."""
    for begin in range(0, count, BATCH):
        tasks = [
            {"description": "held", "capabilities": [CAPABILITY]}
            for _ in range(min(BATCH, count - begin))
        ]
        request = urllib.request.Request(
            url + "/api/tasks/batch",
            data=json.dumps({"tasks": tasks}).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SETUP_S):
            pass


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Connect, work until the input ends, and report."""
    token = options.admin_token_file.read_text().strip()
    submit(options.url, token, options.tasks)
    held, checks = Held(), Checks(50.0)
    held.running = True
    for _ in range(KEPT_LINES):
        line = await reach(options.url, partial(Caller, checks.tally, 1, checks.pace.free))
        checks.pace.free(line)
    holders = []
    names = [f"bench-holder-{number}" for number in range(options.workers)]
    for agent, secret in agent_tokens(options.url, token, names).items():
        holders.append(await reach(options.url, partial(Holder, held, agent, secret)))
        await holders[-1].identified
    gc.disable()
    checks.tally.running = True
    checks.pace.pump()
    say({"ready": True})
    await obey(held, checks.tally)
    checks.tally.running = False
    deadline = perf_counter() + DRAIN_S
    while perf_counter() < deadline and checks.tally.asked > checks.tally.answered:
        await asyncio.sleep(0.02)
    held.stopping = checks.tally.stopping = True
    return {
        "health": checks.report(),
        "ack_ms": spread(held.ack_s),
        "next_ms": spread(held.wait_s),
        "reports": len(held.ack_s),
        "completed": held.lifecycles,
        "errors": held.errors,
        "examples": held.examples,
    }


async def obey(held: Held, checks: Tally) -> None:
    """Follow the commands until there are no more."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def commands() -> None:
        words = os.read(sys.stdin.fileno(), 4096).split()
        for word in words:
            held.open = word == b"open"
            checks.window(held.open)
        if not words and not ended.done():
            ended.set_result(None)
            loop.remove_reader(sys.stdin.fileno())

    loop.add_reader(sys.stdin.fileno(), commands)
    await ended


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold work while a hub is flooded.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--admin-token-file", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=10, help="agents that work (10)")
    parser.add_argument("--tasks", type=int, default=8000, help="tasks for them (8000)")
    options = parser.parse_args()
    end_cleanly_on_sigterm()
    say(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
