"""One turn of `--mode messages`: messages from one agent to another, and from one to all.

`gossip.py` is the agents. The direct ones come first, while only those two are connected. The hub
runs without its limit on messages a second; all else is its default.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers import Helper
from measure import resident_mib
from servers import Server, ServerFailed
from storm import READY_S, agents_that_fit, tokens_for
from targets import ENV, TARGETS

UNDER_WAY = {"direct": 200, "broadcast": 4}


def turn(
    name: str, data: Path, modes: Sequence[str], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Start one target, have its agents talk, end it; the reports by mode."""
    target = TARGETS[name]
    most = agents_that_fit(options.agents)
    tokens = tokens_for(name, data, most)
    command = target.command(data)
    if not target.bare:
        command += ["--message-rate", "unlimited"]
    reports = {}
    with Server(command, data / "server.log", ENV, options.start_limit) as server:
        arguments = ["--url", server.url, "--tokens", str(tokens), "--pid", str(server.pid)]
        with Helper("gossip.py", *arguments) as talking:
            for mode in modes:
                agents = 2 if mode == "direct" else most
                talking.say(f"connect {agents}")
                if talking.hear(options.limit + READY_S)["identified"] != agents:
                    raise ServerFailed(f"not all of {agents} agents have identified")
                talking.say(f"{mode} {UNDER_WAY[mode]} {options.warmup} {options.seconds}")
                report = talking.hear(options.warmup + options.seconds + READY_S)
                report["agents"] = agents
                report["resident_mib"] = resident_mib(server.pid)
                reports[mode] = report
    return reports


def said(report: dict[str, Any]) -> str:
    """A turn in a few words."""
    return f"{report['delivered_per_s']:.0f}/s"
