"""Queued tasks that wait for a time: ``not_before``, and backoff between attempts."""

from __future__ import annotations

from collections.abc import Callable

from agentcom.core.state import Task
from agentcom.hub.agenda import Agenda
from agentcom.hub.queue import Group, Queue


class Delays:
    """Makes delayed tasks ready when it is time.

    :param now: Unix milliseconds.
    :param match: gives the ready tasks of a group to agents.
    """

    def __init__(
        self, queue: Queue, agenda: Agenda, now: Callable[[], int], match: Callable[[Group], None]
    ) -> None:
        self._queue = queue
        self._agenda = agenda
        self._now = now
        self._match = match
        agenda.on("ready", lambda _: self.ripen())
        agenda.on("backoff", self._backoff_over)
        agenda.every_tick(self.ripen)

    def begin(self, task: Task, now: int) -> None:
        """A task waits for its time."""
        if task.ready_at is not None and task.ready_at != task.terms.not_before:
            # Backoff is a duration: it ends in time also when the clock is set back.
            self._agenda.after("backoff", task.id, (task.ready_at - now) / 1000)
        self.plan()

    def end(self, task_id: str) -> None:
        """A task is not in the queue any more."""
        self._agenda.cancel("backoff", task_id)

    def plan(self) -> None:
        """See to it that the next one is ready in time."""
        due = self._queue.next_ready()
        if due is not None:
            self._agenda.after("ready", "", max(0.0, (due - self._now()) / 1000))

    def ripen(self) -> None:
        """Give out what is due."""
        for group in self._queue.ripen(self._now()):
            self._match(group)
        self.plan()

    def _backoff_over(self, task_id: str) -> None:
        if task_id in self._queue and not self._queue.is_ready(task_id):
            self._match(self._queue.ripen_one(task_id))
