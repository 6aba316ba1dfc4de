"""The benchmark: the hub beside what it is compared with, in the same run, on the same machine.

The targets take turns, round after round, so that a machine which gets slower or faster meanwhile
moves all of them; the ratios are taken within a round and their median is reported. Every server
has its own process, its own port and its own data directory on a real disk, and is ended by its
process id.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from agentcom.bench.given import GivenHub
from agentcom.bench.measure import file_system, wait_until_idle
from agentcom.bench.operations import compare
from agentcom.bench.options import Options
from agentcom.bench.pasts import Past, make_past
from agentcom.bench.rates import self_test
from agentcom.bench.report import Round, summarize
from agentcom.bench.servers import ServerFailed
from agentcom.bench.shapes import SHAPES
from agentcom.bench.targets import TARGETS

MEMORY = ("tmpfs", "ramfs")
IDLE_AGENTS = 10_000
"""Connected agents of `history`, when each operation is asked."""


class Progress(Protocol):
    """Is told how far a run is."""

    def begins(self, what: str) -> None:
        """Something begins."""

    def ended(self, how: str) -> None:
        """It has come to its end; what came of it."""


def run(options: Options, progress: Progress) -> dict[str, Any]:
    """Measure; the report, that JSON can hold.

    :raises ServerFailed: it cannot be measured; the text says why, and what to do.
    """
    place = working_directory(options.work_dir)
    with tempfile.TemporaryDirectory(prefix="agentcom-bench-", dir=place) as work:
        try:
            return _with_hub(options, progress, Path(work), place)
        except subprocess.TimeoutExpired as late:
            raise ServerFailed(f"not over within {late.timeout:g} s: {late.cmd}") from None


def try_generator(options: Options) -> dict[str, Any]:
    """What the load generator does by itself, by load.

    :raises ServerFailed: it does not run.
    """
    found = {mode: self_test(mode, options) for mode in options.loads}
    return {"mode": options.mode, "machine": machine(Path.cwd()), "generator": found}


def working_directory(wanted: Path | None) -> Path:
    """A place on a real disk: on a memory file system an fsync costs nothing and proves nothing.

    :raises ServerFailed: there is none.
    """
    candidates = [wanted] if wanted else [Path(tempfile.gettempdir()), Path("/var/tmp"), Path()]
    for place in candidates:
        if file_system(place) not in MEMORY:
            return place
    raise ServerFailed(
        f"{candidates[0]} is in memory, where nothing can be durable; "
        "name a directory on a disk with --work-dir"
    )


def machine(place: Path) -> dict[str, Any]:
    """What somebody needs to know to compare figures with their own."""
    packages = ("agentcom", "twisted", "autobahn", "klein", "msgspec", "sqlalchemy")
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file_system": file_system(place),
        "packages": {name: _version(name) for name in packages},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _with_hub(options: Options, progress: Progress, work: Path, place: Path) -> dict[str, Any]:
    """Reach the hub that was given, if one was, and leave it without a trace of the run."""
    if options.hub is None:
        return _report(options, progress, work, place, None)
    given = GivenHub(options.hub, options.token or "", work)
    try:
        given.check()
        others = given.others()
        shape = SHAPES[options.mode]
        loads = tuple(one for one in options.loads if not (others and one in shape.left_out))
        told = {
            "url": given.url,
            "is_here": given.is_here,
            "pid": given.pid,
            "other_agents": others,
            "left_out": shape.without if others or not shape.left_out else "",
        }
        options = replace(options, given=given, loads=loads)
        return _report(options, progress, work, place, told)
    finally:
        given.clean()


def _report(
    options: Options,
    progress: Progress,
    work: Path,
    place: Path,
    hub: dict[str, Any] | None,
) -> dict[str, Any]:
    shape = SHAPES[options.mode]
    report: dict[str, Any] = {"mode": options.mode, "machine": machine(place), "hub": hub}
    loads = tuple(load for load in options.loads if load in shape.loads)
    rounds = _measure(options, loads, progress, work) if loads else {}
    if shape.once in options.loads and options.given is None:
        progress.begins(f"each operation: {options.tasks} tasks, beside a few")
        progress.ended("a line for each")

        def told(row: str) -> None:
            progress.begins("operation")
            progress.ended(row)

        report[shape.once] = compare(work, options.tasks, IDLE_AGENTS, say=told)
    report["settings"] = {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "warmup": options.warmup,
        "agents": options.agents,
        "tasks": options.tasks,
    }
    report["rounds"] = rounds
    report["summary"] = {
        load: summarize(found, shape.figures, shape.floors) for load, found in rounds.items()
    }
    return report


def _measure(
    options: Options, loads: tuple[str, ...], progress: Progress, work: Path
) -> dict[str, list[Round]]:
    """All rounds, by load; a target with a past keeps its data between them."""
    rounds: dict[str, list[Round]] = {load: [] for load in loads}
    pasts: dict[str, Past] = {}
    for name in options.only:
        if TARGETS[name].past:
            progress.begins(f"filling {name} with {options.tasks} tasks")
            pasts[name] = make_past(name, work, options)
            progress.ended(f"{pasts[name].seconds} s, {pasts[name].mib} MiB")
    for number in range(options.rounds):
        done: dict[str, Round] = {load: {} for load in loads}
        for name in options.only:
            progress.begins(f"round {number + 1}/{options.rounds}: {name}")
            quiet = not options.wait_idle or wait_until_idle(options.wait_idle)
            said = _turn(name, loads, options, pasts.get(name), work, done)
            progress.ended(said if quiet else f"{said} (the machine was busy)")
        for load in loads:
            rounds[load].append(done[load])
    return rounds


def _turn(
    name: str,
    loads: tuple[str, ...],
    options: Options,
    past: Past | None,
    work: Path,
    done: dict[str, Round],
) -> str:
    """One turn of one target, put into the round; what came of it, in words."""
    shape = SHAPES[options.mode]
    data = past.data if past else Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work))
    said = []
    for load, report in shape.turn(name, data, loads, options).items():
        done[load][name] = report
        said.append(shape.said(report))
    if past is None:
        shutil.rmtree(data)
    return ", ".join(said)
