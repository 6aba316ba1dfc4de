"""The log of turns that are too long, with a thread's looks made by the test."""

from __future__ import annotations

import gc
import queue
import sys
from threading import active_count
from traceback import format_stack
from types import FrameType
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from agentcom import stalls
from agentcom.hub.turnlength import TurnLength
from agentcom.stalls import StallLog, Watchdog

LIMIT_S = 0.02


class Polls:
    """Says when the turn that goes on began."""

    def __init__(self) -> None:
        self.began: float | None = None


def here() -> FrameType:
    """A place that can be found in a stack."""
    return sys._getframe()


class StallLogTests(SynchronousTestCase):
    """One log; turns are told as the reactor's poller tells them."""

    def setUp(self) -> None:
        self.lines: list[str] = []

        def observe(event: Any) -> None:
            if event.get("log_namespace") == "agentcom.stalls.StallLog":
                self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.polls: Any = Polls()
        self.now = 100.0
        self.turns = TurnLength(lambda: self.now)
        self.stalls = StallLog(self.polls, self.turns, LIMIT_S, lambda: self.now)
        self.stalls.start()
        self.addCleanup(self.stalls.stop)

    def turn(self, *looks_after_s: float) -> None:
        """A turn of 50 ms, 30 of them with a processor, at which is looked so many times."""
        self.polls.began = began = self.now
        for after_s in looks_after_s:
            self.now = began + after_s
            self.stalls.look(here)
        self.now = began + 0.05
        self.turns.took(0.05, lambda: 0.03)

    def test_told(self) -> None:
        """A turn over the limit is a line with its length, its processor time and the place."""
        self.stalls.look(here)
        self.turn(LIMIT_S + 0.001)
        (line,) = self.lines
        self.assertIn("50 ms (processor time 30 ms", line)
        self.assertIn("in here", line)

    def test_looked_at_once(self) -> None:
        """The place is that of the moment at which the limit was passed."""
        self.turn(LIMIT_S + 0.001)
        self.now += stalls.EVERY_S
        self.polls.began = self.now
        self.now += LIMIT_S + 0.001
        self.stalls.look(here)
        self.stalls.look(lambda: self.fail("looked at twice"))
        self.turns.took(0.05, lambda: 0.03)
        self.assertEqual(len(self.lines), 2)

    def test_below_the_limit(self) -> None:
        """A shorter turn is none."""
        self.turns.took(LIMIT_S - 0.001, lambda: 0.0)
        self.assertEqual(self.lines, [])

    def test_unseen(self) -> None:
        """A turn that was over before anybody looked again is told without a place."""
        self.turn(LIMIT_S / 2)
        (line,) = self.lines
        self.assertNotIn("it was here", line)

    def test_bounded(self) -> None:
        """One line a second at the most; the next one tells how many were left out."""
        for _ in range(3):
            self.turn()
        self.assertEqual(len(self.lines), 1)
        self.now += stalls.EVERY_S
        self.turn()
        self.assertIn("2 such turns", self.lines[-1])

    def collect(self) -> None:
        """The collector takes 40 ms, as it says itself."""
        self.stalls._collected("start", {})
        self.now += 0.04
        self.stalls._collected("stop", {})

    def test_garbage(self) -> None:
        """What the collector took of the turn is told apart."""
        self.polls.began = self.now
        self.collect()
        self.turns.took(0.05, lambda: 0.05)
        self.assertIn("collecting garbage 40 ms", self.lines[-1])

    def test_garbage_of_another_turn(self) -> None:
        """What it took before does not count."""
        self.polls.began = self.now
        self.collect()
        self.turn()
        self.assertIn("collecting garbage 0 ms", self.lines[-1])

    def test_thread(self) -> None:
        """The thread looks at the one that started it, and is gone when it is stopped."""
        seen: queue.Queue[FrameType | None] = queue.Queue()
        self.stalls.look = lambda frame: seen.put(frame())  # type: ignore[method-assign]
        before = active_count()
        watchdog = Watchdog(self.stalls)
        watchdog.start()
        frame = seen.get(timeout=10)
        assert frame is not None
        stack = "".join(format_stack(frame))
        self.assertIn("test_thread", stack)
        watchdog.stop()
        self.assertEqual(active_count(), before)

    def test_stop(self) -> None:
        """Afterwards nothing is told, the collector tells nobody, and the thread is gone."""
        self.stalls.stop()
        self.stalls.stop()
        self.turns.took(1.0, lambda: 1.0)
        self.assertEqual(self.lines, [])
        self.assertNotIn(self.stalls._collected, gc.callbacks)
