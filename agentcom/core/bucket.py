"""A bucket that fills with what comes and runs dry with time, kept as one number.

The number is when it would be dry again; all times are seconds of one steady clock.
"""

from __future__ import annotations

ROUNDED_S = 1e-6
"""What sums of many short times may be wrong by, in seconds."""


def with_one_more(dry_at: float | None, now: float, every_s: float) -> float:
    """When the bucket is dry if one more comes now.

    :param dry_at: when it is without that; ``None`` where nothing came yet.
    :param every_s: seconds that one takes to run out.
    """
    return (now if dry_at is None else max(now, dry_at)) + every_s


def wait_ms(dry_at: float, now: float, room_s: float) -> int | None:
    """Milliseconds to wait before a bucket that is dry then holds no more than it may.

    :param room_s: seconds that a full one takes to run dry.
    :returns: at least 1; ``None`` where there is nothing to wait for.
    """
    over_s = dry_at - now - room_s
    return max(1, round(over_s * 1000 + 0.5)) if over_s > ROUNDED_S else None
