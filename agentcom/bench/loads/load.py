"""The load generator: submitters and agents in one process of its own.

    python -m agentcom.bench.loads.load --url URL --pid PID --admin-token-file FILE
    python -m agentcom.bench.loads.load --url URL --answers-only
    python -m agentcom.bench.loads.load --mode batch --self-test

Agents answer every `task_assign` with `task_accepted` and, once that is acknowledged, with
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
import selectors
import sys
import time
from pathlib import Path
from typing import Any

from agentcom.bench import stalls
from agentcom.bench.loads.modes import MODES, SETUP_S, Crowd, connect
from agentcom.bench.loads.tally import UNBOUNDED, Tally
from agentcom.bench.measure import Processors, spread
from agentcom.bench.programs import program
from agentcom.bench.servers import Server, end_cleanly_on_sigterm

AGENTS = 32
DRAIN_S = 15.0


async def run(url: str, pid: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Warm up, measure, let everything under way end, and report."""
    # Where nothing is assigned, nothing that is open ends.
    tally = Tally(UNBOUNDED if options.answers_only else options.open)
    # The run is short and makes hardly any cycles: a collection in it would only show as latency.
    gc.disable()
    crowd = await asyncio.wait_for(connect(url, tally, options), SETUP_S)
    tally.running = True
    crowd.pump()
    await asyncio.sleep(options.warmup)

    tally.window(True)
    cpu = Processors(pid)
    answered, lifecycles = tally.answered, tally.lifecycles
    await asyncio.sleep(options.seconds)
    tally.window(False)
    wall, own_cpu, server_cpu, others_cpu = cpu.used()
    answered, lifecycles = tally.answered - answered, tally.lifecycles - lifecycles
    behind = tally.asked - tally.lifecycles
    # In a thread, for the load goes on until its last answer.
    stalled = asyncio.to_thread(stalls.ask, options.metrics, options.seconds)
    stalling = asyncio.create_task(stalled)

    tally.running = False
    unfinished = await drain(tally, crowd, options.answers_only)
    tally.stopping = True
    count = answered if options.answers_only else lifecycles
    each = own_cpu / max(1, count)
    return {
        "mode": options.mode,
        "lifecycles_per_s": round(lifecycles / wall, 1),
        "submitted_per_s": round(answered / wall, 1),
        "submit_ms": spread(tally.answer_s),
        "assign_ms": spread(tally.assign_s),
        "lifecycle_ms": spread(tally.lifecycle_s),
        "late_ms": spread(tally.late_s),
        "generator_cpu": round(own_cpu / wall, 3),
        "generator_us_each": round(each * 1e6, 1),
        "generator_limit_per_s": round(1 / each) if each else None,
        "server_cpu": server_cpu and round(server_cpu / wall, 3),
        "server_us_each": server_cpu and round(server_cpu / max(1, count) * 1e6, 1),
        "others_cpu": others_cpu and round(others_cpu / wall, 3),
        "open_at_end": 0 if options.answers_only else behind,
        "unfinished": unfinished,
        "errors": tally.errors,
        "error_examples": tally.examples,
        "stall_ms": await stalling,
        "seconds": round(wall, 3),
        "connections": options.connections,
        "agents": 0 if options.answers_only else options.agents,
    }


async def drain(tally: Tally, crowd: Crowd, answers_only: bool) -> int:
    """Wait for the answers under way; what is open after the limit was lost, or nearly so."""
    deadline = time.perf_counter() + DRAIN_S
    while True:
        left = crowd.busy()
        if not answers_only:
            left += tally.asked - tally.lifecycles
        if left == 0 or time.perf_counter() > deadline:
            return left
        await asyncio.sleep(0.02)


def start(url: str, pid: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Run on an event loop that fits: epoll rounds a wait up to whole milliseconds, select not."""

    def loop() -> asyncio.AbstractEventLoop:
        if options.mode == "latency":
            return asyncio.SelectorEventLoop(selectors.SelectSelector())
        return asyncio.new_event_loop()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(run(url, pid, options))


def self_test(options: argparse.Namespace) -> dict[str, Any]:
    """Drive the generator against the constant server, which is cheaper than itself."""
    with Server(program("stacks.constant", "0"), Path(os.devnull)) as server:
        return start(server.url, server.pid, options)


def parse() -> argparse.Namespace:
    modes = "\n".join(f"  {name:<9}{mode.about}" for name, mode in MODES.items())
    parser = argparse.ArgumentParser(
        description="Load a hub, the spine or a floor; JSON report on stdout.",
        epilog=f"modes:\n{modes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--url", help="such as http://127.0.0.1:4000")
    add("--mode", choices=MODES, default="push", help="what it does (push)")
    add("--pid", type=int, help="the server's process, to report its CPU share")
    add("--metrics", default="", help="the URL at which the server tells its longest turns")
    add("--admin-token-file", type=Path, help="the hub's; makes the agents' tokens")
    add("--name", default="bench", help="what the agents' ids begin with (bench)")
    add("--capability", help="what tasks need and only these agents have")
    add("--agents", type=int, default=AGENTS, help=f"agents ({AGENTS})")
    add("--connections", type=int, help="submitters (the mode's)")
    add("--open", type=int, help="most tasks under way (the mode's)")
    add("--batch-size", type=int, default=100, help="tasks of one batch (100)")
    add("--window", type=int, default=200, help="unanswered submissions of ws, all in all (200)")
    add("--rate", type=float, default=300.0, help="submissions a second of latency (300)")
    add("--warmup", type=float, default=2.0, help="seconds not measured (2)")
    add("--seconds", type=float, default=8.0, help="seconds measured (8)")
    add("--answers-only", action="store_true", help="no agents, count answers")
    add("--self-test", action="store_true", help="against a server of constants")
    options = parser.parse_args()
    if not options.self_test and not options.url:
        parser.error("give --url or --self-test")
    mode = MODES[options.mode]
    options.connections = options.connections or mode.connections
    options.open = max(options.open or mode.most_open, options.batch_size)
    return options


def main() -> None:
    options = parse()
    end_cleanly_on_sigterm()
    report = self_test(options) if options.self_test else start(options.url, options.pid, options)
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
