"""How the benchmark starts its own programs: modules of this package, each in a process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[2]
"""Where this very package was imported from: what is started is the same."""

ENV = {
    "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH", "")]))
}
TWISTD = "from twisted.scripts.twistd import run; run()"


def program(name: str, *arguments: str) -> list[str]:
    """The command for a module of the benchmark.

    :param name: below this package, such as ``stacks.spine``.
    """
    return [sys.executable, "-P", "-m", f"agentcom.bench.{name}", *arguments]


def twistd(*arguments: str) -> list[str]:
    """The command for ``twistd`` in the foreground, wherever its script is installed."""
    return [sys.executable, "-P", "-c", TWISTD, "-n", "--pidfile=", *arguments]
