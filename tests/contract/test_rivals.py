"""Connections that fight over one agent id: the newest wins, the losers are slowed down.

Each loser lives and would come back as soon as it is told: what is measured is when it is told.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogPublisher

from agentcom.testing import FakeAgent
from agentcom.ws import rivals
from tests.contract.helpers import HubTests, never_closes


class FightTests(HubTests):
    """Two sidecars have one agent id."""

    def setUp(self) -> None:
        super().setUp()
        self.said: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.said.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.said.append)
        self.standing = self.hub.agent("a")

    def flip(self) -> FakeAgent:
        """One more connection takes over; gives the loser."""
        loser, self.standing = self.standing, self.hub.agent("a")
        return loser

    def named(self) -> list[dict[str, Any]]:
        return [e for e in self.said if "fought over: " in e.get("log_format", "")]

    @property
    def counts(self) -> Any:
        return self.hub.hub.counts

    def fight(self, times: int) -> None:
        for _ in range(times):
            self.flip()

    def test_newest_wins_at_once_always(self) -> None:
        """However long the fight lasts, the newest is identified at once and gets the tasks."""
        for _ in range(30):
            self.flip()
            task_id = self.accepted(self.standing)
            self.assert_answer(self.standing.say("task_complete", task_id=task_id), "task_ack")

    def test_losers_are_told_later_and_later(self) -> None:
        """A loser hears of it after a doubling time, of 30 seconds at the most, and is told
        for how long to stay away."""
        self.fight(rivals.SLOWED_AFTER)
        for wait in (1, 2, 4, 8, 16, 30, 30):
            loser = self.flip()
            self.hub.advance(wait - 0.25)
            self.assertIsNone(loser.closed, f"before {wait} s")
            self.hub.advance(0.25)
            self.assertEqual(loser.closed, (4001, f"replaced; retry_after_ms={wait * 1000}"))

    def test_loser_that_waits_hears_pong_and_nothing_else(self) -> None:
        """Its ping is answered, or it would think the line dead and come back; messages and new
        tasks are not its own, and whatever else it says is refused."""
        self.fight(rivals.SLOWED_AFTER)
        loser = self.flip()
        seen = len(loser.frames)
        self.hub.push("a")
        self.assert_error(loser.say("status", status="mine", ref=7), "replaced", ref=7)
        self.assert_answer(loser.say("ping"), "pong")
        self.assertEqual(len(loser.frames), seen + 2)
        self.assertEqual(
            self.hub.request("GET", "/api/agents").body["agents"][0]["status"], "connected"
        )

    def test_reports_of_one_that_waits_count(self) -> None:
        """What it was working on it may still report."""
        task_id = self.accepted(self.standing)
        self.fight(rivals.SLOWED_AFTER)
        loser = self.flip()
        answers = loser.say("task_complete", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="complete")
        self.assert_task(task_id, status="completed")

    def test_loser_that_leaves_by_itself(self) -> None:
        """One that goes before it was told changes nothing for the newest."""
        self.fight(rivals.SLOWED_AFTER)
        self.flip().vanish()
        self.hub.advance(60)
        self.assertIsNone(self.standing.closed)
        self.assertEqual(self.hub.request("GET", "/health").body["agents_connected"], 1)

    def test_it_is_named(self) -> None:
        """The log names the agent and both addresses, once a minute; the counters tell, too."""
        self.fight(rivals.NAMED_AFTER)
        self.assertEqual(self.named(), [])
        self.fight(5)
        (event,) = self.named()
        self.assertEqual(event["agent_id"], "a")
        self.assertTrue(event["older"] and event["newer"], event)
        self.hub.advance(61)
        self.fight(1)
        self.assertEqual(len(self.named()), 2)
        self.assertEqual((self.counts.contests, self.counts.contested), (1, 1))
        self.assertEqual(self.counts.replaced, rivals.NAMED_AFTER + 6)

    def test_it_is_over(self) -> None:
        """Two minutes of peace, and all is forgotten."""
        self.fight(rivals.SLOWED_AFTER + 1)
        self.assertEqual(self.counts.contested, 1)
        self.hub.advance(300)
        self.assertEqual(self.counts.contested, 0)
        loser = self.flip()
        self.assertEqual(loser.closed, (4001, "replaced"))

    def test_dead_lines_are_no_fight(self) -> None:
        """An agent whose lines die in silence, again and again, is neither named nor slowed."""
        for _ in range(20):
            never_closes(self.standing)
            self.flip()
            self.hub.advance(6)
        self.assertEqual(self.named(), [])
        self.assertEqual((self.counts.contests, self.counts.contested), (0, 0))

    def test_others_are_not_harmed(self) -> None:
        """Other agents, and what watches, see none of it: no presence, no delay."""
        other = self.hub.agent("b", presence="events")
        self.fight(30)
        self.assertEqual(other.of("agent_left") + other.of("agent_joined"), [])
        task_id = self.accepted(other)
        self.assert_answer(other.say("task_complete", task_id=task_id), "task_ack")
        self.assertEqual(self.flip_of(other).closed, (4001, "replaced"))

    def flip_of(self, other: FakeAgent) -> FakeAgent:
        self.hub.agent("b")
        return other

    def test_many_losers_are_bounded(self) -> None:
        """Of more losers than may wait, the first is told at once."""
        self.patch(rivals, "LINGERING", 3)
        self.fight(rivals.SLOWED_AFTER)
        losers = [self.flip() for _ in range(5)]
        self.assertEqual([loser.closed is not None for loser in losers], [True, True] + [False] * 3)

    def test_stop(self) -> None:
        """A hub that stops tells those who wait, too, and sends nobody back to itself."""
        self.fight(rivals.SLOWED_AFTER)
        loser = self.flip()
        self.hub.parts.factory.rivals.stop()
        self.hub.hub.stop()
        for connection in list(self.hub.parts.factory.connections):
            connection.close(1001, "hub stopping")
        self.hub.settle()
        self.assertEqual(loser.closed and loser.closed[0], 1001)


class PeaceTests(HubTests):
    """One of two that fought is stopped."""

    def test_loser_comes_back_at_once(self) -> None:
        """When the newest goes, the last loser that waits is told so, with no time to stay away."""
        lines = [self.hub.agent("a") for _ in range(rivals.SLOWED_AFTER + 3)]
        *_, first, second, newest = lines
        self.assertEqual((first.closed, second.closed), (None, None))
        newest.sendClose(1000)
        self.hub.settle()
        self.assertEqual(second.closed, (4001, "replaced; retry_after_ms=0"))
        self.assertIsNone(first.closed)
        back = self.hub.agent("a")
        self.hub.advance(40)
        self.assertEqual((back.closed, first.closed and first.closed[0]), (None, 4001))
