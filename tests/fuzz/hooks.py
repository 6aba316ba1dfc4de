"""Where schemathesis cannot know what the hub is about: each with its reason.

Schemathesis loads this itself, through ``SCHEMATHESIS_HOOKS``.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import schemathesis

FUZZER = "fuzzer"
"""The agent id of the token that schemathesis has."""

FAR_OFF_MS = 4_000_000_000_000
"""Unix milliseconds of a time that is long to come."""

WAITS = frozenset(str(seconds) for seconds in range(1, 61))

_calls = count()


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave its own token alone: without it, all that follows would be 401."""
    if context.operation.definition.raw.get("operationId") == "revoke_tokens":
        return bool((case.path_parameters or {}).get("agent_id") != FUZZER)
    return True


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Say what the document cannot, in each call of every phase."""
    _from_elsewhere(case)
    if case.query and str(case.query.get("wait")) in WAITS:
        # A minute each for messages that do not come, and for nothing new.
        case.query = {**case.query, "wait": 0}
    if isinstance(case.body, dict):
        # JSON Schema takes 1.0 for an integer, the hub does not.
        body = _whole(case.body)
        tasks = body.get("tasks")
        for task in [body, *(tasks if isinstance(tasks, list) else [])]:
            # Whether a deadline is over depends on the clock.
            if isinstance(task, dict) and _is_over(task.get("deadline")):
                task["deadline"] += FAR_OFF_MS
        # Not compared as they are: to Python, 1.0 is 1.
        if json.dumps(body) != json.dumps(case.body):
            case.body = body


def _from_elsewhere(case: Any) -> None:
    """Let a call come from an address of its own, or its bad tokens would be throttled.

    The hub takes loopback for a proxy that it trusts.
    """
    number = next(_calls)
    address = f"198.18.{number // 250 % 250}.{number % 250 + 1}"
    case.headers["X-Forwarded-For"] = address


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, float) and abs(value) <= 2**53 and value.is_integer():
        return int(value)
    return value


def _is_over(deadline: Any) -> bool:
    return type(deadline) is int and 0 <= deadline < FAR_OFF_MS
