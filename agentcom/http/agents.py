"""Who is connected, and whether the hub is well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentcom.core.tokens import SUBMIT
from agentcom.errors import AgentNotFound
from agentcom.http.errors import RETRY_AFTER_S
from agentcom.http.route import Answer, Call, Route
from agentcom.hub.hub import Hub
from agentcom.hub.liveness import Liveness
from agentcom.wire.answers.agents import AgentList, AgentShown, Health, NotReady, Ready
from agentcom.wire.frames import Limits

SERVICE = "agent_com"

TASKS_SHOWN = 1_000
"""Tasks of one agent that are shown with it."""


class AgentRoutes:
    """Health, readiness, agents.

    :param limits: those of connections.
    :param contested: whether an agent id is fought over now.
    """

    def __init__(self, hub: Hub, limits: Limits, contested: Callable[[str], bool]) -> None:
        self._hub = hub
        self._liveness = Liveness(
            hub.ledger, hub.dispatch.holdings, hub.roster, hub.agenda, hub.now, limits, contested
        )

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            Route(
                method="GET",
                path="/health",
                name="health",
                scope=None,
                answers={200: Health},
                handler=self.health,
            ),
            Route(
                method="GET",
                path="/ready",
                name="ready",
                scope=None,
                answers={200: Ready, 503: NotReady},
                handler=self.ready,
            ),
            Route(
                method="GET",
                path="/api/agents",
                name="list_agents",
                scope=None,
                answers={200: AgentList},
                handler=self.list,
            ),
            Route(
                method="GET",
                path="/api/agents/<agent_id>",
                name="get_agent",
                scope=SUBMIT,
                answers={200: AgentShown},
                refuses=(AgentNotFound,),
                handler=self.get,
            ),
        ]

    def health(self, call: Call) -> Answer:
        """The process answers."""
        connected = len(self._hub.roster)
        return Answer(200, {"status": "ok", "service": SERVICE, "agents_connected": connected})

    def ready(self, call: Call) -> Answer:
        """Whether new work is taken, and why not."""
        trouble = self._hub.trouble()
        if trouble is None:
            return Answer(200, {"status": "ready"})
        headers = ((b"retry-after", b"%d" % RETRY_AFTER_S),)
        return Answer(503, {"status": "not_ready", "reason": trouble}, headers)

    async def list(self, call: Call) -> Answer:
        """The connected agents, and the cursor from which events go on."""
        listed = await self._hub.present.listed()
        return Answer(200, {"agents": listed.agents, "cursor": listed.cursor})

    async def get(self, call: Call) -> Answer:
        """One agent, with its tasks; one that is away shows what is held for it."""
        agent_id = call.args["agent_id"]
        link = self._hub.roster.get(agent_id)
        holding = self._hub.dispatch.holdings.get(agent_id)
        if link is None and holding is None and not self._hub.auth.knows(agent_id):
            raise AgentNotFound(agent_id=agent_id)
        shown: dict[str, Any] = {"agent_id": agent_id, "state": "away"}
        if link is not None:
            shown = {**self._hub.info(link), **link.newest}
        shown["drain"] = self._hub.drains.shown(agent_id)
        shown["liveness"] = self._liveness.of(agent_id, TASKS_SHOWN)
        shown["tasks"] = self._hub.overview.tasks_of(agent_id, TASKS_SHOWN)
        return Answer(200, shown)
