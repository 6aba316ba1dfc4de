"""The final report of a run: ``task_complete`` or ``task_failed``, small enough to send.

A report that the hub must refuse could never be acknowledged, so each is
checked here as the hub checks it (``wire``), and gives up what does not pass.
"""

from __future__ import annotations

import signal
from typing import Any

import msgspec

from agentcom.errors import AgentComError
from agentcom.sidecar.output import KEPT_BYTES
from agentcom.sidecar.runner import Outcome
from agentcom.wire.codec import decode
from agentcom.wire.frames import TaskComplete, TaskFailed

REASON_LENGTH = 2_000
_CHECKS: dict[str, msgspec.json.Decoder[Any]] = {
    "task_complete": msgspec.json.Decoder(TaskComplete),
    "task_failed": msgspec.json.Decoder(TaskFailed),
}


def final_report(key: tuple[str, int], outcome: Outcome) -> dict[str, Any]:
    """The frame that tells the hub how a run ended."""
    task_id, generation = key
    about = {"task_id": task_id, "generation": generation}
    if outcome.result is not None:
        return {"type": "task_complete", **about, "result": msgspec.json.decode(outcome.result)}
    if outcome.error is not None:
        return {
            "type": "task_failed",
            **about,
            "error": outcome.error,
            "reason": outcome.reason,
            "retryable": outcome.retryable,
        }
    if outcome.exit_code == 0:
        return _with_result({"type": "task_complete", **about}, outcome)
    failed = {"type": "task_failed", **about, "error": _error(outcome), "reason": _reason(outcome)}
    return _with_result(failed, outcome)


def unreadable_report(key: tuple[str, int], detail: str) -> dict[str, Any]:
    """The frame for a run whose report the hub refused to read."""
    task_id, generation = key
    return {
        "type": "task_failed",
        "task_id": task_id,
        "generation": generation,
        "error": "the hub could not read the report of the end",
        "reason": detail[:REASON_LENGTH],
    }


def stopped_report(key: tuple[str, int], outcome: Outcome) -> dict[str, Any]:
    """The frame for a run that ended because the agent was stopped."""
    if outcome.result is not None:
        # A function that was faster knows that it came to its end.
        return final_report(key, outcome)
    task_id, generation = key
    return {
        "type": "task_failed",
        "task_id": task_id,
        "generation": generation,
        "error": "agent stopped",
        "reason": outcome.reason
        or _reason(outcome)
        or "the agent was stopped while it worked on the task",
    }


def crashed_report(key: tuple[str, int]) -> dict[str, Any]:
    """The frame for a run of which the end of an earlier process left nothing."""
    task_id, generation = key
    return {
        "type": "task_failed",
        "task_id": task_id,
        "generation": generation,
        "error": "agent crashed",
        "reason": "the agent, or its machine, went down while it worked on the task",
        "retryable": True,
    }


def _with_result(frame: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    output, cut = fitting(outcome.output, KEPT_BYTES)
    result: dict[str, Any] = {
        "exit_code": outcome.exit_code,
        "output": output,
        "truncated": outcome.truncated or cut,
        "data": None,
    }
    frame["result"] = result
    problem = outcome.problem
    if outcome.data is not None:
        try:
            result["data"] = msgspec.json.decode(outcome.data)
            decode(msgspec.json.encode(frame), _CHECKS[frame["type"]])
        except (AgentComError, msgspec.MsgspecError, ValueError, RecursionError) as e:
            result["data"] = None
            problem = f"the result file could not be used: {e}"
    if problem is not None:
        result["data_error"] = problem[:REASON_LENGTH]
    return frame


def fitting(text: str, limit: int) -> tuple[str, bool]:
    """The end of a text that takes at most so many bytes as JSON, and whether it was cut.

    Control characters grow sixfold in JSON, so characters cannot be counted.
    """
    cut = False
    while (size := len(msgspec.json.encode(text))) > limit:
        # Proportional steps get there in a few rounds.
        keep = min(len(text) * limit // size, len(text) - 1)
        text = text[len(text) - keep :]
        cut = True
    return text, cut


def _error(outcome: Outcome) -> str:
    if outcome.exit_code is not None:
        return f"exit status {outcome.exit_code}"
    if outcome.signal is not None:
        try:
            return f"killed by {signal.Signals(outcome.signal).name}"
        except ValueError:
            return f"killed by signal {outcome.signal}"
    return outcome.problem or "the command did not run"


def _reason(outcome: Outcome) -> str:
    """The last whole lines of the output, as many as the hub keeps of a reason."""
    text = outcome.output.rstrip()
    if len(text) <= REASON_LENGTH:
        return text
    end = text[-REASON_LENGTH:]
    _, newline, whole = end.partition("\n")
    return whole if newline else end
