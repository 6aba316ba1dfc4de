"""Bodies of the HTTP API, one Struct each: PROTOCOL.md section 4.

Those of the queue are in :mod:`.tasks`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from agentcom.wire.frames import JSONObject, MessageId, MessageType
from agentcom.wire.tasks import AgentId, Description, IdempotencyKey

Scope = Annotated[str, Meta(max_length=16)]


class PushTask(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/admin/push-task``."""

    agent_id: AgentId
    description: Description
    metadata: JSONObject | None = None
    idempotency_key: IdempotencyKey | None = None


class CreateToken(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /admin/tokens``.  ``expires_in_s`` is in seconds from now."""

    agent_id: AgentId
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=8)] | None = None
    expires_in_s: Annotated[float, Meta(gt=0, le=1e10)] | None = None


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/session``."""

    token: Annotated[str, Meta(max_length=256)]


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/onboard/register``."""

    agent_id: AgentId


class PostMessage(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/message``; the sender is the token's agent, whatever it says."""

    payload: JSONObject
    to: AgentId | None = None
    type: MessageType | None = None
    reply_to: MessageId | None = None


class StartDrain(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/agents/:id/drain`` and ``POST /api/admin/drain``; the body may be
    absent.  ``deadline_s`` is in seconds from now."""

    deadline_s: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    note: Annotated[str, Meta(max_length=2_000)] | None = None


class Disconnect(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/agents/:id/disconnect``; the body may be absent.

    ``retry_after_s`` is for how many seconds the agent is asked to stay away.
    """

    reason: str | None = None
    retry_after_s: Annotated[float, Meta(ge=0, le=86_400)] | None = None


class CancelTask(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/tasks/:id/cancel``; the body may be absent."""

    reason: str | None = None
