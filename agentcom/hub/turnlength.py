"""How long the reactor's turns are: nobody is served within one but whom it is for.

A turn lasts from the moment at which the reactor has found out what there is to do until
it looks again.  Told by :mod:`agentcom.shortcuts.polls`, where the reactor can be observed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from agentcom.core.histogram import Histogram

TURN_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2.5)
"""Bounds of the length of a turn, in seconds."""

LONG_S = 0.005
"""Seconds of a turn from which on it is remembered which was the longest."""

KEPT_S = 60
"""Seconds for which the longest turn of each second is remembered."""

Told = Callable[[float, float], None]


class TurnLength:
    """The turns of one reactor, in seconds.

    :param seconds: a steady clock.
    :ivar wall: all turns.
    :ivar cpu: of those that took :data:`LONG_S` at the least, what they took of a processor:
        what is missing to their length was spent waiting, for a processor that others had,
        or for another thread that held the interpreter's lock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.wall = Histogram(TURN_S)
        self.cpu = Histogram(TURN_S)
        self._longest = [(-1, 0.0, 0.0)] * KEPT_S
        self._tell_s = inf
        self._told: Told | None = None

    def took(self, wall: float, cpu: Callable[[], float]) -> None:
        """A turn has ended.

        :param wall: its length.
        :param cpu: gives what of this it had a processor; only asked after a long one.
        """
        self.wall.add(wall)
        if wall >= LONG_S:
            self._long(wall, cpu())

    def longest(self, window_s: int = KEPT_S) -> tuple[float, float]:
        """The greatest length, and the most of a processor that a turn took, lately.

        :param window_s: whole seconds that are looked back, :data:`KEPT_S` at the most.
        """
        now = int(self._seconds())
        walls, cpus = [0.0], [0.0]
        for at, wall, cpu in self._longest:
            if now - window_s < at <= now:
                walls.append(wall)
                cpus.append(cpu)
        return max(walls), max(cpus)

    def tell(self, from_s: float | None, told: Told | None) -> None:
        """Have somebody told of turns of so many seconds (at least :data:`LONG_S`) and more.

        :param told: called with length and processor time; nobody is, where it is ``None``.
        """
        self._tell_s = inf if from_s is None else from_s
        self._told = told

    def _long(self, wall: float, cpu: float) -> None:
        self.cpu.add(cpu)
        if wall >= self._tell_s and self._told is not None:
            self._told(wall, cpu)
        now = int(self._seconds())
        place = now % KEPT_S
        at, longest, most = self._longest[place]
        if at == now:
            wall, cpu = max(wall, longest), max(cpu, most)
        self._longest[place] = (now, wall, cpu)
