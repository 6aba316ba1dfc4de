"""A batch as the statements that write it, wherever they run."""

from __future__ import annotations

import marshal
import sqlite3
from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from agentcom.core.task import Task
from agentcom.store import messages, rows
from agentcom.store import statements as sql
from agentcom.store.commit import Batch, Commit
from agentcom.store.transaction import Step, commit, rollback, write

KNOWN_AGENTS = 20_000
"""Tasks of which it is known, without a look at the row, which agent has them."""


class Script:
    """Makes the steps of batches; one for all batches of a database, in their order."""

    def __init__(self) -> None:
        # The agents in the rows of some tasks, by number: most changes keep it.
        self._agents: dict[int, str | None] = {}

    def of(self, batch: Batch) -> list[Step]:
        """The steps that write a batch."""
        steps: list[Step] = []
        if batch.inserts:
            steps.append((sql.INSERT_TASK, [rows.task_row(t) for t in batch.inserts.values()]))
        if batch.updates:
            steps.append((sql.UPDATE_TASK, [rows.change_row(t) for t in batch.updates.values()]))
            changed = self._moved(batch.updates.values())
            if changed:
                steps.append((sql.UPDATE_AGENT, [rows.agent_row(t) for t in changed]))
        self._know_agents(batch.inserts.values())
        if batch.events:
            found = list(map(rows.event_row, batch.events, batch.numbers))
            steps += (sql.INSERT_EVENT, found), (sql.SET_SEQ, [(batch.last_seq,)])
        if batch.tokens:
            steps.append((sql.UPSERT_TOKEN, [rows.token_row(token) for token in batch.tokens]))
        for agent_id, drain in batch.drains.items():
            if drain is None:
                steps.append((sql.DELETE_DRAIN, [(agent_id,)]))
            else:
                steps.append((sql.UPSERT_DRAIN, [rows.drain_row(agent_id, drain)]))
        for name, session in batch.sessions.items():
            if session is None:
                steps.append((sql.DELETE_SESSION, [(name,)]))
            else:
                steps.append((sql.UPSERT_SESSION, [rows.session_row(session)]))
        if batch.posts:
            steps += messages.steps(batch.posts)
        if batch.forgotten or batch.forgotten_events:
            # Before anything goes, for it may take the highest number along.
            steps.append((sql.SET_PRUNED_NUMBER, [()]))
        # Last, so that whether a task may go is asked of its last state.
        if batch.forgotten:
            steps.append((sql.DELETE_TASK, [(task_id,) for task_id in batch.forgotten]))
        if batch.forgotten_events:
            steps.append((sql.DELETE_EVENT, [(seq,) for seq in batch.forgotten_events]))
            highest = max(batch.forgotten_events)
            steps.append((sql.SET_PRUNED, [(highest, highest)]))
        return steps

    def forget(self) -> None:
        """A batch was not written: nothing is known of the rows."""
        self._agents.clear()

    def _moved(self, tasks: Collection[Task]) -> list[Task]:
        known = self._agents
        moved = [task for task in tasks if known.get(task.number, "") != task.agent_id]
        if moved:
            self._know_agents(moved)
        return moved

    def _know_agents(self, tasks: Collection[Task]) -> None:
        if len(self._agents) > KNOWN_AGENTS:
            self._agents.clear()
        self._agents.update((task.number, task.agent_id) for task in tasks)


def commit_here(
    connection: sqlite3.Connection, run: Callable[[Callable[[], None]], Deferred[Any]]
) -> Commit:
    """Write batches in the calling thread; what a store in memory, and many a test, does.

    :param run: runs the COMMIT.
    """
    script = Script()

    def undo(failure: Failure) -> Failure:
        script.forget()
        rollback(connection)
        return failure

    def commit_batch(batch: Batch) -> Deferred[None]:
        try:
            # As over the pipe: what could not be sent must not be taken here, either.
            steps = marshal.dumps(script.of(batch))
            write(connection, marshal.loads(steps))
        except Exception:
            return fail(undo(Failure()))
        done: Deferred[Any] = run(lambda: commit(connection))
        return done.addErrback(undo)

    return commit_batch
