"""Replays a log of tasks: what it says must be possible, and be what the hub shows.

:func:`replay` goes through the events with nothing but the rules of
PROTOCOL.md, and gives every fault as a sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

Event = dict[str, Any]

HELD = ("assigned", "working")

# From which statuses an event may come, and what the task is then (None: as before).
STEPS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "task_submitted": ((), "queued"),
    "task_assigned": (("queued",), "assigned"),
    "task_accepted": (("assigned",), "working"),
    "task_progress": (("working",), None),
    "task_recovering": ((*HELD, "queued"), "working"),
    "task_rejected": (("assigned",), None),
    "task_failed": ((*HELD, "queued"), None),
    "task_complete": ((*HELD, "queued"), "completed"),
    "task_requeued": ((*HELD, "queued", "dead_letter"), "queued"),
    "task_cancelled": ((*HELD, "queued"), "cancelled"),
    "task_expired": ((*HELD, "queued"), "expired"),
    "task_dead_letter": ((*HELD, "queued"), "dead_letter"),
}


class Seen:
    """A task, as far as the log tells."""

    def __init__(self) -> None:
        self.status = ""
        self.agent_id: str | None = None
        self.generation = 0

    def take(self, event: Event) -> str | None:
        """Follow an event; gives what is wrong with it."""
        name = event["event"]
        if name not in STEPS:
            return f"an event that is not of a task's life: {name}"
        before, after = STEPS[name]
        if (self.status not in before) if before else self.status:
            return f"{name} of a task that is {self.status or 'unknown'}"
        if name == "task_assigned":
            self.generation += 1
            self.agent_id = event["agent_id"]
        if (event["agent_id"], event["generation"]) != (self.agent_id, self.generation):
            return f"{name} by {event['agent_id']}, generation {event['generation']}"
        self.status = after or self.status
        return None


def replay(events: Iterable[Event], tasks: dict[str, dict[str, Any]]) -> list[str]:
    """Everything that is wrong with a whole log.

    :param events: the log from its beginning, presence included.
    :param tasks: as the hub shows them at its end, by id.
    """
    events = list(events)
    faults = []
    seqs = [event["seq"] for event in events]
    if seqs[:1] != [1]:
        faults.append(f"the log begins with {seqs[:1]}")
    faults += [f"after {a} comes {b}" for a, b in pairwise(seqs) if b != a + 1]
    seen: dict[str, Seen] = {}
    for event in events:
        if event["topic"] == "tasks":
            fault = seen.setdefault(event["task_id"], Seen()).take(event)
            if fault is not None:
                faults.append(f"{event['seq']} {event['task_id']}: {fault}")
    faults += [f"{task_id}: no word of it in the log" for task_id in tasks.keys() - seen.keys()]
    faults += [f"{task_id}: the hub does not have it" for task_id in seen.keys() - tasks.keys()]
    for task_id in tasks.keys() & seen.keys():
        told = seen[task_id]
        logged = (told.status, told.agent_id, told.generation)
        shown = tuple(tasks[task_id][name] for name in ("status", "agent_id", "generation"))
        if logged != shown:
            faults.append(f"{task_id}: the log says {logged}, the hub {shown}")
    return faults


def accepted_once(events: Iterable[Event], tasks: Iterable[str]) -> list[str]:
    """The tasks whose result was not accepted exactly once."""
    times = Counter(e["task_id"] for e in events if e["event"] == "task_complete")
    return [
        f"{task_id}: accepted {times[task_id]} times" for task_id in tasks if times[task_id] != 1
    ]
