"""What a task that is submitted may ask for: HTTP, batches and ``task_submit`` alike.

The types carry the bounds of PROTOCOL.md section 4, so decoding checks them;
what one field alone cannot tell is checked in ``hub/submissions.py``.  What was
asked for becomes the values that ``core`` knows here, and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from agentcom.core.ids import MAX_INTEGER
from agentcom.core.matching import (
    ABSENT,
    EQUAL,
    EXISTS,
    IN,
    NOT_EQUAL,
    NOTHING,
    LabelRule,
    Needs,
    needs,
)
from agentcom.core.retry import Backoff
from agentcom.core.state import USUAL, OnDisconnect, Priority, Terms
from agentcom.errors import ValidationFailed

MOST_S = 1e9
"""Seconds that any duration may have: some thirty years."""

BATCH_MOST = 1_000
"""Tasks of one batch."""

AgentId = Annotated[str, Meta(min_length=1, max_length=128)]
Description = Annotated[str, Meta(max_length=10_000)]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=256)]
Capability = Annotated[str, Meta(min_length=1, max_length=256)]
Capabilities = Annotated[list[Capability], Meta(max_length=64)]
LabelKey = Annotated[str, Meta(min_length=1, max_length=256)]
LabelValue = Annotated[str, Meta(max_length=256)]
Duration = Annotated[float, Meta(gt=0, le=MOST_S)]
Moment = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class LabelTests(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Tests of one label; all that are given must hold."""

    equal: LabelValue | None = msgspec.field(name="=", default=None)
    not_equal: LabelValue | None = msgspec.field(name="!=", default=None)
    among: Annotated[list[LabelValue], Meta(min_length=1, max_length=64)] | None = msgspec.field(
        name="in", default=None
    )
    exists: bool | None = None

    def __post_init__(self) -> None:
        # Whoever writes a test that tests nothing meant something else.
        tests = (self.equal, self.not_equal, self.among, self.exists)
        if tests == (None, None, None, None):
            raise ValueError("give at least one of =, !=, in, exists")


LabelWants = Annotated[dict[LabelKey, LabelValue | LabelTests], Meta(max_length=64)]
"""A plain value means ``=``."""


class BackoffAsked(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The wait between attempts, in seconds; what is absent is as usual."""

    initial_s: Annotated[float, Meta(ge=0, le=MOST_S)] | None = None
    factor: Annotated[float, Meta(ge=1, le=1_000)] | None = None
    max_s: Annotated[float, Meta(ge=0, le=MOST_S)] | None = None


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One task for the queue.  ``needed_capabilities`` is the name of version 1."""

    description: Description
    agent_id: AgentId | None = None
    capabilities: Capabilities | None = None
    needed_capabilities: Capabilities | None = None
    labels: LabelWants | None = None
    priority: Priority | None = None
    metadata: dict[str, object] | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    backoff: BackoffAsked | None = None
    not_before: Moment | None = None
    deadline: Moment | None = None
    queue_timeout_s: Duration | None = None
    accept_timeout_s: Duration | None = None
    attempt_timeout_s: Duration | None = None
    hold_s: Annotated[float, Meta(ge=0, le=MOST_S)] | None = None
    on_disconnect: OnDisconnect | None = None
    idempotency_key: IdempotencyKey | None = None


class SubmitTask(Submission, frozen=True, kw_only=True):
    """``POST /api/tasks``."""


class SubmitBatch(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/tasks/batch``: all of them, or none."""

    tasks: Annotated[list[SubmitTask], Meta(min_length=1, max_length=BATCH_MOST)]


class RequeueTask(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/tasks/:id/requeue``; the body may be absent."""

    reason: str | None = None


class ChooseDeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/tasks/dead-letter/retry`` and ``…/delete``: which of them.

    At least one filter must be given, or ``all``: true.
    """

    task_ids: Annotated[list[AgentId], Meta(min_length=1, max_length=BATCH_MOST)] | None = None
    agent_id: AgentId | None = None
    priority: Priority | None = None
    submitted_by: AgentId | None = None
    last_error: Annotated[str, Meta(max_length=2_000)] | None = None
    all: bool | None = None


def needs_of(asked: Submission) -> Needs:
    """What the task asks of its agent: ``NOTHING`` itself where it asks nothing."""
    if not (asked.capabilities or asked.needed_capabilities or asked.labels):
        return NOTHING
    return needs(
        [*(asked.capabilities or ()), *(asked.needed_capabilities or ())],
        label_rules(asked.labels or {}),
    )


def label_rules(wants: dict[str, str | LabelTests]) -> tuple[LabelRule, ...]:
    """The rules that an object of labels stands for; :func:`labels_as_asked` turns them back."""
    return tuple(rule for key, want in wants.items() for rule in _rules(key, want))


def labels_as_asked(wanted: Needs) -> dict[str, object]:
    """The labels as an object again: a plain value for ``=`` alone, tests otherwise."""
    tests: dict[str, dict[str, object]] = {}
    for rule in wanted.labels:
        name, value = _TESTS[rule.op], _value(rule)
        tests.setdefault(rule.key, {})[name] = value
    return {key: one[EQUAL] if one.keys() == {EQUAL} else one for key, one in tests.items()}


def terms_of(asked: Submission) -> Terms:
    """What else the task asks for: ``USUAL`` itself where that is nothing unusual."""
    accept_timeout_s, on_disconnect = asked.accept_timeout_s, asked.on_disconnect
    made = Terms(
        backoff=USUAL.backoff if asked.backoff is None else _backoff(asked.backoff),
        not_before=asked.not_before,
        deadline=asked.deadline,
        queue_timeout_s=asked.queue_timeout_s,
        accept_timeout_s=USUAL.accept_timeout_s if accept_timeout_s is None else accept_timeout_s,
        attempt_timeout_s=asked.attempt_timeout_s,
        on_disconnect=on_disconnect or USUAL.on_disconnect,
    )
    # One object for nearly all tasks: there may be a million of them.
    return USUAL if made == USUAL else made


_TESTS = {EQUAL: EQUAL, NOT_EQUAL: NOT_EQUAL, IN: IN, EXISTS: EXISTS, ABSENT: EXISTS}
"""The test on the wire that a rule comes from."""


def _rules(key: str, want: str | LabelTests) -> Iterator[LabelRule]:
    if isinstance(want, str):
        yield LabelRule(key, EQUAL, (want,))
        return
    if want.equal is not None:
        yield LabelRule(key, EQUAL, (want.equal,))
    if want.not_equal is not None:
        yield LabelRule(key, NOT_EQUAL, (want.not_equal,))
    if want.among is not None:
        # In one order: tasks that ask the same wait in one group.
        yield LabelRule(key, IN, tuple(sorted(set(want.among))))
    if want.exists is not None:
        yield LabelRule(key, EXISTS if want.exists else ABSENT)


def _value(rule: LabelRule) -> object:
    if rule.op in (EXISTS, ABSENT):
        return rule.op == EXISTS
    return list(rule.values) if rule.op == IN else rule.values[0]


def _backoff(asked: BackoffAsked) -> Backoff:
    usual = USUAL.backoff
    initial_s = usual.initial_s if asked.initial_s is None else asked.initial_s
    return Backoff(
        initial_s=initial_s,
        factor=usual.factor if asked.factor is None else asked.factor,
        # Who asks for a long first wait and says no more wants no shorter ones after it.
        max_s=max(usual.max_s, initial_s) if asked.max_s is None else asked.max_s,
    )


def too_large(limit: int, *fields: str) -> ValidationFailed:
    """The refusal of tasks over a limit in bytes; ``fields`` names where their bytes are."""
    detail = f"a task is at most {limit} bytes encoded"
    return ValidationFailed(
        [{"field": field, "error": "too_long", "detail": detail} for field in fields]
    )
