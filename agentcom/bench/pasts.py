"""Data directories of hubs that have seen much: made once, used round after round.

The hub itself makes the database, `fill.py` writes the tasks while it is stopped.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from agentcom.bench.options import Options
from agentcom.bench.programs import ENV, program
from agentcom.bench.servers import ServerFailed
from agentcom.bench.targets import TARGETS, serving

FILL_S = 60.0
"""And as much again for each 100 000 tasks."""


class Past(NamedTuple):
    """A filled data directory: how long that took, and how large its database is."""

    data: Path
    seconds: float
    mib: float


def make_past(name: str, work: Path, options: Options) -> Past:
    """Make one for a target; the hub is stopped when this returns."""
    target = TARGETS[name]
    data = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work))
    with serving(name, data, options):
        """The hub makes its database."""
    began = time.monotonic()
    database = data / "agentcom.db"
    command = program("fill", str(database), target.past, str(options.tasks))
    limit = FILL_S * (1 + options.tasks / 100_000)
    done = subprocess.run(
        command,
        env={**os.environ, **ENV},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    if done.returncode != 0:
        raise ServerFailed(f"filling {name} failed:\n{done.stderr[-2000:]}")
    size = round(database.stat().st_size / 1024**2, 1)
    return Past(data, round(time.monotonic() - began, 1), size)
