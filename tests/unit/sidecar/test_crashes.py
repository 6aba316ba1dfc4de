"""The agent's promises over its own deaths, at any step, by Hypothesis.

The desk, its journal and its outbox are real; the hub is ``modelhub``, the runs
and the end of a process are played here.  A process dies between any two of
its effects: a write, a frame, the beginning of a run, the dropping of one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.desk import Desk
from agentcom.sidecar.jobs import Frame, Key
from agentcom.sidecar.journal import Journal
from agentcom.sidecar.mending import AGAIN_S
from agentcom.sidecar.runner import Ears, Outcome
from tests.unit.sidecar.fakes import database, unwritable
from tests.unit.sidecar.modelhub import BEGUN, ModelHub, ModelTask

SLOTS = 2
STEPS = 60
EXAMPLES = 300


class Dead(Exception):
    """The process ends here."""


class Fuse:
    """Ends the process after so many effects; ``None``: never."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Dead


class Disk:
    """The journal's database, as a process that may die meanwhile has it."""

    def __init__(self, db: sqlite3.Connection, fuse: Fuse) -> None:
        self.db = db
        self._fuse = fuse

    def execute(self, *statement: Any) -> Any:
        self._fuse.burn()
        done = self.db.execute(*statement)
        self._fuse.burn()
        return done

    def __enter__(self) -> Any:
        return self.db.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self.db.__exit__(*error)


@dataclass
class Run:
    """What of a run is in the world, whoever watches."""

    key: Key
    ears: Ears | None
    outcome: Outcome | None = None
    told: bool = False
    stopping: bool = False


@dataclass
class Hold:
    """A run in the hands of one process."""

    world: World
    run: Run

    def go_on(self) -> None: ...

    def stop(self) -> None:
        self.run.stopping = True

    def kill(self) -> None:
        self.run.stopping = True

    def discard(self) -> None:
        self.world.fuse.burn()
        self.world.runs.pop(self.run.key, None)
        self.world.fuse.burn()


class World:
    """All runs: a workshop for one process after the other."""

    def __init__(self, fuse: Fuse, counts: Callable[[Key], bool]) -> None:
        self.fuse = fuse
        self.counts = counts
        self.runs: dict[Key, Run] = {}
        self.begun: list[Key] = []

    def start(self, task: Frame, ears: Ears) -> Hold:
        self.fuse.burn()
        key = task["task_id"], task["generation"]
        self.begun.append(key)
        self.runs[key] = Run(key, ears)
        self.fuse.burn()
        return Hold(self, self.runs[key])

    def adopt(self, task: Frame, ears: Ears) -> Hold | None:
        run = self.runs.get((task["task_id"], task["generation"]))
        if run is None:
            return None
        run.ears, run.told = ears, False
        return Hold(self, run)

    def tidy(self, known: Collection[Key]) -> None:
        for key in [key for key in self.runs if key not in known]:
            assert not self.counts(key), f"dropped: {key}"
            del self.runs[key]


class Life(RuleBasedStateMachine):
    """A hub, a line, and one agent after the other on the same journal."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = ModelHub()
        self.fuse = Fuse()
        self.world = World(self.fuse, self.goes_on)
        self.db = database()
        self.clock = Clock()
        self.desk: Desk | None = None
        self.online = False
        self.to_hub: list[Any] = []
        self.to_agent: list[Any] = []
        self.rebooted: set[Key] = set()

    @initialize()
    def begin(self) -> None:
        self.process_starts()

    # The process

    def effect(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Let the process do something, which may be its last."""
        try:
            call(*arguments)
        except Dead:
            self.die()

    def die(self) -> None:
        self.desk = None
        self.online = False
        self.fuse.left = None
        self.to_agent.clear()
        self.clock = Clock()
        for run in self.world.runs.values():
            run.ears, run.told = None, False

    def up(self) -> bool:
        return self.desk is not None

    def connected(self) -> bool:
        return self.online

    @precondition(lambda self: not self.up())
    @rule()
    def process_starts(self) -> None:
        def start() -> None:
            db: Any = Disk(self.db, self.fuse)
            desk = Desk(SLOTS, Journal(db, "journal.db", "bot"), self.world, self.clock)
            desk.take_up()
            self.desk = desk

        self.effect(start)

    @precondition(up)
    @rule(effects=st.integers(0, 12))
    def dies_soon(self, effects: int) -> None:
        self.fuse.left = effects

    @precondition(up)
    @rule(what=st.sampled_from(["die", "reboot", "close", "full", "free", "line", "line"]))
    def trouble(self, what: str) -> None:
        assert self.desk is not None
        if what == "close":
            self.effect(self.desk.close)
        elif what in ("full", "free"):
            unwritable(self.db, what == "full")
        elif what == "line" and self.online:
            self.line_breaks()
        elif what != "line":
            self.die()
            if what == "reboot":
                self.machine_goes_down()

    def machine_goes_down(self) -> None:
        for key in [key for key, run in self.world.runs.items() if run.outcome is None]:
            self.rebooted.add(key)
            del self.world.runs[key]

    @precondition(up)
    @rule()
    def time_passes(self) -> None:
        self.effect(self.clock.advance, AGAIN_S)

    # The line

    def say(self, frame: Frame) -> None:
        if frame["type"] == "task_recovering":
            assert frame["last_status"] == self.stage_of(frame["task_id"], frame["generation"])
        self.fuse.burn()
        self.to_hub.append(frame)
        self.fuse.burn()

    @precondition(lambda self: self.up() and not self.connected())
    @rule()
    def connects(self) -> None:
        assert self.desk is not None
        self.to_hub.clear()
        self.to_agent.clear()
        self.online = True
        mentions = self.desk.mentions()
        self.mentioned = {mention["task_id"] for mention in mentions}
        self.effect(self.desk.online, self.say, self.hub.identify(mentions))

    def line_breaks(self) -> None:
        assert self.desk is not None
        self.online = False
        self.to_agent.clear()
        self.effect(self.desk.offline)

    @rule()
    def comes_back(self) -> None:
        """In one rule, for Hypothesis may leave out any of them in a whole life."""
        if not self.up():
            self.process_starts()
        if self.up() and not self.online:
            self.connects()

    @precondition(lambda self: self.to_hub or self.to_agent)
    @rule(frames=st.integers(1, 8))
    def frames_arrive(self, frames: int) -> None:
        self.flow(frames)

    def hub_hears(self) -> None:
        frame = self.to_hub.pop(0)
        answer = self.hub.hear(frame)
        if answer is not None and self.online:
            self.to_agent.append(answer)

    def agent_hears(self) -> None:
        assert self.desk is not None
        frame = self.to_agent.pop(0)
        self.effect(self.desk.received, frame["type"], frame)

    # The hub

    def some(self, data: st.DataObject, *statuses: str) -> ModelTask | None:
        tasks = [task for task in self.hub.tasks.values() if task.status in statuses]
        return data.draw(st.sampled_from(tasks)) if tasks else None

    @rule(data=st.data(), new=st.booleans(), frames=st.integers(0, 6))
    def assigns(self, data: st.DataObject, new: bool, frames: int) -> None:
        self.comes_back()
        if not self.online:
            return
        task = self.hub.submit() if new else self.some(data, "queued")
        if task is not None:
            self.to_agent.append(self.hub.assign(task))
            self.flow(frames)

    @precondition(connected)
    @rule(data=st.data())
    def assigns_again(self, data: st.DataObject) -> None:
        task = self.some(data, *BEGUN)
        if task is not None and task.mine and task.task_id not in self.mentioned:
            self.to_agent.append(self.hub.offer(task))

    @precondition(lambda self: not self.connected())
    @rule(data=st.data(), elsewhere=st.booleans())
    def hold_expires(self, data: st.DataObject, elsewhere: bool) -> None:
        task = self.some(data, *BEGUN)
        if task is not None and task.mine:
            task.status = "queued"
            if elsewhere:
                self.hub.assign(task, mine=False)

    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        task = self.some(data, "queued", *BEGUN)
        if task is None:
            return
        task.status = "ended"
        if self.online and task.mine:
            about = {"task_id": task.task_id, "generation": task.generation}
            self.to_agent.append({"type": "task_cancelled", "reason": "r", **about})

    # The runs

    @precondition(lambda self: any(run.outcome is None for run in self.world.runs.values()))
    @rule(data=st.data(), status=st.sampled_from([0, 0, 3]), frames=st.integers(0, 4))
    def run_ends(self, data: st.DataObject, status: int, frames: int) -> None:
        runs = [run for run in self.world.runs.values() if run.outcome is None]
        run = data.draw(st.sampled_from(runs))
        run.outcome = Outcome(signal=15) if run.stopping else Outcome(exit_code=status)
        self.tell(run)
        self.flow(frames)

    @rule()
    def ends_are_told(self) -> None:
        for run in list(self.world.runs.values()):
            if run.outcome is not None and not run.told:
                self.tell(run)

    def tell(self, run: Run) -> None:
        if run.ears is not None and run.outcome is not None:
            run.told = True
            self.effect(run.ears.ended, run.outcome)

    # The promises

    @invariant()
    def nothing_begins_twice(self) -> None:
        assert len(set(self.world.begun)) == len(self.world.begun), self.world.begun

    @invariant()
    def nothing_begins_unasked(self) -> None:
        assert set(self.world.begun) <= self.hub.acknowledged

    @invariant()
    def what_the_hub_counts_on_is_on_disk(self) -> None:
        """Also where an end could not be written: the row then says ``working``."""
        rows = set(self.rows())
        for task in self.hub.tasks.values():
            if task.status == "working" and task.mine:
                assert task.key in rows, task

    @invariant()
    def no_work_is_given_up(self) -> None:
        """An attempt fails as crashed only if its run could not go on."""
        for key in self.hub.counted_crashes:
            assert key in self.rebooted or key not in self.world.runs, key
            assert key not in self.world.begun or key in self.rebooted, key

    def goes_on(self, key: Key) -> bool:
        """Whether the journal says that an attempt has not ended."""
        return key in self.rows() and self.stage_of(*key) != "ended"

    def stage_of(self, *key: Any) -> str:
        query = "SELECT stage FROM attempts WHERE task_id = ? AND generation = ?"
        (stage,) = self.db.execute(query, key).fetchone()
        return str(stage)

    def rows(self) -> list[Key]:
        query = "SELECT task_id, generation FROM attempts"
        return [(task_id, generation) for task_id, generation in self.db.execute(query)]

    def teardown(self) -> None:
        """Healed, everything comes to its end and nothing is left to be said."""
        self.fuse.left = None
        unwritable(self.db, False)
        if self.desk is None or self.desk.closing:
            self.die()
            self.process_starts()
        if self.online:
            self.line_breaks()
        for _ in range(3):
            self.connects()
            self.flow()
            for run in list(self.world.runs.values()):
                if run.outcome is None:
                    run.outcome = Outcome(signal=15) if run.stopping else Outcome(exit_code=0)
            self.ends_are_told()
            self.flow()
            self.time_passes()
            for task in self.hub.tasks.values():
                if task.status in BEGUN and task.mine:
                    self.to_agent.append(self.hub.offer(task))
            self.flow()
            self.line_breaks()
        assert self.desk is not None
        assert (self.desk.mentions(), self.desk.unreported) == ([], 0)
        assert self.rows() == []
        assert not self.world.runs, self.world.runs
        held = [t for t in self.hub.tasks.values() if t.mine and t.status in BEGUN]
        assert not held, held

    def flow(self, frames: int = 10_000) -> None:
        while frames > 0 and (self.to_hub or self.to_agent):
            if self.to_agent:
                self.agent_hears()
            elif self.to_hub:
                self.hub_hears()
            frames -= 1


class CrashTests(SynchronousTestCase):
    def test_any_life(self) -> None:
        """Whenever it dies: nothing acknowledged is lost, no end is forgotten, no work begins
        twice, and nothing stays in the journal for ever."""
        settings = hypothesis.settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        try:
            run_state_machine_as_test(Life, settings=settings)
        except BaseException as e:
            # Trial does not show them: they are the life that broke a promise.
            print("\n".join(getattr(e, "__notes__", ())))
            raise
