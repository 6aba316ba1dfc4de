"""Whether a peer is there: the first question of liveness (DESIGN.md).

On the injected clock, with pings of our own: Autobahn's run on the global
reactor and cut lines without a close code.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from agentcom.wire.frames import Limits

NOT_IDENTIFIED_IN_TIME = 4008
GONE_QUIET = 1002


class Peer(Protocol):
    """A connection that may fall silent.

    :ivar heard_at: when any byte came last, in seconds of the clock.
    """

    heard_at: float

    @property
    def identified(self) -> bool:
        """Whether it has said who it is."""

    def ping(self) -> None:
        """Send a WebSocket ping, if the line is open."""

    def close(self, code: int, reason: str) -> None:
        """Close with a code."""


class Alive:
    """Watches one connection: first that it identifies, then that it is not silent."""

    __slots__ = ("_clock", "_limits", "_peer", "_ping_at", "_timer")

    def __init__(
        self,
        peer: Peer,
        clock: IReactorTime,
        limits: Limits,
        identify_within_s: float,
    ) -> None:
        self._peer = peer
        self._clock = clock
        self._limits = limits
        self._ping_at = clock.seconds() + limits.ping_interval_s
        self._timer: IDelayedCall = clock.callLater(identify_within_s, self._late)

    def stop(self) -> None:
        """The line is down."""
        if self._timer.active():
            self._timer.cancel()

    def _late(self) -> None:
        if self._peer.identified:
            self._watch()
        else:
            self._peer.close(NOT_IDENTIFIED_IN_TIME, "no identify in time")

    def _watch(self) -> None:
        """Ping now and then; close when nothing at all has come for long."""
        limits = self._limits
        now = self._clock.seconds()
        silent = now - self._peer.heard_at
        if silent >= limits.silence_limit_s:
            self._peer.close(GONE_QUIET, "silent for too long")
            return
        if now >= self._ping_at:
            self._ping_at = now + limits.ping_interval_s
            self._peer.ping()
        wait = min(self._ping_at - now, limits.silence_limit_s - silent)
        self._timer = self._clock.callLater(wait, self._watch)
