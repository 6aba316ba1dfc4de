"""Tasks by id: from memory, else from the store, in the order in which they were asked for."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.task import Task
from agentcom.hub.ledger import Ledger
from agentcom.store.interface import Store

Then = Callable[[Task | None], None]


class Lookup:
    """Finds tasks for reports on them.

    Reads of the store overtake each other, so whatever is asked of a task
    that is being looked up already waits for that look.
    """

    log = Logger()

    def __init__(self, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store
        self._looking: dict[str, list[tuple[Then, Deferred[None]]]] = {}

    def at_hand(self, task_id: str) -> Task | None:
        """The task, ``None`` where :meth:`find` must look for it."""
        return None if task_id in self._looking else self._ledger.find(task_id)

    def find(self, task_id: str, then: Then) -> Deferred[None]:
        """Look in the store, and call ``then`` with the task, or ``None`` where there is none.

        :returns: what fires after it.
        """
        done: Deferred[None] = Deferred()
        waiting = self._looking.get(task_id)
        if waiting is not None:
            waiting.append((then, done))
        else:
            self._looking[task_id] = [(then, done)]
            self._look(task_id)
        return done

    def _look(self, task_id: str) -> None:
        forgotten = self._ledger.forgotten

        def found(task: Task | None) -> None:
            if forgotten != self._ledger.forgotten:
                # It may have been deleted while it was read.
                self._ledger.settled().addCallback(lambda _: self._look(task_id))
                return
            if task is not None and not task.status.ended and self._ledger.peek(task_id) is None:
                # It has ended in memory, and the store does not know yet.
                self._ledger.settled().addCallback(lambda _: self._look(task_id))
                return
            if task is not None and task.status.ended and self._ledger.peek(task_id) is None:
                # Where it lives it was retried while it was read.
                self._ledger.remember(task)
            for then, done in self._looking.pop(task_id):
                try:
                    then(self._ledger.find(task_id))
                except Exception:
                    self.log.failure("while serving a report on {task_id}", task_id=task_id)
                done.callback(None)

        def failed(failure: Failure) -> None:
            self.log.failure("while looking up task {task_id}", failure, task_id=task_id)
            for _, done in self._looking.pop(task_id, ()):
                done.callback(None)

        self._store.task(task_id).addCallback(found).addErrback(failed)
