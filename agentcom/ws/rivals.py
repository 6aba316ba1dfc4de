"""Agent ids that several connections fight over.

Two sidecars with one id replace each other for ever: each that is told so
connects again.  The newest wins at once, always.  But when the loser turns
out to be alive again and again, it is told later and later; until then its
line stands, so it does not come back, and only its reports are heard.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agentcom.hub.counts import Counts
from agentcom.hub.pacing import told

REPLACED = 4001

NAMED_AFTER = 3
"""Losers that were alive, one after the other, before it is called a fight."""

SLOWED_AFTER = 10
"""The same before losers are told late: who starts an agent anew a few times
with the last one still there is to see at once what happens."""

LONGEST_S = 30.0
"""Seconds for which a loser waits at the most, doubling from one to the other."""

CALM_S = 120.0
"""Seconds without a living loser until a fight is over."""

SAID_EVERY_S = 60.0
"""Seconds between two lines in the log about the same fight."""

LINGERING = 256
"""Losers of one agent id that wait; one more, and the first is told at once."""


class Rival(Protocol):
    """A connection, as far as a fight goes.

    :ivar peer: where it comes from, for the log.
    """

    peer: Any

    def close(self, code: int, reason: str) -> None:
        """Close it."""


class _Fight:
    """One agent id.  ``losers`` counts those who were alive."""

    __slots__ = ("losers", "over", "said_at", "waiting")

    def __init__(self, over: IDelayedCall) -> None:
        self.losers = 0
        self.over = over
        self.said_at: float | None = None
        self.waiting: dict[Rival, IDelayedCall] = {}

    @property
    def contested(self) -> bool:
        return self.losers >= NAMED_AFTER


class Rivals:
    """Slows down those who fight over an agent id."""

    log = Logger()

    def __init__(self, clock: IReactorTime, counts: Counts) -> None:
        self._clock = clock
        self._counts = counts
        self._fights: dict[str, _Fight] = {}

    def replaced(self, agent_id: str, older: Rival, newer: Rival) -> None:
        """A newer connection took over: tell the older one, now or later."""
        self._counts.replaced += 1
        fight = self._fights.get(agent_id)
        if fight is not None and fight.contested:
            self._say(agent_id, fight, older, newer)
        if fight is None or fight.losers < SLOWED_AFTER:
            older.close(REPLACED, "replaced")
            return
        wait = min(LONGEST_S, 2.0 ** (fight.losers - SLOWED_AFTER))
        if len(fight.waiting) >= LINGERING:
            self._tell(fight, next(iter(fight.waiting)), wait)
        fight.waiting[older] = self._clock.callLater(wait, self._tell, fight, older, wait)

    def gone(self, agent_id: str, older: Rival, alive: bool) -> None:
        """The line of a replaced connection is down.

        :param alive: something was heard on it after it was replaced.
        """
        fight = self._fights.get(agent_id)
        if fight is not None:
            timer = fight.waiting.pop(older, None)
            if timer is not None and timer.active():
                timer.cancel()
        if not alive:
            return
        if fight is None:
            fight = self._fights[agent_id] = _Fight(
                self._clock.callLater(CALM_S, self._calm, agent_id)
            )
        elif fight.over.active():
            fight.over.reset(CALM_S)
        fight.losers += 1
        if fight.losers == NAMED_AFTER:
            self._counts.contests += 1
            self._counts.contested += 1

    def vacant(self, agent_id: str) -> None:
        """The newest has gone: whoever lost to it last may come back now."""
        fight = self._fights.get(agent_id)
        if fight is not None and fight.waiting:
            self._tell(fight, next(reversed(fight.waiting)), 0.0)

    def contested(self, agent_id: str) -> bool:
        """Whether an agent id is being fought over now."""
        fight = self._fights.get(agent_id)
        return fight is not None and fight.contested

    def stop(self) -> None:
        """The hub stops: no more time passes."""
        for fight in self._fights.values():
            for timer in (fight.over, *fight.waiting.values()):
                if timer.active():
                    timer.cancel()
        self._fights.clear()

    def _tell(self, fight: _Fight, older: Rival, stay_away_s: float) -> None:
        timer = fight.waiting.pop(older, None)
        if timer is not None and timer.active():
            timer.cancel()
        older.close(REPLACED, told("replaced", int(stay_away_s * 1000)))

    def _say(self, agent_id: str, fight: _Fight, older: Rival, newer: Rival) -> None:
        now = self._clock.seconds()
        if fight.said_at is not None and now - fight.said_at < SAID_EVERY_S:
            return
        fight.said_at = now
        self.log.warn(
            "agent {agent_id} is fought over: connections from {older} and {newer} replace each "
            "other; stop one of them, or give it another agent id and token",
            agent_id=agent_id,
            older=older.peer,
            newer=newer.peer,
        )

    def _calm(self, agent_id: str) -> None:
        fight = self._fights[agent_id]
        if fight.waiting:
            # Those who wait are yet to show whether they live.
            fight.over = self._clock.callLater(CALM_S, self._calm, agent_id)
            return
        del self._fights[agent_id]
        if fight.contested:
            self._counts.contested -= 1
            self.log.info("agent {agent_id} is fought over no more", agent_id=agent_id)
