"""One turn of `--mode idle`: what an identified agent costs that does nothing.

The memory of the server in RAM before anybody came, with two fifths of the agents and with all of
them, each after a while of rest; and, with all of them, the processor time of half a minute, in
which each of them pings once.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crowd import PING_S
from helpers import Helper
from measure import Shares, resident_mib
from servers import Server, ServerFailed
from storm import READY_S, agents_that_fit, tokens_for
from targets import ENV, TARGETS


def turn(
    name: str, data: Path, modes: Sequence[str], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Start one target, fill it step by step, end it; the report by mode."""
    target = TARGETS[name]
    agents = agents_that_fit(options.agents)
    tokens = tokens_for(name, data, agents)
    command = ["crowd.py", "--url", "", "--tokens", str(tokens), "--limit", str(options.limit)]
    with Server(target.command(data), data / "server.log", ENV, options.start_limit) as server:
        command[2] = server.url
        with Helper(*command) as coming:
            coming.hear(READY_S)
            time.sleep(options.settle)
            empty = resident(server.pid)
            few = step(server.pid, coming, agents * 2 // 5, empty, options)
            all_ = step(server.pid, coming, agents, empty, options)
            shares = Shares(server=server.pid)
            time.sleep(PING_S)
            _, cpu = shares.used()
            coming.say("look")
            told = coming.hear(READY_S)
    left = agents - told["connected"]
    return {
        modes[0]: {
            "agents": agents,
            "empty_mib": round(empty / 1024, 1),
            "few": few,
            "all": all_,
            "cpu": cpu,
            "crowd": told,
            "load_average": [round(value, 2) for value in os.getloadavg()],
            "errors": 0,
            "unfinished": left,
            "error_examples": [f"{left} agents are not connected: {told['told']}"] if left else [],
        }
    }


def step(
    pid: int, coming: Helper, agents: int, empty: float, options: argparse.Namespace
) -> dict[str, Any]:
    """Have so many agents, let the server rest, and look at it."""
    coming.say(f"connect {agents}")
    coming.hear(options.limit + READY_S)
    time.sleep(options.settle)
    now = resident(pid)
    return {
        "agents": agents,
        "mib": round(now / 1024, 1),
        "kib_each": round((now - empty) / agents, 2),
    }


def resident(pid: int) -> float:
    """KiB of a process in RAM.

    :raises ServerFailed: this system does not tell.
    """
    mib = resident_mib(pid)
    if mib is None:
        raise ServerFailed("the memory of a process is unknown: --mode idle needs /proc")
    return mib * 1024


def said(report: dict[str, Any]) -> str:
    """A turn in a few words."""
    return f"{report['few']['kib_each']} and {report['all']['kib_each']} KiB each"
