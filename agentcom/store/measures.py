"""What commits cost, for those who watch the hub; see :mod:`.commit`."""

from __future__ import annotations

from agentcom.core.histogram import Histogram

COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""Bounds of the time that a commit takes, in seconds."""

UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 192)
"""Bounds of the units in a batch."""


class CommitMeasures:
    """Since the hub started.

    :ivar seconds: of each batch that came to disk, from its first statement on.
    :ivar units: of each batch that came to disk.
    :ivar failures: tries that failed; a batch is tried until it is on disk.
    """

    def __init__(self) -> None:
        self.seconds = Histogram(COMMIT_S)
        self.units = Histogram(UNITS)
        self.failures = 0
