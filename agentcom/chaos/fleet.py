"""The agents of a run: processes that are killed, frozen and started again."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall

from agentcom.chaos import command
from agentcom.chaos.children import Child, Children
from agentcom.chaos.history import Refusal
from agentcom.chaos.plan import STAYS, Kind, Member

STOP_LIMIT_S = 20.0
"""A sidecar gives what it runs 10 s to end."""


class Told(msgspec.Struct):
    """What an older client prints of a refused report."""

    error: str
    task_id: str
    message_type: str


_TOLD = msgspec.json.Decoder(Told)

# The warning of a sidecar whose report of an end was refused.
_NOT_TAKEN = re.compile(r"the hub did not take the end of (?P<task_id>\S+): (?P<error>\w+)")


class Fleet:
    """All agents.

    :param sink: ``HOST:PORT`` of the sink.
    :param urls: where each agent finds the hub.
    :param refused: told of the refusals that agents tell.
    """

    def __init__(
        self,
        reactor: Any,
        children: Children,
        sink: str,
        urls: Mapping[str, str],
        refused: Callable[[Refusal], None],
    ) -> None:
        self._reactor = reactor
        self._children = children
        self._sink = sink
        self._urls = urls
        self._refused = refused
        self._tokens: dict[str, str] = {}
        self._members: dict[str, Member] = {}
        self._running: dict[str, Child] = {}
        self._away: dict[str, IDelayedCall] = {}
        self._frozen: dict[str, IDelayedCall] = {}

    def start(self, member: Member, token: str) -> None:
        """Start an agent for the first time."""
        self._members[member.name] = member
        self._tokens[member.name] = token
        self._start(member.name)

    async def kill(self, name: str, away_s: float) -> bool:
        """``kill -9``, and a start so many seconds later if it is one that returns.

        :returns: whether it was running.
        """
        if name not in self._running:
            return False
        self._thaw(name)
        child = self._running.pop(name)
        await child.kill()
        if self._members[name].returns:
            self._away[name] = self._reactor.callLater(away_s, self._return, name)
        return True

    def freeze(self, name: str, for_s: float) -> bool:
        """SIGSTOP, and SIGCONT so many seconds later; whether it was running."""
        if name not in self._running or name in self._frozen:
            return False
        self._running[name].signal(signal.SIGSTOP)
        self._frozen[name] = self._reactor.callLater(for_s, self._thaw, name)
        return True

    def settle(self) -> None:
        """Let go on, or come back, whoever was to do so later."""
        for name in list(self._frozen):
            self._thaw(name)
        for name, due in list(self._away.items()):
            due.cancel()
            self._return(name)

    async def stop(self) -> list[str]:
        """Stop all in good order; those that had to be killed."""
        for name in list(self._frozen):
            self._thaw(name)
        self.cancel()
        running, self._running = self._running, {}
        names = list(running)
        # Older clients know nothing of a good order.
        ended = await gatherResults(
            [
                Deferred.fromCoroutine(running[name].stop(self._reactor, STOP_LIMIT_S))
                for name in names
            ]
        )
        return [name for name, by_itself in zip(names, ended, strict=True) if not by_itself]

    def cancel(self) -> None:
        """Forget what was to be done later."""
        for due in [*self._away.values(), *self._frozen.values()]:
            due.cancel()
        self._away.clear()
        self._frozen.clear()

    def _return(self, name: str) -> None:
        del self._away[name]
        self._start(name)

    def _thaw(self, name: str) -> None:
        due = self._frozen.pop(name, None)
        if due is not None:
            if due.active():
                due.cancel()
            self._running[name].signal(signal.SIGCONT)

    def _start(self, name: str) -> None:
        member = self._members[name]

        def heard(line: str) -> None:
            refusal = refusal_in(member, line)
            if refusal is not None:
                self._refused(refusal)

        arguments = command_of(member, self._urls[name], self._sink)
        self._running[name] = self._children.start(
            name, arguments, heard, AGENTCOM_TOKEN=self._tokens[name]
        )


def refusal_in(member: Member, line: str) -> Refusal | None:
    """What an agent's line says of a report that the hub refused, if it does."""
    if member.kind is Kind.SIDECAR:
        found = _NOT_TAKEN.search(line)
        if found is None:
            return None
        told = Told(found["error"], found["task_id"], "end")
    elif line.startswith("{"):
        told = _TOLD.decode(line)
    else:
        return None
    return Refusal(
        agent_id=member.name,
        task_id=told.task_id,
        error=told.error,
        message_type=told.message_type,
    )


def command_of(member: Member, url: str, sink: str) -> list[str]:
    """How an agent is started."""
    capabilities = ["--capability", STAYS] if member.returns else []
    if member.kind is Kind.SIDECAR:
        script = str(Path(command.__file__).resolve())
        work = shlex.join([sys.executable, "-I", "-S", script, sink])
        told = ["--agent-id", member.name, "--exec", work, "--slots", str(member.slots)]
        return [sys.executable, "-m", "agentcom.cli", "--hub", url, "agent", *told, *capabilities]
    zero = ["--zero"] if member.kind is Kind.OLD_ZERO else []
    told = ["--url", url, "--agent-id", member.name, "--sink", sink]
    return [sys.executable, "-m", "agentcom.chaos.oldstyle", *told, *zero, *capabilities]
