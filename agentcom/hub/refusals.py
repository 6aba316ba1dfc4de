"""How much of what a hub is asked for it has refused lately.

Looked at by :mod:`.load` in each turn of the reactor.
"""

from __future__ import annotations

STEADY = 0.75
"""The part of its time in which a hub that has too much to do refuses something."""


class Refusals:
    """What was refused since a moment ago, and for how much of the time.

    :ivar many: how many, in this second.
    :ivar retry_s: seconds in which those who were refused can be taken.
    :ivar light_s: seconds for which less than :data:`STEADY` of the time had a refusal.
    """

    def __init__(self) -> None:
        self.many = 0
        self.retry_s = 0.0
        self.light_s = 0.0
        self._in_this_turn = False
        self._steady_s = 0.0
        self._looked_at = 0.0
        self._second_at = 0.0

    def start(self, now: float) -> None:
        """Look from now on, in seconds of a clock."""
        self._looked_at = self._second_at = now

    def add(self) -> None:
        """One more."""
        self.many += 1
        self._in_this_turn = True

    def turn(self, now: float, taken: int) -> bool:
        """A turn of the reactor ended; whether a second ended with it.

        :param taken: how many were not refused in this second.
        """
        if self._in_this_turn:
            self._steady_s += now - self._looked_at
        self._in_this_turn = False
        self._looked_at = now
        passed_s = now - self._second_at
        if passed_s < 1.0:
            return False
        light = self._steady_s < STEADY * passed_s
        self.light_s = self.light_s + passed_s if light else 0.0
        # They come back at the pace at which others are taken.
        self.retry_s = (self.retry_s + self.many / max(1.0, taken / passed_s)) / 2
        self.many = 0
        self._steady_s = 0.0
        self._second_at = now
        return True
