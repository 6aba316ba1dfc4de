"""The state machine: any of the rules, and all promises after each of them."""

from __future__ import annotations

import sys
from collections import Counter
from typing import ClassVar

from hypothesis.stateful import invariant

from agentcom.core.replay import replay
from tests.model.asked import GOOD
from tests.model.draining import Draining
from tests.model.operating import Operating, Surroundings
from tests.model.promises import demand
from tests.model.submitting import Submitting
from tests.model.working import Working
from tests.model.world import AGENTS

ROUNDS = 12
"""Times that good agents are given to end everything."""


class HubMachine(Submitting, Working, Operating, Draining, Surroundings):
    """A whole hub in a random world.

    :cvar seen: what happened in all examples.
    """

    seen: ClassVar[Counter[str]]

    @invariant()
    def everything_holds(self) -> None:
        """After every step."""
        self.seen["steps"] += 1
        self.world.check()

    def teardown(self) -> None:
        """When good agents come, everything ends; and the whole log gives the whole table."""
        self.seen["examples"] += 1
        if sys.exc_info()[0] is not None:
            # A step has failed, and that is what should be told.
            return
        world = self.world
        world.be_well()
        world.check()
        for agent_id in AGENTS:
            self.resume_agent(agent_id)
        self.resume_hub()
        world.pass_time(700.0)
        for number in range(ROUNDS):
            if all(task.status.ended for task in self.record.tasks.values()):
                break
            for agent_id in AGENTS:
                told = {**GOOD[number % 2], "tasks": []}
                if agent_id in world.lines and number > 1:
                    world.identify(world.lines[agent_id], told)
                else:
                    world.connect(agent_id, told)
            self._end_all()
            world.pass_time((2.1, 2.1, 130.0, 1_000.0)[number % 4], self._end_all)
            world.check()
        left = [task for task in self.record.tasks.values() if not task.status.ended]
        demand(not left, f"nothing ever ends {left}")
        self._replay()

    def _end_all(self) -> None:
        """Every agent completes all that it was given."""
        for agent_id, line in list(self.world.lines.items()):
            for task_id, generation in list(self.record.has.get(agent_id, {}).items()):
                self.record.has[agent_id].pop(task_id, None)
                self.world.report(line, "task_complete", task_id, generation)

    def _replay(self) -> None:
        for task_id, history in self.record.events.items():
            state = replay(history)
            task = self.record.tasks.get(task_id)
            if task is not None:
                demand(not state.differences(task), f"{task_id}: {state}, {task}")
        self.seen.update(event.event for event in self.record.all.values())
        self.seen["forgotten"] += len(self.record.pruned)
