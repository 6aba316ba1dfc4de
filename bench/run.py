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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from measure import file_system
from report import describe, examples, rate, summarize, table
from servers import Server, ServerFailed, end_cleanly_on_sigterm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MEMORY = ("tmpfs", "ramfs")
EXAMPLES = """examples:
  python bench/run.py                              hub, spine and Klein floor, three rounds
  python bench/run.py --only klein,spine           without the hub
  python bench/run.py --rounds 5 --seconds 10 --json bench.json
  python bench/run.py --only spine,spine-1ms,spine-inline     the experiments with the commit
"""


class Target(NamedTuple):
    """One server that can be measured: how to start it, what to load it with, what it is."""

    command: Callable[[Path], list[str]]
    about: str
    push_only: bool = False
    admin_token: bool = False


def spine(*extra: str) -> Callable[[Path], list[str]]:
    """The command for the spine, with its options for the experiments."""
    return lambda data: [sys.executable, str(HERE / "spine.py"), "0", str(data), *extra]


def klein(data: Path) -> list[str]:
    return [sys.executable, str(HERE / "floor.py"), "0"]


def hub(data: Path) -> list[str]:
    # Not resolved: in a virtual environment the interpreter is a link, and twistd is beside it.
    twistd = Path(sys.executable).parent / "twistd"
    listen = ["--listen", "tcp:0:interface=127.0.0.1", "--data-dir", str(data)]
    return [str(twistd), "-n", "--pidfile=", "agentcom", *listen]


TARGETS = {
    "klein": Target(klein, "a bare Klein route: pushes answered, nothing stored", push_only=True),
    "spine": Target(spine(), "Klein, Autobahn and the durable batch alone"),
    "hub": Target(hub, "AgentCom itself", admin_token=True),
    "spine-1ms": Target(spine("--switch-interval", "1"), "the spine, switch interval 1 ms"),
    "spine-0.5ms": Target(spine("--switch-interval", "0.5"), "the spine, switch interval 0.5 ms"),
    "spine-inline": Target(spine("--commit-inline"), "the spine, COMMIT on the reactor thread"),
}
DEFAULT = "klein,spine,hub"


def measure(name: str, place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Start one target, load it once, end it; its report, with its commits where it tells them."""
    target = TARGETS[name]
    data = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
    env = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    }
    with Server(target.command(data), data / "server.log", env) as server:
        load = [sys.executable, str(HERE / "load.py")]
        load += ["--url", server.url, "--pid", str(server.pid)]
        for option in ("connections", "agents", "warmup", "seconds"):
            load += [f"--{option}", str(getattr(options, option))]
        if target.push_only:
            load.append("--push-only")
        if target.admin_token:
            load += ["--admin-token-file", str(data / "admin.token")]
        limit = options.warmup + options.seconds + 60
        done = subprocess.run(load, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode != 0:
        log = (data / "server.log").read_text(errors="replace")[-2000:]
        raise ServerFailed(f"load on {name} failed:\n{done.stderr[-2000:]}\nserver:\n{log}")
    report: dict[str, Any] = json.loads(done.stdout)
    commits = data / "commits.json"
    if commits.exists():
        report["commits"] = json.loads(commits.read_text())
    shutil.rmtree(data)
    return report


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
    targets = "\n".join(f"  {name:<13}{target.about}" for name, target in TARGETS.items())
    parser = argparse.ArgumentParser(
        description="Measure the hub beside its floors: whole task lifecycles a second.",
        epilog=f"targets:\n{targets}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default=DEFAULT, help=f"targets, by comma (default {DEFAULT})")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each target (default 3)")
    parser.add_argument("--connections", type=int, default=32, help="pushers (default 32)")
    parser.add_argument("--agents", type=int, default=32, help="agents (default 32)")
    parser.add_argument(
        "--warmup", type=float, default=2.0, help="seconds not measured (default 2)"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds measured (default 8)")
    parser.add_argument(
        "--work-dir", type=Path, help="where data directories are made (a real disk)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON there, not to stdout")
    options = parser.parse_args()
    options.only = [name.strip() for name in options.only.split(",") if name.strip()]
    if unknown := [name for name in options.only if name not in TARGETS]:
        parser.error(f"unknown target {unknown[0]}; known: {', '.join(TARGETS)}")
    if not options.only or options.rounds < 1:
        parser.error("nothing to measure")
    if options.work_dir is not None and not options.work_dir.is_dir():
        parser.error(f"--work-dir {options.work_dir} is not a directory")
    return options


def working_directory(wanted: Path | None) -> Path:
    """A place on a real disk: on a memory file system an fsync costs nothing and proves nothing."""
    candidates = [wanted] if wanted else [Path(tempfile.gettempdir()), Path("/var/tmp"), ROOT]
    for place in candidates:
        if file_system(place) not in MEMORY:
            return place
    sys.exit("bench: this needs a directory on a disk, not in memory; give --work-dir")


def main() -> None:
    options = parse()
    end_cleanly_on_sigterm()
    place = working_directory(options.work_dir)
    report: dict[str, Any] = {"machine": machine(place), "rounds": []}
    with tempfile.TemporaryDirectory(prefix="agentcom-bench-", dir=place) as work:
        for number in range(options.rounds):
            done = {}
            for name in options.only:
                turn = f"round {number + 1}/{options.rounds}: {name}"
                print(turn, end=" ", file=sys.stderr, flush=True)
                try:
                    done[name] = measure(name, Path(work), options)
                except (ServerFailed, subprocess.TimeoutExpired) as failure:
                    sys.exit(f"\nbench: {failure}")
                print(f"{rate(done[name]):.0f}/s", file=sys.stderr)
            report["rounds"].append(done)
    report["summary"] = summarize(report["rounds"])
    kinds = f"{options.connections} connections, {options.agents} agents"
    print(describe(report["machine"], f"{kinds}, {options.rounds} x {options.seconds:g} s"))
    print(table(report["rounds"], report["summary"]))
    text = json.dumps(report, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    else:
        print("\n" + text)
    if bad := examples(report["rounds"]):
        sys.exit("\nbench: not every push came to its end:\n" + "\n".join(bad))


if __name__ == "__main__":
    main()
