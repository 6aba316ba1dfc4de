"""What is measured of a running hub, put together; nothing rests on it."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from agentcom.core.state import Status
from agentcom.hub.hub import Hub
from agentcom.hub.looplag import LoopLag
from agentcom.hub.series import Series, Sizes
from agentcom.hub.timings import Timings
from agentcom.hub.totals import Totals
from agentcom.hub.turnlength import TurnLength


class Measures:
    """Follows one hub.

    To be made before the hub starts: what it loaded is not new.

    :ivar started_at: Unix milliseconds.
    :ivar totals: ended tasks.
    :ivar lag: to be started where there is a real reactor.
    :ivar turns: to be told of its turns.
    """

    def __init__(self, hub: Hub, clock: IReactorTime) -> None:
        self._hub = hub
        self.started_at = hub.now()
        # Tasks that are worked on are held, and those are in memory whole.
        live = hub.ledger.live.values()
        self.timings = Timings(sum(task.status is Status.WORKING for task in live))
        self.series = Series(self.timings, self._sizes, clock.seconds)
        self.lag = LoopLag(clock)
        self.turns = TurnLength(clock.seconds)
        self.totals = totals = Totals(hub.store, self.timings, hub.archive.deleted, clock)
        hub.ledger.on_move(self.timings.follow)
        for tick in (self.series.tick, totals.tick):
            hub.agenda.every_tick(tick)

    def _sizes(self) -> Sizes:
        return Sizes(len(self._hub.dispatch.queue), len(self._hub.roster))
