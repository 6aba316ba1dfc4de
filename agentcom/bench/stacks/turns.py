"""How long the turns of a bare server's reactor are, told as the hub tells it.

A port of its own, for the bare Autobahn servers have no routes: `GET` there answers with the hub's
metric of the longest turns, whatever the path is. The turns themselves are left as they are: what
the hub does to them (`agentcom.shortcuts.polls`) is no part of a floor.
"""

from __future__ import annotations

from time import monotonic, thread_time
from typing import Any

from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import Site

from agentcom.bench.stalls import METRIC, WINDOWS_S
from agentcom.hub.turnlength import TurnLength


class Observed:
    """Stands between a reactor and its poller, and looks at the clock each time."""

    def __init__(self, poller: Any, turns: TurnLength) -> None:
        self._poll = poller.poll
        self._took = turns.took
        self.register = poller.register
        self.modify = poller.modify
        self.unregister = poller.unregister
        self._began = monotonic()
        self._cpu_began = thread_time()

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """What is ready, as the poller says it."""
        self._took(monotonic() - self._began, self._cpu_s)
        found: list[tuple[int, int]] = self._poll(timeout, most)
        self._began, self._cpu_began = monotonic(), thread_time()
        return found

    def _cpu_s(self) -> float:
        return thread_time() - self._cpu_began


class Told(Resource):
    """The longest turns, wherever one looks."""

    isLeaf = True

    def __init__(self, turns: TurnLength) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted
        self._turns = turns

    def render_GET(self, request: IRequest) -> bytes:
        lines = []
        for window in WINDOWS_S:
            for kind, found in zip(("wall", "cpu"), self._turns.longest(window), strict=True):
                lines.append(f'{METRIC}{{time="{kind}",window="{window}"}} {found}\n')
        return "".join(lines).encode()


def tell_turns(reactor: Any) -> int:
    """Observe the reactor from now on; the port that tells, or 0 where it cannot be observed."""
    poller = getattr(reactor, "_poller", None)
    if not hasattr(poller, "fromfd"):
        return 0
    turns = TurnLength(monotonic)
    reactor._poller = Observed(poller, turns)
    site = Site(Told(turns))
    site.noisy = False
    bound = reactor.listenTCP(0, site, interface="127.0.0.1")
    port: int = bound.getHost().port
    return port
