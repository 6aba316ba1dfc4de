"""A stop while many agents do not answer any more, as where their network is gone."""

from __future__ import annotations

from typing import Any

from agentcom.hub import goodbyes
from tests.unit.service.support import ServiceCase


class SilentStopTests(ServiceCase):
    """Agents that hear nothing and say nothing."""

    def test_dropped_some_in_a_turn(self) -> None:
        """Those who never answer the goodbye are dropped, a few in each turn of the reactor."""
        self.patch(goodbyes, "AT_A_TIME", 2)
        service = self.started()
        assert service.parts is not None
        for number in range(5):
            silent = self.agent(service, f"w{number}")
            silent.dataReceived = lambda data: None
        happened: list[str] = []
        begin_later = self.reactor.callLater

        def call_later(seconds: float, *what: Any, **more: Any) -> Any:
            if not seconds:
                happened.append("turn")
            return begin_later(seconds, *what, **more)

        for connection in service.parts.factory.connections:
            transport = connection.transport
            transport.abortConnection = lambda drop=transport.abortConnection: (
                happened.append("drop"),
                drop(),
            )
        self.patch(self.reactor, "callLater", call_later)
        self.stop(service)
        told = "".join("." if what == "turn" else "x" for what in happened)
        self.assertEqual(told.strip("."), "xx.xx.x")
