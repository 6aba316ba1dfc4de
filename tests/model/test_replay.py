"""Replay gives what really happened, and refuses what cannot have."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core import changes
from agentcom.core.events import Draft, Event, numbered
from agentcom.core.replay import ImpossibleHistory, Replayed, replay
from agentcom.core.state import Status, Task
from agentcom.core.task import apply, submitted

NEW = Task(
    id="task-1",
    number=1,
    description="work",
    submitted_by="sue",
    created_at=0,
    updated_at=0,
    max_attempts=2,
)

ASSIGN = changes.Assign("ann")
FAIL = changes.Fail("broke")


def lived(*steps: changes.Change) -> tuple[Task, list[Event]]:
    """A task after these changes, and its events."""
    task, drafts = NEW, submitted(NEW)
    for now, step in enumerate(steps):
        task, told = apply(task, step, now)
        drafts = drafts + told
    return task, log(drafts)


def many(times: int, *steps: changes.Change) -> list[changes.Change]:
    """The same over and over again."""
    return [*steps] * times


def log(drafts: list[Draft]) -> list[Event]:
    """Drafts with places in the log."""
    return [numbered(draft, seq) for seq, draft in enumerate(drafts, 1)]


def renumbered(events: list[Event]) -> list[Event]:
    """Other events in places that follow each other."""
    return [msgspec.structs.replace(event, seq=seq) for seq, event in enumerate(events, 1)]


class ReplayTests(SynchronousTestCase):
    """What the log says is what the table has."""

    def assert_agrees(self, *steps: changes.Change) -> Replayed:
        task, events = lived(*steps)
        state = replay(events)
        self.assertEqual(state.differences(task), {})
        return state

    def test_what_can_happen(self) -> None:
        """Whatever happened to a task, its events alone give it back."""
        ways: list[list[changes.Change]] = [
            [],
            [ASSIGN],
            [ASSIGN, changes.Accept(), changes.Progress(0.5), changes.Complete()],
            [ASSIGN, changes.Progress(output="x"), FAIL],
            [ASSIGN, FAIL, ASSIGN, FAIL],
            [ASSIGN, FAIL, changes.Complete()],
            [ASSIGN, changes.Fail("no", retryable=False)],
            [ASSIGN, changes.Fail("no", retryable=False), changes.Retry("boss"), ASSIGN],
            [ASSIGN, changes.Reject(), ASSIGN, changes.Reject(), changes.Assign("bob")],
            [ASSIGN, changes.Reject(), changes.Complete()],
            [ASSIGN, changes.Accept(), changes.Reassign(), ASSIGN],
            [ASSIGN, changes.Recover("task_recovering"), changes.Complete()],
            [ASSIGN, changes.Requeue("hold_expired"), changes.Recover("identify")],
            [ASSIGN, changes.Requeue("operator", "boss"), changes.Complete()],
            [ASSIGN, changes.Requeue("accept_timeout"), FAIL],
            [changes.Cancel("boss")],
            [ASSIGN, changes.Cancel("boss")],
            [ASSIGN, changes.Expire("deadline")],
            many(101, ASSIGN, changes.Reject()),
            [*many(101, ASSIGN, changes.Requeue("hold_expired")), changes.Retry("boss")],
        ]
        for steps in ways:
            self.assert_agrees(*steps)

    def test_work_that_is_kept(self) -> None:
        """Work that went on after it was given back is an attempt again."""
        steps: list[changes.Change] = [ASSIGN, changes.Requeue("hold_expired")]
        steps.append(changes.Recover("identify"))
        self.assertEqual(self.assert_agrees(*steps).attempts, 1)
        self.assertEqual(self.assert_agrees(*steps[:2]).attempts, 0)

    def test_what_differs(self) -> None:
        """A table that says something else is told field by field."""
        task, events = lived(ASSIGN)
        other = msgspec.structs.replace(task, status=Status.WORKING, generation=7)
        self.assertEqual(
            replay(events).differences(other),
            {"status": (Status.ASSIGNED, Status.WORKING), "generation": (1, 7)},
        )


class ImpossibleTests(SynchronousTestCase):
    """A log that no task can have left is refused."""

    def assert_impossible(self, events: list[Event]) -> None:
        self.assertRaises(ImpossibleHistory, replay, events)

    def test_no_beginning(self) -> None:
        """A task begins with its submission, and has one."""
        _, events = lived(ASSIGN)
        self.assert_impossible([])
        self.assert_impossible(events[1:])
        self.assert_impossible(renumbered([events[0], *events]))

    def test_order(self) -> None:
        """Events come in the order of their numbers, and each has one."""
        _, events = lived(ASSIGN)
        self.assert_impossible(events[::-1])
        self.assert_impossible([events[0], msgspec.structs.replace(events[1], seq=None)])

    def test_missing(self) -> None:
        """Not one event can be missing where the next one builds on it."""
        _, events = lived(ASSIGN, FAIL, ASSIGN, changes.Reject(), ASSIGN, FAIL)
        for place in range(len(events) - 1):
            self.assert_impossible(renumbered(events[:place] + events[place + 1 :]))

    def test_twice(self) -> None:
        """Not one event can come twice."""
        _, events = lived(ASSIGN, changes.Accept(), FAIL, ASSIGN, changes.Complete())
        for place, event in enumerate(events):
            self.assert_impossible(renumbered([*events[:place], event, *events[place:]]))

    def test_after_the_end(self) -> None:
        """Nothing follows an end, but a new series follows a dead letter."""
        more = lived(ASSIGN, changes.Accept(), FAIL, ASSIGN)[1][1:]
        for end in (changes.Complete(), changes.Cancel("boss"), changes.Expire("deadline")):
            _, events = lived(ASSIGN, end)
            for event in more:
                event = msgspec.structs.replace(event, agent_id="ann", generation=1)
                self.assert_impossible(renumbered([*events, event]))

    def test_others(self) -> None:
        """An event is of the agent and the generation that have the task."""
        _, events = lived(ASSIGN, changes.Accept())
        for field in ({"agent_id": "bob"}, {"agent_id": None}, {"generation": 2}):
            other: Any = msgspec.structs.replace(events[-1], **field)
            self.assert_impossible([*events[:-1], other])

    def test_generations(self) -> None:
        """Generations grow by one."""
        _, events = lived(ASSIGN)
        for generation in (0, 2):
            wrong = msgspec.structs.replace(events[1], generation=generation)
            self.assert_impossible([events[0], wrong])

    def test_what_was_ended_by_word(self) -> None:
        """An agent that said that it ended does not go on."""
        _, events = lived(ASSIGN, changes.Reject())
        _, others = lived(ASSIGN, changes.Requeue("hold_expired"), changes.Recover("identify"))
        self.assert_impossible(renumbered([*events, others[-1]]))

    def test_a_deleted_task(self) -> None:
        """Nothing follows a deletion, and only dead letters are deleted."""
        task, events = lived(ASSIGN, changes.Fail("no", retryable=False))
        deleted = Draft("tasks", "task_deleted", 9, task.id, "ann", 1)
        gone = [*events, numbered(deleted, len(events) + 1)]
        self.assertTrue(replay(gone).deleted)
        again = numbered(deleted, len(gone) + 1)
        self.assert_impossible([*gone, again])
        self.assert_impossible([*lived(ASSIGN)[1], numbered(deleted, 9)])
