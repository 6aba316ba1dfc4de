"""Goodbyes to many, some in each turn of the reactor.

To close five thousand lines takes a tenth of a second, in which nobody else would be served.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agentcom.hub.link import Link, Roster
from agentcom.hub.pacing import Pacing, told

GOING_AWAY = 1001

AT_A_TIME = 128
"""Lines that are closed in one turn: 3 ms."""

Line = TypeVar("Line")


def close_all(
    clock: IReactorTime, lines: Iterable[Line], close: Callable[[Line], object]
) -> Deferred[None]:
    """Close those lines, the first of them now.

    :param close: called with each; must not raise.
    :returns: fires when all are closed.
    """
    rest = deque(lines)
    done: Deferred[None] = Deferred()

    def turn() -> None:
        for _ in range(min(AT_A_TIME, len(rest))):
            close(rest.popleft())
        if rest:
            clock.callLater(0, turn)
        else:
            done.callback(None)

    turn()
    return done


def say_goodbye(clock: IReactorTime, roster: Roster, pacing: Pacing) -> Deferred[None]:
    """Close every connection in the agent map, because the hub stops.

    :param pacing: tells each when to come back.
    :returns: fires when all are closed.
    """

    def close(link: Link) -> None:
        if roster.get(link.agent.agent_id) is link:
            link.close(GOING_AWAY, told("hub stopping", pacing.retry_after_ms()))

    # Each leaves the map, and the times to come back are for the number that there is now.
    pacing.tick()
    return close_all(clock, roster.values(), close)
