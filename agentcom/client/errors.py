"""What can go wrong between a client and a hub, each told in one kind sentence.

A hub that says no is a :class:`HubError` with its stable code; everything else
that keeps an answer from coming is a :class:`HubUnreachable`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Base of both; ``str()`` is one sentence that says what to do."""


class HubUnreachable(ClientError):
    """No answer came, or not one of a hub.

    :ivar may_have_arrived: whether the request may have been carried out.
    """

    def __init__(self, sentence: str, *, may_have_arrived: bool = False) -> None:
        super().__init__(sentence)
        self.may_have_arrived = may_have_arrived


class HubError(ClientError):
    """The hub answered with an error.

    :ivar status: the HTTP status.
    :ivar code: the stable ``error`` code of the answer.
    :ivar fields: the other fields of the answer.
    """

    def __init__(self, status: int, code: str, fields: Mapping[str, Any]) -> None:
        self.status = status
        self.code = code
        self.fields = dict(fields)
        super().__init__(_sentence(status, code, self.fields))

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed a little later."""
        return self.status >= 500


_SENTENCES = {
    "unauthorized": "the hub does not know this token; give a good one with --token or "
    "$AGENTCOM_TOKEN",
    "forbidden": "this token may not do that: it lacks the scope {required_scope!r}",
    "agent_not_connected": "agent {agent_id!r} is not connected; `agentcom agents` lists "
    "those that are",
    "agent_draining": "the agent is drained and takes no more work; push to another one, "
    "submit the task and it waits, or end it with `agentcom resume {agent_id}`",
    "agent_not_found": "the hub knows no such agent; `agentcom agents` lists those that are "
    "connected",
    "task_not_found": "the hub knows no such task; `agentcom tasks` lists those that it has",
    "channel_not_found": "the hub has no channel {channel!r}; `agentcom channels list` shows "
    "those that there are",
    "channel_exists": "there is a channel {channel!r} already",
    "token_not_found": "that agent has no token that could be revoked",
    "agent_id_taken": "that agent id is taken; choose another one",
    "idempotency_conflict": "that idempotency key was used before for something else; "
    "choose another key",
    "invalid_state": "that cannot be done with a task that is {status} (`agentcom retry` is for "
    "dead letters, `agentcom cancel` for what has not ended)",
    "queue_full": "the hub's queue is full; try again when tasks have ended",
    "rate_limited": "that is more at once than the hub takes; try again in {retry_after_ms} ms",
    "too_many_failures": "the hub does not know this token, and too many such came from this "
    "address; try a good one, another bad one is looked at in {retry_after_ms} ms",
    "store_unavailable": "the hub cannot store anything new now; try again in a minute",
    "hub_draining": "the hub is drained and begins nothing; submit the task and it waits, or end "
    "it with `agentcom resume --all`",
    "stopping": "the hub is stopping; try again when it is back",
    "body_too_large": "that is more than the hub takes at once ({limit} bytes)",
    "not_found": "the hub has no such address; is it an older version?",
    "internal_error": "the hub met a fault of its own; its log has more under "
    "request id {request_id}",
}


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "unknown"


def _sentence(status: int, code: str, fields: Mapping[str, Any]) -> str:
    if code == "validation_failed":
        return f"the hub refused it: {wrong_fields(fields.get('errors'))}"
    known = _SENTENCES.get(code)
    if known is not None:
        return known.format_map(_Known(fields))
    detail = fields.get("detail")
    told = f"{code}: {detail}" if isinstance(detail, str) else code
    return f"the hub refused it ({status}): {told}"


def wrong_fields(errors: object) -> str:
    """What ``errors`` of a ``validation_failed`` say, in words."""
    if not isinstance(errors, list) or not errors:
        return "a field is wrong"
    told = []
    for error in errors:
        if isinstance(error, dict):
            why = str(error.get("detail") or error.get("error") or "wrong")
            told.append(f"{error.get('field') or 'body'}: {_LENGTH.sub(_length, why)}")
    return "; ".join(told) or "a field is wrong"


_LENGTH = re.compile(r"Expected `(str|array)` of length ([<>]=) (\d+)")


def _length(found: re.Match[str]) -> str:
    unit = "characters" if found[1] == "str" else "entries"
    if found[2] == "<=":
        return f"it may have at most {found[3]} {unit}"
    return "it may not be empty" if found[3] == "1" else f"it needs {found[3]} {unit}"
