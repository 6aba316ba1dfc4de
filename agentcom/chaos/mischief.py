"""Carries out the steps of a plan: each at its time, on somebody who notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.task import deferLater

from agentcom.chaos.fleet import Fleet
from agentcom.chaos.history import AnyRecord, Done
from agentcom.chaos.hubprocess import HubProcess
from agentcom.chaos.pace import Pace
from agentcom.chaos.plan import CALLERS, Step, What
from agentcom.chaos.proxy import Door, Line

LOOK_EVERY_S, LOOK_LIMIT_S = 0.05, 5.0
"""How often, and how long, somebody is looked for who can be disturbed."""

SLOW_BY_S = 0.3
"""Seconds by which a slow line delays everything."""


class Mischief:
    """What is done to the hub, its agents and their lines.

    :param doors: the proxy's, by the name of whoever comes through them.
    :param record: told of each step when it is done.
    """

    def __init__(
        self,
        reactor: Any,
        hub: HubProcess,
        fleet: Fleet,
        doors: Mapping[str, Door],
        pace: Pace,
        record: Callable[[AnyRecord], None],
    ) -> None:
        self._reactor = reactor
        self._pace = pace
        self._hub = hub
        self._fleet = fleet
        self._doors = doors
        self._names = [name for name in doors if name != CALLERS]
        self._record = record

    async def do(self, step: Step) -> None:
        """Wait until it is time, and do it.

        :raises NoHub: the hub does not start again.
        """
        await self._pace.until(step.at_s)
        if step.what in (What.KILL_HUB, What.KILL_WRITER):
            self._done(step, None)
            await self._hub.kill(step.for_s, writer=step.what is What.KILL_WRITER)
            return
        until = self._reactor.seconds() + LOOK_LIMIT_S
        while self._reactor.seconds() < until:
            for who in self._from(str(step.who)):
                if await self._disturb(who, step):
                    self._done(step, who)
                    return
            await deferLater(self._reactor, LOOK_EVERY_S, lambda: None)

    def _from(self, name: str) -> list[str]:
        """Whom to disturb: this one, or the next who is not down."""
        if name not in self._names:
            return [name]
        first = self._names.index(name)
        return self._names[first:] + self._names[:first]

    async def _disturb(self, who: str, step: Step) -> bool:
        """Whether there was somebody to disturb."""
        if step.what is What.KILL_AGENT:
            return await self._fleet.kill(who, step.for_s)
        if step.what is What.FREEZE:
            return self._fleet.freeze(who, step.for_s)
        lines = list(self._doors[who].lines)
        for line in lines:
            disturb(line, step)
        return bool(lines)

    def _done(self, step: Step, who: str | None) -> None:
        self._record(Done(what=step.what.value, who=who, for_s=step.for_s))


def disturb(line: Line, step: Step) -> None:
    """Do to a line what the step says."""
    match step.what:
        case What.CLOSE:
            line.close()
        case What.RESET:
            line.reset()
        case What.HALF_TO_AGENT:
            line.half_close(line.near)
        case What.HALF_TO_HUB:
            line.half_close(line.far)
        case What.STALL:
            line.stall(step.for_s)
        case What.MUTE:
            line.mute(step.for_s)
        case What.SLOW:
            line.slow(step.for_s, SLOW_BY_S)
