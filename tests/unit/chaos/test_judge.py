"""What judges a run finds each kind of fault, and none where there is none.

:func:`good` is the history of two tasks; every test breaks one thing in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.chaos.history import (
    Acked,
    AnyRecord,
    Effect,
    Finished,
    Planned,
    Refusal,
    Shown,
    Told,
    Trouble,
)
from agentcom.chaos.judge import Verdict, judge
from agentcom.chaos.plan import Kind, Member, Plan, Size, Work

SIDE, OTHER, OLD = "side", "other", "old"
T, U = "task-1", "task-2"


def event(seq: int, name: str, task_id: str, agent_id: Any, generation: int, **p: Any) -> Any:
    """An event as the hub shows it."""
    return {
        "seq": seq,
        "topic": "tasks",
        "event": f"task_{name}",
        "task_id": task_id,
        "agent_id": agent_id,
        "generation": generation,
        "timestamp": 1,
        "payload": p,
    }


def shown(task_id: str, agent_id: str, generation: int, events: list[Any], **more: Any) -> Shown:
    """A task that was completed."""
    task = {
        "id": task_id,
        "status": "completed",
        "agent_id": agent_id,
        "generation": generation,
        "attempts": 1,
        "series": 1,
        "result": {"data": {"by": agent_id, "generation": generation}},
        **more,
    }
    return Shown(task=task, events=events)


def effect(task_id: str, agent_id: str, generation: int, step: str, counted: bool = True) -> Effect:
    """A side effect; each agent has a process of its own."""
    return Effect(
        task_id=task_id,
        generation=generation,
        agent_id=agent_id,
        step=step,
        run=len(agent_id),
        counted=counted,
    )


def good() -> list[AnyRecord]:
    """One task changes hands, and what its first agent says is refused; one goes straight."""
    members = [Member(SIDE, Kind.SIDECAR), Member(OTHER, Kind.SIDECAR), Member(OLD, Kind.OLD)]
    works = [Work(0.0, {"idempotency_key": key}) for key in ("k1", "k2")]
    first = [
        event(1, "submitted", T, None, 0, max_attempts=3),
        event(2, "assigned", T, SIDE, 1, attempt=1),
        event(4, "accepted", T, SIDE, 1),
        event(5, "requeued", T, SIDE, 1, reason="agent_lost", requeues=1),
        event(6, "assigned", T, OTHER, 2, attempt=1),
        event(7, "complete", T, OTHER, 2),
    ]
    second = [
        event(3, "submitted", U, None, 0, max_attempts=3),
        event(8, "assigned", U, OLD, 1, attempt=1),
        event(9, "complete", U, OLD, 1),
    ]
    log = sorted([*first, *second], key=lambda e: int(e["seq"]))
    fields = ("seq", "event", "task_id", "agent_id", "generation")
    return [
        Planned(plan=Plan(Size(tasks=2), 5.0, members, [], works)),
        Acked(key="k1", task_id=T),
        Acked(key="k2", task_id=U),
        Acked(key="k1", task_id=T),
        effect(T, SIDE, 1, "begin"),
        effect(T, OTHER, 2, "begin"),
        effect(T, SIDE, 1, "end", counted=False),
        Refusal(agent_id=OLD, task_id=T, error="not_assignee", message_type="task_complete"),
        effect(T, OTHER, 2, "end"),
        effect(U, OLD, 1, "begin"),
        effect(U, OLD, 1, "end"),
        *[Told(**{name: e[name] for name in fields}) for e in log],
        shown(T, OTHER, 2, first),
        shown(U, OLD, 1, second),
        Finished(),
    ]


def but(change: Callable[[list[AnyRecord]], object]) -> Verdict:
    """The verdict on the good history with a change."""
    records = good()
    change(records)
    return judge(records)


def without(*wrong: type[AnyRecord], **fields: Any) -> list[AnyRecord]:
    """The good history without records of these kinds that have these fields."""
    return [
        record
        for record in good()
        if not (
            isinstance(record, wrong)
            and all(getattr(record, name) == value for name, value in fields.items())
        )
    ]


def task_of(records: list[AnyRecord], task_id: str) -> Shown:
    """A task in a history, to be changed."""
    return next(r for r in records if isinstance(r, Shown) and r.task["id"] == task_id)


class GoodTests(SynchronousTestCase):
    """A run in which nothing was wrong."""

    def test_good(self) -> None:
        """Nothing is found, and the line counts what was refused."""
        verdict = judge(good())
        self.assertEqual(verdict.faults, [])
        self.assertTrue(verdict.good)
        self.assertEqual(str(verdict), "acked 2 lost 0 double-accepted 0 stale-refused 2")
        self.assertEqual(verdict.figures["tasks completed"], 2)

    def test_worked_twice(self) -> None:
        """An attempt that ended before the next one began was no double: its word was lost."""

        def change(records: list[AnyRecord]) -> None:
            stale = next(
                i for i, r in enumerate(records) if isinstance(r, Effect) and not r.counted
            )
            records.insert(5, msgspec.structs.replace(records.pop(stale), counted=True))

        verdict = but(change)
        self.assertEqual(verdict.faults, [])
        self.assertEqual(verdict.figures["ended more than once"], 1)

    def test_old_client(self) -> None:
        """An older client names no attempt, so its result may be of an earlier one."""

        def change(records: list[AnyRecord]) -> None:
            task_of(records, U).task["result"] = {"by": OLD, "generation": 7}

        self.assertEqual(but(change).faults, [])

    def test_old_client_twice(self) -> None:
        """An older client that was killed does an attempt once more: it keeps no journal."""
        again = msgspec.structs.replace(effect(U, OLD, 1, "end"), run=99)
        self.assertEqual(but(lambda records: records.insert(11, again)).faults, [])


class LostTests(SynchronousTestCase):
    """What was acknowledged and did not come to its end."""

    def assert_lost(self, verdict: Verdict, why: str) -> None:
        self.assertEqual((verdict.lost, verdict.double_accepted), (1, 0), verdict.faults)
        self.assertFalse(verdict.good)
        self.assertTrue(any(why in fault for fault in verdict.faults), verdict.faults)

    def test_unknown(self) -> None:
        """A task that the hub does not know is lost."""
        records = [r for r in good() if not (isinstance(r, Shown) and r.task["id"] == U)]
        self.assert_lost(judge(records), "does not know it")

    def test_not_ended(self) -> None:
        """A task that has not ended is lost."""

        def change(records: list[AnyRecord]) -> None:
            task = task_of(records, U)
            task.task["status"] = "assigned"
            task.events.pop()

        self.assert_lost(but(change), "it is assigned")

    def test_events_are_missing(self) -> None:
        """A task whose log has lost an event, its first or all, is lost."""
        for cut in (slice(1, 2), slice(0, 1), slice(0, None)):

            def change(records: list[AnyRecord], cut: slice = cut) -> None:
                del task_of(records, T).events[cut]

            self.assert_lost(but(change), "not possible")

    def test_events_say_otherwise(self) -> None:
        """A table that is not what the log says is found."""
        for field, value in (("status", "cancelled"), ("generation", 3), ("attempts", 2)):

            def change(records: list[AnyRecord], field: str = field, value: Any = value) -> None:
                task_of(records, T).task[field] = value

            self.assert_lost(but(change), f"its events say {field}")

    def test_no_event_at_all(self) -> None:
        """Bytes that are no events are found, not raised."""

        def change(records: list[AnyRecord]) -> None:
            task_of(records, U).events[0]["timestamp"] = "never"

        self.assert_lost(but(change), "not possible")


class DoubleTests(SynchronousTestCase):
    """What counted twice, or should not have counted."""

    def assert_double(self, verdict: Verdict, why: str) -> None:
        self.assertEqual((verdict.lost, verdict.double_accepted), (0, 1), verdict.faults)
        self.assertFalse(verdict.good)
        self.assertTrue(any(why in fault for fault in verdict.faults), verdict.faults)

    def test_two_ends(self) -> None:
        """Two accepted ends of one task are found."""

        def change(records: list[AnyRecord]) -> None:
            task_of(records, T).events.append(event(10, "complete", T, OTHER, 2))
            records.insert(-3, Told(seq=10, event="task_complete", task_id=T))

        self.assert_double(but(change), "2 ends were accepted")

    def test_result_of_another(self) -> None:
        """A result of an agent that did not have the task any more is found."""

        def change(records: list[AnyRecord]) -> None:
            task_of(records, T).task["result"] = {"data": {"by": SIDE, "generation": 1}}

        self.assert_double(but(change), f"the result of {SIDE} was accepted while {OTHER} had it")

    def test_result_of_an_earlier_attempt(self) -> None:
        """A sidecar's result of an attempt that was superseded is found."""

        def change(records: list[AnyRecord]) -> None:
            task_of(records, T).task["result"] = {"data": {"by": OTHER, "generation": 1}}

        self.assert_double(but(change), "the result of attempt 1")

    def test_no_result(self) -> None:
        """A completed task with a result of nobody is found."""
        for result in (None, [], {"data": None}):

            def change(records: list[AnyRecord], result: Any = result) -> None:
                task_of(records, T).task["result"] = result

            self.assert_double(but(change), "the result of None")

    def test_never_ended(self) -> None:
        """A sidecar's end that the sink never saw is found."""
        records = without(Effect, task_id=T, step="end", counted=True)
        self.assert_double(judge(records), "the sink knows of none")

    def test_failure_of_a_superseded_attempt(self) -> None:
        """A failure that was accepted of a command that the sink had refused is found."""
        for error, found in (("exit status 1", 0), ("exit status 75", 1)):

            def change(records: list[AnyRecord], error: str = error) -> None:
                events = task_of(records, T).events
                failed = event(7, "failed", T, OTHER, 2, error=error, attempt=1)
                again = event(8, "requeued", T, OTHER, 2, reason="retry")
                assigned = event(9, "assigned", T, OTHER, 3, attempt=2)
                events[-1:] = [failed, again, assigned, event(10, "complete", T, OTHER, 3)]
                task = task_of(records, T).task
                task["result"] = {"data": {"by": OTHER, "generation": 3}}
                task.update(generation=3, attempts=2)
                records.insert(11, effect(T, OTHER, 3, "end"))

            verdict = but(change)
            self.assertEqual((verdict.lost, verdict.double_accepted), (0, found), verdict.faults)

    def test_effect_that_should_not_count(self) -> None:
        """A side effect of a superseded attempt that counted is found."""

        def change(records: list[AnyRecord]) -> None:
            stale = next(
                i for i, r in enumerate(records) if isinstance(r, Effect) and not r.counted
            )
            records[stale] = msgspec.structs.replace(records[stale], counted=True)

        self.assert_double(but(change), "end of attempt 1 counted after 2")

    def test_one_attempt_of_two(self) -> None:
        """One generation that two agents were given is found."""
        self.assert_double(
            but(lambda records: records.insert(9, effect(T, SIDE, 2, "begin"))),
            f"{OTHER} and {SIDE} both had attempt 2",
        )

    def test_one_attempt_twice(self) -> None:
        """An attempt whose work a sidecar did twice is found."""

        def change(records: list[AnyRecord]) -> None:
            records.insert(9, msgspec.structs.replace(effect(T, OTHER, 2, "end"), run=99))

        self.assert_double(but(change), f"{OTHER} ended attempt 2 twice")


class OtherTests(SynchronousTestCase):
    """What else may not be."""

    def assert_fault(self, records: list[AnyRecord], why: str) -> None:
        verdict = judge(records)
        self.assertFalse(verdict.good)
        self.assertTrue(any(why in fault for fault in verdict.faults), verdict.faults)

    def test_cut_short(self) -> None:
        """A history without its beginning, its end, or anything at all is a fault."""
        self.assert_fault(good()[:-1], "cut short")
        self.assert_fault(good()[1:], "no plan")
        self.assert_fault([], "no submission was answered")

    def test_trouble(self) -> None:
        """What went wrong by itself is a fault."""
        trouble = Trouble(who="hub", what="it ended by itself")
        self.assert_fault([*good(), trouble], "hub: it ended by itself")

    def test_two_tasks_of_a_key(self) -> None:
        """A key that was answered with two tasks is a fault."""
        self.assert_fault([*good(), Acked(key="k1", task_id=U)], "the key k1 was given 2 tasks")

    def test_never_answered(self) -> None:
        """A submission that was never answered is a fault."""
        records = without(Acked, key="k2")
        self.assert_fault(records, "the key k2 was never answered")
        self.assert_fault(records, f"{U}: the hub has it, and nobody was told so")

    def test_told_before_it_was_true(self) -> None:
        """An event that a watcher was told and that is not in the log is a fault."""
        told = Told(seq=10, event="task_cancelled", task_id=T)
        self.assert_fault([*good(), told], "event 10 (task_cancelled) was told, and is not")
        records = good()
        at = next(i for i, r in enumerate(records) if isinstance(r, Told) and r.seq == 7)
        records[at] = msgspec.structs.replace(records[at], agent_id=SIDE)
        self.assert_fault(records, "event 7 was told as")

    def test_holes(self) -> None:
        """An event that a watcher was not told, or was told twice, is a fault."""
        self.assert_fault(without(Told, seq=5), "after event 4 the watcher was told 6")
        self.assert_fault(without(Told, seq=5), "event 5 (task_requeued) was never told")
        self.assert_fault(without(Told, seq=1), "from 2 on")
        last = Told(seq=9, event="task_complete", task_id=U, agent_id=OLD, generation=1)
        self.assert_fault([*good(), last], "after event 9 the watcher was told 9")
