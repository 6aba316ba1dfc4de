"""Buckets that are one number."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.bucket import wait_ms, with_one_more


class BucketTests(SynchronousTestCase):
    def test_fills_and_runs_dry(self) -> None:
        """So many at once, then one whenever one has run out."""
        dry_at: float | None = None
        for _ in range(3):
            dry_at = with_one_more(dry_at, 10.0, 2.0)
            self.assertIsNone(wait_ms(dry_at, 10.0, 6.0))
        more = with_one_more(dry_at, 10.0, 2.0)
        self.assertEqual(wait_ms(more, 10.0, 6.0), 2_000)
        self.assertEqual(wait_ms(with_one_more(dry_at, 11.5, 2.0), 11.5, 6.0), 500)
        self.assertIsNone(wait_ms(with_one_more(dry_at, 12.0, 2.0), 12.0, 6.0))

    def test_forgives(self) -> None:
        """Long dry is as good as new."""
        self.assertEqual(with_one_more(16.0, 100.0, 2.0), 102.0)
        self.assertEqual(with_one_more(None, 100.0, 2.0), 102.0)

    def test_rounding(self) -> None:
        """What sums are wrong by is not held against anybody; a wait is never 0."""
        self.assertIsNone(wait_ms(6.0 + 1e-7, 0.0, 6.0))
        self.assertEqual(wait_ms(6.0 + 1e-5, 0.0, 6.0), 1)
