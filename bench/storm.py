"""One turn of `--mode storm`: thousands of older agents connect and identify at once.

`crowd.py` is the agents, `watch.py` what others notice meanwhile: health checks, and on the hub
agents that work. The window of all figures is from the first connection until everybody has
identified.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crowd import ERRORS, LOST
from helpers import Helper
from measure import Shares, listen_drops, raise_open_files, resident_mib
from servers import READY, Server, ServerFailed
from targets import ENV, HERE, LOOPBACK, TARGETS

WORD = "storm"
READY_S = 30.0
SETTLE_S = 2.0
SPARE_FILES = 300
TOKENS_S = 60.0


def agents_that_fit(agents: int) -> int:
    """Raise the limit on open files, for the servers too; fewer agents where it is too low."""
    limit = raise_open_files()
    fit = min(agents, limit - SPARE_FILES)
    if fit < agents:
        print(f" (open files are limited to {limit}: only {fit} agents)", end="", file=sys.stderr)
    return fit


def tokens_for(name: str, data: Path, agents: int) -> Path:
    """A file with a token for each agent; for the hub, good ones in its database."""
    file = data / "tokens.json"
    target = TARGETS[name]
    if target.bare:
        file.write_text(json.dumps({f"{WORD}-{n}": "0" * 64 for n in range(agents)}))
        return file
    with Server(target.command(data), data / "server.log", ENV):
        pass
    command = [sys.executable, str(HERE / "tokens.py"), str(data / "agentcom.db"), str(file)]
    done = subprocess.run(
        [*command, WORD, str(agents)],
        env={**os.environ, **ENV},
        capture_output=True,
        text=True,
        timeout=TOKENS_S,
        check=False,
    )
    if done.returncode != 0:
        raise ServerFailed(f"making tokens failed:\n{done.stderr[-2000:]}")
    return file


def turn(
    name: str, data: Path, modes: Sequence[str], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Start one target, let the storm come, end it; the report by mode."""
    target = TARGETS[name]
    agents = agents_that_fit(options.agents)
    tokens = tokens_for(name, data, agents)
    with Server(target.command(data), data / "server.log", ENV, options.start_limit) as server:
        # The last port that it has said: where it has several, agents go to the first one.
        *_, port = READY.findall((data / "server.log").read_text())
        watch = ["watch.py", "--url", f"http://127.0.0.1:{port}"]
        if not target.bare:
            watch += ["--admin-token-file", str(data / "admin.token")]
        elif name == "autobahn":
            watch += ["--health-rate", "0"]
        crowd = ["crowd.py", "--url", server.url, "--tokens", str(tokens)]
        crowd += ["--limit", str(options.limit)]
        with Helper(*crowd) as coming:
            coming.hear(READY_S)
            with Helper(*watch) as watching:
                watching.hear(READY_S)
                time.sleep(options.warmup)
                found = storm(server, watching, coming, agents, options)
            if not target.bare:
                found["restart"] = restart(server, coming, target.command(data), data, options)
    return {modes[0]: judged(found)}


def storm(
    server: Server, watching: Helper, coming: Helper, agents: int, options: argparse.Namespace
) -> dict[str, Any]:
    """The storm itself."""
    shares, drops = Shares(server=server.pid, crowd=coming.pid, watch=watching.pid), listen_drops()
    watching.say("open")
    coming.say(f"connect {agents}")
    came = coming.hear(options.limit + READY_S)
    watching.say("close")
    wall, cpu = shares.used()
    dropped = None if drops is None else (listen_drops() or 0) - drops
    time.sleep(SETTLE_S)
    after = Shares(server=server.pid)
    time.sleep(options.settle)
    _, cpu_after = after.used()
    resident = resident_mib(server.pid)
    seen = watching.last_words()
    coming.say("look")
    later = coming.hear(READY_S)
    each = cpu["server"] and cpu["server"] * wall / agents * 1e6
    return {
        "agents": agents,
        "storm": came,
        "later": later,
        "health_kept": seen["health_kept"],
        "health_fresh": seen["health_fresh"],
        "tasks": seen["tasks"],
        "seconds": round(wall, 3),
        "cpu": cpu,
        "server_us_each": each and round(each, 1),
        "server_cpu_after": cpu_after["server"],
        "listen_drops": dropped,
        "resident_mib": resident,
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def restart(
    server: Server, coming: Helper, command: list[str], data: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Kill the hub while agents hold tasks, start it on the same port: everybody comes back."""
    port = urlsplit(server.url).port
    command = [*command]
    command[command.index(LOOPBACK)] = LOOPBACK.replace("tcp:0:", f"tcp:{port}:")
    keep = ["keep.py", "--url", server.url, "--admin-token-file", str(data / "admin.token")]
    with Helper(*keep) as keeping:
        keeping.hear(READY_S)
        coming.say("return")
        os.kill(server.pid, signal.SIGKILL)
        began = time.monotonic()
        with Server(command, data / "server-2.log", ENV, options.start_limit) as again:
            down = time.monotonic() - began
            shares = Shares(server=again.pid)
            came = coming.hear(options.limit + READY_S)
            _, cpu = shares.used()
            keeping.say("finish")
            kept = keeping.hear(READY_S + options.limit)
    return {**came, "down_s": round(down, 3), "cpu": cpu, "kept": kept}


def judged(report: dict[str, Any]) -> dict[str, Any]:
    """The report, with what went wrong: a storm may be slow, but nothing may be lost in it."""
    tasks = report["tasks"]
    problems = [*tasks["examples"]]
    wrong = tasks["errors"]
    stored = tasks["stored"].get("completed", 0)
    if tasks["submitted"] != stored or tasks["submitted"] != tasks["completed"]:
        wrong += 1
        problems.append(f"of {tasks['submitted']} tasks {tasks['stored']} are stored")
    if missing := report["storm"]["missing"]:
        problems.append(f"{missing} agents never identified: {report['storm']['told']}")
    told = report["later"]["told"]
    bad = {what: n for what, n in told.items() if what.endswith(LOST) or what == ERRORS}
    if bad:
        wrong += sum(bad.values())
        problems.append(f"older agents: {bad}; {report['later']['examples']}")
    for kind in ("health_kept", "health_fresh"):
        wrong += report[kind]["errors"]
        problems += report[kind]["examples"]
    unfinished = tasks["unfinished"] + missing
    if "restart" in report:
        kept = report["restart"]["kept"]
        wrong += kept["errors"]
        problems += kept["examples"]
        unfinished += report["restart"]["missing"] + kept["tasks"] - kept["completed"]
        if kept["stored"] != {"completed generation 1": kept["tasks"]}:
            wrong += 1
            problems.append(f"after the restart: {kept}")
    return {**report, "errors": wrong, "unfinished": unfinished, "error_examples": problems}


def said(report: dict[str, Any]) -> str:
    """A turn in a few words."""
    health = report["health_kept"]["ms"]
    checks = f", health p99 {health['p99']:.0f} ms" if health else ""
    return f"{report['storm']['all_s']} s{checks}"
