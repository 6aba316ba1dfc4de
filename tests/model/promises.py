"""What the disk must say after every step, and that it keeps what was answered.

Nothing here looks into the hub: rows, events, frames and answers are enough.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentcom.core import events
from agentcom.core.replay import Replayed, replay
from agentcom.core.state import Status, Task
from tests.model.disk import Disk
from tests.model.record import Record, Said

FINAL = frozenset({Status.COMPLETED, Status.CANCELLED, Status.EXPIRED})
"""Ended for good; a dead letter may be tried again."""


class BrokenPromise(AssertionError):
    """The hub did what it must not."""


def demand(holds: object, what: str) -> None:
    """Say what was promised where it does not hold."""
    if not holds:
        raise BrokenPromise(what)


class Promises:
    """Judges what is recorded.

    :param retain_s: seconds after which what has ended may be forgotten.
    """

    def __init__(self, disk: Disk, record: Record, retain_s: float) -> None:
        self._disk = disk
        self._record = record
        self._retain_ms = int(retain_s * 1000)
        self.replayed: dict[str, Replayed] = {}
        self._holders: dict[tuple[str, int], str] = {}

    def check(self, now: int) -> None:
        """Look at the disk and judge all that is new.

        :param now: Unix milliseconds.
        """
        record = self._record
        changed = record.look()
        for old, new in changed.values():
            if new is None:
                if old is not None:
                    self._went(old, now)
            elif old is not None:
                self._moved(old, new)
        for task_id in record.fresh:
            self._agrees(task_id)
        self._numbers(now)
        self._assignments()
        replies, record.replies = record.replies, []
        for said, reply in replies:
            self._reply(said, reply)
        answers, record.answers = record.answers, []
        for answer in answers:
            answer()
        for task_id in record.submitted:
            demand(record.known(task_id), f"{task_id} was answered and is not there")

    # -- rows and the log -------------------------------------------------

    def _agrees(self, task_id: str) -> None:
        """Rows and the log are one truth: exactly one end, and nothing after it."""
        record = self._record
        history = record.events.get(task_id, [])
        state = self.replayed[task_id] = replay(history)
        task = record.tasks.get(task_id)
        if task is None:
            return
        demand(not state.deleted, f"{task_id} was deleted and is there")
        different = state.differences(task)
        demand(not different, f"the log of {task_id} and its row differ: {different}")
        since = _since_submission([event.event for event in history])
        ends = [name for name in since if name in events.TERMINAL_EVENTS]
        demand(
            len(ends) == task.status.ended and (not ends or since[-1] == ends[0]),
            f"{task_id} is {task.status} with the ends {ends} in {since}",
        )

    def _moved(self, old: Task, new: Task) -> None:
        demand(new.generation >= old.generation, f"the generation of {new.id} went back")
        demand(old.status not in FINAL or old == new, f"{new.id} ended as {old.status} and changed")
        same = (old.description, old.metadata, old.pinned, old.needs, old.terms, old.max_attempts)
        demand(
            same
            == (new.description, new.metadata, new.pinned, new.needs, new.terms, new.max_attempts),
            f"what was asked of {new.id} changed",
        )

    def _went(self, old: Task, now: int) -> None:
        """A row is gone: it was deleted, or forgotten long after its end."""
        history = self._record.events[old.id]
        demand(old.status.ended, f"{old.id} went while it was {old.status}")
        if history[-1].event == events.TASK_DELETED:
            demand(old.status is Status.DEAD_LETTER, f"{old.id} was deleted as {old.status}")
        else:
            age = now - old.updated_at
            demand(age > self._retain_ms, f"{old.id} was forgotten {age} ms after its end")

    def _numbers(self, now: int) -> None:
        """Numbers are given without gaps, and only what is old is forgotten."""
        record = self._record
        last, pruned = self._disk.numbers()
        demand(last == record.last_seq, f"the last event is {record.last_seq}, the counter {last}")
        if self._disk.count() == len(record.all) - len(record.pruned):
            return
        missing = record.all.keys() - self._disk.kept() - record.pruned
        for seq in missing:
            event = record.all[seq]
            task = record.tasks.get(event.task_id or "")
            age = now - event.timestamp
            demand(seq <= pruned, f"event {seq} is gone, pruned are those up to {pruned}")
            demand(age > self._retain_ms, f"event {seq} was forgotten after {age} ms")
            demand(
                task is None or task.status.ended,
                f"event {seq} of {event.task_id} was forgotten, and the task is not over",
            )
        record.pruned |= missing
        demand(self._disk.count() == len(record.all) - len(record.pruned), "an event came twice")

    def _assignments(self) -> None:
        """One generation, one agent, whatever happened between; and none in vain."""
        record = self._record
        for task_id in record.fresh:
            for event, _ in record.told(task_id, events.TASK_ASSIGNED):
                self._held(task_id, event.generation or 0, event.agent_id or "")
        for task_id, generation, agent_id in record.sent:
            holder = self._holders.get((task_id, generation))
            demand(
                holder == agent_id,
                f"{agent_id} was sent {task_id}, generation {generation}; on disk is {holder}",
            )

    def _held(self, task_id: str, generation: int, agent_id: str) -> None:
        holder = self._holders.setdefault((task_id, generation), agent_id)
        demand(
            holder == agent_id,
            f"{task_id}, generation {generation}, is {holder}'s and {agent_id}'s",
        )

    # -- answers ------------------------------------------------------------

    def _reply(self, said: Said, reply: dict[str, Any]) -> None:
        """What an agent was told of its report stands on disk."""
        kind, record = reply["type"], self._record
        what = f"{said} was answered {reply}"
        if kind == "error":
            demand(not said.counts, what)
            return
        task_id = said.task_id
        if task_id not in record.tasks:
            # Of what the hub does not know, or not any more, everything is acknowledged.
            pass
        elif kind == "task_continue":
            self._continued(said, what)
        elif kind == "task_ack":
            status = reply["status"]
            if status == "complete":
                self._completed(said, what)
            elif status == "failed":
                self._logged(said, what, events.TASK_FAILED)
            elif status == "accepted":
                # Whoever said that it goes on had begun.
                self._logged(said, what, events.TASK_ACCEPTED, events.TASK_RECOVERING)
            elif status == "rejected":
                # Where the assignment was a repetition it means busy, and is no event.
                sent = any(
                    task == task_id and agent_id == said.agent_id
                    for task, _, agent_id in record.sent
                )
                if not sent:
                    self._logged(said, what, events.TASK_REJECTED)
        over = kind == "task_reassign" or reply.get("action") == "abort"
        if over or reply.get("status") in ("complete", "failed", "rejected"):
            record.has.get(said.agent_id, {}).pop(task_id, None)

    def _completed(self, said: Said, what: str) -> None:
        """Accepted as complete once: from one agent, of one generation, with one result."""
        task = self._record.tasks[said.task_id]
        ending = task.ending
        demand(task.status is Status.COMPLETED and ending is not None, f"{what}: {task.status}")
        assert ending is not None
        demand(ending.agent_id == said.agent_id, f"{what}: it is {ending.agent_id}'s")
        demand(
            said.generation in (None, 0, ending.generation),
            f"{what}: it was generation {ending.generation}",
        )
        demand(task.generation == ending.generation, f"{what}: {task.generation} is current")
        if said.counts:
            result = None if said.result is None else msgspec.json.encode(said.result)
            demand(task.result == result, f"{what}: its result is {task.result!r}")

    def _logged(self, said: Said, what: str, *names: str) -> None:
        found = any(
            event.event in names
            and event.agent_id == said.agent_id
            and said.generation in (None, 0, event.generation)
            for event in self._record.events[said.task_id]
        )
        demand(found, f"{what}, and there is no such event")

    def _continued(self, said: Said, what: str) -> None:
        found = self._record.told(said.task_id, events.TASK_RECOVERING)
        demand(
            any(
                e.agent_id == said.agent_id
                and said.generation in (None, 0, e.generation)
                and told.get("outcome") == "continue"
                for e, told in found
            ),
            f"{what}, and there is no such event",
        )


def _since_submission(names: list[str]) -> list[str]:
    """The events since the task was last submitted or tried again by hand.

    What follows a dead letter is just that: replay refuses everything else.
    """
    found: list[str] = []
    for name in names:
        if found and found[-1] == events.TASK_DEAD_LETTER and name == events.TASK_REQUEUED:
            found = []
        found.append(name)
    return found
