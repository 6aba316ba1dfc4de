"""When a failed task is tried again: exponential backoff with jitter."""

from __future__ import annotations

import msgspec


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a task waits after a failed attempt, in seconds.

    After the n-th attempt of a series: ``initial_s * factor ** (n - 1)``, at
    most ``max_s``; jitter takes up to half of it away, so that tasks that
    failed together do not come back together.
    """

    initial_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0


def delay_ms(backoff: Backoff, attempt: int, jitter: float) -> int:
    """Milliseconds to wait after an attempt.

    :param attempt: its number in the series, 1 for the first.
    :param jitter: from 0 to 1: how much of the second half to wait.
    """
    if not backoff.initial_s:
        return 0
    try:
        whole = min(backoff.max_s, backoff.initial_s * backoff.factor ** (attempt - 1))
    except OverflowError:
        whole = backoff.max_s
    return int(whole * (0.5 + jitter / 2) * 1000)
