"""Rows to values and back, in the orders of ``statements.py``.

These run for each task and event that is written, so they are flat: no loop,
no dictionary, and no JSON for what most tasks do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from agentcom.core.drain import Drain
from agentcom.core.events import Event
from agentcom.core.matching import NOTHING, Needs
from agentcom.core.session import BrowserSession
from agentcom.core.state import USUAL, Ending, Priority, Status, Task, Terms
from agentcom.core.tokens import Token
from agentcom.store.interface import Waiting

Row = tuple[Any, ...]

SHARED = 1_024
"""Different needs, and different terms, that are kept to be shared by tasks."""

# Looked up, because an enum's own ways take several times as long.
_TEXTS: dict[str, str] = {member: member.value for member in (*Status, *Priority)}
_STATUSES = {status.value: status for status in Status}
_PRIORITIES = {priority.value: priority for priority in Priority}

_encode = msgspec.json.Encoder().encode
_decode_ending = msgspec.json.Decoder(Ending).decode
# Equal texts give one object: a million tasks of a few kinds share them.
_decode_needs = lru_cache(SHARED)(msgspec.json.Decoder(Needs).decode)
_decode_terms = lru_cache(SHARED)(msgspec.json.Decoder(Terms).decode)


def task_row(task: Task) -> Row:
    """The values of :data:`.statements.INSERT_TASK`."""
    result, ending, needs, terms = task.result, task.ending, task.needs, task.terms
    return (
        task.id,
        task.number,
        _TEXTS[task.status],
        task.description,
        task.metadata.decode(),
        _TEXTS[task.priority],
        task.origin,
        task.pinned,
        task.agent_id,
        task.generation,
        task.attempts,
        task.max_attempts,
        task.progress,
        None if result is None else result.decode(),
        task.tokens_used,
        task.last_error,
        task.submitted_by,
        task.created_at,
        task.updated_at,
        task.assigned_at,
        task.hold_s,
        task.requeues,
        task.recover_due,
        task.output_bytes,
        None if ending is None else _encode(ending).decode(),
        task.idempotency_key,
        task.body_hash,
        None if needs is NOTHING else _text_unless(needs, NOTHING),
        None if terms is USUAL else _text_unless(terms, USUAL),
        task.series,
        task.ready_at,
        task.expires_at,
    )


def change_row(task: Task) -> Row:
    """The values of :data:`.statements.UPDATE_TASK`."""
    result, ending = task.result, task.ending
    return (
        _TEXTS[task.status],
        task.generation,
        task.attempts,
        task.progress,
        None if result is None else result.decode(),
        task.tokens_used,
        task.last_error,
        task.updated_at,
        task.assigned_at,
        task.requeues,
        task.recover_due,
        task.output_bytes,
        None if ending is None else _encode(ending).decode(),
        task.series,
        task.ready_at,
        task.expires_at,
        task.number,
    )


def agent_row(task: Task) -> Row:
    """The values of :data:`.statements.UPDATE_AGENT`."""
    return task.agent_id, task.number, task.agent_id


def event_row(event: Event, number: int | None) -> Row:
    """The values of :data:`.statements.INSERT_EVENT`.

    :param number: of the event's task.
    """
    return (
        event.seq,
        event.topic,
        event.event,
        event.task_id,
        event.agent_id,
        event.generation,
        event.timestamp,
        str(event.payload, "utf-8"),
        number,
    )


def token_row(token: Token) -> Row:
    """The values of :data:`.statements.UPSERT_TOKEN`."""
    return (
        token.hash,
        token.agent_id,
        token.prefix,
        " ".join(token.scopes),
        token.created_at,
        token.expires_at,
        token.revoked_at,
    )


def drain_row(agent_id: str, drain: Drain) -> Row:
    """The values of :data:`.statements.UPSERT_DRAIN`."""
    return (agent_id, drain.by, drain.since, drain.note, drain.deadline, drain.drained_at)


def session_row(session: BrowserSession) -> Row:
    """The values of :data:`.statements.UPSERT_SESSION`."""
    return (session.hash, session.token_hash, session.created_at, session.expires_at)


def to_task(row: Row) -> Task:
    """A row of :data:`.statements.TASK_COLUMNS` as a task."""
    # Unpacked, because Task(**fields) takes three times as long.
    (
        task_id,
        number,
        status,
        description,
        metadata,
        priority,
        origin,
        pinned,
        agent_id,
        generation,
        attempts,
        max_attempts,
        progress,
        result,
        tokens_used,
        last_error,
        submitted_by,
        created_at,
        updated_at,
        assigned_at,
        hold_s,
        requeues,
        recover_due,
        output_bytes,
        ending,
        idempotency_key,
        body_hash,
        needs,
        terms,
        series,
        ready_at,
        expires_at,
    ) = row
    return Task(
        id=task_id,
        number=number,
        status=_STATUSES[status],
        description=description,
        metadata=metadata.encode(),
        priority=_PRIORITIES[priority],
        origin=origin,
        pinned=pinned,
        agent_id=agent_id,
        generation=generation,
        attempts=attempts,
        max_attempts=max_attempts,
        progress=progress,
        result=None if result is None else result.encode(),
        tokens_used=tokens_used,
        last_error=last_error,
        submitted_by=submitted_by,
        created_at=created_at,
        updated_at=updated_at,
        assigned_at=assigned_at,
        hold_s=hold_s,
        requeues=requeues,
        recover_due=recover_due,
        output_bytes=output_bytes,
        ending=None if ending is None else _decode_ending(ending),
        idempotency_key=idempotency_key,
        body_hash=body_hash,
        needs=_to_needs(needs),
        terms=USUAL if terms is None else _decode_terms(terms),
        series=series,
        ready_at=ready_at,
        expires_at=expires_at,
    )


def to_waiting(rows: Iterable[Row]) -> Iterator[Waiting]:
    """Rows of :data:`.statements.WAITING_COLUMNS`, one by one.

    Names that repeat, as those of submitters and agents do, are one object.
    """
    names: dict[str | None, Any] = {}
    share: Callable[[str | None, Any], Any] = names.setdefault
    for task_id, priority, created_at, submitted_by, pinned, needs, ready_at, agent_id in rows:
        yield Waiting(
            task_id,
            _PRIORITIES[priority],
            created_at,
            share(submitted_by, submitted_by),
            share(pinned, pinned),
            _to_needs(needs),
            ready_at,
            share(agent_id, agent_id),
        )


def to_event(row: Row) -> Event:
    """A row of the event log as an event."""
    values: list[Any] = [*row[:-1], msgspec.Raw(row[-1].encode())]
    return Event(*values)


def to_token(row: Row) -> Token:
    """A row of the token table as a token."""
    fields = dict(zip(Token.__struct_fields__, row, strict=True))
    fields["scopes"] = tuple(fields["scopes"].split())
    return Token(**fields)


def to_drain(row: Row) -> tuple[str, Drain]:
    """A row of the drain table: whose, and the drain."""
    return row[0], Drain(**dict(zip(Drain.__struct_fields__, row[1:], strict=True)))


def _to_needs(text: str | None) -> Needs:
    return NOTHING if text is None else _decode_needs(text)


def _text_unless(value: Needs | Terms, usual: Needs | Terms) -> str | None:
    return None if value == usual else _encode(value).decode()
