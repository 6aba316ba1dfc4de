"""How long is waited between tries."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.backoff import Backoff


class BackoffTests(SynchronousTestCase):
    def test_doubles_to_the_limit(self) -> None:
        """The ceiling doubles from the first second to the limit and stays there."""
        backoff = Backoff(lambda: 1.0, initial_s=1.0, max_s=60.0)
        delays = [backoff.next_delay() for _ in range(8)]
        self.assertEqual(delays, [1, 2, 4, 8, 16, 32, 60, 60])

    def test_full_jitter(self) -> None:
        """The whole delay is random, not only its end."""
        drawn = iter([0.0, 0.25, 0.5])
        backoff = Backoff(lambda: next(drawn))
        self.assertEqual([backoff.next_delay() for _ in range(3)], [0.0, 0.5, 2.0])

    def test_reset(self) -> None:
        """After a success the delays begin anew."""
        backoff = Backoff(lambda: 1.0)
        backoff.next_delay()
        backoff.next_delay()
        backoff.reset()
        self.assertEqual(backoff.next_delay(), 1.0)

    def test_at_least(self) -> None:
        """A wish of the hub is waited out before the jitter begins."""
        self.assertEqual(Backoff(lambda: 0.5).next_delay(30.0), 30.5)
