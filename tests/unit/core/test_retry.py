"""The wait between attempts: its growth and its bounds."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.retry import Backoff, delay_ms

FACTOR = 1_000.0
"""The most that can be asked for; of attempts a thousand."""


class DelayTests(SynchronousTestCase):
    """``delay_ms``."""

    def test_as_usual(self) -> None:
        """Usually a second, doubling to a minute."""
        waits = [delay_ms(Backoff(), attempt, 1.0) for attempt in range(1, 9)]
        self.assertEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])

    def test_jitter(self) -> None:
        """Jitter takes up to half of the wait away."""
        waits = [delay_ms(Backoff(), 3, jitter) for jitter in (0.0, 0.25, 0.5, 1.0)]
        self.assertEqual(waits, [2_000, 2_500, 3_000, 4_000])

    def test_as_asked(self) -> None:
        """A task may ask for another beginning, growth and end."""
        backoff = Backoff(initial_s=0.1, factor=3.0, max_s=1.0)
        waits = [delay_ms(backoff, attempt, 1.0) for attempt in range(1, 6)]
        self.assertEqual(waits, [100, 300, 900, 1_000, 1_000])
        steady = Backoff(initial_s=5.0, factor=1.0)
        self.assertEqual({delay_ms(steady, attempt, 1.0) for attempt in range(1, 99)}, {5_000})

    def test_most_is_less_than_the_beginning(self) -> None:
        """``max_s`` counts also where it is under ``initial_s``."""
        self.assertEqual(delay_ms(Backoff(initial_s=10.0, max_s=2.0), 1, 1.0), 2_000)

    def test_no_wait(self) -> None:
        """With ``initial_s`` 0, or ``max_s`` 0, nothing waits, whichever attempt it was."""
        for backoff in (
            Backoff(initial_s=0.0),
            Backoff(initial_s=0.0, factor=FACTOR),
            Backoff(max_s=0.0),
        ):
            for attempt in (1, 2, 50, 103, 104, 1_000):
                self.assertEqual(delay_ms(backoff, attempt, 1.0), 0, (backoff, attempt))

    def test_overflow(self) -> None:
        """Growth beyond all numbers waits ``max_s``."""
        for attempt in (104, 1_000, 10**9):
            self.assertEqual(delay_ms(Backoff(factor=FACTOR), attempt, 1.0), 60_000)
        self.assertEqual(delay_ms(Backoff(initial_s=1e9, factor=FACTOR, max_s=1e9), 999, 0.0), 5e11)

    @settings(max_examples=500, deadline=None, derandomize=True, database=None)
    @given(
        st.just(0.0) | st.floats(1e-3, 1e9),
        st.floats(1, FACTOR),
        st.floats(0, 1e9),
        st.integers(1, 1_000),
        st.floats(0, 1),
    )
    @example(0.0, FACTOR, 60.0, 1_000, 1.0)
    @example(1e9, FACTOR, 1e9, 103, 0.5)
    def test_bounds(
        self, initial_s: float, factor: float, max_s: float, attempt: int, jitter: float
    ) -> None:
        """Whatever is asked for: never over ``max_s``, never over the whole wait, never under
        half of it."""
        wait = delay_ms(Backoff(initial_s, factor, max_s), attempt, jitter)
        exact = Fraction(initial_s) * Fraction(factor) ** (attempt - 1)
        whole = float(min(exact, Fraction(max_s))) * 1_000
        self.assertIsInstance(wait, int)
        self.assertLessEqual(wait, max_s * 1_000)
        # Of numbers this large the last digits are not told.
        slack = 1 + whole * 1e-12
        self.assertLessEqual(wait, whole + slack)
        self.assertGreaterEqual(wait, whole / 2 - slack)
