"""The benchmark: the hub beside its floors, in the same run, on the same machine.

The targets take turns, round after round, so that a machine which gets slower or faster meanwhile
moves all of them; the ratios are taken within a round and their median is reported. Every server
has its own process, its own port and its own data directory on a real disk, and is ended by its
process id.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from load import add_sizes, check_sizes
from measure import file_system, wait_until_idle
from modes import MODES as LOADS
from pasts import make_past
from report import Round, compared, describe, examples, summarize, table
from servers import ServerFailed, end_cleanly_on_sigterm
from shapes import SHAPES
from targets import ROOT, TARGETS

MOST_AGENTS = 15_000
MEMORY = ("tmpfs", "ramfs")
MODES = {
    "push": "single pushes over HTTP as fast as they are answered (the usual one)",
    "batch": "POST /api/tasks/batch as fast as it goes",
    "ws": "task_submit over WebSocket as fast as it goes",
    "latency": "POST /api/tasks at an even pace: until the agent has the task",
    "storm": "thousands of older agents identify at once, while others work and check its health",
    "idle": "memory of each agent that is connected and does nothing",
    "takeover": "from kill -9 of an agent until its task runs on another one",
    "overload": "ten times the load that the hub can take, for --seconds (60 for the whole)",
    "messages": "messages a second between two agents, and from one to all",
    "history": "push and batch on a hub with many stored tasks, beside an empty one",
}
EXAMPLES = """examples:
  python bench/run.py                              hub, spine and Klein floor, three rounds
  python bench/run.py --mode batch --only spine    without the hub
  python bench/run.py --rounds 5 --seconds 10 --json bench.json
  python bench/run.py --mode history --tasks 100000
  python bench/run.py --only spine,spine-1ms,spine-inline     the experiments with the commit
"""


def machine(place: Path) -> dict[str, Any]:
    """What somebody needs to know to compare figures with their own."""
    packages = ("twisted", "autobahn", "klein", "msgspec", "sqlalchemy")
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file_system": file_system(place),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def parse() -> argparse.Namespace:
    shown = [f"  {name:<13}{about}" for name, about in MODES.items()]
    shown += ["", "targets:", *(f"  {name:<13}{one.about}" for name, one in TARGETS.items())]
    parser = argparse.ArgumentParser(
        description="Measure the hub beside its floors: whole task lifecycles a second.",
        epilog="modes:\n" + "\n".join(shown) + f"\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mode", choices=MODES, default="push", help="what is measured (push)")
    parser.add_argument("--only", help="targets, by comma (default: what the mode compares)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each target (3)")
    add_sizes(parser)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="of history (1000000)")
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds in which a storm must be over (60)"
    )
    parser.add_argument(
        "--settle", type=float, default=5.0, help="seconds of rest before memory is read (5)"
    )
    parser.add_argument("--lines", type=int, default=400, help="connections of overload (400)")
    parser.add_argument(
        "--times-capacity", type=float, default=10.0, help="load of overload, in capacities (10)"
    )
    parser.add_argument("--times", type=int, default=20, help="agents that takeover kills (20)")
    parser.add_argument(
        "--wait-idle",
        type=float,
        default=0.0,
        metavar="S",
        help="before each turn, wait so long for a machine that does nothing else (0)",
    )
    parser.add_argument(
        "--work-dir", type=Path, help="where data directories are made (a real disk)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON there, not to stdout")
    options = parser.parse_args()
    only = options.only or ",".join(SHAPES[options.mode].targets)
    options.only = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in options.only if name not in TARGETS]:
        parser.error(f"unknown target {unknown[0]}; known: {', '.join(TARGETS)}")
    if not options.only or not 1 <= options.rounds <= 100:
        parser.error("nothing to measure, or too often (at most 100 rounds)")
    loads = SHAPES[options.mode].loads
    if options.mode != "push" and (no := [n for n in options.only if TARGETS[n].push_only]):
        parser.error(f"{no[0]} can only be measured with --mode push")
    fit = SHAPES[options.mode].fit
    if fit and (no := [n for n in options.only if n not in fit]):
        parser.error(f"{no[0]} does not fit --mode {options.mode}: {', '.join(fit)} do")
    if not fit and (no := [n for n in options.only if TARGETS[n].bare]):
        parser.error(f"{no[0]} knows no tasks: it is for --mode storm, idle and messages")
    if not 0 <= options.tasks <= 10_000_000 or not 0 <= options.wait_idle <= 600:
        parser.error("--tasks goes from 0 to 10000000, --wait-idle to 600")
    if options.work_dir is not None and not options.work_dir.is_dir():
        parser.error(f"--work-dir {options.work_dir} is not a directory")
    if options.agents is None:
        options.agents = SHAPES[options.mode].agents
    for mode in loads:
        if mode in LOADS:
            check_sizes(parser, argparse.Namespace(**{**vars(options), "mode": mode}))
    if not 1 <= options.agents <= MOST_AGENTS or not 1 <= options.limit <= 600:
        parser.error(f"--agents goes from 1 to {MOST_AGENTS}, --limit from 1 to 600")
    if not 0.1 <= options.settle <= 600 or not 1 <= options.times <= 1000:
        parser.error("--settle goes from 0.1 to 600, --times from 1 to 1000")
    if not 32 <= options.lines <= 5_000 or not 1 <= options.times_capacity <= 100:
        parser.error("--lines goes from 32 to 5000, --times-capacity from 1 to 100")
    # To read what waits takes seconds for a million tasks.
    options.start_limit = 20 + options.tasks / 10_000
    return options


def working_directory(wanted: Path | None) -> Path:
    """A place on a real disk: on a memory file system an fsync costs nothing and proves nothing."""
    candidates = [wanted] if wanted else [Path(tempfile.gettempdir()), Path("/var/tmp"), ROOT]
    for place in candidates:
        if file_system(place) not in MEMORY:
            return place
    sys.exit("bench: this needs a directory on a disk, not in memory; give --work-dir")


def measure(work: Path, options: argparse.Namespace) -> dict[str, list[Round]]:
    """All rounds, by the mode of the load; a target with a past keeps its data between them."""
    shape = SHAPES[options.mode]
    loads = shape.loads
    rounds: dict[str, list[Round]] = {mode: [] for mode in loads}
    pasts = {}
    for name in options.only:
        if TARGETS[name].past:
            say(f"filling {name} with {options.tasks} tasks")
            pasts[name] = make_past(name, work, options)
            say(f" {pasts[name].seconds} s, {pasts[name].mib} MiB\n")
    for number in range(options.rounds):
        done: dict[str, Round] = {mode: {} for mode in loads}
        for name in options.only:
            say(f"round {number + 1}/{options.rounds}: {name}")
            if options.wait_idle and not wait_until_idle(options.wait_idle):
                say(" (the machine is busy)")
            past = pasts.get(name)
            data = past.data if past else Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work))
            for mode, report in shape.turn(name, data, loads, options).items():
                done[mode][name] = report
                say(f" {shape.said(report)}")
            say("\n")
            if past is None:
                shutil.rmtree(data)
        for mode in loads:
            rounds[mode].append(done[mode])
    return rounds


def say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def main() -> None:
    options = parse()
    end_cleanly_on_sigterm()
    place = working_directory(options.work_dir)
    shape = SHAPES[options.mode]
    report: dict[str, Any] = {"mode": options.mode, "machine": machine(place)}
    with tempfile.TemporaryDirectory(prefix="agentcom-bench-", dir=place) as work:
        try:
            rounds = measure(Path(work), options)
        except (ServerFailed, subprocess.TimeoutExpired) as failure:
            sys.exit(f"\nbench: {failure}")
    report["rounds"] = rounds
    report["summary"] = {mode: summarize(found, shape.figures) for mode, found in rounds.items()}
    for mode, found in rounds.items():
        first = next(reversed(found[0].values()))
        load = f"{mode}: {options.agents} agents, {options.rounds} rounds"
        if mode in LOADS:
            load += f" of {options.seconds:g} s, {first['connections']} connections"
        print(describe(report["machine"], load))
        print(table(found, shape.columns, shape.notes), end="\n\n")
        print(compared(report["summary"][mode], shape.figures), end="\n\n")
    text = json.dumps(report, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    else:
        print(text)
    if bad := [line for found in rounds.values() for line in examples(found)]:
        sys.exit("\nbench: not everything came to its end:\n" + "\n".join(bad))


if __name__ == "__main__":
    main()
