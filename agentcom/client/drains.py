"""The calls that take an agent, or the whole hub, out of service and back.

``HubClient`` in ``hub`` has them all.
"""

from __future__ import annotations

from typing import Any

from agentcom.client import replies
from agentcom.client.transport import Transport

NO_AGENT = "agent_not_found"
HUB = ("api", "admin", "drain")


class DrainCalls:
    """Draining, resuming and disconnecting."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def drain(
        self, agent_id: str, *, deadline_s: float | None = None, note: str | None = None
    ) -> replies.DrainState:
        """Give an agent nothing more; stored when this returns.

        :param deadline_s: seconds after which what still runs there goes back to
            the queue, ``None`` for never.
        """
        body = _order(deadline_s, note)
        return await self._of_agent("POST", agent_id, "drain", replies.DrainState, body)

    async def drain_of(self, agent_id: str) -> replies.DrainState:
        """Whether an agent drains, and how many tasks still run there."""
        return await self._of_agent("GET", agent_id, "drain", replies.DrainState)

    async def resume(self, agent_id: str) -> replies.Resumed:
        """Give an agent work again."""
        return await self._of_agent("POST", agent_id, "resume", replies.Resumed)

    async def disconnect(
        self, agent_id: str, *, reason: str | None = None, retry_after_s: float | None = None
    ) -> replies.Disconnected:
        """Close an agent's connection; its tasks are held as for any disconnect.

        :param retry_after_s: for how many seconds it is asked to stay away.
        """
        body = _given({"reason": reason, "retry_after_s": retry_after_s})
        return await self._of_agent("POST", agent_id, "disconnect", replies.Disconnected, body)

    async def drain_hub(
        self, *, deadline_s: float | None = None, note: str | None = None
    ) -> replies.DrainState:
        """Let the hub assign nothing more, until that is ended or its process ends.

        :param deadline_s: seconds after which the drain counts as late.
        """
        body = _order(deadline_s, note)
        return await self._transport.call("POST", HUB, replies.DrainState, body=body)

    async def drain_of_hub(self) -> replies.DrainState:
        """Whether the hub drains, how many tasks still run, and which agents are drained."""
        return await self._transport.call("GET", HUB, replies.DrainState)

    async def resume_hub(self) -> replies.Resumed:
        """Let the hub assign again."""
        return await self._transport.call("DELETE", HUB, replies.Resumed)

    async def _of_agent(
        self,
        method: str,
        agent_id: str,
        below: str,
        shape: type[replies.T],
        body: dict[str, Any] | None = None,
    ) -> replies.T:
        """A call about one agent."""
        path = ("api", "agents", agent_id, below)
        return await self._transport.call(method, path, shape, body=body, missing=NO_AGENT)


def _order(deadline_s: float | None, note: str | None) -> dict[str, Any]:
    return _given({"deadline_s": deadline_s, "note": note})


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
