"""Rules of the machine: operators drain agents, and the hub, and resume them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from agentcom.core.drain import Drain
from tests.model import asked
from tests.model.drained import GRACE_MS
from tests.model.promises import demand
from tests.model.rules import Rules
from tests.model.world import AGENTS


class Draining(Rules):
    """What operators do before they work on a machine."""

    @precondition(lambda self: not self.world.offers.drained)
    @rule(
        pick=asked.picks,
        deadline_s=st.sampled_from([None, None, 0.5, 4.0, 40.0]),
        note=st.sampled_from([None, "kernel"]),
    )
    def drain_agent(self, pick: int, deadline_s: float | None, note: str | None) -> None:
        """An agent is taken out of service, be it here or away, most often one with work."""
        tasks = self.record.tasks.values()
        busy = sorted({t.agent_id for t in tasks if t.status.held and t.agent_id})
        some = busy if busy and pick % 3 else AGENTS
        self._drain(some[pick % len(some)], deadline_s, note)

    @precondition(lambda self: self.world.drained.to_come(self.world.hub.now()))
    @rule()
    def pass_the_deadline(self) -> None:
        """Time passes until the drain's time is over."""
        world = self.world
        calm = world.settled
        world.pass_time(world.drained.to_come(world.hub.now()) + GRACE_MS / 1000)
        world.check()
        if calm:
            world.check_times()

    @precondition(lambda self: self.world.offers.drained)
    @rule(pick=asked.picks, deadline_s=st.sampled_from([None, 1.0]))
    def drain_anew(self, pick: int, deadline_s: float | None) -> None:
        """Somebody has thought again."""
        drained = sorted(self.world.offers.drained)
        self._drain(drained[pick % len(drained)], deadline_s, "anew")

    def _drain(self, agent_id: str, deadline_s: float | None, note: str | None) -> None:
        world = self.world
        deadline = None if deadline_s is None else world.hub.now() + int(deadline_s * 1000)
        drain = Drain(by="admin", since=0, note=note, deadline=deadline)
        number = world.drained.asked(agent_id, drain)
        world.offers.drained.add(agent_id)
        drains = world.hub.drains

        async def ask() -> Any:
            told = await drains.drain(agent_id, "admin", deadline_s, note)
            world.drained.answered(agent_id, number)
            return told

        world.ask(ask, lambda told: demand(told["deadline"] == deadline, f"{told}, {deadline}"))

    @precondition(lambda self: self.world.offers.drained | self.world.offers.draining)
    @rule(agent_id=asked.agents)
    def resume_agent(self, agent_id: str) -> None:
        """An agent is given work again."""
        world = self.world
        number = world.drained.asked(agent_id, None)
        world.offers.drained.discard(agent_id)
        world.offers.draining.discard(agent_id)
        drains = world.hub.drains

        async def ask() -> None:
            await drains.resume(agent_id, "admin")
            world.drained.answered(agent_id, number)

        world.ask(ask, lambda _: None)

    @precondition(lambda self: not self.world.offers.standstill)
    @rule(seconds=st.sampled_from([0.0, 3.0]), stays=st.sampled_from([False, False, True]))
    def drain_hub(self, seconds: float, stays: bool) -> None:
        """The hub stands still for a while."""
        world = self.world
        world.offers.standstill = True
        world.ask(lambda: world.hub.hub_drain.begin("admin", None, None), lambda _: None)
        world.pass_time(seconds)
        world.check()
        if not stays:
            self.resume_hub()

    @precondition(lambda self: self.world.offers.standstill)
    @rule()
    def resume_hub(self) -> None:
        """The hub gives work again."""
        self.world.offers.standstill = False
        self.world.ask(lambda: self.world.hub.hub_drain.end("admin"), lambda _: None)
