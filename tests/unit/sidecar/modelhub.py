"""A hub as small as PROTOCOL.md 3.2 allows, for one agent that may die at any moment.

It is written from the contract, not from the real hub.  Besides its answers it
keeps what it was promised, so that a test can ask whether that was kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Frame = dict[str, Any]
Key = tuple[str, int]
BEGUN = ("assigned", "working")


@dataclass
class ModelTask:
    """One task, and who has it."""

    task_id: str
    status: str = "queued"
    generation: int = 0
    mine: bool = True
    ending: Key | None = None
    answer: Frame | None = None
    result: str | None = None

    @property
    def key(self) -> Key:
        return self.task_id, self.generation


class ModelHub:
    """Judges reports.

    :ivar counted_crashes: attempts whose ``agent crashed`` was taken as their end.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, ModelTask] = {}
        self.counted_crashes: list[Key] = []
        self.acknowledged: set[Key] = set()
        self.confirmed: set[Key] = set()

    def submit(self) -> ModelTask:
        task = self.tasks[f"t{len(self.tasks)}"] = ModelTask(f"t{len(self.tasks)}")
        return task

    def assign(self, task: ModelTask, mine: bool = True) -> Frame:
        task.status, task.mine, task.generation = "assigned", mine, task.generation + 1
        return self.offer(task)

    @staticmethod
    def offer(task: ModelTask) -> Frame:
        return {
            "type": "task_assign",
            "task_id": task.task_id,
            "generation": task.generation,
        }

    def identify(self, mentions: list[Frame]) -> list[Frame]:
        """The verdicts on what the agent mentions."""
        verdicts = []
        for mention in mentions:
            task = self.tasks[mention["task_id"]]
            goes_on = self._keeps(task, mention["generation"])
            if goes_on and task.status == "queued":
                task.status = "working"
            action = "continue" if goes_on else "abort"
            verdicts.append({"task_id": task.task_id, "action": action})
        return verdicts

    def hear(self, frame: Frame) -> Frame | None:
        """The answer to a report."""
        kind = frame["type"]
        task = self.tasks[frame["task_id"]]
        answer = self._answer(task, kind, frame)
        return None if answer is None else {**answer, "task_id": task.task_id, "ref": frame["ref"]}

    def _keeps(self, task: ModelTask, generation: int) -> bool:
        """Whether the attempt is still the agent's, or nobody else's since."""
        held = task.status in BEGUN or (task.status == "queued" and task.ending != task.key)
        return task.mine and generation == task.generation and held

    def _answer(self, task: ModelTask, kind: str, frame: Frame) -> Frame | None:
        key = (task.task_id, frame["generation"])
        if task.answer is not None and task.ending == key and task.answer["kind"] == kind:
            return task.answer
        if not task.mine:
            return _error("not_assignee", kind)
        if frame["generation"] != task.generation:
            return _error("stale_generation", kind)
        if kind == "task_recovering":
            return self._recovering(task, frame)
        if kind == "task_rejected":
            if task.status != "assigned":
                return _error("invalid_state", kind, task)
            task.status = "queued"
            return {"type": "task_ack", "status": "rejected"}
        if kind in ("task_accepted", "task_progress"):
            if task.status not in BEGUN:
                return _error("invalid_state", kind, task)
            task.status = "working"
            if kind == "task_progress":
                return None
            self.acknowledged.add(key)
            return {"type": "task_ack", "status": "accepted"}
        return self._ended(task, kind, frame)

    def _recovering(self, task: ModelTask, frame: Frame) -> Frame:
        if frame["last_status"] == "working" and self._keeps(task, frame["generation"]):
            task.status = "working"
            return {"type": "task_continue", "generation": task.generation}
        if task.status in BEGUN:
            task.status = "queued"
        return {"type": "task_reassign"}

    def _ended(self, task: ModelTask, kind: str, frame: Frame) -> Frame:
        if task.status not in (*BEGUN, "queued"):
            return _error("invalid_state", kind, task)
        status = "complete" if kind == "task_complete" else "failed"
        task.ending = task.key
        task.answer = {"type": "task_ack", "status": status, "kind": kind}
        if frame.get("error") == "agent crashed":
            self.counted_crashes.append(task.key)
        task.status = "queued" if status == "failed" else "ended"
        task.result = status
        return task.answer


def _error(error: str, kind: str, task: ModelTask | None = None) -> Frame:
    status = {"status": task.status} if task else {}
    if status.get("status") == "ended":
        status = {"status": "completed"}
    return {"type": "error", "error": error, "message_type": kind, **status}
