"""A workshop that plays its work, and a journal that needs no disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any

from agentcom.sidecar.jobs import Frame, Key
from agentcom.sidecar.journal import Journal
from agentcom.sidecar.runner import Ears, Outcome

DONE = Outcome(exit_code=0)


class FakeWork:
    """A run that does what the test says."""

    def __init__(self, task: Any, ears: Ears) -> None:
        self.task = task
        self.ears = ears
        self.did: list[str] = []

    def go_on(self) -> None:
        self.did.append("go on")

    def stop(self) -> None:
        self.did.append("stop")

    def kill(self) -> None:
        self.did.append("kill")

    def discard(self) -> None:
        self.did.append("discard")

    def end(self, outcome: Outcome = DONE) -> None:
        self.ears.ended(outcome)


class FakeWorkshop:
    """Starts nothing.

    :ivar works: all that was begun or taken up here.
    :ivar left: what of an earlier process can be taken up.
    :ivar known: the runs that were not to be dropped, once that was said.
    """

    def __init__(self, left: Collection[Key] = ()) -> None:
        self.works: list[FakeWork] = []
        self.left = left
        self.known: Collection[Key] | None = None

    def start(self, task: Frame, ears: Ears) -> FakeWork:
        self.works.append(FakeWork(task, ears))
        return self.works[-1]

    def adopt(self, task: Frame, ears: Ears) -> FakeWork | None:
        if (task["task_id"], task["generation"]) not in self.left:
            return None
        return self.start(task, ears)

    def tidy(self, known: Collection[Key]) -> None:
        self.known = known


def database() -> sqlite3.Connection:
    """What takes the place of the journal's file."""
    return sqlite3.connect(":memory:", isolation_level=None)


def memory_journal(db: sqlite3.Connection | None = None, agent_id: str = "bot") -> Journal:
    """A journal on a database that an earlier one may have left."""
    return Journal(db or database(), "journal.db", agent_id)


def unwritable(db: sqlite3.Connection, yes: bool = True) -> None:
    """Let every write fail from now on, or no longer."""
    db.execute(f"PRAGMA query_only = {'ON' if yes else 'OFF'}")
