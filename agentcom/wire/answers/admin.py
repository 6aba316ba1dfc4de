"""Answers about tokens and sessions."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agentcom.wire.answers.fields import AgentRef, Count, Millis, Secret

Scope = Literal["agent", "submit", "admin", "enroll"]


class TokenMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new token, shown this once.

    :ivar expires_at: null where it never does.
    """

    agent_id: AgentRef
    token: Secret
    scopes: list[Scope]
    expires_at: Millis | None


class TokenShown(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its secret."""

    agent_id: AgentRef
    token_prefix: Annotated[str, Meta(examples=["9bac20f0"])]
    scopes: list[Scope]
    created_at: Millis
    expires_at: Millis | None


class TokenList(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens that can be used now."""

    tokens: list[TokenShown]


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's tokens are good no more.

    :ivar tokens: how many there were.
    """

    status: Literal["revoked"]
    agent_id: AgentRef
    tokens: Count


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A new agent's token, and where the hub is."""

    agent_id: AgentRef
    token: Secret
    hub_ws_url: Annotated[str, Meta(examples=["ws://hub.example:4000/ws"])]
    hub_api_url: Annotated[str, Meta(examples=["http://hub.example:4000"])]


class SessionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's session.

    :ivar csrf: for the header ``X-CSRF-Token`` of whatever changes something; null where
        the caller came by a bearer token.
    """

    agent_id: AgentRef
    scopes: list[Scope]
    csrf: Secret | None
    expires_at: Millis | None


class SignedOut(msgspec.Struct, frozen=True, kw_only=True):
    """The session has ended."""

    status: Literal["signed_out"]
