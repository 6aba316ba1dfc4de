"""Everything that could be seen from the outside: on disk, in frames, in answers.

It outlives hubs and crashes, and forgets nothing, whatever the hub prunes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from agentcom.core.events import Event, payload_of
from agentcom.core.state import Task
from agentcom.store import rows
from tests.model.disk import Disk
from tests.model.lines import ModelLine

Body = dict[str, Any]


class Said(msgspec.Struct):
    """A report that an agent sent.

    :ivar counts: it is the truth, and must be taken.
    """

    agent_id: str
    kind: str
    task_id: str
    generation: int | None
    result: Any
    counts: bool


class Record:
    """What was seen.

    :ivar events: of each task, oldest first.
    :ivar all: every event by its number.
    :ivar tasks: the rows, as they are now.
    :ivar gone: the last row of what is not in the table any more.
    :ivar fresh: what moved since the last look.
    :ivar sent: how often an assignment reached an agent: task, generation, agent.
    :ivar said: reports by their ``ref``.
    :ivar replies: to them, not judged yet.
    :ivar answers: what was answered to others, as tests that must now hold.
    :ivar submitted: what each answered task was asked to be.
    :ivar has: what each agent believes that it has: task to generation.
    :ivar had: what it ever had.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.events: dict[str, list[Event]] = {}
        self.all: dict[int, Event] = {}
        self.last_seq = 0
        self.pruned: set[int] = set()
        self.tasks: dict[str, Task] = {}
        self.gone: dict[str, Task] = {}
        self.fresh: set[str] = set()
        self.ids: list[str] = []
        self._numbers: dict[int, str] = {}
        self._of: dict[str, int] = {}
        self._rows: dict[str, tuple[Any, ...]] = {}
        self.sent: Counter[tuple[str, int, str]] = Counter()
        self.said: dict[int, Said] = {}
        self.replies: list[tuple[Said, dict[str, Any]]] = []
        self.answers: list[Callable[[], None]] = []
        self.submitted: dict[str, Body] = {}
        self.has: dict[str, dict[str, int]] = {}
        self.had: dict[str, dict[str, int]] = {}

    def look(self) -> dict[str, tuple[Task | None, Task | None]]:
        """Look at the disk; gives the rows that changed, as they were and are."""
        self.fresh = set()
        for told in self._disk.events(self.last_seq):
            event = rows.to_event(told[1:])
            self._number(told[0], event.task_id)
            seq = event.seq or 0
            if seq != self.last_seq + 1:
                raise AssertionError(f"event {seq} follows {self.last_seq}")
            self.last_seq = seq
            self.all[seq] = event
            if event.task_id is not None:
                self.events.setdefault(event.task_id, []).append(event)
                self.fresh.add(event.task_id)
        changed: dict[str, tuple[Task | None, Task | None]] = {}
        found = {row[0]: row for row in self._disk.rows()}
        for task_id, row in found.items():
            if self._rows.get(task_id) != row:
                changed[task_id] = self.tasks.get(task_id), rows.to_task(row)
        for task_id in self._rows.keys() - found.keys():
            changed[task_id] = self.tasks[task_id], None
        self._rows = found
        for task_id, (_, task) in changed.items():
            if task is None:
                self.gone[task_id] = self.tasks.pop(task_id)
            else:
                if task_id not in self.tasks:
                    self.ids.append(task_id)
                self.tasks[task_id] = task
                self._number(task.number, task_id)
        self.fresh |= changed.keys()
        return changed

    def _number(self, number: int | None, task_id: str | None) -> None:
        """A number is of one task for ever, and a task has one."""
        if (number is None) != (task_id is None):
            raise AssertionError(f"an event of {task_id} has the number {number}")
        if number is not None and task_id is not None:
            known = self._numbers.setdefault(number, task_id)
            if known != task_id or self._of.setdefault(task_id, number) != number:
                raise AssertionError(f"{known} and {task_id} have the number {number}")

    def hear(self, line: ModelLine, frame: dict[str, Any]) -> None:
        """A frame reached an agent."""
        kind = frame["type"]
        agent_id = line.agent_id
        has = self.has.setdefault(agent_id, {})
        if kind == "task_assign":
            has[frame["task_id"]] = frame["generation"]
            self.had.setdefault(agent_id, {})[frame["task_id"]] = frame["generation"]
            self.sent[frame["task_id"], frame["generation"], agent_id] += 1
        elif kind == "task_cancelled" and has.get(frame["task_id"]) == frame["generation"]:
            del has[frame["task_id"]]
        elif kind == "identified":
            for told in frame.get("tasks", ()):
                if told["action"] == "abort":
                    has.pop(told["task_id"], None)
        said = self.said.get(frame.get("ref", -1))
        if said is not None:
            self.replies.append((said, frame))

    def told(self, task_id: str, event: str) -> list[tuple[Event, dict[str, Any]]]:
        """The events of one kind of a task, with what they carry."""
        found = self.events.get(task_id, ())
        return [(e, payload_of(e)) for e in found if e.event == event]

    def known(self, task_id: str) -> bool:
        """Whether the task is, or was, in the table."""
        return task_id in self.tasks or task_id in self.gone
