"""Submitting many tasks, a line each: reading them, and sending them in batches.

Every line is looked at before it is sent.  A file is read through before
anything is, so that a wrong line costs nothing; what comes through a pipe is
looked at as it comes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from agentcom.cli import show
from agentcom.cli.runtime import interruptible
from agentcom.client.errors import ClientError, HubError, HubUnreachable, wrong_fields
from agentcom.errors import InvalidJSON
from agentcom.wire.codec import decode_object
from agentcom.wire.explain import explain
from agentcom.wire.tasks import BATCH_MOST, SubmitTask

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient

MOST_BYTES = 8 * 1024 * 1024
"""Of one batch; half of what a hub takes."""

PROGRESS_EVERY = 10_000
"""Tasks between two lines of progress."""

FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(SubmitTask))

Task = dict[str, Any]


class Batch:
    """Tasks that are sent together, from one line to another."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.lines: list[int] = []
        self.size = 0

    def has_room(self, size: int) -> bool:
        """Whether a task of so many bytes can be added."""
        return len(self.tasks) < BATCH_MOST and (not self.tasks or self.size + size <= MOST_BYTES)

    def add(self, number: int, task: Task, size: int) -> None:
        """Add the task of one line."""
        self.lines.append(number)
        self.tasks.append(task)
        self.size += size

    @property
    def keyed(self) -> bool:
        """Whether all of it can be sent again without harm."""
        return all("idempotency_key" in task for task in self.tasks)

    def __str__(self) -> str:
        return f"lines {self.lines[0]} to {self.lines[-1]}"


class Lines:
    """The tasks of a file.

    :param usual: fields for the tasks that do not have them; its
        ``idempotency_key`` gets each line's number.
    """

    def __init__(self, file: IO[bytes], usual: Mapping[str, Any]) -> None:
        self._file = file
        self._usual = dict(usual)
        self._key = self._usual.pop("idempotency_key", None)
        self._ignored: set[str] = set()

    def check(self) -> None:
        """Look at all of them, where they can be read again.

        :raises click.ClickException: one is wrong.
        """
        if self._file.seekable():
            start = self._file.tell()
            for _ in self.tasks():
                pass
            self._file.seek(start)

    def batches(self) -> Iterator[Batch]:
        """All tasks, as many together as may be."""
        batch = Batch()
        for number, task in self.tasks():
            size = len(msgspec.json.encode(task)) + 1
            if not batch.has_room(size):
                yield batch
                batch = Batch()
            batch.add(number, task, size)
        if batch.tasks:
            yield batch

    def tasks(self) -> Iterator[tuple[int, Task]]:
        """Each with the number of its line.

        :raises click.ClickException: a line is no task.
        """
        number = 0
        while line := self._line():
            number += 1
            if line.strip():
                yield number, self._task(number, line)

    def _line(self) -> bytes:
        # A pipe or a terminal may have nothing to say for a long time.
        with interruptible():
            return self._file.readline()

    def _task(self, number: int, line: bytes) -> Task:
        try:
            said = decode_object(line)
        except InvalidJSON as e:
            raise click.ClickException(f"line {number}: {e}") from None
        task = {**self._usual, **said}
        if self._key is not None and said.get("idempotency_key") is None:
            task["idempotency_key"] = f"{self._key}:{number}"
        errors = explain(task, SubmitTask)
        if errors:
            raise click.ClickException(show.line(f"line {number}: {wrong_fields(errors)}"))
        for name in said.keys() - FIELDS - self._ignored:
            self._ignored.add(name)
            click.echo(show.line(f"line {number}: the hub ignores the field {name!r}"), err=True)
        return task


class Sender:
    """Sends batch after batch, and knows how far it came."""

    def __init__(self, lines: Lines, as_json: bool) -> None:
        self._lines = lines
        self._as_json = as_json
        self._taken = 0
        self._last = 0
        self._asked: Batch | None = None
        self._keyed = True

    async def run(self, hub: HubClient) -> int:
        """Send them all; the exit code.

        :raises click.ClickException: not all were taken; it says which.
        """
        try:
            self._lines.check()
            for batch in self._lines.batches():
                await self._send(hub, batch)
        except click.ClickException as e:
            raise click.ClickException(f"{e.message}; {self.so_far()}") from None
        if not self._taken:
            raise click.ClickException("there is no task in it")
        if self._taken > BATCH_MOST:
            click.echo(f"{self._taken} tasks submitted", err=True)
        return 0

    async def _send(self, hub: HubClient, batch: Batch) -> None:
        self._asked = batch
        self._keyed = self._keyed and batch.keyed
        try:
            reply = await hub.submit_batch(batch.tasks)
        except ClientError as e:
            if not (isinstance(e, HubUnreachable) and e.may_have_arrived):
                self._asked = None
            raise click.ClickException(_refused(e, batch)) from None
        self._asked = None
        before = self._taken // PROGRESS_EVERY
        self._taken += len(batch.tasks)
        self._last = batch.lines[-1]
        if self._as_json:
            show.echo_json(reply)
        else:
            click.echo("\n".join(reply["task_ids"]))
        if self._taken // PROGRESS_EVERY > before:
            click.echo(f"{self._taken} so far", err=True)

    def so_far(self) -> str:
        """What was submitted, and how to go on after a failure."""
        if not self._taken and self._asked is None:
            return "nothing was submitted"
        told = []
        if self._taken:
            told.append(f"{self._taken} tasks are submitted, up to line {self._last}")
        if self._asked is not None:
            told.append(f"{self._asked} may be")
        so_far = ", ".join(told)
        if self._keyed:
            return f"{so_far}; as all have idempotency keys, they can be sent again without harm"
        return (
            f"{so_far}; go on from there (with --idempotency-key, all could be sent again "
            "without harm)"
        )


def _refused(error: ClientError, batch: Batch) -> str:
    def line(found: re.Match[str]) -> str:
        place = int(found[1])
        if place >= len(batch.lines):
            return found[0]
        return f"line {batch.lines[place]}{': ' if found[2] else ''}"

    told = f"{batch}: {_PLACE.sub(line, str(error))}"
    if isinstance(error, HubError) and error.code == "idempotency_conflict":
        return f"{told} ({error.fields.get('task_id') or error.fields.get('detail')})"
    return told


_PLACE = re.compile(r"(?:tasks|\$)\[(\d{1,4})\](\.?)")
"""How the hub names a task of a batch."""
