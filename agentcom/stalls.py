"""Where the reactor was when a turn got too long: one line of the log for each such turn.

A thread looks at the turn that goes on and notes the stack once it has passed the limit;
what the turn took in the end is known, and told, when it is over.  The thread costs about
a percent of a processor, so it is there on request only (``--stall-log-ms``).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from threading import Event, Thread, get_ident
from time import monotonic
from traceback import format_stack
from types import FrameType

from twisted.logger import Logger

from agentcom.hub.turnlength import TurnLength
from agentcom.shortcuts.polls import Polls

EVERY_S = 1.0
"""Seconds between two lines at the least; how many were left out is told."""

FRAMES = 24
"""Innermost frames of a stack that are told."""

MOST_STEP_S = 0.05
"""Seconds between two looks at the most."""


class StallLog:
    """Tells of the turns of one reactor that take longer than a limit.

    :param polls: knows when the turn that goes on began.
    :param turns: tells of those that are over.
    :param limit_s: seconds.
    :param seconds: the steady clock that the poller goes by.
    """

    log = Logger()

    def __init__(
        self,
        polls: Polls,
        turns: TurnLength,
        limit_s: float,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._seconds = seconds
        self._polls = polls
        self._turns = turns
        self.limit_s = limit_s
        self._seen: float | None = None
        self._stack = ""
        self._told_at: float | None = None
        self._left_out = 0
        self._gc_began = self._gc_s = 0.0
        self._gc_turn: float | None = None

    def start(self) -> None:
        """Be told of what is over from now on."""
        self._turns.tell(self.limit_s, self.ended)
        gc.callbacks.append(self._collected)

    def stop(self) -> None:
        """Be told of nothing more."""
        self._turns.tell(None, None)
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def look(self, frame: Callable[[], FrameType | None]) -> None:
        """Note where the turn is, if it has just passed the limit.

        :param frame: gives the innermost frame of the reactor's thread.
        """
        began = self._polls.began
        if began is None or began == self._seen or self._seconds() - began < self.limit_s:
            return
        self._seen = began
        self._stack = "".join(format_stack(frame(), FRAMES))

    def ended(self, wall: float, cpu: float) -> None:
        """A turn that was too long is over.

        :param wall: seconds that it took.
        :param cpu: seconds of a processor.
        """
        stack, self._stack = self._stack, ""
        collected = self._gc_s if self._gc_turn == self._polls.began else 0.0
        now = self._seconds()
        if self._told_at is not None and now - self._told_at < EVERY_S:
            self._left_out += 1
            return
        self._told_at = now
        left_out, self._left_out = self._left_out, 0
        self.log.warn(
            "the reactor was busy for {wall_ms} ms (processor time {cpu_ms} ms, collecting garbage "
            "{gc_ms} ms); {left_out} such turns since the last of these lines"
            "{stack}",
            wall_ms=round(wall * 1000),
            cpu_ms=round(cpu * 1000),
            gc_ms=round(collected * 1000),
            left_out=left_out,
            stack=f"; at the limit it was here:\n{stack}" if stack else "",
        )

    def _collected(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._gc_began = self._seconds()
        else:
            turn = self._polls.began
            if turn != self._gc_turn:
                self._gc_turn, self._gc_s = turn, 0.0
            self._gc_s += self._seconds() - self._gc_began


class Watchdog:
    """The thread that looks, as often as the limit asks for.

    :param stalls: is made to look at the thread that starts this.
    """

    def __init__(self, stalls: StallLog) -> None:
        self._stalls = stalls
        self._over = Event()
        self._reactor_thread = 0
        self._thread = Thread(target=self._watch, name="stalls", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._reactor_thread = get_ident()
        self._stalls.start()
        self._thread.start()

    def stop(self) -> None:
        """End; not to be started again."""
        self._over.set()
        self._thread.join()
        self._stalls.stop()

    def _watch(self) -> None:
        step_s = min(self._stalls.limit_s / 2, MOST_STEP_S)
        while not self._over.wait(step_s):
            self._stalls.look(lambda: sys._current_frames().get(self._reactor_thread))
