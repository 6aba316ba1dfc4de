"""A task's events, replayed: what the log alone says that the task is.

The log and the table are written in one transaction, so the two never differ;
where they do, or where no series of changes could have left such a log,
something is broken.  ``core/task.py`` writes these events; nothing here calls
it, so that one mistake is not made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from agentcom.core import events
from agentcom.core.events import Event, payload_of
from agentcom.core.state import Status, Task

RETRY = "retry"
RETRIED = "retried"
REJECTED = "rejected"
REASSIGN = "reassign"
REQUEUE_LIMIT = "requeue_limit"

COMPARED = ("status", "agent_id", "generation", "attempts", "requeues", "series")
"""What the log says of a task, by the names of the table."""


class ImpossibleHistory(Exception):
    """No task can have had these events, in this order."""


class Replayed(msgspec.Struct):
    """What a task's events say of it.

    :ivar deleted: it is not in the table any more.
    :ivar given_back: why the attempt of this generation went back unspent,
        ``None`` while it runs or when it was spent.
    :ivar promised: an event that only opens a change, the rest of which must
        be the very next event: they are written as one.
    """

    max_attempts: int
    status: Status = Status.QUEUED
    agent_id: str | None = None
    generation: int = 0
    attempts: int = 0
    requeues: int = 0
    series: int = 1
    deleted: bool = False
    given_back: str | None = None
    promised: str | None = None

    def differences(self, task: Task) -> dict[str, tuple[object, object]]:
        """Where the table says something else: name to the log's and the table's value."""
        pairs = {name: (getattr(self, name), getattr(task, name)) for name in COMPARED}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def replay(history: Iterable[Event]) -> Replayed:
    """Replay all events of one task, oldest first.

    :raises ImpossibleHistory: they cannot have happened so.
    """
    state: Replayed | None = None
    seq = 0
    for event in history:
        if event.seq is None or event.seq <= seq:
            raise ImpossibleHistory(f"{event.event} has the place {event.seq} after {seq}")
        seq = event.seq
        if state is None:
            state = _first(event)
        else:
            follow(state, event)
    if state is None:
        raise ImpossibleHistory("a task without events")
    if state.promised is not None:
        raise ImpossibleHistory(f"nothing follows {state.promised}")
    return state


def follow(state: Replayed, event: Event) -> None:
    """Replay one more event.

    :raises ImpossibleHistory: it cannot have happened now.
    """
    step = _STEPS.get(event.event)
    if step is None:
        raise ImpossibleHistory(f"{event.event} is no event of a task that is there")
    if state.deleted:
        raise ImpossibleHistory(f"{event.event} of a deleted task")
    if state.promised is not None and event.event not in _AFTER[state.promised]:
        raise ImpossibleHistory(f"{event.event} right after {state.promised}")
    if event.event != events.TASK_ASSIGNED:
        _demand(state, event, event.agent_id == state.agent_id, f"of {event.agent_id}")
        _demand(
            state, event, event.generation == state.generation, f"of generation {event.generation}"
        )
    step(state, event, payload_of(event))


def _first(event: Event) -> Replayed:
    if event.event != events.TASK_SUBMITTED or event.generation or event.agent_id is not None:
        raise ImpossibleHistory(f"the first event is {event.event}")
    told = payload_of(event)
    return Replayed(int(told.get("max_attempts", 1)))


def _assigned(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _is_in(state, event, Status.QUEUED)
    _demand(state, event, event.agent_id is not None, "to nobody")
    _demand(
        state,
        event,
        event.generation == state.generation + 1,
        f"of generation {event.generation} after {state.generation}",
    )
    state.status = Status.ASSIGNED
    state.agent_id = event.agent_id
    state.generation += 1
    state.attempts += 1
    state.given_back = None
    _demand(state, event, told.get("attempt") == state.attempts, f"as attempt {told}")
    _demand(state, event, state.attempts <= state.max_attempts, "once too often")


def _accepted(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _is_in(state, event, Status.ASSIGNED)
    state.status = Status.WORKING


def _worked(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _is_in(state, event, Status.WORKING)


def _completed(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _end_of_attempt(state, event)
    state.status = Status.COMPLETED


def _failed(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _end_of_attempt(state, event)
    _demand(state, event, told.get("attempt") == state.attempts, f"of attempt {told}")
    state.promised = events.TASK_FAILED


def _rejected(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _is_in(state, event, Status.ASSIGNED)
    state.promised = events.TASK_REJECTED


def _recovering(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    if told.get("outcome") == REASSIGN:
        _is_in(state, event, Status.ASSIGNED, Status.WORKING)
        state.promised = events.TASK_RECOVERING
        return
    if state.status is Status.QUEUED:
        # Only what nobody's word has ended goes on.
        word = state.given_back in (None, REJECTED, REASSIGN)
        _demand(state, event, not word, "after a word that ended the attempt")
    _end_of_attempt(state, event)
    state.status = Status.WORKING


def _requeued(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    reason = told.get("reason")
    if reason == RETRIED:
        _is_in(state, event, Status.DEAD_LETTER)
        state.series += 1
        state.attempts = state.requeues = 0
        _demand(state, event, told.get("series") == state.series, f"as series {told}")
    elif reason == RETRY:
        _demand(state, event, state.promised == events.TASK_FAILED, "without a failure")
        _demand(state, event, state.attempts < state.max_attempts, "with no attempt left")
    else:
        _give_back(state, event, str(reason))
        requeues = told.get("requeues")
        counted = requeues in (state.requeues, state.requeues + 1)
        _demand(state, event, counted, f"as requeue {requeues} after {state.requeues}")
        state.requeues = int(requeues or 0)
    state.promised = None
    state.status = Status.QUEUED


def _dead(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    if told.get("reason") == REQUEUE_LIMIT:
        _give_back(state, event, str(told.get("last_requeue")))
        state.requeues += 1
    else:
        _demand(state, event, state.promised == events.TASK_FAILED, "without a failure")
    state.promised = None
    state.status = Status.DEAD_LETTER


def _cancelled(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _is_in(state, event, Status.QUEUED, Status.ASSIGNED, Status.WORKING)
    state.status = Status.CANCELLED


def _expired(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _is_in(state, event, Status.QUEUED, Status.ASSIGNED, Status.WORKING)
    state.status = Status.EXPIRED


def _deleted(state: Replayed, event: Event, told: dict[str, Any]) -> None:
    _is_in(state, event, Status.DEAD_LETTER)
    state.deleted = True


_STEPS: dict[str, Callable[[Replayed, Event, dict[str, Any]], None]] = {
    events.TASK_ASSIGNED: _assigned,
    events.TASK_ACCEPTED: _accepted,
    events.TASK_PROGRESS: _worked,
    events.OUTPUT_TRUNCATED: _worked,
    events.TASK_COMPLETE: _completed,
    events.TASK_FAILED: _failed,
    events.TASK_REJECTED: _rejected,
    events.TASK_RECOVERING: _recovering,
    events.TASK_REQUEUED: _requeued,
    events.TASK_DEAD_LETTER: _dead,
    events.TASK_CANCELLED: _cancelled,
    events.TASK_EXPIRED: _expired,
    events.TASK_DELETED: _deleted,
}

_ENDS = frozenset({events.TASK_REQUEUED, events.TASK_DEAD_LETTER})
_AFTER = dict.fromkeys((events.TASK_FAILED, events.TASK_REJECTED, events.TASK_RECOVERING), _ENDS)
_WHY = {events.TASK_REJECTED: REJECTED, events.TASK_RECOVERING: REASSIGN}


def _end_of_attempt(state: Replayed, event: Event) -> None:
    """An attempt that goes on, or ends, after it was given back counts again."""
    _is_in(state, event, Status.QUEUED, Status.ASSIGNED, Status.WORKING)
    _demand(state, event, state.generation > 0, "of a task that nobody had")
    if state.status is Status.QUEUED and state.given_back is not None:
        state.attempts += 1
    state.given_back = None


def _give_back(state: Replayed, event: Event, reason: str) -> None:
    _is_in(state, event, Status.ASSIGNED, Status.WORKING)
    opened = state.promised
    if opened == events.TASK_FAILED or reason != _WHY.get(opened or "", reason):
        raise ImpossibleHistory(f"{event.event} for {reason} right after {opened}")
    _demand(state, event, opened is not None or reason not in _WHY.values(), f"for {reason}")
    state.attempts -= 1
    state.given_back = reason


def _is_in(state: Replayed, event: Event, *allowed: Status) -> None:
    _demand(state, event, state.status in allowed, f"of a task that is {state.status.value}")


def _demand(state: Replayed, event: Event, holds: bool, what: str) -> None:
    if not holds:
        raise ImpossibleHistory(f"{event.event} (seq {event.seq}) {what}; before it: {state}")
