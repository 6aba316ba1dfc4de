"""How long to wait before the next try: exponential backoff with full jitter.

Full jitter means a uniform choice between nothing and the ceiling, so that a
thousand clients of one restarted hub do not come back in step.
"""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Ceilings that double from try to try.

    :param random: a number from 0 to 1, such as ``random.Random().random``.
    """

    def __init__(
        self, random: Callable[[], float], *, initial_s: float = 1.0, max_s: float = 60.0
    ) -> None:
        self._random = random
        self._initial_s = initial_s
        self._max_s = max_s
        self._ceiling_s = initial_s

    def next_delay(self, at_least: float = 0.0) -> float:
        """Seconds to wait; ``at_least`` is added to, so that jitter stays."""
        delay = at_least + self._random() * self._ceiling_s
        self._ceiling_s = min(self._max_s, self._ceiling_s * 2)
        return delay

    def reset(self) -> None:
        """The try succeeded: the next one waits little again."""
        self._ceiling_s = self._initial_s
