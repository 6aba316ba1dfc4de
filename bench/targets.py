"""What can be measured, and one turn of it: start a server, load it, end it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from load import SIZES
from measure import resident_mib
from servers import Server, ServerFailed

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ENV = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}


class Target(NamedTuple):
    """One server: how to start it on a data directory, and what it is.

    `bare` ones know WebSockets, but neither tasks nor tokens; `past` is what its database is filled
    with before.
    """

    command: Callable[[Path], list[str]]
    about: str
    push_only: bool = False
    bare: bool = False
    admin_token: bool = False
    past: str = ""


Turn = Callable[
    [str, Path, Sequence[str], argparse.Namespace],
    dict[str, dict[str, Any]],
]
"""Starts a target on a data directory, measures it and ends it; gives the reports by mode."""


def spine(*extra: str) -> Callable[[Path], list[str]]:
    """The command for the spine, with its options for the experiments."""
    return lambda data: [sys.executable, str(HERE / "spine.py"), "0", str(data), *extra]


def klein(data: Path) -> list[str]:
    return [sys.executable, str(HERE / "floor.py"), "0"]


def echo(*extra: str) -> Callable[[Path], list[str]]:
    """The command for the bare Autobahn server."""
    return lambda data: [sys.executable, str(HERE / "echo.py"), "0", *extra]


def relay(data: Path) -> list[str]:
    return [sys.executable, str(HERE / "relay.py"), "0"]


LOOPBACK = "tcp:0:interface=127.0.0.1"


def hub(data: Path) -> list[str]:
    # Not resolved: in a virtual environment the interpreter is a link, and twistd is beside it.
    twistd = Path(sys.executable).parent / "twistd"
    listen = ["--listen", LOOPBACK, "--data-dir", str(data)]
    return [str(twistd), "-n", "--pidfile=", "agentcom", *listen]


def two_ports(data: Path) -> list[str]:
    return [*hub(data), "--listen", LOOPBACK]


TARGETS = {
    "autobahn": Target(echo(), "a bare Autobahn server: handshake and echo", bare=True),
    "autobahn-site": Target(
        echo("--site"), "the same below a Klein site, with a /health that is a constant", bare=True
    ),
    "relay": Target(relay, "a bare Autobahn server that relays messages (messages)", bare=True),
    "klein": Target(klein, "a bare Klein route: pushes answered, nothing stored", push_only=True),
    "spine": Target(spine(), "Klein, Autobahn and the durable batch alone"),
    "hub": Target(hub, "AgentCom itself", admin_token=True),
    "hub-two-ports": Target(
        two_ports, "the hub with a port for agents and one for all else (storm)", admin_token=True
    ),
    "hub-ended": Target(hub, "the hub with many ended tasks", admin_token=True, past="ended"),
    "hub-queued": Target(
        hub, "the hub with many queued tasks that fit nobody", admin_token=True, past="queued"
    ),
    "spine-lean": Target(spine("--lean"), "the spine with the hub's shortcuts through Autobahn"),
    "spine-ordered": Target(
        spine("--lean", "--ordered-ids"), "spine-lean, with task ids that grow with time"
    ),
    "spine-1ms": Target(spine("--switch-interval", "1"), "the spine, switch interval 1 ms"),
    "spine-0.5ms": Target(spine("--switch-interval", "0.5"), "the spine, switch interval 0.5 ms"),
    "spine-inline": Target(spine("--commit-inline"), "the spine, COMMIT on the reactor thread"),
}


def turn(
    name: str, data: Path, modes: Sequence[str], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Start one target, load it in each mode, end it; the reports by mode."""
    target = TARGETS[name]
    reports = {}
    with Server(target.command(data), data / "server.log", ENV, options.start_limit) as server:
        for mode in modes:
            resident = resident_mib(server.pid)
            reports[mode] = report = load(target, server, data, mode, options)
            report["start_s"] = server.start_s
            report["resident_mib"] = {"before": resident, "after": resident_mib(server.pid)}
    commits = data / "commits.json"
    if commits.exists():
        for report in reports.values():
            report["commits"] = json.loads(commits.read_text())
    return reports


def load(
    target: Target, server: Server, data: Path, mode: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Run the load generator once; its report."""
    command = [sys.executable, str(HERE / "load.py"), "--mode", mode]
    command += ["--url", server.url, "--pid", str(server.pid)]
    for option in SIZES:
        value = getattr(options, option)
        if value is not None:
            command += [f"--{option.replace('_', '-')}", str(value)]
    if target.push_only:
        command.append("--push-only")
    if target.admin_token:
        command += ["--admin-token-file", str(data / "admin.token")]
    limit = options.warmup + options.seconds + 60
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode != 0:
        log = (data / "server.log").read_text(errors="replace")[-2000:]
        raise ServerFailed(f"load failed:\n{done.stderr[-2000:]}\nserver:\n{log}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report
