"""One turn of `storm`: thousands of older agents connect and identify at once.

`crowd.py` is the agents, `watch.py` what others notice meanwhile: health checks, and on the hub
agents that work. The window of all figures is from the first connection until everybody has
identified.
"""

from __future__ import annotations

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

from agentcom.bench import stalls
from agentcom.bench.helpers import Helper
from agentcom.bench.loads.crowd import ERRORS, LOST
from agentcom.bench.loads.watch import DRAIN_S
from agentcom.bench.measure import Drops, Shares, raise_open_files, resident_mib
from agentcom.bench.options import Options
from agentcom.bench.programs import ENV, program
from agentcom.bench.servers import READY, Running, Server, ServerFailed
from agentcom.bench.targets import LOOPBACK, TARGETS, is_given, serving

WORD = "storm"
READY_S = 30.0
SETTLE_S = 2.0
SPARE_FILES = 300
LEAST_AGENTS = 2
TOKENS_S = 60.0


def agents_that_fit(agents: int) -> int:
    """Raise the limit on open files, for the servers too; fewer agents where it is too low.

    :raises ServerFailed: it is so low that hardly any agents fit.
    """
    limit = raise_open_files()
    fit = min(agents, limit - SPARE_FILES)
    if fit < LEAST_AGENTS:
        raise ServerFailed(
            f"open files are limited to {limit}: raise that with ulimit -n {agents + SPARE_FILES}"
        )
    if fit < agents:
        print(f" (open files are limited to {limit}: only {fit} agents)", end="", file=sys.stderr)
    return fit


def tokens_for(name: str, data: Path, agents: int, options: Options) -> Path:
    """A file with a token for each agent; for a hub of our own, good ones in its database."""
    file = data / "tokens.json"
    ids = [f"{options.name}-{WORD}-{number}" for number in range(agents)]
    if options.given is not None and is_given(name, options):
        write_secret(file, json.dumps(options.given.tokens(ids)))
        return file
    if not TARGETS[name].hub:
        file.write_text(json.dumps(dict.fromkeys(ids, "0" * 64)))
        return file
    with serving(name, data, options):
        """The hub makes its database."""
    command = program("tokens", str(data / "agentcom.db"), str(file))
    done = subprocess.run(
        [*command, f"{options.name}-{WORD}", str(agents)],
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
    name: str, data: Path, loads: Sequence[str], options: Options
) -> dict[str, dict[str, Any]]:
    """Start one target, let the storm come, end it; the report by mode."""
    target = TARGETS[name]
    agents = agents_that_fit(options.agents)
    tokens = tokens_for(name, data, agents, options)
    with serving(name, data, options) as server:
        url = server.url
        if (data / "server.log").exists():
            # The last port that it has said: where it has several, agents go to the first one.
            *_, port = READY.findall((data / "server.log").read_text())
            url = f"http://127.0.0.1:{port}"
        watch = ["--url", url, "--name", options.name]
        if server.token_file is not None:
            watch += ["--admin-token-file", str(server.token_file)]
        elif not target.has_health:
            watch += ["--health-rate", "0"]
        crowd = ["--url", server.url, "--tokens", str(tokens), "--limit", str(options.limit)]
        with Helper("loads.crowd", *crowd) as coming:
            coming.hear(READY_S)
            with Helper("loads.watch", *watch) as watching:
                watching.hear(READY_S)
                time.sleep(options.warmup)
                found = storm(server, watching, coming, agents, options)
            if target.hub and not is_given(name, options):
                found["restart"] = restart(server, coming, target.command(data), data, options)
    return {loads[0]: judged(found)}


def storm(
    server: Running, watching: Helper, coming: Helper, agents: int, options: Options
) -> dict[str, Any]:
    """The storm itself."""
    shares, drops = Shares(server=server.pid, crowd=coming.pid, watch=watching.pid), Drops()
    watching.say("open")
    coming.say(f"connect {agents}")
    came = coming.hear(options.limit + READY_S)
    watching.say("close")
    wall, cpu = shares.used()
    stall = stalls.ask(server.metrics, wall)
    dropped = drops.found()
    time.sleep(min(SETTLE_S, options.settle))
    after = Shares(server=server.pid)
    time.sleep(options.settle)
    _, cpu_after = after.used()
    resident = resident_mib(server.pid)
    seen = watching.last_words(DRAIN_S + READY_S)
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
        "stall_ms": stall,
        "generator": generator(agents, wall, cpu["crowd"]),
        "dropped": dropped,
        "resident_mib": resident,
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def restart(
    server: Running, coming: Helper, command: list[str], data: Path, options: Options
) -> dict[str, Any]:
    """Kill the hub while agents hold tasks, start it on the same port: everybody comes back."""
    port = urlsplit(server.url).port
    command = [*command]
    command[command.index(LOOPBACK)] = LOOPBACK.replace("tcp:0:", f"tcp:{port}:")
    keep = ["--url", server.url, "--admin-token-file", str(data / "admin.token")]
    assert server.pid is not None
    with Helper("loads.keep", *keep) as keeping:
        keeping.hear(READY_S)
        coming.say("return")
        os.kill(server.pid, signal.SIGKILL)
        began = time.monotonic()
        with Server(command, data / "server-2.log", options.start_limit) as again:
            down = time.monotonic() - began
            shares = Shares(server=again.pid)
            came = coming.hear(options.limit + READY_S)
            _, cpu = shares.used()
            keeping.say("finish")
            kept = keeping.hear(READY_S + options.limit)
    return {**came, "down_s": round(down, 3), "cpu": cpu, "kept": kept}


def generator(count: float, wall: float, share: float | None) -> dict[str, float | None]:
    """What a generator used of a processor, and how many a second it could do with all of one."""
    if share is None:
        return {"cpu": None, "limit_per_s": None}
    return {"cpu": share, "limit_per_s": round(count / wall / share) if share else None}


def write_secret(file: Path, text: str) -> None:
    """Write a file that nobody else may read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as opened:
        opened.write(text)


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
