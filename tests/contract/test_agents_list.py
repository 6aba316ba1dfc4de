"""A list of many agents: it takes several turns, and is still of one moment."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from agentcom.hub import present
from tests.contract.helpers import HubTests


class ManyAgentsTests(HubTests):
    """Two agents make a turn here."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(present, "AT_A_TIME", 2)

    def test_in_turns(self) -> None:
        """All are there, in the order in which they came, though the list took turns."""
        names = [f"agent-{number}" for number in range(5)]
        for name in names:
            self.hub.agent(name)
        answer = self.hub.request("GET", "/api/agents")
        self.assertEqual([agent["agent_id"] for agent in answer.body["agents"]], names)

    def test_one_moment(self) -> None:
        """Who comes or goes while the list is made is told by the events behind its cursor."""
        agents = [self.hub.agent(f"agent-{number}") for number in range(4)]
        listing = Deferred.fromCoroutine(self.hub.hub.present.listed())
        self.assertNoResult(listing)
        self.hub.cut(agents[3])
        self.hub.agent("late")
        listed = self.successResultOf(listing)
        self.assertEqual(
            [agent["agent_id"] for agent in listed.agents], [f"agent-{n}" for n in range(4)]
        )
        told = self.hub.request("GET", f"/api/events?after={listed.cursor}&topics=presence").text
        self.assertIn(b"agent_left", told)
        self.assertIn(b'"late"', told)
