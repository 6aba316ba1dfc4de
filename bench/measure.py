"""Small measuring tools for the benchmark: spreads of samples, CPU time of a process, file systems.

CPU time and file systems are read from /proc; where that does not exist (no Linux) they are
unknown, and the report says so instead of guessing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: a value that was really measured, never one between two."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """Median, p99 and maximum of durations, in milliseconds."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {
        "p50": round(percentile(ordered, 0.50) * 1000, 3),
        "p99": round(percentile(ordered, 0.99) * 1000, 3),
        "max": round(ordered[-1] * 1000, 3),
    }


def cpu_seconds(pid: int) -> float | None:
    """User and system time that a process and all its threads have used."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the command in parentheses and may hold spaces: count from after it.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def file_system(path: Path) -> str:
    """The type of the file system that holds a path, such as `ext4`, or `unknown`."""
    path = path.resolve()
    best, kind = -1, "unknown"
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return kind
    for line in mounts:
        where, found = line.split()[1:3]
        if path.is_relative_to(where) and len(where) >= best:
            best, kind = len(where), found
    return kind
