"""The one table from errors to HTTP statuses, and how a failure is answered."""

from __future__ import annotations

from agentcom import errors as e

STATUS: dict[type[e.AgentComError], int] = {
    e.Unauthorized: 401,
    e.Forbidden: 403,
    e.CsrfFailed: 403,
    e.OriginNotAllowed: 403,
    e.BodyTooLarge: 413,
    e.BadRequest: 400,
    e.InvalidHost: 400,
    e.RequestTimeout: 408,
    e.UriTooLong: 414,
    e.HeadersTooLarge: 431,
    e.InvalidJSON: 400,
    e.MissingFields: 400,
    e.ValidationFailed: 422,
    e.NotFound: 404,
    e.MethodNotAllowed: 405,
    e.TaskNotFound: 404,
    e.AgentNotFound: 404,
    e.TokenNotFound: 404,
    e.AgentNotConnected: 404,
    e.ChannelNotFound: 404,
    e.MessageNotFound: 404,
    e.ChannelExists: 409,
    e.TooManyChannels: 409,
    e.AgentDraining: 409,
    e.AgentIdTaken: 409,
    e.IdempotencyConflict: 409,
    e.InvalidState: 409,
    e.QueueFull: 429,
    e.RateLimited: 429,
    e.TooManyFailures: 429,
    e.TooManyConnections: 503,
    e.TooManyWatchers: 503,
    e.StoreUnavailable: 503,
    e.Overloaded: 503,
    e.HubDraining: 503,
    e.HubStopping: 503,
}

RETRY_AFTER_S = 5
"""Seconds that a refused client is asked to wait (``Retry-After``)."""


def retry_after_s(error: e.AgentComError) -> int:
    """Seconds that a client is asked to wait after a refusal with 429 or 503."""
    told = error.fields.get("retry_after_ms")
    return -(-told // 1000) if isinstance(told, int) else RETRY_AFTER_S


def status_of(error: e.AgentComError) -> int:
    """The HTTP status of an error; 500 for one that HTTP should never see."""
    return STATUS.get(type(error), 500)
