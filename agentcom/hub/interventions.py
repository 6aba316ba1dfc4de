"""What is decided of a task over its agent's head: by an operator, or by time.

Each changes the task and, where an agent has it, tells that agent to stop.
"""

from __future__ import annotations

from collections.abc import Callable

from agentcom.core.changes import Cancel, Change, Expire, Fail, Requeue
from agentcom.core.state import Task
from agentcom.hub.counts import Counts
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Roster
from agentcom.wire.codec import encode
from agentcom.wire.frames import TaskCancelled

Then = Callable[[], None] | None


class Interventions:
    """Ends, fails or takes back tasks that have not ended.

    :param jitter: gives numbers from 0 to 1, for backoff.
    """

    def __init__(
        self, ledger: Ledger, roster: Roster, jitter: Callable[[], float], counts: Counts
    ) -> None:
        self._ledger = ledger
        self._roster = roster
        self._jitter = jitter
        self._counts = counts

    def cancel(self, task_id: str, by: str, reason: str | None, then: Then) -> None:
        """Nobody wants the task any more."""
        self._change(task_id, Cancel(by, reason), reason or "cancelled", then)

    def expire(self, task_id: str, reason: str) -> None:
        """The task's time is over."""
        self._change(task_id, Expire(reason), reason)

    def fail(self, task_id: str, error: str) -> None:
        """The attempt that is under way fails."""
        change = Fail(error, reported=False, jitter=self._jitter())
        self._change(task_id, change, error)
        self._counts.failed[error] += 1

    def take_back(self, task_id: str, change: Requeue, then: Then = None) -> None:
        """A held task goes back into the queue, at nobody's fault."""
        self._change(task_id, change, change.note or change.reason, then)

    def _change(self, task_id: str, change: Change, told: str, then: Then = None) -> None:
        task = self._ledger.live_task(task_id)
        if task.status.held:
            # With the change itself: the agent must hear of the end of this
            # task before it is given the next one, or this one again.
            then = self._calling_off(task, told, then)
        self._ledger.change(task_id, change, then)

    def _calling_off(self, task: Task, reason: str, then: Then) -> Callable[[], None]:
        """Tell the agent to stop, then do what else is to be done."""
        frame = encode(TaskCancelled(task_id=task.id, generation=task.generation, reason=reason))

        def committed() -> None:
            # The agent may be on a newer line by now.
            link = self._roster.get(task.agent_id or "")
            if link is not None:
                link.send(frame)
            if then is not None:
                then()

        return committed
