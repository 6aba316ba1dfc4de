"""What can be measured: the hub, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agentcom.bench.options import Options
from agentcom.bench.programs import program, twistd
from agentcom.bench.servers import Running, Server

LOOPBACK = "tcp:0:interface=127.0.0.1"


class Target(NamedTuple):
    """One server: how to start it on a data directory, and what it is.

    A `hub` has tokens, tasks and agents; one that gives `answers_only` knows no tasks, it repeats
    constants; `past` is what a database is filled with before; `given` is the hub of `--hub`.
    """

    command: Callable[[Path], list[str]]
    about: str
    hub: bool = False
    answers_only: bool = False
    has_health: bool = True
    past: str = ""


Turn = Callable[[str, Path, Sequence[str], Options], dict[str, dict[str, Any]]]
"""Starts a target on a data directory, measures it and ends it; gives the reports by load."""


def spine(*extra: str) -> Callable[[Path], list[str]]:
    """The command for the spine, with its options for the experiments."""
    return lambda data: program("stacks.spine", "0", str(data), *extra)


def bare(name: str, *extra: str) -> Callable[[Path], list[str]]:
    """The command for a bare server."""
    return lambda data: program(f"stacks.{name}", "0", *extra)


def hub(data: Path) -> list[str]:
    """The command for the product with its defaults."""
    return twistd("agentcom", "--listen", LOOPBACK, "--data-dir", str(data))


def hub_with(*extra: str) -> Callable[[Path], list[str]]:
    """The same with more options."""
    return lambda data: [*hub(data), *extra]


TARGETS = {
    "web": Target(bare("web"), "bare twisted.web: posts answered, nothing stored", False, True),
    "klein": Target(bare("floor"), "bare Klein routes, likewise", False, True),
    "autobahn": Target(
        bare("echo"), "a bare Autobahn server: handshake and constants", False, True, False
    ),
    "autobahn-site": Target(
        bare("echo", "--site"), "the same below a Klein site, with a /health", False, True
    ),
    "relay": Target(
        bare("relay"), "a bare Autobahn server that relays messages", False, True, False
    ),
    "spine": Target(spine(), "Klein, Autobahn and the durable batch alone"),
    "spine-quick": Target(spine("--quick"), "the spine with the hub's shortcuts"),
    "hub": Target(hub, "AgentCom itself, or the hub of --hub", True),
    "hub-empty": Target(hub, "beside the hub of --hub, an empty one", True),
    "hub-plain": Target(hub_with("--shortcuts", "none"), "the hub without its shortcuts", True),
    "hub-two-ports": Target(
        hub_with("--listen", LOOPBACK), "the hub with a port for agents and one for all else", True
    ),
    "hub-ended": Target(hub, "the hub with many ended tasks", True, past="ended"),
    "hub-queued": Target(
        hub, "the hub with many queued tasks that fit nobody", True, past="queued"
    ),
    "spine-ordered": Target(
        spine("--quick", "--ordered-ids"), "spine-quick, with task ids that grow with time"
    ),
    "spine-1ms": Target(spine("--switch-interval", "1"), "the spine, switch interval 1 ms"),
    "spine-0.5ms": Target(spine("--switch-interval", "0.5"), "the spine, switch interval 0.5 ms"),
    "spine-inline": Target(spine("--commit-inline"), "the spine, COMMIT on the reactor thread"),
}
GIVEN = "hub"
"""The target that `--hub` replaces."""


def is_given(name: str, options: Options) -> bool:
    """Whether a target is somebody else's hub."""
    return name == GIVEN and options.given is not None


def serving(name: str, data: Path, options: Options, *more: str) -> Running:
    """A target, to be used with `with`.

    :param more: options of the hub, where it is started here.
    """
    if options.given is not None and is_given(name, options):
        return options.given
    target = TARGETS[name]
    token = data / "admin.token" if target.hub else None
    command = [*target.command(data), *(more if target.hub else ())]
    return Server(command, data / "server.log", options.start_limit, token)
