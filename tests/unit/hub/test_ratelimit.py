"""Buckets of messages: how many at once, how many for long."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.errors import RateLimited
from agentcom.hub import ratelimit
from agentcom.hub.ratelimit import RateLimits


class RateLimitTests(SynchronousTestCase):
    """One bucket on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)

    def limits(self, rate: float | None) -> RateLimits:
        return RateLimits(rate, self.clock.seconds)

    def taken(self, limits: RateLimits, name: str = "a") -> int:
        """How many can be taken now."""
        count = 0
        while count < 1_000:
            try:
                limits.take(name)
            except RateLimited:
                break
            count += 1
        return count

    def test_burst_and_rate(self) -> None:
        """A full bucket gives four seconds' worth, then what comes in; never more than full."""
        limits = self.limits(50.0)
        self.assertEqual(self.taken(limits), 200)
        self.clock.advance(1)
        self.assertEqual(self.taken(limits), 50)
        self.clock.advance(3_600)
        self.assertEqual(self.taken(limits), 200)

    def test_slow(self) -> None:
        """Less than one in four seconds still lets one through."""
        limits = self.limits(0.1)
        self.assertEqual(self.taken(limits), 1)
        self.clock.advance(10)
        self.assertEqual(self.taken(limits), 1)

    def test_when_to_go_on(self) -> None:
        """After the time that is told one more can be taken, and not much earlier."""
        limits = self.limits(3.0)
        self.taken(limits)
        error = self.assertRaises(RateLimited, limits.take, "a")
        wait_ms = error.fields["retry_after_ms"]
        self.clock.advance(wait_ms / 1000 - 0.002)
        self.assertRaises(RateLimited, limits.take, "a")
        self.clock.advance(0.002)
        limits.take("a")

    def test_no_limit(self) -> None:
        """Without a rate there is none."""
        self.assertEqual(self.taken(self.limits(None)), 1_000)

    def test_refused_are_counted(self) -> None:
        """What was refused is counted, for all agents together."""
        limits = self.limits(1.0)
        self.taken(limits, "a")
        self.taken(limits, "b")
        self.assertEqual(limits.refused, 2)

    def test_forgets(self) -> None:
        """Agents that have not sent lately take no memory; those that have stay limited."""
        self.patch(ratelimit, "REMEMBERED", 10)
        limits = self.limits(1.0)
        for n in range(50):
            limits.take(f"old{n}")
        self.clock.advance(60)
        self.taken(limits, "new")
        for n in range(60):
            limits.take(f"more{n}")
        self.assertNotIn("old1", limits._dry_at)
        self.assertEqual(self.taken(limits, "new"), 0)
