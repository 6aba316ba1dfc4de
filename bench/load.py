"""The load generator: submitters and agents in one process of its own, over loopback.

    python bench/load.py --url http://127.0.0.1:4000 --pid PID --admin-token-file DATA/admin.token
    python bench/load.py --url http://127.0.0.1:4000 --push-only
    python bench/load.py --mode batch --self-test

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
from urllib.parse import urlsplit

from measure import Processors, spread
from modes import MODES, SETUP_S, Crowd, connect
from servers import Server, end_cleanly_on_sigterm
from tally import Tally

DRAIN_S = 5.0


async def run(url: str, pid: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Warm up, measure, let everything under way end, and report."""
    tally = Tally(options.open)
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

    tally.running = False
    unfinished = await drain(tally, crowd, options.push_only)
    tally.stopping = True
    count = answered if options.push_only else lifecycles
    return {
        "mode": options.mode,
        "lifecycles_per_s": round(lifecycles / wall, 1),
        "submitted_per_s": round(answered / wall, 1),
        "submit_ms": spread(tally.answer_s),
        "assign_ms": spread(tally.assign_s),
        "lifecycle_ms": spread(tally.lifecycle_s),
        "late_ms": spread(tally.late_s),
        "generator_cpu": round(own_cpu / wall, 3),
        "generator_us_each": round(own_cpu / max(1, count) * 1e6, 1),
        "server_cpu": server_cpu and round(server_cpu / wall, 3),
        "server_us_each": server_cpu and round(server_cpu / max(1, count) * 1e6, 1),
        "others_cpu": others_cpu and round(others_cpu / wall, 3),
        "open_at_end": 0 if options.push_only else behind,
        "unfinished": unfinished,
        "errors": tally.errors,
        "error_examples": tally.examples,
        "seconds": round(wall, 3),
        "connections": options.connections,
        "agents": 0 if options.push_only else options.agents,
    }


async def drain(tally: Tally, crowd: Crowd, push_only: bool) -> int:
    """Wait for the answers under way; what is open after the limit was lost, or nearly so."""
    deadline = time.perf_counter() + DRAIN_S
    while True:
        left = crowd.busy()
        if not push_only:
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
    command = [sys.executable, str(Path(__file__).with_name("constant.py")), "0"]
    with Server(command, Path(os.devnull)) as server:
        report = start(server.url, server.pid, options)
    each = report["generator_us_each"]
    report["generator_limit_per_s"] = round(1e6 / each) if each else None
    return report


def parse() -> argparse.Namespace:
    modes = "\n".join(f"  {name:<9}{mode.about}" for name, mode in MODES.items())
    parser = argparse.ArgumentParser(
        description="Load a hub, the spine or a floor on loopback; JSON report on stdout.",
        epilog=f"modes:\n{modes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help="such as http://127.0.0.1:4000")
    parser.add_argument("--mode", choices=MODES, default="push", help="what it does (push)")
    parser.add_argument("--pid", type=int, help="the server's process, to report its CPU share")
    parser.add_argument("--admin-token-file", type=Path, help="the hub's; makes the agents' tokens")
    add_sizes(parser)
    parser.add_argument(
        "--push-only", action="store_true", help="no agents, count answers to pushes"
    )
    parser.add_argument("--self-test", action="store_true", help="against a server of constants")
    options = parser.parse_args()
    if not options.self_test and not options.url:
        parser.error("give --url or --self-test")
    if options.push_only and options.mode != "push":
        parser.error("--push-only is for --mode push")
    if options.url and urlsplit(options.url).hostname not in ("127.0.0.1", "localhost"):
        parser.error("the benchmark loads only a hub on this machine: give a loopback --url")
    check_sizes(parser, options)
    return options


AGENTS = 32
SIZES = ("agents", "connections", "open", "batch_size", "window", "rate", "warmup", "seconds")


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """The options that `run.py` hands on to this program."""
    add = parser.add_argument
    add("--agents", type=int, help="agents (32; storm and idle 5000, messages 1000)")
    add("--connections", type=int, help="submitters (push 32, batch and ws 4, latency 64)")
    add("--open", type=int, help="most tasks under way (batch and ws 1600, else unbounded)")
    add("--batch-size", type=int, default=100, help="tasks of one batch (100)")
    add("--window", type=int, default=200, help="unanswered submissions of ws, all in all (200)")
    add("--rate", type=float, default=300.0, help="submissions a second of latency (300)")
    add("--warmup", type=float, default=2.0, help="seconds not measured (2)")
    add("--seconds", type=float, default=8.0, help="seconds measured (8)")


def check_sizes(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Put in what the mode usually has, and bound everything."""
    mode = MODES[options.mode]
    options.agents = AGENTS if options.agents is None else options.agents
    options.connections = mode.connections if options.connections is None else options.connections
    options.open = mode.most_open if options.open is None else options.open
    if not 0 < options.seconds <= 600 or not 0 <= options.warmup <= 600:
        parser.error("--seconds and --warmup are bounded to 600")
    if not 1 <= options.connections <= 400 or not 1 <= options.agents <= 400:
        parser.error("--connections and --agents go from 1 to 400")
    if not 1 <= options.batch_size <= 1000 or options.open < options.batch_size:
        parser.error("--batch-size goes from 1 to 1000, and --open holds at least one batch")
    if options.window < 1 or not 0 < options.rate <= 10_000:
        parser.error("--window starts at 1, --rate ends at 10000")


def main() -> None:
    options = parse()
    end_cleanly_on_sigterm()
    report = self_test(options) if options.self_test else start(options.url, options.pid, options)
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
