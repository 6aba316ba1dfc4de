"""Who has a task that runs, and who decided what of one that has ended.

In words for people, for :mod:`.explain`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentcom.core import events
from agentcom.core.events import Event
from agentcom.core.state import OnDisconnect, Status, Task
from agentcom.core.task import MAX_REQUEUES
from agentcom.hub.agenda import Agenda
from agentcom.hub.holdings import Holding

SHORT = 200
"""Characters of an error, or a reason, that a sentence repeats."""

Told = dict[str, Any]


def runs(task: Task, holding: Holding | None, here: bool, agenda: Agenda, now: int) -> Told:
    """What is known of a task that an agent has.

    :param holding: the agent's.
    :param here: whether the agent is connected.
    :param now: Unix milliseconds.
    """
    rule, summary = _here(task, holding, agenda) if here else _away(task, agenda)
    told: Told = {
        "waiting": False,
        "rule": rule,
        "summary": summary,
        "agent_id": task.agent_id,
        "agent_connected": here,
        "generation": task.generation,
        "attempt": task.attempts,
        "max_attempts": task.max_attempts,
        "since": task.assigned_at,
    }
    for kind, name in TASK_LIMITS.items():
        left = agenda.left(kind, task.id)
        if left is not None:
            told[name] = now + round(left * 1000)
    left = agenda.left("attempt", task.id)
    if left is not None:
        told["summary"] += f" The attempt fails if it is not over in {left:.1f} s."
    drain = None if holding is None else holding.drain
    if drain is not None:
        told["summary"] += f" {task.agent_id} is drained {short(drain.words())}."
        left = agenda.left("drain", task.agent_id or "")
        if left is not None:
            told["drain_ends_at"] = drain.deadline
            told["summary"] += f" What still runs there in {left:.1f} s goes back to the queue."
    return told


TASK_LIMITS = {
    "hold": "hold_ends_at",
    "accept": "accept_ends_at",
    "attempt": "attempt_ends_at",
    "ask_again": "asked_again_at",
    "recover": "silence_ends_at",
}
"""The limits of a task that runs: their names in the agenda, and as they are told."""


def _here(task: Task, holding: Holding | None, agenda: Agenda) -> tuple[str, str]:
    agent_id = task.agent_id or ""
    attempt = f"attempt {task.attempts} of {task.max_attempts}"
    if holding is not None and task.id in holding.busy:
        left = agenda.left("ask_again", task.id)
        when = "" if left is None else f"in {left:.1f} s, or "
        return "busy", (
            f"Agent {agent_id} has it and said that it is busy ({attempt});"
            f" it is asked again {when}when it has ended another task."
        )
    unsaid = ""
    quiet = agenda.left("quiet", agent_id)
    if holding is not None and task.id in holding.unconfirmed and quiet is not None:
        unsaid = (
            " It is just back and has not said whether it still has it:"
            f" unless it does, it is sent the task again in {quiet:.1f} s."
        )
    if task.status is Status.WORKING:
        return "working", f"Agent {agent_id} works on it ({attempt}).{unsaid}"
    left = agenda.left("accept", task.id)
    more = unsaid if left is None else f" It has another {left:.1f} s to accept it."
    return "not_accepted", (
        f"Agent {agent_id} was given it and has not accepted it yet ({attempt}).{more}"
    )


def _away(task: Task, agenda: Agenda) -> tuple[str, str]:
    left = agenda.left("hold", task.id)
    if left is None:
        until = "until it is back, however long that takes"
    elif task.terms.on_disconnect is OnDisconnect.FAIL:
        until = f"for another {left:.1f} s, then this attempt fails"
    else:
        until = f"for another {left:.1f} s, then it goes back to the queue"
    agent_id = task.agent_id
    return "held", f"Agent {agent_id} has it and is away. It is kept for {agent_id} {until}."


def ended(task: Task, event: Event | None) -> Told:
    """What became of a task.

    :param event: its newest, ``None`` where the log has forgotten it.
    """
    payload: Told = {} if event is None else events.payload_of(event)
    decision, by, summary = _DECISIONS[task.status](task, payload)
    return {
        "waiting": False,
        "summary": f"It {summary}.",
        "decision": decision,
        "decided_by": by,
        "decided_at": task.updated_at,
        "agent_id": task.agent_id,
        "attempts": task.attempts,
        "max_attempts": task.max_attempts,
        "error": task.last_error,
        "event": event,
    }


def _completed(task: Task, payload: Told) -> tuple[str, str, str]:
    by = task.agent_id or "hub"
    which = "" if task.max_attempts == 1 else f" in attempt {task.attempts} of {task.max_attempts}"
    return "completed", by, f"was completed by {by}{which}"


def _cancelled(task: Task, payload: Told) -> tuple[str, str, str]:
    by = str(payload.get("by", "hub"))
    reason = payload.get("reason")
    return "cancelled", by, f"was cancelled by {by}" + (f": {short(str(reason))}" if reason else "")


def _expired(task: Task, payload: Told) -> tuple[str, str, str]:
    reason = str(payload.get("reason", "expired"))
    if reason == "queue_timeout":
        seconds = task.terms.queue_timeout_s
        waited = "too long" if seconds is None else f"longer than {seconds:g} s"
        return reason, "hub", f"expired: it waited for an agent {waited}"
    return reason, "hub", "expired: its deadline passed"


def _dead(task: Task, payload: Told) -> tuple[str, str, str]:
    reason = str(payload.get("reason", "dead_letter"))
    if reason == "requeue_limit":
        last = payload.get("last_requeue")
        last = f", the last time because of {last}" if last else ""
        return (
            reason,
            "hub",
            f"was given up: it went back to the queue more than {MAX_REQUEUES} times{last}",
        )
    error = task.last_error
    which = "only attempt" if task.attempts == 1 else f"last of {task.attempts} attempts"
    if task.ending is None or task.ending.kind != events.TASK_FAILED:
        why = _HUB_FAILED.get(error or "", "was given up by the hub")
        return reason, "hub", f"was given up: its {which} {why} ({error})"
    by = task.agent_id or "hub"
    told = f": {short(error)}" if error else ""
    if reason == "not_retryable":
        return (
            reason,
            by,
            f"was given up: {by} failed it and said that another attempt is no use{told}",
        )
    return reason, by, f"was given up: {by} failed its {which}{told}"


_DECISIONS: dict[Status, Callable[[Task, Told], tuple[str, str, str]]] = {
    Status.COMPLETED: _completed,
    Status.CANCELLED: _cancelled,
    Status.EXPIRED: _expired,
    Status.DEAD_LETTER: _dead,
}
"""What was decided, by whom, and the rest of a sentence that begins with "It"."""

_HUB_FAILED = {
    "attempt_timeout": "took longer than it may",
    "agent_lost": "was lost with its agent, which stayed away",
    "recovery_timeout": "was not heard of for too long",
}


def short(text: str) -> str:
    """The beginning of a text, as part of a sentence."""
    line = " ".join(text.split())
    return line if len(line) <= SHORT else line[: SHORT - 1] + "…"
