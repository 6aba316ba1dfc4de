"""Goodbyes to many, in the turns of a clock."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub import goodbyes
from agentcom.hub.goodbyes import AT_A_TIME, GOING_AWAY, close_all
from agentcom.hub.pacing import COMEBACKS_A_SECOND
from tests.unit.http.support import HttpCase

TURN_S = 0.001


class Turns(Clock):
    """What is to be called at once is called in the next turn, as by a reactor."""

    def callLater(self, delay: float, callable: Any, *args: Any, **kw: Any) -> IDelayedCall:
        return super().callLater(max(delay, TURN_S), callable, *args, **kw)

    def turn(self) -> None:
        """Let one turn pass."""
        self.advance(TURN_S)


class CloseAllTests(SynchronousTestCase):
    """Lines that are numbers."""

    def test_some_in_a_turn(self) -> None:
        """The first are closed at once, the others some in each turn, in order, until all are."""
        clock, closed = Turns(), list[int]()
        done = close_all(clock, range(2 * AT_A_TIME + 1), closed.append)
        for most in (AT_A_TIME, 2 * AT_A_TIME, 2 * AT_A_TIME + 1):
            self.assertEqual((closed, done.called), ([*range(most)], most > 2 * AT_A_TIME))
            clock.turn()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_nobody(self) -> None:
        """It is over at once where there is nobody."""
        self.successResultOf(close_all(Clock(), (), self.fail))


class StopTests(HttpCase):
    """A hub with more agents than are told in one turn."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(goodbyes, "AT_A_TIME", 2)
        self.agents = [self.hub.agent(f"a{number}") for number in range(5)]

    def test_all_are_told(self) -> None:
        """Each agent hears that the hub stops, and when to come back."""
        done = self.hub.hub.stop()
        self.assertEqual((len(self.hub.hub.roster), done.called), (3, False))
        self.hub.settle()
        self.successResultOf(done)
        for agent in self.agents:
            code, reason = agent.closed or (None, "")
            self.assertEqual(code, GOING_AWAY)
            self.assertTrue(re.fullmatch(r"hub stopping; retry_after_ms=\d+", reason or ""))

    def test_one_that_goes_meanwhile(self) -> None:
        """Who leaves before its turn is not closed again."""
        done = self.hub.hub.stop()
        self.hub.hub.roster["a4"].close(4003, "token revoked")
        self.hub.settle()
        self.successResultOf(done)
        self.assertEqual(
            [agent.closed and agent.closed[0] for agent in self.agents], [GOING_AWAY] * 4 + [4003]
        )
        self.assertEqual(self.hub.hub.counts.closed[GOING_AWAY], 4)

    def test_times_for_all(self) -> None:
        """The last one's time to come back is within the window for all that there were."""
        asked = []
        pacing = self.hub.hub.pacing

        def most() -> int:
            asked.append(pacing._window_s())
            return 0

        self.patch(pacing, "retry_after_ms", most)
        self.hub.hub.stop()
        self.hub.settle()
        self.assertEqual(asked, [5 / COMEBACKS_A_SECOND] * 5)
