"""Rules of the machine: tasks come in."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import rule

from agentcom.core.state import Task
from agentcom.errors import AgentComError, IdempotencyConflict
from agentcom.wire.http import PushTask
from agentcom.wire.tasks import SubmitTask
from tests.model import asked
from tests.model.asked import Pairs
from tests.model.promises import demand
from tests.model.rules import Rules


class Submitting(Rules):
    """People and programs submit and push."""

    @rule(who=asked.submitters, pairs=asked.extras)
    def submit(self, who: str, pairs: Pairs) -> None:
        """One task."""
        self._submit(who, [pairs])

    @rule(who=asked.submitters, batch=st.lists(asked.extras, min_size=2, max_size=4))
    def submit_batch(self, who: str, batch: list[Pairs]) -> None:
        """All of these, or none."""
        self._submit(who, batch)

    @rule(agent_id=asked.agents, pairs=asked.extras)
    def submit_on_a_line(self, agent_id: str, pairs: Pairs) -> None:
        """An agent submits on its own line."""
        line = self.world.lines.get(agent_id)
        if line is None:
            return
        body = asked.body(pairs, self.world.hub.now())
        self._remember_asking(agent_id, body)
        line.say({"type": "task_submit", **body})
        self.world.settle()

    @rule(agent_id=asked.agents, key=st.sampled_from([None, None, "k1", "k2"]))
    def push(self, agent_id: str, key: str | None) -> None:
        """An order to one agent."""
        world = self.world
        order = PushTask(agent_id=agent_id, description="order", idempotency_key=key)
        body = {"push": agent_id, "idempotency_key": key}
        self._remember_asking("sue", body)
        link = world.hub.roster.get(agent_id)
        can = (
            link is not None
            and agent_id not in world.offers.draining | world.offers.drained
            and not world.offers.standstill
            and key is None
            and world.store.trouble() is None
        )

        def refused(error: AgentComError) -> None:
            demand(not can, f"a push to {agent_id} was refused: {error!r}")

        def answered(found: tuple[Task, bool]) -> None:
            task, new = found
            self._judge_key("sue", body, task, new)
            self.record.submitted[task.id] = body
            demand(task.pinned == agent_id, f"{task.id} is an order to {task.pinned}")

        world.ask(lambda: world.hub.pushes.push("sue", order), answered, refused)

    def _submit(self, who: str, batch: list[Pairs]) -> None:
        world = self.world
        bodies = [asked.body(pairs, world.hub.now()) for pairs in batch]
        for body in bodies:
            self._remember_asking(who, body)
        decoded = [msgspec.convert(body, SubmitTask) for body in bodies]
        fine = (
            all("idempotency_key" not in body for body in bodies) and world.store.trouble() is None
        )

        def answered(found: list[tuple[Task, bool]]) -> None:
            demand(len(found) == len(bodies), f"{found} for {bodies}")
            for body, (task, new) in zip(bodies, found, strict=True):
                self._judge_key(who, body, task, new)
                self._judge_submitted(who, body, task.id)

        def refused(error: AgentComError) -> None:
            demand(not fine, f"{bodies} were refused: {error!r}")
            if isinstance(error, IdempotencyConflict):
                differ = any(
                    len(self.asked.get((who, body.get("idempotency_key")), ())) > 1
                    for body in bodies
                )
                demand(differ, f"{bodies} conflict with nothing")

        world.ask(lambda: world.hub.submissions.submit_all(who, decoded), answered, refused)

    def _remember_asking(self, who: str, body: dict[str, Any]) -> None:
        self.asked.setdefault((who, body.get("idempotency_key")), set()).add(_canonical(body))

    def _judge_key(self, who: str, body: dict[str, Any], task: Task, new: bool) -> None:
        """One key, one task, as long as there is that task."""
        key = body.get("idempotency_key")
        if key is None:
            demand(new, f"{task.id} was made of a request without a key, and is not new")
            return
        told = _canonical(body), task.id
        before = self.keys.get((who, key))
        if before is not None and before[1] not in self.record.gone:
            demand(before == told, f"{who}'s key {key} gave {before} and then {told}")
        self.keys[who, key] = told

    def _judge_submitted(self, who: str, body: dict[str, Any], task_id: str) -> None:
        """What was answered is on disk, as it was asked for."""
        self.record.submitted[task_id] = body
        task = self.record.tasks.get(task_id) or self.record.gone.get(task_id)
        demand(task is not None, f"{task_id} was answered and is not on disk")
        assert task is not None
        wanted = (
            who,
            body.get("agent_id"),
            body.get("priority", "normal"),
            body.get("max_attempts", 3),
            body.get("hold_s", 30),
            body.get("deadline"),
            body.get("idempotency_key"),
        )
        found = (
            task.submitted_by,
            task.pinned,
            task.priority,
            task.max_attempts,
            task.hold_s,
            task.terms.deadline,
            task.idempotency_key,
        )
        demand(wanted == found, f"{task_id} was asked as {wanted}, and is {found}")


def _canonical(body: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in body.items() if k != "idempotency_key"}, sort_keys=True)
