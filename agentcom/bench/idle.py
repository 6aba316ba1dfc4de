"""One turn of `idle`: what an identified agent costs that does nothing.

The memory of the server in RAM before anybody came, with two fifths of the agents and with all of
them, each after a while of rest; and, with all of them, the processor time of `--seconds`: half a
minute, in which each of them pings once, unless told otherwise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentcom.bench import stalls
from agentcom.bench.helpers import Helper
from agentcom.bench.measure import Shares, resident_mib
from agentcom.bench.options import Options
from agentcom.bench.servers import ServerFailed
from agentcom.bench.storm import READY_S, agents_that_fit, tokens_for
from agentcom.bench.targets import serving


def turn(
    name: str, data: Path, loads: Sequence[str], options: Options
) -> dict[str, dict[str, Any]]:
    """Start one target, fill it step by step, end it; the report by mode."""
    agents = agents_that_fit(options.agents)
    tokens = tokens_for(name, data, agents, options)
    crowd = ["--tokens", str(tokens), "--limit", str(options.limit)]
    with (
        serving(name, data, options) as server,
        Helper("loads.crowd", "--url", server.url, *crowd) as coming,
    ):
        coming.hear(READY_S)
        time.sleep(options.settle)
        empty = resident(server.pid)
        few = step(server.pid, coming, agents * 2 // 5, empty, options)
        all_ = step(server.pid, coming, agents, empty, options)
        shares = Shares(server=server.pid, crowd=coming.pid)
        time.sleep(options.seconds)
        _, cpu = shares.used()
        stall = stalls.ask(server.metrics, options.seconds)
        coming.say("look")
        told = coming.hear(READY_S)
    left = agents - told["connected"]
    return {
        loads[0]: {
            "agents": agents,
            "empty_mib": None if empty is None else round(empty / 1024, 1),
            "stall_ms": stall,
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
    pid: int | None, coming: Helper, agents: int, empty: float | None, options: Options
) -> dict[str, Any]:
    """Have so many agents, let the server rest, and look at it."""
    coming.say(f"connect {agents}")
    coming.hear(options.limit + READY_S)
    time.sleep(options.settle)
    now = resident(pid)
    return {
        "agents": agents,
        "mib": round(now / 1024, 1) if now is not None else None,
        "kib_each": None if now is None or empty is None else round((now - empty) / agents, 2),
    }


def resident(pid: int | None) -> float | None:
    """KiB of a process in RAM, `None` for one of another machine.

    :raises ServerFailed: this system does not tell.
    """
    mib = resident_mib(pid)
    if mib is None and pid is not None:
        raise ServerFailed("the memory of a process is unknown: idle needs /proc, use Linux")
    return None if mib is None else mib * 1024


def said(report: dict[str, Any]) -> str:
    """A turn in a few words."""
    return f"{report['few']['kib_each']} and {report['all']['kib_each']} KiB each"
