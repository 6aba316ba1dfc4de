"""The queue against a plain list of what waits, over random lives.

:class:`Naive` is what the queue promises, as it is written down; Hypothesis lets both
go through the same lives and compares what they say.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.matching import NOTHING
from agentcom.core.state import Priority
from agentcom.hub import lanes as lanes_module
from agentcom.hub import queue as queue_module
from agentcom.hub.queue import Queue
from agentcom.store.interface import Waiting
from tests.unit.hub.test_queue import waiting


class Naive:
    """What the queue promises, with a plain list.

    Among the ready tasks: priority, then the submitter that was served least lately
    (never: before all others), then age, then who came first.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Waiting] = {}
        self.came: dict[str, int] = {}
        self.ready: set[str] = set()
        self.turns: dict[str, int] = {}
        self._count = 0
        self._turn = 0

    def add(self, task: Waiting, now: int) -> bool:
        self._count += 1
        self.tasks[task.id] = task
        self.came[task.id] = self._count
        if task.ready_at is None or task.ready_at <= now:
            self.ready.add(task.id)
        return task.id in self.ready

    def remove(self, task_id: str, served: bool) -> None:
        task = self.tasks.pop(task_id)
        self.ready.discard(task_id)
        if served:
            self._turn += 1
            self.turns[task.submitted_by] = self._turn

    def ripen(self, now: int) -> set[str | None]:
        """What becomes ready; gives the pins of its groups."""
        ripe = {t.id for t in self.tasks.values() if t.ready_at is not None and t.ready_at <= now}
        new = ripe - self.ready
        self.ready |= new
        return {self.tasks[task_id].pinned for task_id in new}

    def next_ready(self) -> int | None:
        return min((t.ready_at or 0 for t in self.delayed()), default=None)

    def delayed(self) -> list[Waiting]:
        return [t for t in self.tasks.values() if t.id not in self.ready]

    def first(self, pins: Iterable[str | None]) -> str | None:
        tasks = [self.tasks[i] for i in self.ready if self.tasks[i].pinned in pins]
        return min(tasks, key=self._place).id if tasks else None

    def oldest(self) -> int | None:
        return min((self.tasks[i].created_at for i in self.ready), default=None)

    def _place(self, task: Waiting) -> tuple[int, ...]:
        rank = list(Priority).index(task.priority)
        turn = self.turns.get(task.submitted_by, 0)
        return rank, turn, task.created_at, self.came[task.id]


PINS = [None, "w", "v"]
pins = st.lists(st.sampled_from(PINS), unique=True)
# Ages come in any order: a task that was delayed or comes back is older than what waits.
added = st.builds(
    waiting,
    st.just(""),
    st.integers(0, 4),
    st.sampled_from("abc"),
    priority=st.sampled_from([Priority.NORMAL, Priority.NORMAL, Priority.HIGH]),
    pinned=st.sampled_from([None, *PINS]),
    ready_at=st.none() | st.integers(0, 9),
)
steps = st.one_of(
    st.tuples(st.just("add"), added),
    st.tuples(st.just("add"), added),
    st.tuples(st.just("serve"), pins),
    st.tuples(st.just("first"), pins),
    st.tuples(st.just("remove"), st.integers(0, 30), st.booleans()),
    st.tuples(st.just("back"), st.integers(0, 30), st.none() | st.integers(0, 9)),
    st.tuples(st.just("ripen"), st.integers(0, 9)),
    st.tuples(st.just("oldest")),
)


class Pair:
    """The queue and the model of it, going through one life."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.case = case
        self.queue = Queue()
        self.naive = Naive()
        self.groups = {pin: self.queue.new_group(pin, NOTHING) for pin in PINS}
        self.gone: list[Waiting] = []
        self.now = 0
        self._made = 0

    def take(self, step: tuple[Any, ...]) -> None:
        """Take one step on both sides."""
        getattr(self, step[0])(*step[1:])

    def add(self, task: Waiting) -> None:
        self._made += 1
        self._enter(msgspec.structs.replace(task, id=f"t{self._made}"))

    def serve(self, pins: list[str | None]) -> None:
        task_id = self.first(pins)
        if task_id is not None:
            self._leave(task_id, True)

    def remove(self, index: int, served: bool) -> None:
        tasks = list(self.naive.tasks)
        if tasks:
            self._leave(tasks[index % len(tasks)], served)

    def back(self, index: int, ready_at: int | None) -> None:
        if self.gone:
            task = self.gone.pop(index % len(self.gone))
            self._enter(msgspec.structs.replace(task, ready_at=ready_at))

    def ripen(self, now: int) -> None:
        self.now = max(self.now, now)
        ripened = {group.pinned for group in self.queue.ripen(self.now)}
        self.case.assertEqual(ripened, self.naive.ripen(self.now))

    def first(self, pins: Iterable[str | None]) -> str | None:
        """Both say that it is the turn of the same task."""
        task_id = self.queue.first([self.groups[pin] for pin in pins])
        self.case.assertEqual(task_id, self.naive.first(pins))
        return task_id

    def oldest(self) -> None:
        """Both say since when the oldest waits that is ready."""
        self.case.assertEqual(self.queue.oldest(), self.naive.oldest())

    def check(self) -> None:
        """Both tell the same of what waits."""
        case, tasks = self.case, self.naive.tasks
        self.oldest()
        case.assertEqual(len(self.queue), len(tasks))
        case.assertEqual(self.queue.next_ready(), self.naive.next_ready())
        by_priority = {p.value: sum(t.priority is p for t in tasks.values()) for p in Priority}
        case.assertEqual(self.queue.by_priority(), by_priority)
        for pin, group in self.groups.items():
            mine = {t.id for t in tasks.values() if t.pinned == pin}
            case.assertEqual(group.count, len(mine))
            case.assertEqual(group.ready, len(mine & self.naive.ready))
            found = self.queue.some_of(group, 1_000)
            case.assertEqual(sorted(found), sorted(mine & self.naive.ready))
            for task_id in mine:
                case.assertIs(self.queue.group_of(task_id), group)
                case.assertEqual(self.queue.is_ready(task_id), task_id in self.naive.ready)

    def serve_all(self) -> None:
        """Give out what is left, one by one."""
        while self.first(PINS) is not None:
            self.serve(PINS)

    def _enter(self, task: Waiting) -> None:
        ready = self.queue.add(task, self.groups[task.pinned], self.now)
        self.case.assertEqual(ready, self.naive.add(task, self.now))

    def _leave(self, task_id: str, served: bool) -> None:
        self.gone.append(self.naive.tasks[task_id])
        self.queue.remove(task_id, served)
        self.naive.remove(task_id, served)


class ModelTests(SynchronousTestCase):
    """The queue against :class:`Naive`."""

    @settings(max_examples=1_000, deadline=None, derandomize=True, database=None)
    @given(st.lists(steps, max_size=40))
    @example([("add", waiting("", n % 3, "ab"[n % 2], ready_at=n % 4)) for n in range(9)])
    def test_any_life(self, life: list[tuple[Any, ...]]) -> None:
        """Whatever comes, goes, ripens and comes back, the queue says what the list says."""
        pair = Pair(self)
        for step in life:
            pair.take(step)
        pair.check()
        pair.serve_all()
        pair.ripen(9)
        pair.serve_all()
        pair.check()
        self.assertEqual(len(pair.queue), 0)

    @settings(max_examples=20, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 10**9))
    def test_long_life(self, seed: int) -> None:
        """So it is over long lives, in which stale entries are thrown away."""
        self.patch(queue_module, "SLACK", 2)
        self.patch(lanes_module, "SLACK", 2)
        random = Random(seed)
        # Few have many tasks each; of many some were never served, so that age decides.
        submitters = random.choice([3, 60])
        pair = Pair(self)
        for _ in range(600):
            pins = random.sample(PINS, random.randint(1, 3))
            task = waiting(
                "",
                random.randint(0, 50),
                f"s{random.randint(0, submitters)}",
                priority=random.choice(list(Priority)),
                pinned=random.choice(PINS),
                ready_at=random.choice([None, pair.now + random.randint(0, 30)]),
            )
            kind = random.choice(
                ["add", "add", "serve", "first", "remove", "back", "ripen", "oldest"]
            )
            pair.take(
                {
                    "add": ("add", task),
                    "serve": ("serve", pins),
                    "first": ("first", pins),
                    "remove": ("remove", random.randint(0, 999), random.random() < 0.5),
                    "back": ("back", random.randint(0, 999), task.ready_at),
                    "ripen": ("ripen", pair.now + random.randint(0, 3)),
                    "oldest": ("oldest",),
                }[kind]
            )
        pair.check()
        pair.serve_all()
