"""One turn of the modes that send tasks: start a target, run the load generator, end it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentcom.bench.measure import resident_mib
from agentcom.bench.options import Options
from agentcom.bench.programs import ENV, program
from agentcom.bench.servers import Running, ServerFailed
from agentcom.bench.targets import TARGETS, serving

LOAD_S = 60.0
"""Seconds that the generator may take beside what it is told to."""

SIZES = ("agents", "connections", "open", "batch_size", "window", "rate", "warmup", "seconds")


def turn(
    name: str, data: Path, loads: Sequence[str], options: Options
) -> dict[str, dict[str, Any]]:
    """Start one target, load it in each way, end it; the reports by load."""
    reports = {}
    with serving(name, data, options) as server:
        for mode in loads:
            resident = resident_mib(server.pid)
            reports[mode] = report = load(name, server, mode, options)
            report["start_s"] = server.start_s
            report["resident_mib"] = {"before": resident, "after": resident_mib(server.pid)}
    commits = data / "commits.json"
    if commits.exists():
        for report in reports.values():
            report["commits"] = json.loads(commits.read_text())
    return reports


def load(name: str, server: Running, mode: str, options: Options) -> dict[str, Any]:
    """Run the load generator once; its report.

    :raises ServerFailed: it ended with an error.
    """
    command = program("loads.load", "--mode", mode, "--url", server.url, *sizes(options))
    command += ["--metrics", server.metrics, "--name", options.name]
    if server.pid is not None:
        command += ["--pid", str(server.pid)]
    if TARGETS[name].answers_only:
        command.append("--answers-only")
    if server.token_file is not None:
        command += ["--admin-token-file", str(server.token_file)]
    if options.given is not None:
        # For all targets, so that what is compared is the same.
        command += ["--capability", options.given.name]
    return told(command, options, server)


def self_test(mode: str, options: Options) -> dict[str, Any]:
    """What the generator does to a server that costs less than itself."""
    return told(program("loads.load", "--mode", mode, "--self-test", *sizes(options)), options)


def sizes(options: Options) -> list[str]:
    """The generator's options; what is not given is left to it."""
    found = {name: getattr(options, name) for name in SIZES}
    return [
        word
        for name, value in found.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def told(command: list[str], options: Options, server: Running | None = None) -> dict[str, Any]:
    """The report of one run of the generator."""
    done = subprocess.run(
        command,
        env={**os.environ, **ENV},
        capture_output=True,
        text=True,
        timeout=options.warmup + options.seconds + LOAD_S,
        check=False,
    )
    if done.returncode != 0:
        log = server.log() if server is not None else ""
        raise ServerFailed(f"the load failed:\n{done.stderr[-2000:]}\nserver:\n{log}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report
