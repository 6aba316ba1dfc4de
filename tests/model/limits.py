"""What must have happened by now, by the times that tasks were given."""

from __future__ import annotations

from agentcom.core.events import Event, payload_of
from agentcom.core.state import OnDisconnect, Status, Task
from tests.model.promises import demand
from tests.model.record import Record

GRACE_S = 2.5
"""The hub looks once a second."""


def kept(record: Record, now: int, absent: dict[str, float]) -> None:
    """No task is over its time.

    :param now: Unix milliseconds.
    :param absent: for each agent that is away, for how many seconds.
    """
    for task in record.tasks.values():
        if task.status.ended:
            continue
        terms = task.terms
        if terms.deadline is not None and task.series == 1:
            _due(task, "deadline", now - terms.deadline)
        if task.status is Status.QUEUED:
            if terms.queue_timeout_s is not None:
                waited = now - _ready_since(task, record.events[task.id])
                _due(task, "queue_timeout", waited - terms.queue_timeout_s * 1000)
            continue
        if terms.attempt_timeout_s is not None:
            ran = now - (task.assigned_at or 0)
            _due(task, "attempt_timeout", ran - terms.attempt_timeout_s * 1000)
        away = absent.get(task.agent_id or "")
        if away is not None and terms.on_disconnect is not OnDisconnect.KEEP:
            _due(task, "hold", (away - task.hold_s) * 1000)


def _due(task: Task, limit: str, late_ms: float) -> None:
    demand(late_ms < GRACE_S * 1000, f"{task.id} is {task.status}, {late_ms} ms after its {limit}")


def _ready_since(task: Task, history: list[Event]) -> int:
    """From when on it could have been given to somebody, by the log."""
    for event in reversed(history):
        told = payload_of(event)
        if event.event == "task_requeued":
            return int(told.get("ready_at") or event.timestamp)
        if event.event == "task_submitted":
            return max(event.timestamp, int(told.get("not_before") or 0))
    raise AssertionError(f"{task.id} was never queued")
