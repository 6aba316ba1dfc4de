"""Bad tokens are counted by address, and past a number refused for a time."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub import failures
from agentcom.hub.counts import Counts
from agentcom.hub.failures import AT_ONCE, EVERY_S, Failures, group_of


class FailuresTests(SynchronousTestCase):
    """On a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counts = Counts()
        self.failures = Failures(self.clock.seconds, self.counts)

    def fail_all(self, address: str, times: int = AT_ONCE) -> None:
        for _ in range(times):
            self.assertIsNone(self.failures.failed(address, "http"))

    def test_burst(self) -> None:
        """So many come at once, then one each three seconds."""
        self.fail_all("192.0.2.1")
        for _ in range(3):
            # A refused one costs nothing: who goes on is not shut out for ever.
            self.assertEqual(self.failures.failed("192.0.2.1", "http"), EVERY_S * 1000)
        self.clock.advance(EVERY_S - 0.001)
        self.assertEqual(self.failures.failed("192.0.2.1", "http"), 1)
        self.clock.advance(0.001)
        self.assertIsNone(self.failures.wait_ms("192.0.2.1"))
        self.fail_all("192.0.2.1", 1)
        self.assertIsNotNone(self.failures.wait_ms("192.0.2.1"))
        self.clock.advance(AT_ONCE * EVERY_S)
        self.fail_all("192.0.2.1")

    def test_others(self) -> None:
        """Another address is another matter; a neighbour in an IPv6 network is not."""
        self.fail_all("192.0.2.1")
        self.assertIsNone(self.failures.wait_ms("192.0.2.2"))
        self.fail_all("2001:db8:0:1::1")
        self.assertIsNotNone(self.failures.wait_ms("2001:db8:0:1:ffff::2"))
        self.assertIsNone(self.failures.wait_ms("2001:db8:0:2::1"))

    def test_unknown(self) -> None:
        """A peer without an address is counted and never refused."""
        self.fail_all("unknown", 3 * AT_ONCE)
        self.assertEqual(self.counts.auth_failures["http"], 3 * AT_ONCE)
        self.assertEqual(len(self.failures), 0)

    def test_counts(self) -> None:
        """All are counted by their kind, and those that were refused."""
        self.fail_all("192.0.2.1")
        self.failures.failed("192.0.2.1", "session")
        self.failures.failed("192.0.2.2", "websocket")
        self.assertEqual(self.counts.auth_failures, {"http": AT_ONCE, "session": 1, "websocket": 1})
        self.assertEqual(self.counts.auth_throttled, 1)

    def test_remembered(self) -> None:
        """Only so many addresses are remembered: the one last heard of first is forgotten."""
        self.patch(failures, "REMEMBERED", 3)
        self.fail_all("192.0.2.1")
        for n in range(2, 4):
            self.failures.failed(f"192.0.2.{n}", "http")
        self.clock.advance(EVERY_S)
        self.fail_all("192.0.2.1", 1)
        self.failures.failed("192.0.2.4", "http")
        self.assertEqual(len(self.failures), 3)
        self.assertIsNotNone(self.failures.wait_ms("192.0.2.1"))
        for n in range(5, 8):
            self.failures.failed(f"192.0.2.{n}", "http")
        self.assertEqual(len(self.failures), 3)
        self.assertIsNone(self.failures.wait_ms("192.0.2.1"))

    def test_groups(self) -> None:
        """IPv4 addresses stand alone, IPv6 ones for their network; what is none, for itself."""
        for address, group in (
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("unix", "unix"),
            ("a:b", "a:b"),
        ):
            self.assertEqual(group_of(address), group)
