"""``twistd`` with a hub whose fence is broken: whatever any agent reports, counts.

For the test that ``agentcom chaos`` can fail.  Run as a script in place of
``twistd``; the rest of the hub is as it is.
"""

from __future__ import annotations

import sys

from agentcom.core.fence import Counts, Kind, Verdict
from agentcom.core.state import Task
from agentcom.hub import reports


def believe(task: Task, kind: Kind, agent_id: str, generation: int | None) -> Verdict:
    """In the place of ``agentcom.core.fence.judge``."""
    return Counts()


def main() -> None:
    """Break the fence, then be ``twistd``."""
    reports.judge = believe  # type: ignore[attr-defined]
    from twisted.scripts.twistd import run

    sys.argv[0] = "twistd"
    run()


if __name__ == "__main__":
    main()
