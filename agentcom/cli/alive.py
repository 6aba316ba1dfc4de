"""One agent in words: is its line open, does it take work, do its tasks move?

How long ago a thing was is told by the hub's own clock, which comes with the
answer.  What an older hub does not tell is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from agentcom.cli import show, words

Told = Mapping[str, Any]


def echo(found: Told) -> None:
    """Show the answer to ``GET /api/agents/:id``."""
    state = click.style(show.line(found.get("state", "")), bold=True)
    click.echo(f"{show.line(found['agent_id'])}  {state}")
    about = words.agent(found)
    if about:
        click.echo(show.line(about))
    live = _object(found.get("liveness"))
    now = live.get("at")
    drain = _object(found.get("drain"))
    lines = {
        "connection": _connection(_object(live.get("connection")), now),
        "work": _work(_object(live.get("work")), drain, now),
        "tasks": _tasks(found),
    }
    for name, told in lines.items():
        if told:
            click.echo(show.line(f"  {name + ':':12} {told}"))
    here = {str(task.get("task_id")): task for task in _objects(live.get("tasks"))}
    for task in _objects(found.get("tasks")):
        more = here.get(str(task.get("task_id")), task)
        click.echo(show.line(f"    {_task(more, now)}"))


def span(ms: object) -> str:
    """A length of time, in its two largest units: ``45s``, ``12m 5s``, ``3h 20m``."""
    if not isinstance(ms, (int, float)):
        return "an unknown time"
    left = max(0, round(ms / 1000))
    if not left:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts.append((count, unit))
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)


def _connection(told: Told, now: object) -> str:
    state, since = told.get("state"), told.get("since")
    if state == "open":
        parts = [f"open since {show.when(since)}"]
        if told.get("heard_at") is not None:
            parts.append(f"last heard {_ago(told['heard_at'], now)}")
        if told.get("silence_ends_at") is not None:
            parts.append(
                f"closed if it is silent for another {_left(told['silence_ends_at'], now)}"
            )
        if told.get("contested"):
            parts.append("FOUGHT OVER: several agents connect with this id")
        return "; ".join(parts)
    away = "away" if since is None else f"away for {_gone(since, now)}"
    if state != "held":
        return away if state == "away" else show.line(state or "")
    until = told.get("held_until")
    kept = "until it is back" if until is None else f"for at most another {_left(until, now)}"
    return f"{away}; what it has is kept for it {kept}"


def _work(told: Told, drain: Told, now: object) -> str:
    state = told.get("state")
    if not isinstance(state, str):
        return ""
    parts = [_WORK.get(state, state)]
    if state == "paused" and told.get("pause_ends_at") is not None:
        parts[0] += f" for another {_left(told['pause_ends_at'], now)}"
    if state == "unresponsive":
        since = f" since {show.when(told['since'])}" if told.get("since") is not None else ""
        parts[0] += since
        parts.append(_probe(_object(told.get("probe")), now))
    if drain:
        parts.append(_drain(drain, now))
    if told.get("slots"):
        parts.append(f"{told.get('running')} of {told['slots']} slots taken")
    if told.get("ignored"):
        offers = "offer" if told["ignored"] == 1 else "offers"
        parts.append(f"it let {told['ignored']} {offers} pass without a word")
    if told.get("answered_at") is not None:
        parts.append(f"it last spoke of a task {_ago(told['answered_at'], now)}")
    return "; ".join(part for part in parts if part)


_WORK = {
    "takes_work": "takes work",
    "full": "takes work, and has no room now",
    "submits_only": "takes none, for it has no slots",
    "paused": "rejected a task, or had one taken from it; offered nothing",
    "returning": "is just back, and tells what it still has",
    "draining": "finishes what it has, and is offered nothing more",
    "unresponsive": "UNRESPONSIVE",
    "away": "unknown while it is away",
}


def _probe(told: Told, now: object) -> str:
    state = told.get("state")
    if state == "under_way":
        return f"tried now with {told.get('task_id')}"
    if state == "open":
        return "tried with the next task that fits"
    if told.get("at") is not None:
        return f"tried again with one task in {_left(told['at'], now)}"
    return ""


def _drain(told: Told, now: object) -> str:
    text = f"drained by {told.get('by')}"
    if told.get("note"):
        text += f" ({told['note']})"
    if told.get("deadline") is not None:
        text += f"; what still runs at {show.when(told['deadline'])} goes back to the queue"
    return text


def _tasks(found: Told) -> str:
    tasks = _objects(found.get("tasks"))
    waiting = sum(task.get("status") == "queued" for task in tasks)
    has = len(tasks) - waiting
    told = f"has {has or 'none'}"
    return f"{told}; {waiting} more wait for it alone" if waiting else told


def _task(task: Told, now: object) -> str:
    parts = [f"{task.get('task_id')}  {task.get('status')}"]
    if task.get("generation") is not None:
        parts.append(f"generation {task['generation']}")
    if show.percent(task.get("progress")):
        parts.append(f"progress {show.percent(task.get('progress'))}")
    if task.get("heard_at") is not None:
        parts.append(f"last heard of {_ago(task['heard_at'], now)}")
    elif task.get("assigned_at") is not None:
        parts.append(f"given {_ago(task['assigned_at'], now)}, and not heard of")
    for name, text in _LIMITS.items():
        if task.get(name) is not None:
            parts.append(text.format(_left(task[name], now)))
    return ", ".join(parts)


_LIMITS = {
    "accept_ends_at": "{} left to accept it",
    "attempt_ends_at": "{} left for the attempt",
    "silence_ends_at": "fails if nothing is heard for {}",
    "hold_ends_at": "kept for another {}",
    "asked_again_at": "busy, asked again in {}",
}


def _ago(ms: object, now: object) -> str:
    return f"{_gone(ms, now)} ago"


def _gone(ms: object, now: object) -> str:
    return span(now - ms if isinstance(ms, int) and isinstance(now, int) else None)


def _left(ms: object, now: object) -> str:
    return _gone(now, ms)


def _object(value: object) -> Told:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Told]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
