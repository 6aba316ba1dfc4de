"""Tasks for the queue: one, many at once, over HTTP and over WebSocket.

All of a batch is one unit, with the assignments that follow from it at once;
each answer is given once what it says is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.ids import Ids
from agentcom.core.state import SUBMIT, Priority, Task
from agentcom.core.task import expiry
from agentcom.errors import AgentComError, IdempotencyConflict, QueueFull, ValidationFailed
from agentcom.hub.arrivals import Arrivals
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.idempotency import IdempotencyKeys, check_same, hash_of
from agentcom.wire.tasks import Submission, needs_of, terms_of

MAX_ATTEMPTS = 3
"""Attempts of a submitted task, unless it says otherwise."""

HOLD_S = 30.0
"""Seconds that a vanished agent keeps a task, unless the task says otherwise."""

Submitted = tuple[Task, bool]
"""A task, and whether it is new: an idempotency key may give an older one."""


class Submissions:
    """Takes tasks for the queue.

    :param now: Unix milliseconds.
    :param check_open: raises when nothing new can be kept.
    :param max_queued: tasks that may wait.
    :param next_number: gives each new task its number.
    """

    log = Logger()

    def __init__(
        self,
        arrivals: Arrivals,
        dispatch: Dispatch,
        keys: IdempotencyKeys,
        ids: Ids,
        now: Callable[[], int],
        check_open: Callable[[], None],
        max_queued: int,
        next_number: Callable[[], int],
    ) -> None:
        self._arrivals = arrivals
        self._dispatch = dispatch
        self._keys = keys
        self._ids = ids
        self._now = now
        self._check_open = check_open
        self._max_queued = max_queued
        self._next_number = next_number

    def check_room(self, count: int) -> None:
        """Whether so many more may wait.

        :raises QueueFull: they may not.
        """
        if len(self._dispatch.queue) + count > self._max_queued:
            raise QueueFull(f"{self._max_queued} tasks may wait: no more before some are done")

    def take(self, submitter: str, body: Submission, done: Callable[[Task], None]) -> None:
        """Put a task without an idempotency key into the queue: the way of nearly all.

        :param done: called after the commit.
        :raises ValidationFailed: its deadline is over.
        :raises QueueFull: too many wait.
        """
        self._check_open()
        self.check_room(1)
        now = self._now()
        if body.deadline is not None and body.deadline <= now:
            raise _too_late("deadline")
        task = _submitted(self._next_number(), self._ids.task(), submitter, body, None, now)
        self._arrivals.take(task, partial(done, task))

    async def submit(self, submitter: str, body: Submission) -> Submitted:
        """Put a task into the queue; see :meth:`submit_all`."""
        if body.idempotency_key is None:
            on_disk: Deferred[Task] = Deferred()
            self.take(submitter, body, on_disk.callback)
            return await on_disk, True
        return (await self._submit_keyed(submitter, [body], ["deadline"]))[0]

    async def submit_all(self, submitter: str, bodies: Sequence[Submission]) -> list[Submitted]:
        """Put tasks into the queue, all or none.

        :returns: for each the task once it is on disk, and whether it is new.
        :raises IdempotencyConflict: a key was used with another body.
        :raises ValidationFailed: a deadline is over.
        :raises QueueFull: too many wait.
        """
        names = [f"tasks[{index}].deadline" for index in range(len(bodies))]
        if all(body.idempotency_key is None for body in bodies):
            made = await self._enqueue(submitter, bodies, [None] * len(bodies), names)
            return [(task, True) for task in made]
        return await self._submit_keyed(submitter, bodies, names)

    async def _submit_keyed(
        self, submitter: str, bodies: Sequence[Submission], names: Sequence[str]
    ) -> list[Submitted]:
        hashes = [hash_of(_asked(b)) if b.idempotency_key is not None else None for b in bodies]
        first: dict[str, int] = {}
        for index, body in enumerate(bodies):
            if body.idempotency_key is not None:
                first.setdefault(body.idempotency_key, index)
        async with self._keys.reserve(submitter, list(first)) as known:
            fresh: list[int] = []
            for index, body in enumerate(bodies):
                key = body.idempotency_key
                if key is None or (key not in known and first[key] == index):
                    fresh.append(index)
                elif key in known:
                    check_same(known[key], hashes[index] or "")
                elif hashes[first[key]] != hashes[index]:
                    raise IdempotencyConflict(
                        f"tasks {first[key]} and {index} have one key and differ"
                    )
            made = await self._enqueue(
                submitter,
                [bodies[i] for i in fresh],
                [hashes[i] for i in fresh],
                [names[i] for i in fresh],
            )
            by_index = dict(zip(fresh, made, strict=True))
            found: list[Submitted] = []
            for index, body in enumerate(bodies):
                if index in by_index:
                    found.append((by_index[index], True))
                else:
                    key = body.idempotency_key or ""
                    found.append((known.get(key) or by_index[first[key]], False))
            return found

    def submit_soon(
        self,
        submitter: str,
        body: Submission,
        done: Callable[[Task], None],
        failed: Callable[[AgentComError], None],
    ) -> None:
        """Put a task into the queue; one of the two is called, ``done`` after the commit.

        :raises AgentComError: it cannot be taken; neither is called.
        """
        if body.idempotency_key is None:
            self.take(submitter, body, done)
            return

        def ended(found: Submitted) -> None:
            done(found[0])

        def refused(failure: Failure) -> None:
            if not isinstance(failure.value, AgentComError):
                self.log.failure("while taking a task", failure)
                failed(AgentComError())
                return
            failed(failure.value)

        Deferred.fromCoroutine(self.submit(submitter, body)).addCallbacks(
            ended, refused
        ).addErrback(lambda f: self.log.failure("while answering a submission", f))

    def _enqueue(
        self,
        submitter: str,
        bodies: Sequence[Submission],
        hashes: Sequence[str | None],
        names: Sequence[str],
    ) -> Deferred[list[Task]]:
        if not bodies:
            return succeed([])
        self._check_open()
        self.check_room(len(bodies))
        now = self._now()
        late = [
            name
            for name, body in zip(names, bodies, strict=True)
            if body.deadline is not None and body.deadline <= now
        ]
        if late:
            raise _too_late(*late)
        next_number, ids = self._next_number, self._ids
        tasks = [
            _submitted(next_number(), ids.task(), submitter, body, body_hash, now)
            for body, body_hash in zip(bodies, hashes, strict=True)
        ]
        on_disk: Deferred[list[Task]] = Deferred()
        self._arrivals.take_all(tasks, lambda: on_disk.callback(tasks))
        return on_disk


def _too_late(*fields: str) -> ValidationFailed:
    """The refusal of tasks whose deadlines, in these fields, are over."""
    told = {"error": "invalid_value", "detail": "the deadline is over"}
    return ValidationFailed([{"field": field, **told} for field in fields])


def _asked(body: Submission) -> dict[str, object]:
    """What a submission says, without what it does not say: later versions ask more."""
    told = {name: getattr(body, name) for name in _SAYS}
    return {name: value for name, value in told.items() if value is not None}


_SAYS = tuple(name for name in Submission.__struct_fields__ if name != "idempotency_key")


def _submitted(
    number: int,
    task_id: str,
    submitter: str,
    body: Submission,
    body_hash: str | None,
    now: int,
) -> Task:
    terms = terms_of(body)
    not_before = terms.not_before
    task = Task(
        id=task_id,
        number=number,
        description=body.description,
        submitted_by=submitter,
        created_at=now,
        updated_at=now,
        metadata=msgspec.json.encode(body.metadata) if body.metadata else b"{}",
        priority=body.priority or Priority.NORMAL,
        origin=SUBMIT,
        pinned=body.agent_id,
        needs=needs_of(body),
        terms=terms,
        max_attempts=body.max_attempts or MAX_ATTEMPTS,
        hold_s=HOLD_S if body.hold_s is None else body.hold_s,
        ready_at=not_before if not_before is not None and not_before > now else None,
        idempotency_key=body.idempotency_key,
        body_hash=body_hash,
    )
    if terms.deadline is None and terms.queue_timeout_s is None:
        return task
    return msgspec.structs.replace(task, expires_at=expiry(task, task.ready_at or now))
