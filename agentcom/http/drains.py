"""Take an agent, or the whole hub, out of service and back; close a connection."""

from __future__ import annotations

from msgspec import Struct

from agentcom.core.tokens import ADMIN
from agentcom.errors import AgentComError, AgentNotConnected, AgentNotFound
from agentcom.http.route import Answer, Call, Handler, Route
from agentcom.hub.hub import Hub
from agentcom.hub.pacing import told
from agentcom.wire.answers.agents import (
    AgentResumed,
    Disconnected,
    DrainState,
    HubDrainState,
    HubResumed,
)
from agentcom.wire.codec import cut
from agentcom.wire.http import Disconnect, StartDrain

DISCONNECTED = 4000
"""The close code of a connection that an operator ends."""

REASON_BYTES = 80
"""Bytes of an operator's words in a close frame, which takes 123 in all."""

AGENTS_SHOWN = 1_000
"""Drained agents of which the hub's own state tells."""

AGENT = "/api/agents/<agent_id>"
HUB = "/api/admin/drain"


class DrainRoutes:
    """What operators do before they work on a machine, and after it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            _route("GET", f"{AGENT}/drain", "show_drain", self.show, DrainState),
            _route("POST", f"{AGENT}/drain", "drain_agent", self.drain, DrainState, StartDrain),
            _route("POST", f"{AGENT}/resume", "resume_agent", self.resume, AgentResumed),
            _route(
                "POST",
                f"{AGENT}/disconnect",
                "disconnect_agent",
                self.disconnect,
                Disconnected,
                Disconnect,
                AgentNotConnected,
            ),
            _route("GET", HUB, "show_hub_drain", self.show_hub, HubDrainState),
            _route("POST", HUB, "drain_hub", self.drain_hub, HubDrainState, StartDrain),
            _route("DELETE", HUB, "resume_hub", self.resume_hub, HubResumed),
        ]

    def show(self, call: Call) -> Answer:
        """Whether an agent drains, and how many tasks still run there."""
        return Answer(200, self._hub.drains.state(call.args["agent_id"]))

    async def drain(self, call: Call) -> Answer:
        """Give an agent nothing more, until it is resumed."""
        body: StartDrain = call.body
        self._hub.check_running()
        drains = self._hub.drains
        return Answer(
            200,
            await drains.drain(call.args["agent_id"], call.caller, body.deadline_s, body.note),
        )

    async def resume(self, call: Call) -> Answer:
        """Give an agent work again."""
        agent_id = call.args["agent_id"]
        self._hub.check_running()
        was_drained = self._hub.drains.shown(agent_id) is not None
        await self._hub.drains.resume(agent_id, call.caller)
        told = {"status": "resumed", "agent_id": agent_id, "was_drained": was_drained}
        return Answer(200, told)

    async def disconnect(self, call: Call) -> Answer:
        """Close an agent's connection; its tasks are held as for any disconnect."""
        agent_id, body = call.args["agent_id"], call.body
        link = self._hub.roster.get(agent_id)
        if link is None:
            raise AgentNotConnected(
                "it has no connection to close: `agentcom agents` lists those that have",
                agent_id=agent_id,
            )
        self._hub.check_running()
        reason = _short(cut(body.reason) or "disconnected by an operator")
        if body.retry_after_s is not None:
            reason = told(reason, int(body.retry_after_s * 1000))
        link.close(DISCONNECTED, reason)
        # That it has left is on disk before anybody is told so.
        await self._hub.ledger.settled()
        return Answer(200, {"status": "disconnected", "agent_id": agent_id})

    def show_hub(self, call: Call) -> Answer:
        """Whether the hub drains, how many tasks still run, and which agents are drained."""
        agents, total = self._hub.drains.everyone(AGENTS_SHOWN)
        told = {**self._hub.hub_drain.state(), "agents": agents, "agents_total": total}
        return Answer(200, told)

    async def drain_hub(self, call: Call) -> Answer:
        """Assign nothing more, until that is ended or the process ends."""
        body: StartDrain = call.body
        self._hub.check_running()
        return Answer(200, await self._hub.hub_drain.begin(call.caller, body.deadline_s, body.note))

    async def resume_hub(self, call: Call) -> Answer:
        """Assign again."""
        self._hub.check_running()
        was_drained = self._hub.dispatch.standstill is not None
        await self._hub.hub_drain.end(call.caller)
        return Answer(200, {"status": "resumed", "was_drained": was_drained})


def _route(
    method: str,
    path: str,
    name: str,
    handler: Handler,
    answer: type[Struct],
    body: type[StartDrain | Disconnect] | None = None,
    unknown: type[AgentComError] = AgentNotFound,
) -> Route:
    return Route(
        method=method,
        path=path,
        name=name,
        scope=ADMIN,
        body=body,
        body_optional=body is not None,
        example=_EXAMPLES.get(body),
        answers={200: answer},
        refuses=(unknown,) if path.startswith(AGENT) else (),
        handler=handler,
    )


_EXAMPLES: dict[object, dict[str, object]] = {
    StartDrain: {"deadline_s": 600, "note": "new disk"},
    Disconnect: {"reason": "new disk", "retry_after_s": 60},
}


def _short(text: str) -> str:
    """As much of a text as a close frame has room for."""
    return text.encode()[:REASON_BYTES].decode("utf-8", "ignore")
