"""One turn of `messages`: messages from one agent to another, and from one to all.

`gossip.py` is the agents. The direct ones come first, while only those two are connected. The hub
runs without its limit on messages a second; all else is its default. A broadcast reaches everybody
who is connected, so a hub of somebody else is given direct ones only (see `shapes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentcom.bench import stalls
from agentcom.bench.helpers import Helper
from agentcom.bench.measure import resident_mib
from agentcom.bench.options import Options
from agentcom.bench.servers import ServerFailed
from agentcom.bench.storm import READY_S, agents_that_fit, tokens_for
from agentcom.bench.targets import serving

UNDER_WAY = {"direct": 200, "broadcast": 4}


def turn(
    name: str, data: Path, loads: Sequence[str], options: Options
) -> dict[str, dict[str, Any]]:
    """Start one target, have its agents talk, end it; the reports by mode."""
    most = agents_that_fit(options.agents)
    tokens = tokens_for(name, data, most, options)
    reports = {}
    with serving(name, data, options, "--message-rate", "unlimited") as server:
        arguments = ["--url", server.url, "--tokens", str(tokens)]
        if server.pid is not None:
            arguments += ["--pid", str(server.pid)]
        with Helper("loads.gossip", *arguments) as talking:
            for load in loads:
                agents = 2 if load == "direct" else most
                talking.say(f"connect {agents}")
                if talking.hear(options.limit + READY_S)["identified"] != agents:
                    raise ServerFailed(f"not all of {agents} agents have identified")
                talking.say(f"{load} {UNDER_WAY[load]} {options.warmup} {options.seconds}")
                report = talking.hear(options.warmup + options.seconds + READY_S)
                report["stall_ms"] = stalls.ask(server.metrics, options.seconds)
                report["agents"] = agents
                report["resident_mib"] = resident_mib(server.pid)
                reports[load] = report
    return reports


def said(report: dict[str, Any]) -> str:
    """A turn in a few words."""
    return f"{report['delivered_per_s']:.0f}/s"
