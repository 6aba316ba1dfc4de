"""One run of ``agentcom chaos`` in which every task changes hands while its agent works on.

All agents are older clients, all tasks go to another agent the moment a line
breaks, and lines break all the time: so there is much for the fence to refuse.
Run as a script, with a directory for the run's files and, if the fence is to
be broken, the word ``unfenced``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from agentcom.chaos.history import Recorder
from agentcom.chaos.hubprocess import TWISTD
from agentcom.chaos.plan import Kind, Member, Plan, Size, Step, What, Work
from agentcom.chaos.run import run

AGENTS, TASKS, RESETS = 4, 8, 12
LIMIT_S = 60.0
UNFENCED = (sys.executable, "-m", "tests.integration.unfenced_hub")


def plan() -> Plan:
    """Always the same."""
    members = [Member(f"agent-{n}", (Kind.OLD, Kind.OLD_ZERO)[n % 2]) for n in range(AGENTS)]
    steps = [
        Step(0.8 + 0.4 * number, What.RESET, members[number % AGENTS].name)
        for number in range(RESETS)
    ]
    works = [
        Work(
            0.5 * number,
            {
                "description": json.dumps({"work_s": 1.5, "fails": 0}),
                "idempotency_key": f"key-{number}",
                "hold_s": 0,
                "max_attempts": 100,
            },
        )
        for number in range(TASKS)
    ]
    size = Size(
        tasks=TASKS, agents=AGENTS, kill_hub=0, kill_writer=0, cut=RESETS, kill_agent=0, freeze=0
    )
    return Plan(size, 6.0, members, steps, works)


def main(reactor: Any, work: str, fence: str = "fenced") -> Deferred[None]:
    """Run it once; the history is ``history.jsonl`` in the directory."""

    async def once() -> None:
        hub = UNFENCED if fence == "unfenced" else TWISTD
        with Path(work, "history.jsonl").open("wb") as file:
            recorder = Recorder(file, reactor.seconds)
            await run(reactor, plan(), Path(work), recorder, print, LIMIT_S, hub)

    return Deferred.fromCoroutine(once())


if __name__ == "__main__":
    react(main, sys.argv[1:])
