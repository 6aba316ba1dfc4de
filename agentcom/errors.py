"""Every error that a peer can be told of, with its stable code.

One tree.  ``http/errors.py`` has the one table from here to HTTP statuses and
``ws/session.py`` the one place that turns an error into an ``error`` frame.
A code is a promise to clients: it may be added to, never renamed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class AgentComError(Exception):
    """Base of all errors that are told to a peer.

    :cvar code: the stable ``error`` code on the wire.
    :ivar fields: further fields of the answer, JSON values only.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str = "", /, **fields: object) -> None:
        super().__init__(message or self.code)
        self.fields: dict[str, object] = fields
        if message:
            self.fields.setdefault("detail", message)

    def body(self) -> dict[str, object]:
        """The answer as a JSON object: ``error`` first, then its fields."""
        return {"error": self.code, **self.fields}


class Unauthorized(AgentComError):
    """No token, or one that is unknown, revoked or expired (section 2)."""

    code = "unauthorized"

    def __init__(self, hint: str = "provide Authorization: Bearer <token>") -> None:
        super().__init__(hint=hint)


class Forbidden(AgentComError):
    """The token is good and lacks the scope that the route declares."""

    code = "forbidden"

    def __init__(self, required_scope: str) -> None:
        super().__init__(required_scope=required_scope)


class CsrfFailed(AgentComError):
    """A browser's session was used to change something, without the session's token."""

    code = "csrf_failed"

    def __init__(self) -> None:
        super().__init__(hint="send X-CSRF-Token with the csrf of GET /api/session")


class OriginNotAllowed(AgentComError):
    """A page of another site calls in a browser."""

    code = "origin_not_allowed"


class TooManyFailures(AgentComError):
    """Too many bad tokens came from an address; ``retry_after_ms`` is when the next counts."""

    code = "too_many_failures"

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(retry_after_ms=retry_after_ms)


class BodyTooLarge(AgentComError):
    """A body over the limit of its route; ``limit`` is in bytes."""

    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)


class BadRequest(AgentComError):
    """Bytes that are no HTTP request, or one that can be read in two ways."""

    code = "bad_request"


class InvalidHost(AgentComError):
    """No single ``Host`` that could be the name of a hub."""

    code = "invalid_host"


class UriTooLong(AgentComError):
    """A request line over ``limit`` bytes."""

    code = "uri_too_long"

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)


class HeadersTooLarge(AgentComError):
    """Headers over ``limit`` bytes, or more than ``headers`` of them."""

    code = "headers_too_large"

    def __init__(self, limit: int, headers: int) -> None:
        super().__init__(limit=limit, headers=headers)


class RequestTimeout(AgentComError):
    """A request that was begun and did not come to its end in time."""

    code = "request_timeout"


class InvalidJSON(AgentComError):
    """Bytes that are no JSON, no object, too deep, or not UTF-8."""

    code = "invalid_json"


class MissingFields(AgentComError):
    """The answer of version 1 to a push without its two fields: no code."""

    code = "missing required fields"

    def __init__(self, *names: str) -> None:
        super().__init__()
        plural = "fields" if len(names) > 1 else "field"
        self.text = f"missing required {plural}: {', '.join(names)}"

    def body(self) -> dict[str, object]:
        return {"error": self.text}


class ValidationFailed(AgentComError):
    """Fields that are missing or mistyped: all of them are told."""

    code = "validation_failed"

    def __init__(self, errors: Sequence[dict[str, str]]) -> None:
        super().__init__(errors=list(errors))


class NotFound(AgentComError):
    """No such route."""

    code = "not_found"


class MethodNotAllowed(AgentComError):
    """The path exists, the method does not; ``allowed`` lists those that do."""

    code = "method_not_allowed"


class TaskNotFound(AgentComError):
    """No task has this id."""

    code = "task_not_found"


class AgentNotFound(AgentComError):
    """No agent has, or had, this id."""

    code = "agent_not_found"


class TokenNotFound(AgentComError):
    """The agent has no token that could be revoked."""

    code = "token_not_found"


class AgentNotConnected(AgentComError):
    """A push names an agent that has no connection now."""

    code = "agent_not_connected"


class AgentDraining(AgentComError):
    """A push names an agent that is given no more work: it asked for that, or an
    operator drains it."""

    code = "agent_draining"


class AgentIdTaken(AgentComError):
    """A registration names an id that has, or had, a token."""

    code = "agent_id_taken"


class IdempotencyConflict(AgentComError):
    """The idempotency key was used before with another body."""

    code = "idempotency_conflict"


class InvalidState(AgentComError):
    """The task's status does not allow this; ``status`` tells it."""

    code = "invalid_state"


class StoreUnavailable(AgentComError):
    """Nothing new can be taken now: the disk fails, or is nearly full."""

    code = "store_unavailable"


class QueueFull(AgentComError):
    """More tasks wait than the hub can keep; it takes no further one now."""

    code = "queue_full"


class Replaced(AgentComError):
    """A newer connection of the agent is there: here only its reports count."""

    code = "replaced"


class TooManyConnections(AgentComError):
    """As many connections are open as there may be, in all or of nobody known."""

    code = "too_many_connections"


class TooManyWatchers(AgentComError):
    """As many watch events as may, in all or with one token."""

    code = "too_many_watchers"

    def __init__(self, detail: str, retry_after_ms: int) -> None:
        super().__init__(detail, retry_after_ms=retry_after_ms)


class HubDraining(AgentComError):
    """A push to a hub that an operator drains: nothing begins there now."""

    code = "hub_draining"


class HubStopping(AgentComError):
    """The hub is stopping and takes nothing new."""

    code = "stopping"


class InvalidToken(AgentComError):
    """``identify`` with a token that is unknown, revoked or expired."""

    code = "invalid_token"


class TokenAgentMismatch(AgentComError):
    """``identify`` with a good token of another agent."""

    code = "token_agent_mismatch"


class NotIdentified(AgentComError):
    """A frame that needs an identity came before ``identify``."""

    code = "not_identified"


class AlreadyIdentified(AgentComError):
    """``identify`` with another agent id on an identified connection."""

    code = "already_identified"


class UnknownMessageType(AgentComError):
    """A ``type`` that the protocol does not have."""

    code = "unknown_message_type"


class NotAssignee(AgentComError):
    """A report from an agent that does not hold the task (section 3.2)."""

    code = "not_assignee"


class StaleGeneration(AgentComError):
    """A report of a superseded attempt: the fencing token is old."""

    code = "stale_generation"


class ChannelNotFound(AgentComError):
    """No channel has this name."""

    code = "channel_not_found"


class ChannelExists(AgentComError):
    """A channel of this name is there already."""

    code = "channel_exists"


class TooManyChannels(AgentComError):
    """As many channels exist as the hub keeps, or an agent subscribes as many as it may."""

    code = "too_many_channels"


class MessageNotFound(AgentComError):
    """No message has this id, or none that the caller may see."""

    code = "message_not_found"


class RateLimited(AgentComError):
    """An agent sends more than it may; ``retry_after_ms`` is when it can go on."""

    code = "rate_limited"

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(retry_after_ms=retry_after_ms)


class Overloaded(AgentComError):
    """The hub has more to do than it can; ``retry_after_ms`` is when to try again."""

    code = "overloaded"

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(
            "the hub has more to do than it can: try again later", retry_after_ms=retry_after_ms
        )


class StartError(Exception):
    """The hub cannot start; the text is one sentence for the operator."""
