"""What was seen in a run, one JSON object a line: the judge reads nothing else.

Each record is one Struct; ``at_s`` is seconds after the run's begin, and the
order of the lines is the order in which things were seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from agentcom.chaos.plan import Plan

MAX_RECORDS = 5_000_000


class Record(msgspec.Struct, frozen=True, tag_field="kind", kw_only=True):
    """Base of all records."""

    at_s: float = 0.0


class Planned(Record, frozen=True, tag="plan"):
    """The first record: what was to be done."""

    plan: Plan


class Acked(Record, frozen=True, tag="acked"):
    """A submission was answered with 200 or 201."""

    key: str
    task_id: str


class Effect(Record, frozen=True, tag="effect"):
    """A command wrote to the sink.

    :ivar step: ``begin`` or ``end``.
    :ivar run: tells two commands of one attempt apart.
    :ivar counted: the sink took it; else it refused it as superseded.
    """

    task_id: str
    generation: int
    agent_id: str
    step: str
    run: int
    counted: bool


class Refusal(Record, frozen=True, tag="refusal"):
    """The hub refused a report, as the agent was told."""

    agent_id: str
    task_id: str
    error: str
    message_type: str


class Told(Record, frozen=True, tag="told"):
    """An event that the hub told a watcher while the run went on."""

    seq: int
    event: str
    task_id: str | None = None
    agent_id: str | None = None
    generation: int | None = None


class Done(Record, frozen=True, tag="done"):
    """Something was done to somebody."""

    what: str
    who: str | None = None
    for_s: float = 0.0


class Trouble(Record, frozen=True, tag="trouble"):
    """Something went wrong that nobody had planned."""

    who: str
    what: str


class Shown(Record, frozen=True, tag="shown"):
    """A task and its events, as the hub that was started last shows them."""

    task: dict[str, Any]
    events: list[dict[str, Any]]


class Finished(Record, frozen=True, tag="finished"):
    """The last record; without it the run did not come to its end."""


AnyRecord = Planned | Acked | Effect | Refusal | Told | Done | Trouble | Shown | Finished

_DECODER = msgspec.json.Decoder(AnyRecord)


class BrokenHistory(Exception):
    """The file is no history; the text says where."""


class Recorder:
    """Writes a history.

    :param now: seconds, of any clock.
    """

    def __init__(self, file: BinaryIO, now: Callable[[], float]) -> None:
        self._file = file
        self._now = now
        self._begun = now()
        self._count = 0

    @property
    def at_s(self) -> float:
        """Seconds since the run's begin."""
        return round(self._now() - self._begun, 3)

    def add(self, record: AnyRecord) -> None:
        """Write a record, with the present time; nothing once there are `MAX_RECORDS`.

        A history that was cut so has no end, which the judge says.
        """
        if self._count >= MAX_RECORDS:
            return
        self._count += 1
        stamped = msgspec.structs.replace(record, at_s=self.at_s)
        self._file.write(msgspec.json.encode(stamped) + b"\n")

    def flush(self) -> None:
        """See to it that a reader finds all records."""
        self._file.flush()


def read(lines: Iterable[bytes]) -> list[AnyRecord]:
    """Read a history.

    :raises BrokenHistory: a line is no record.
    """
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(_DECODER.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise BrokenHistory(f"line {number} is no record of a run: {e}") from None
    return records


def read_file(path: Path) -> list[AnyRecord]:
    """Read a history from a file.

    :raises BrokenHistory: a line is no record.
    :raises OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return read(file)
