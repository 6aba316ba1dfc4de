"""What the load generator can do to a server, one mode for each thing that is measured.

`load.py` connects the agents that do the work; this module connects those who submit it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from agentcom.bench.loads.callers import (
    Caller,
    ClosedLoop,
    Paced,
    batch_request,
    push_request,
    task_request,
)
from agentcom.bench.loads.sockets import Agent, Submitter
from agentcom.bench.loads.tally import UNBOUNDED, Tally

NO_TOKEN = "0" * 64
SETUP_S = 15.0

P = TypeVar("P", bound=asyncio.Protocol)


class Mode(NamedTuple):
    """A kind of load, with its usual number of connections and of tasks that may be open."""

    about: str
    connections: int
    most_open: int = UNBOUNDED


MODES = {
    "push": Mode("single pushes to a named agent, the next one when it was answered", 32),
    "single": Mode("POST /api/tasks, the next one when it was answered", 32, 1600),
    "batch": Mode("POST /api/tasks/batch over a few connections", 4, 1600),
    "ws": Mode("task_submit over a few WebSockets, a window of them unanswered", 4, 1600),
    "latency": Mode("POST /api/tasks at an even pace, whatever the server does", 64),
}


class Crowd(NamedTuple):
    """Those who submit: `pump` makes them begin, all else follows from what the server says."""

    pump: Callable[[], None]
    members: Sequence[Caller | Submitter]

    def busy(self) -> int:
        """How many submissions wait for their answer."""
        return sum(member.busy for member in self.members)


async def connect(url: str, tally: Tally, options: argparse.Namespace) -> Crowd:
    """Connect everybody; agents first, because a push to one that is not there is refused."""
    agents = [f"{options.name}-{number}" for number in range(options.agents)]
    submitters = [f"{options.name}-submitter-{number}" for number in range(options.connections)]
    http, tokens = NO_TOKEN, dict.fromkeys([*agents, *submitters], NO_TOKEN)
    if options.admin_token_file is not None:
        http = options.admin_token_file.read_text().strip()
        wanted = [*agents, *submitters] if options.mode == "ws" else agents
        tokens = agent_tokens(url, http, wanted)
    needs = [options.capability] if options.capability else []
    if not options.answers_only:
        for agent in agents:
            peer = await reach(url, partial(Agent, tally, agent, tokens[agent], capabilities=needs))
            await peer.identified
    if options.mode == "ws":
        return await connect_sockets(
            url, tally, {name: tokens[name] for name in submitters}, options, needs
        )
    more = {"capabilities": needs} if needs else {}
    sender = http_sender(tally, agents, http, options, more)
    callers = []
    for _ in range(options.connections):
        caller = await reach(url, partial(Caller, tally, sender.tasks, sender.free))
        sender.free(caller)
        callers.append(caller)
    return Crowd(sender.pump, callers)


def http_sender(
    tally: Tally,
    agents: list[str],
    token: str,
    options: argparse.Namespace,
    more: dict[str, Any],
) -> ClosedLoop | Paced:
    """Who decides when the next request leaves, and what it is.

    :param more: fields of each task.
    """
    if options.mode == "latency":
        return Paced(tally, task_request(token, **more), options.rate)
    if options.mode == "single":
        return ClosedLoop(tally, [task_request(token, **more)], 1)
    if options.mode == "batch":
        size = options.batch_size
        return ClosedLoop(tally, [batch_request(token, size, **more)], size)
    return ClosedLoop(tally, [push_request(agent, token) for agent in agents], 1)


async def connect_sockets(
    url: str,
    tally: Tally,
    tokens: dict[str, str],
    options: argparse.Namespace,
    needs: Sequence[str],
) -> Crowd:
    """The submitters of `ws`; they share the window of unanswered submissions."""
    window = max(1, options.window // len(tokens))
    members = []
    for name, token in tokens.items():
        member = await reach(url, partial(Submitter, tally, name, token, window, needs))
        await member.identified
        members.append(member)

    def pump() -> None:
        for member in members:
            member.pump()

    tally.ended = pump
    return Crowd(pump, members)


async def reach(url: str, make: Callable[[], P]) -> P:
    """Open one connection."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(make, parts.hostname or "", parts.port or 0)
    return peer


def agent_tokens(url: str, admin_token: str, agents: list[str]) -> dict[str, str]:
    """Have the hub make one token for each agent."""
    tokens = {}
    for agent in agents:
        request = urllib.request.Request(
            url + "/admin/tokens",
            data=json.dumps({"agent_id": agent}).encode(),
            headers={"Authorization": f"Bearer {admin_token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SETUP_S) as answer:
            tokens[agent] = json.load(answer)["token"]
    return tokens
