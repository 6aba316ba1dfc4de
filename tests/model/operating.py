"""Rules of the machine: operators, time, the disk, and the end of hubs."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from agentcom.core import events
from agentcom.core.state import Status
from agentcom.errors import AgentComError, InvalidState, TaskNotFound
from agentcom.wire.tasks import ChooseDeadLetters
from tests.model import asked
from tests.model.promises import demand
from tests.model.rules import Rules

TRIES = 10
"""More than a commit ever needs."""

CHOICES: list[dict[str, Any]] = [
    {"all": True},
    {"agent_id": "ann"},
    {"priority": "normal"},
    {"last_error": "broke"},
    {"submitted_by": "sue"},
]


class Operating(Rules):
    """People decide of tasks."""

    @precondition(lambda self: len(self.record.tasks) > 3)
    @rule(pick=asked.picks)
    def cancel(self, pick: int) -> None:
        """Somebody wants a task no more."""
        task_id = self.task_id(pick)
        can = self._is(task_id, *(s for s in Status if not s.ended))

        def answered(_: Any) -> None:
            self._demand_status(task_id, Status.CANCELLED)

        self.world.ask(
            lambda: self.world.hub.tasks.cancel(task_id, "admin", None),
            answered,
            lambda e: self._judge_refusal("cancel", task_id, can, e),
        )

    @precondition(lambda self: any(t.status.held for t in self.record.tasks.values()))
    @rule(pick=asked.picks)
    def requeue(self, pick: int) -> None:
        """Somebody takes a task back from its agent."""
        task_id = self.task_id(pick)
        can = self._is(task_id, Status.ASSIGNED, Status.WORKING)

        def answered(_: Any) -> None:
            told = self.record.told(task_id, events.TASK_REQUEUED)
            dead = self.record.told(task_id, events.TASK_DEAD_LETTER)
            demand(
                any(
                    "operator" in (fields.get("reason"), fields.get("last_requeue"))
                    for _, fields in told + dead
                ),
                f"{task_id} was requeued, and no event says so",
            )

        self.world.offers.operator = True
        try:
            self.world.ask(
                lambda: self.world.hub.tasks.requeue(task_id, "admin", "because"),
                answered,
                lambda e: self._judge_refusal("requeue", task_id, can, e),
            )
        finally:
            self.world.offers.operator = False

    @precondition(lambda self: self._dead())
    @rule(pick=asked.picks)
    def retry(self, pick: int) -> None:
        """A dead letter is tried again."""
        task_id = self._dead_letter(pick)
        can = self._is(task_id, Status.DEAD_LETTER) and self.world.store.trouble() is None
        before = self._series(task_id)

        def answered(_: Any) -> None:
            demand(self._series(task_id) > before, f"{task_id} was retried, and no event says so")

        self.world.ask(
            lambda: self.world.hub.archive.retry(task_id, "admin"),
            answered,
            lambda e: self._judge_refusal("retry", task_id, can, e),
        )

    @precondition(lambda self: self._dead())
    @rule(pick=asked.picks)
    def delete(self, pick: int) -> None:
        """A dead letter is deleted."""
        task_id = self._dead_letter(pick)
        can = self._is(task_id, Status.DEAD_LETTER) and self.world.store.trouble() is None

        def answered(_: Any) -> None:
            demand(task_id not in self.record.tasks, f"{task_id} was deleted and is there")
            last = self.record.events[task_id][-1]
            demand(last.event == events.TASK_DELETED, f"{task_id} was deleted: {last}")

        self.world.ask(
            lambda: self.world.hub.archive.delete(task_id, "admin"),
            answered,
            lambda e: self._judge_refusal("delete", task_id, can, e),
        )

    @precondition(lambda self: self._dead())
    @rule(choice=st.sampled_from(CHOICES), deleting=st.booleans())
    def many(self, choice: dict[str, Any], deleting: bool) -> None:
        """Dead letters are tried again, or deleted, many at a time."""
        archive = self.world.hub.archive
        chosen = msgspec.convert(choice, ChooseDeadLetters)
        exact = self.world.settled and choice == {"all": True} and not self.world.store.trouble()
        dead = self._dead()
        series = {task_id: self._series(task_id) for task_id in dead}

        def answered(found: tuple[int, int]) -> None:
            if not exact:
                return
            demand(found == (len(dead), 0), f"{found} of {dead}")
            for task_id in dead:
                gone = task_id in self.record.gone
                again = self._series(task_id) > series[task_id]
                demand(gone if deleting else again, f"{task_id} is as it was")

        many = archive.delete_many if deleting else archive.retry_many
        self.world.ask(lambda: many(chosen, "admin"), answered)

    def _dead_letter(self, pick: int) -> str:
        """Most often a dead letter, where there is one."""
        dead = self._dead()
        return dead[pick % len(dead)] if pick % 4 else self.task_id(pick)

    def _dead(self) -> list[str]:
        return [t.id for t in self.record.tasks.values() if t.status is Status.DEAD_LETTER]

    def _is(self, task_id: str, *statuses: Status) -> bool:
        """Whether the task is certainly in one of these."""
        task = self.record.tasks.get(task_id)
        return self.world.settled and task is not None and task.status in statuses

    def _series(self, task_id: str) -> int:
        told = self.record.told(task_id, events.TASK_REQUEUED)
        return 1 + len([fields for _, fields in told if fields.get("reason") == "retried"])

    def _demand_status(self, task_id: str, status: Status) -> None:
        task = self.record.tasks.get(task_id) or self.record.gone[task_id]
        demand(task.status is status, f"{task_id} is {task.status}, not {status}")

    def _judge_refusal(self, what: str, task_id: str, can: bool, error: AgentComError) -> None:
        demand(not can, f"{what} of {task_id} was refused: {error!r}")
        if isinstance(error, TaskNotFound):
            demand(task_id not in self.record.tasks, f"{what}: {task_id} is there")
        if isinstance(error, InvalidState):
            demand(self.record.known(task_id), f"{what}: {task_id} was never there")


class Surroundings(Rules):
    """Time passes, the disk has moods, and hubs end."""

    @rule(seconds=asked.durations)
    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self._pass(seconds)

    @rule()
    def pass_a_moment(self) -> None:
        """Just enough for agents that are back to have said what they have."""
        self._pass(2.1)

    @precondition(lambda self: self.world.lines or not self.world.disk.still)
    @rule(
        how=st.sampled_from(["stop", "crash", "crash, written"]),
        away_s=st.sampled_from([0.0, 0.0, 1.0, 100.0]),
    )
    def end(self, how: str, away_s: float) -> None:
        """The hub is stopped, or killed with a commit done or undone; and starts again."""
        if how == "stop":
            self.world.stop(away_s)
        else:
            self.world.crash("written" in how, away_s)

    @precondition(lambda self: self.moody and not self.world.disk.slow)
    @rule()
    def disk_becomes_slow(self) -> None:
        """Commits take their time from now on."""
        self.world.disk.slow = True

    @precondition(lambda self: self.moody and not self.world.disk.late)
    @rule()
    def disk_becomes_late(self) -> None:
        """Reads take their time from now on."""
        self.world.disk.late = True

    @precondition(lambda self: not self.world.disk.still)
    @rule()
    def one_commit(self) -> None:
        """One commit is done; the next one waits."""
        self.world.disk.finish()
        self.world.settle()

    @precondition(lambda self: not self.world.disk.still)
    @rule(backwards=st.booleans())
    def deliver(self, backwards: bool) -> None:
        """What was read arrives, in some order."""
        self.world.disk.deliver(backwards)
        self.world.settle()

    @precondition(lambda self: self.world.disk.slow or self.world.disk.late)
    @rule()
    def disk_is_well(self) -> None:
        """The disk is quick again."""
        self.world.be_well()

    @precondition(lambda self: self.moody and not self.world.disk.failing)
    @rule(times=st.integers(1, 3))
    def disk_fails(self, times: int) -> None:
        """Some commits fail; they are tried again."""
        self.world.disk.failing = times

    def _pass(self, seconds: float) -> None:
        world = self.world
        calm = world.settled
        world.pass_time(seconds)
        for _ in range(TRIES):
            if calm or world.disk.slow or world.disk.late:
                break
            # What failed until now is on disk only since: it is looked at again.
            calm = world.settled
            world.pass_time(1.1)
        world.check()
        if calm:
            world.check_times()
