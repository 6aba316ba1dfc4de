"""How to start a hub with :mod:`.faulty_hub` under it."""

from __future__ import annotations

import sys

FAULTY = (sys.executable, "-m", "tests.integration.faulty_hub")
"""In place of ``twistd``."""
