"""One attempt at a task, and what is said of it, as values of the desk.

An attempt is named by its task and generation; ``ref`` carries both through
the hub and back, because an acknowledgement alone names only the task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from agentcom.sidecar.output import Note, Pending

BATCH_S = 0.2
FRAMES_A_BATCH = 8
LAST_FRAMES = 64
FINAL = {"task_complete": "complete", "task_failed": "failed"}
ENDED = frozenset({"completed", "dead_letter", "cancelled", "expired"})

Key = tuple[str, int]
Frame = Mapping[str, Any]
Send = Callable[[Frame], None]


class Work(Protocol):
    """A run, as far as the desk cares."""

    def stop(self) -> None:
        """End it, gently first."""

    def kill(self) -> None:
        """End it now."""


class Stage(Enum):
    """Where a job is.

    Aborted: whatever comes of it, the hub does not want to know.  Stopped:
    the agent stops, and says so of the task.
    """

    OFFERED = "offered"
    RUNNING = "running"
    ABORTED = "aborted"
    STOPPED = "stopped"


def about(key: Key, kind: str) -> dict[str, Any]:
    """The beginning of every report."""
    return {"type": kind, "task_id": key[0], "generation": key[1], "ref": ref(key)}


def ref(key: Key) -> str:
    """What the hub repeats in its reply."""
    return f"{key[0]}#{key[1]}"


def which(frame: Frame, known: Iterable[Key]) -> Key:
    """The attempt that a reply is about: its ``ref`` tells, else the newest known."""
    said = frame.get("ref")
    if isinstance(said, str):
        task_id, _, generation = said.rpartition("#")
        if generation.isdecimal():
            return task_id, int(generation)
    task_id = str(frame.get("task_id"))
    return max((key for key in known if key[0] == task_id), default=(task_id, 0))


def lost(refusal: Frame) -> bool:
    """Whether a refused report means that the attempt is not this agent's any more.

    Queued is not lost: the hub may give it back.
    """
    return refusal.get("error") != "invalid_state" or refusal.get("status") in ENDED


class Feed:
    """Live output and progress of one run, on its way in batches.

    :param send: ``None`` while nothing can be sent; then it waits, bounded.
    """

    def __init__(self, key: Key, clock: IReactorTime) -> None:
        self._key = key
        self._clock = clock
        self._pending = Pending()
        self._batch: IDelayedCall | None = None
        self._send: Send | None = None

    def text(self, printed: str) -> None:
        self._pending.add_text(printed)
        self._soon()

    def note(self, told: Note) -> None:
        self._pending.add_note(told)
        self._soon()

    def connect(self, send: Send | None) -> None:
        """From now on send so, or wait."""
        self._send = send
        if self._pending:
            self._soon()

    def finish(self) -> list[Frame]:
        """The run is over: what is left to say, before its final report."""
        if self._batch is not None:
            self._batch.cancel()
            self._batch = None
        return self._frames(LAST_FRAMES)

    def _soon(self) -> None:
        if self._batch is None and self._send is not None:
            self._batch = self._clock.callLater(BATCH_S, self._due)

    def _due(self) -> None:
        self._batch = None
        if self._send is not None:
            for frame in self._frames(FRAMES_A_BATCH):
                self._send(frame)
        if self._pending:
            self._soon()

    def _frames(self, limit: int) -> list[Frame]:
        beginning = about(self._key, "task_progress")
        return [{**beginning, **fields} for fields in self._pending.take(limit)]


@dataclass
class Job:
    """One attempt.

    :ivar task: the whole ``task_assign``, which the command gets to read.
    """

    key: Key
    task: Frame
    feed: Feed
    stage: Stage = Stage.OFFERED
    work: Work | None = None


class Outbox:
    """Final reports that the hub has not acknowledged, oldest first."""

    def __init__(self) -> None:
        self._reports: dict[Key, Frame] = {}
        self._before: dict[Key, list[Frame]] = {}

    def __len__(self) -> int:
        return len(self._reports)

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._reports))

    def put(self, key: Key, before: list[Frame], report: Frame) -> None:
        """Keep a report.

        :param before: progress to be sent once ahead of it.
        """
        self._reports[key] = report
        self._before[key] = before

    def __contains__(self, key: Key) -> bool:
        return key in self._reports

    def send(self, key: Key, send: Send) -> None:
        """Send a report, for the first time or again."""
        for frame in [*self._before.pop(key, []), self._reports[key]]:
            send(frame)

    def acknowledged(self, key: Key, status: object) -> bool:
        """Whether that settles a report."""
        report = self._reports.get(key)
        return report is not None and self._settle(key, FINAL[report["type"]] == status)

    def refused(self, key: Key, kind: object) -> bool:
        """Whether that settles a report: it would be refused again."""
        report = self._reports.get(key)
        return report is not None and self._settle(key, report["type"] == kind)

    def supersede(self, key: Key) -> None:
        """A newer attempt exists: reports of older ones do not count any more."""
        for old in self:
            if old[0] == key[0] and old[1] < key[1]:
                self._settle(old, True)

    def clear(self) -> None:
        self._reports.clear()
        self._before.clear()

    def _settle(self, key: Key, settled: bool) -> bool:
        if settled:
            del self._reports[key]
            self._before.pop(key, None)
        return settled
