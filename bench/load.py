"""The load generator: pushers and agents in one process of its own, over loopback.

    python bench/load.py --url http://127.0.0.1:4000 --pid PID --admin-token-file DATA/admin.token
    python bench/load.py --url http://127.0.0.1:4000 --push-only
    python bench/load.py --self-test

It is a closed loop: each of the connections posts its next push when the last one was answered, and
the agents answer every `task_assign` with `task_accepted` and, once that is acknowledged,
`task_complete`. A lifecycle counts when the second acknowledgement has arrived. The report is JSON
on stdout and tells the generator's own share of a processor: a run in which that comes near 1
measured the generator.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clients import Agent, Pusher, Tally
from measure import cpu_seconds, spread
from servers import Server, end_cleanly_on_sigterm

NO_TOKEN = "0" * 64
DRAIN_S = 5.0
SETUP_S = 15.0


def agent_tokens(url: str, admin_token: str, agents: list[str]) -> dict[str, str]:
    """Have the hub make one token for each agent."""
    tokens = {}
    for agent in agents:
        request = urllib.request.Request(
            url + "/admin/tokens",
            data=json.dumps({"agent_id": agent}).encode(),
            headers={"Authorization": f"Bearer {admin_token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SETUP_S) as answer:
            tokens[agent] = json.load(answer)["token"]
    return tokens


async def connect(url: str, tally: Tally, options: argparse.Namespace) -> list[Pusher]:
    """Connect everybody; agents first, because a push to one that is not there is refused."""
    loop = asyncio.get_running_loop()
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 0
    agents = [f"bench-{number}" for number in range(options.agents)]
    push_token, tokens = NO_TOKEN, dict.fromkeys(agents, NO_TOKEN)
    if options.admin_token_file is not None:
        push_token = options.admin_token_file.read_text().strip()
        tokens = agent_tokens(url, push_token, agents)
    if not options.push_only:
        for agent in agents:
            make_agent = partial(Agent, tally, agent, tokens[agent])
            _, peer = await loop.create_connection(make_agent, host, port)
            await peer.identified
    pushers = []
    for number in range(options.connections):
        make_pusher = partial(Pusher, tally, agents, push_token, number)
        _, pusher = await loop.create_connection(make_pusher, host, port)
        pushers.append(pusher)
    return pushers


async def run(url: str, pid: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Warm up, measure, let everything under way end, and report."""
    tally = Tally()
    # The run is short and makes hardly any cycles: a collection in it would only show as latency.
    gc.disable()
    pushers = await asyncio.wait_for(connect(url, tally, options), SETUP_S)
    for pusher in pushers:
        pusher.post()
    await asyncio.sleep(options.warmup)

    tally.measuring = True
    began, own, server = time.perf_counter(), time.process_time(), pid and cpu_seconds(pid)
    pushes, lifecycles = tally.pushes, tally.lifecycles
    await asyncio.sleep(options.seconds)
    tally.measuring = False
    wall = time.perf_counter() - began
    own_cpu = time.process_time() - own
    server_end = pid and cpu_seconds(pid)
    server_cpu = round((server_end - server) / wall, 3) if server and server_end else None
    pushes, lifecycles = tally.pushes - pushes, tally.lifecycles - lifecycles
    behind = tally.pushes - tally.lifecycles

    tally.stopping = True
    unfinished = await drain(tally, pushers, options.push_only)
    count = pushes if options.push_only else lifecycles
    return {
        "lifecycles_per_s": round(lifecycles / wall, 1),
        "pushes_per_s": round(pushes / wall, 1),
        "push_ms": spread(tally.answer_s),
        "assign_ms": spread(tally.assign_s),
        "lifecycle_ms": spread(tally.lifecycle_s),
        "generator_cpu": round(own_cpu / wall, 3),
        "generator_us_each": round(own_cpu / max(1, count) * 1e6, 1),
        "server_cpu": server_cpu,
        "open_at_end": 0 if options.push_only else behind,
        "unfinished": unfinished,
        "errors": tally.errors,
        "error_examples": tally.examples,
        "seconds": round(wall, 3),
        "connections": options.connections,
        "agents": 0 if options.push_only else options.agents,
    }


async def drain(tally: Tally, pushers: list[Pusher], push_only: bool) -> int:
    """Wait for the answers under way; what is open after the limit was lost, or nearly so."""
    deadline = time.perf_counter() + DRAIN_S
    while True:
        left = sum(pusher.busy for pusher in pushers)
        if not push_only:
            left += tally.pushes - tally.lifecycles
        if left == 0 or time.perf_counter() > deadline:
            return left
        await asyncio.sleep(0.02)


def self_test(options: argparse.Namespace) -> dict[str, Any]:
    """Drive the generator against the constant server, which is cheaper than itself."""
    command = [sys.executable, str(Path(__file__).with_name("constant.py")), "0"]
    with Server(command, Path(os.devnull)) as server:
        report = asyncio.run(run(server.url, server.pid, options))
    each = report["generator_us_each"]
    report["generator_limit_per_s"] = round(1e6 / each) if each else None
    return report


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Load a hub, the spine or a floor on loopback; JSON report on stdout."
    )
    parser.add_argument("--url", help="such as http://127.0.0.1:4000")
    parser.add_argument("--pid", type=int, help="the server's process, to report its CPU share")
    parser.add_argument("--admin-token-file", type=Path, help="the hub's; makes the agents' tokens")
    parser.add_argument("--connections", type=int, default=32, help="pushers (default 32)")
    parser.add_argument("--agents", type=int, default=32, help="agents (default 32)")
    parser.add_argument(
        "--warmup", type=float, default=2.0, help="seconds not measured (default 2)"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds measured (default 8)")
    parser.add_argument(
        "--push-only", action="store_true", help="no agents, count answers to pushes"
    )
    parser.add_argument("--self-test", action="store_true", help="against a server of constants")
    options = parser.parse_args()
    if not options.self_test and not options.url:
        parser.error("give --url or --self-test")
    if not 0 < options.seconds <= 600 or not 0 <= options.warmup <= 600:
        parser.error("--seconds and --warmup are bounded to 600")
    if options.connections < 1 or options.agents < 1:
        parser.error("--connections and --agents start at 1")
    if options.url and urlsplit(options.url).hostname not in ("127.0.0.1", "localhost"):
        parser.error("the benchmark loads only a hub on this machine: give a loopback --url")
    return options


def main() -> None:
    options = parse()
    end_cleanly_on_sigterm()
    if options.self_test:
        report = self_test(options)
    else:
        report = asyncio.run(run(options.url, options.pid, options))
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
