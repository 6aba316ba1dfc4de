"""What a connection leaves behind: nothing that would wait for the garbage collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

from agentcom.testing import FakeAgent
from tests.contract.helpers import HubTests


class FreedTests(HubTests):
    """The hub's side of a line is gone with the line."""

    def setUp(self) -> None:
        super().setUp()
        gc.disable()
        self.addCleanup(gc.enable)

    def assert_freed(self, live: Callable[[FakeAgent], None]) -> None:
        """Lead a line's life; then nothing of it is left."""
        agent = self.hub.agent("a")
        line: Any = self.hub.parts.factory.agents["a"]
        left = [weakref.ref(part) for part in (line, line._outbound)]
        del line
        live(agent)
        # The test's own hold on the server's end.
        if agent.pump in self.hub._pumps:
            self.hub._pumps.remove(agent.pump)
        agent.pump.server = agent.pump.serverIO.protocol = agent.pump.serverIO = None
        self.hub.advance(10)
        self.assertEqual([part() for part in left], [None, None])

    def test_cut(self) -> None:
        """One whose line broke."""
        self.assert_freed(lambda agent: agent.vanish())

    def test_closed_by_the_agent(self) -> None:
        """One that said goodbye."""

        def live(agent: FakeAgent) -> None:
            agent.sendClose(1000)
            self.hub.settle()

        self.assert_freed(live)

    def test_after_work(self) -> None:
        """One that worked, submitted, and was replaced."""

        def live(agent: FakeAgent) -> None:
            task_id = self.accepted(agent)
            self.assert_answer(agent.say("task_complete", task_id=task_id), "task_ack")
            agent.say("task_submit", description="x")
            agent.say("status", status="busy")
            self.hub.agent("a")

        self.assert_freed(live)
