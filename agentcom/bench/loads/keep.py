"""Agents that go on with their task while the hub is killed and comes back, in one process.

    python -m agentcom.bench.loads.keep --url URL --admin-token-file FILE

Each of 100 has accepted one task, held for it for 30 s, and works on it; some more of the same kind
have nothing to do, and must not get one of these. When its line is lost it connects
again like an older agent, after 1 s, doubling, and says `task_recovering`; the hub must answer
`task_continue`. Commands come on standard input, a line each: `finish` makes all complete their
task and is answered by a report once all are acknowledged; the end of the input ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

from agentcom.bench.api import Api
from agentcom.bench.loads.callers import DESCRIPTION
from agentcom.bench.loads.crowd import FIRST_WAIT_S, LONGEST_WAIT_S
from agentcom.bench.loads.modes import SETUP_S, agent_tokens, reach
from agentcom.bench.loads.sockets import HubFrame, Peer, client_frame
from agentcom.bench.loads.tally import Tally
from agentcom.bench.servers import end_cleanly_on_sigterm

CAPABILITY = "keeper"
SPARE = 20
FINISH_S = 60.0
CHECKED_S = 0.05


class Keeper:
    """One agent and its task, over one line after the other."""

    def __init__(self, agent_id: str, token: str, tally: Tally, url: str) -> None:
        self.agent_id = agent_id
        self.token = token
        self.tally = tally
        self.task_id = ""
        self.accepted = self.finishing = self.done = False
        self.lines = 0
        self.line: Line | None = None
        self.coming: asyncio.Task[None] | None = None
        self._url = url
        self._wait_s = FIRST_WAIT_S

    async def connect(self) -> None:
        """Connect until a socket opens."""
        while True:
            try:
                self.line = await reach(self._url, lambda: Line(self))
            except OSError:
                await asyncio.sleep(self._wait_s)
                self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)
            else:
                self._wait_s = FIRST_WAIT_S
                self.lines += 1
                return

    async def again(self) -> None:
        """Connect after the usual rest."""
        await asyncio.sleep(self._wait_s)
        await self.connect()

    def finish(self) -> None:
        """Complete the task, now or once the hub is back."""
        self.finishing = True
        self.complete()

    def complete(self) -> None:
        """Say that the task is done, if there is a line."""
        if self.line is not None and self.line.ready:
            self.line.say({"type": "task_complete", "task_id": self.task_id, "result": {"ok": 1}})


class Line(Peer):
    """One connection of a keeper."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__(keeper.tally, keeper.agent_id, keeper.token, 1, [CAPABILITY])
        self.ready = False
        self._keeper = keeper
        self.identified.add_done_callback(self._here)

    def say(self, frame: dict[str, Any]) -> None:
        self.write(client_frame(json.dumps(frame).encode()))

    def frame(self, frame: HubFrame) -> bytes | None:
        keeper = self._keeper
        if frame.type == "task_assign":
            if keeper.task_id not in ("", frame.task_id) or frame.generation != 1:
                keeper.tally.error(f"{keeper.agent_id}: assigned {frame}")
            keeper.task_id = frame.task_id
            return b'{"type":"task_accepted","task_id":"%s"}' % frame.task_id.encode()
        if frame.type == "task_ack":
            keeper.accepted = True
            keeper.done = keeper.done or frame.status == "complete"
        elif frame.type == "task_continue":
            self.ready = True
            if keeper.finishing:
                keeper.complete()
        elif frame.type in ("task_reassign", "task_cancelled"):
            keeper.tally.error(f"{keeper.agent_id}: {frame.type}")
        return None

    def _here(self, identified: asyncio.Future[None]) -> None:
        if identified.cancelled():
            return
        keeper = self._keeper
        if not keeper.task_id:
            self.ready = True
        elif not keeper.done:
            recovering = {"type": "task_recovering", "task_id": keeper.task_id}
            self.say({**recovering, "last_status": "working"})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        super().connection_made(transport)

    def _fail(self, why: str) -> None:
        """A line that ends is what all this is about; a frame that is refused is not."""
        if why.startswith("frame"):
            self.tally.error(f"{self._keeper.agent_id}: {why}")
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.identified.cancel()
        if self._keeper.line is self:
            self._keeper.line = None
        if not self._keeper.tally.stopping:
            loop = asyncio.get_running_loop()
            self._keeper.coming = loop.create_task(self._keeper.again())


async def run(options: argparse.Namespace) -> None:
    """Take a task each, keep it, complete it when told to."""
    tally = Tally()
    api = Api(options.url, options.admin_token_file.read_text().strip())
    agents = [f"bench-keeper-{number}" for number in range(options.tasks + SPARE)]
    tokens = agent_tokens(api.url, api.token, agents)
    keepers = [Keeper(agent, token, tally, api.url) for agent, token in tokens.items()]
    for keeper in keepers:
        await asyncio.wait_for(keeper.connect(), SETUP_S)
    task = {"description": DESCRIPTION, "capabilities": [CAPABILITY], "hold_s": 30}
    for _ in range(options.tasks):
        api.call("/api/tasks", task)
    await until(lambda: sum(keeper.accepted for keeper in keepers) == options.tasks, SETUP_S)
    busy = [keeper for keeper in keepers if keeper.accepted]
    say({"ready": True, "working": len(busy)})
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        began = perf_counter()
        for keeper in busy:
            keeper.finish()
        await until(lambda: all(keeper.done for keeper in busy), FINISH_S)
        say(report(keepers, tally, api, perf_counter() - began))
    tally.stopping = True


def report(keepers: list[Keeper], tally: Tally, api: Api, took_s: float) -> dict[str, Any]:
    """What has become of the tasks, by the agents and by the hub."""
    ids = {keeper.task_id for keeper in keepers if keeper.task_id}
    tasks = [api.call(f"/api/tasks/{task_id}") for task_id in ids]
    ends = Counter(f"{task['status']} generation {task['generation']}" for task in tasks)
    return {
        "tasks": len(tasks),
        "completed": sum(keeper.done for keeper in keepers),
        "stored": dict(ends),
        "lines": sum(keeper.lines for keeper in keepers),
        "finish_s": round(took_s, 3),
        "errors": tally.errors,
        "examples": tally.examples,
    }


async def until(condition: Any, limit_s: float) -> None:
    """Wait for a condition, or the limit."""
    end = perf_counter() + limit_s
    while not condition() and perf_counter() < end:
        await asyncio.sleep(CHECKED_S)


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep tasks while the hub is killed.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--admin-token-file", type=Path, required=True)
    parser.add_argument("--tasks", type=int, default=100, help="agents that work (100)")
    options = parser.parse_args()
    end_cleanly_on_sigterm()
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
