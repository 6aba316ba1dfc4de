"""Rules of the machine: agents come, work, lie and go."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.model import asked
from tests.model.lines import ModelLine
from tests.model.rules import Rules
from tests.model.world import AGENTS

Frame = tuple[str, dict[str, Any]]

HONEST: list[Frame] = [
    ("task_accepted", {}),
    ("task_accepted", {}),
    ("task_progress", {"progress": 0.5}),
    ("task_progress", {"output": "out", "message": "so far"}),
    ("task_complete", {"result": 1}),
    ("task_complete", {"tokens_used": 7}),
    ("task_failed", {"error": "broke"}),
    ("task_failed", {"error": "broke"}),
    ("task_failed", {"error": "hopeless", "retryable": False}),
    ("task_rejected", {}),
    ("task_rejected", {"reason": "busy"}),
    ("task_recovering", {}),
    ("task_recovering", {"last_status": "working"}),
    ("task_recovering", {"last_status": "accepted"}),
    ("state_report", {"status": "working"}),
    ("state_report", {}),
]
"""What an agent may say of a task."""

GENERATIONS = ("own", "own", "own", "own", "none", "zero")
FALSE_GENERATIONS = ("own", "none", "zero", "current", "current", "before", "after", "first")


Line = tuple[int, Frame, str]
"""Which task, what of it, and with which generation."""

reports = st.tuples(asked.picks, st.sampled_from(HONEST), st.sampled_from(GENERATIONS))
lies = st.tuples(asked.picks, st.sampled_from(HONEST), st.sampled_from(FALSE_GENERATIONS))


class Working(Rules):
    """What agents do."""

    last: tuple[str, str, str, int | None, dict[str, Any]] | None = None

    @rule(
        agent_id=asked.agents,
        told=asked.tellings,
        mention=st.sampled_from(asked.MENTIONS),
        pick=asked.picks,
    )
    def connect(self, agent_id: str, told: dict[str, Any], mention: str, pick: int) -> None:
        """An agent comes, or comes back, or comes on a newer line."""
        self.world.connect(agent_id, {**told, **self._mentions(agent_id, mention, pick)})

    @precondition(lambda self: len(self.world.lines) < len(AGENTS))
    @rule(pick=asked.picks, told=asked.tellings)
    def connect_who_is_away(self, pick: int, told: dict[str, Any]) -> None:
        """There should be agents."""
        away = [agent_id for agent_id in AGENTS if agent_id not in self.world.lines]
        agent_id = away[pick % len(away)]
        self.world.connect(agent_id, {**told, **self._mentions(agent_id, "all", 0)})
        if pick % 3:
            self.world.pass_time(2.1)

    @precondition(lambda self: self.world.lines)
    @rule(pick=asked.picks, told=asked.tellings, mention=st.sampled_from(asked.MENTIONS))
    def identify_again(self, pick: int, told: dict[str, Any], mention: str) -> None:
        """An agent says something new of itself."""
        line = self._somebody(pick)
        mentions = self._mentions(line.agent_id, mention, pick)
        self.world.identify(line, {**told, **mentions})

    @precondition(lambda self: self.world.lines)
    @rule(pick=asked.picks)
    def vanish(self, pick: int) -> None:
        """A line breaks."""
        self.world.vanish(self._somebody(pick).agent_id)

    @precondition(lambda self: len(self.world.lines) > 1)
    @rule(pick=asked.picks)
    def drain(self, pick: int) -> None:
        """An agent wants no more work."""
        line = self._somebody(pick)
        self.world.offers.draining.add(line.agent_id)
        line.say({"type": "drain"})
        self.world.settle()

    @precondition(lambda self: self._workers())
    @rule(script=st.lists(reports, min_size=1, max_size=5))
    def report(self, script: list[Line]) -> None:
        """Agents report on what they have."""
        for pick, frame, generation in script:
            self._report_own(pick, frame, generation)

    @precondition(lambda self: self._workers())
    @rule(script=st.lists(reports, min_size=1, max_size=5))
    def report_more(self, script: list[Line]) -> None:
        """Most of what happens are reports."""
        for pick, frame, generation in script:
            self._report_own(pick, frame, generation)

    @precondition(lambda self: self._workers())
    @rule(frames=st.lists(st.sampled_from(HONEST), min_size=1, max_size=3), every=st.integers(1, 2))
    def report_all(self, frames: list[Frame], every: int) -> None:
        """Every agent reports on all that it has, or on each second task."""
        for frame in frames:
            for agent_id in list(self.world.lines):
                has = list(self.record.has.get(agent_id, {}).items())
                for task_id, generation in has[::every]:
                    self._report(agent_id, frame, task_id, generation)

    @precondition(lambda self: self.record.had)
    @rule(script=st.lists(reports, min_size=1, max_size=3))
    def report_late(self, script: list[Line]) -> None:
        """An agent goes on with what it was told to leave, or has ended."""
        for pick, frame, generation in script:
            agents = list(self.record.had)
            agent_id = agents[pick % len(agents)]
            had = list(self.record.had[agent_id].items())
            task_id, own = had[-1 - pick // len(agents) % len(had)]
            told = {"none": None, "zero": 0}.get(generation, own)
            self._report(agent_id, frame, task_id, told)

    @precondition(lambda self: self.world.lines)
    @rule(agent_id=asked.agents, script=st.lists(lies, min_size=1, max_size=3))
    def lie(self, agent_id: str, script: list[Line]) -> None:
        """An agent reports on any tasks."""
        for pick, frame, generation in script:
            self._lie(agent_id, pick, frame, generation)

    @precondition(lambda self: self.world.older)
    @rule(pick=asked.picks, script=st.lists(lies, min_size=1, max_size=3))
    def lie_on_a_replaced_line(self, pick: int, script: list[Line]) -> None:
        """The same on a line that is closing."""
        line = self.world.older[pick % len(self.world.older)]
        for task, frame, generation in script:
            self._lie(line.agent_id, task, frame, generation, line)

    @precondition(lambda self: self.world.older)
    @rule()
    def older_lines_fall(self) -> None:
        """Replaced lines come to their end."""
        older, self.world.older = self.world.older, []
        for line in older:
            line.fall()

    @precondition(lambda self: self.last is not None)
    @rule(agent_id=st.none() | asked.agents)
    def say_it_again(self, agent_id: str | None) -> None:
        """The last report comes once more, from the same agent or from another one."""
        if self.last is not None:
            who, kind, task_id, generation, fields = self.last
            self._report(agent_id or who, (kind, fields), task_id, generation)

    # -- what they share ----------------------------------------------------

    def _somebody(self, pick: int) -> ModelLine:
        lines = list(self.world.lines.values())
        return lines[pick % len(lines)]

    def _workers(self) -> list[str]:
        """The agents that are here and believe that they have something."""
        return [agent_id for agent_id in self.world.lines if self.record.has.get(agent_id)]

    def _report_own(self, pick: int, frame: Frame, generation: str) -> None:
        workers = self._workers()
        if not workers:
            return
        agent_id = workers[pick % len(workers)]
        has = list(self.record.has[agent_id].items())
        task_id, own = has[pick // len(workers) % len(has)]
        self._report(agent_id, frame, task_id, {"none": None, "zero": 0}.get(generation, own))

    def _lie(
        self,
        agent_id: str,
        pick: int,
        frame: Frame,
        generation: str,
        line: ModelLine | None = None,
    ) -> None:
        task_id = self.task_id(pick)
        task = self.record.tasks.get(task_id)
        current = task.generation if task is not None else 1
        told: dict[str, int | None] = {
            "own": self.record.has.get(agent_id, {}).get(task_id),
            "none": None,
            "zero": 0,
            "current": current,
            "before": max(0, current - 1),
            "after": current + 1,
            "first": 1,
        }
        self._report(agent_id, frame, task_id, told[generation], line)

    def _report(
        self,
        agent_id: str,
        frame: Frame,
        task_id: str,
        generation: int | None,
        line: ModelLine | None = None,
    ) -> None:
        line = line or self.world.lines.get(agent_id)
        if line is None or not line.can_speak:
            return
        kind, fields = frame
        self.last = agent_id, kind, task_id, generation, fields
        self.world.report(line, kind, task_id, generation, **fields)

    def _mentions(self, agent_id: str, mention: str, pick: int) -> dict[str, Any]:
        """What an agent says that it has."""
        has = self.record.has.get(agent_id, {})
        own = [{"task_id": task_id, "generation": g} for task_id, g in has.items()]
        if mention == "nothing":
            # It has forgotten all, as a program that was started anew.
            has.clear()
            return {}
        if mention == "without":
            return {"tasks": [{"task_id": task_id} for task_id in has]}
        if mention == "some":
            return {"tasks": own[pick % (len(own) + 1) :]}
        if mention == "others":
            task = self.record.tasks.get(self.task_id(pick))
            if task is None:
                return {"tasks": [{"task_id": "task-unknown", "generation": 1}]}
            return {"tasks": [*own, {"task_id": task.id, "generation": task.generation}]}
        if mention == "stale":
            return {
                "tasks": [{"task_id": task_id, "generation": g + 1} for task_id, g in has.items()]
            }
        return {"tasks": own if mention == "all" else []}
