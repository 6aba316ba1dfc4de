"""One attempt at a task, and what is said of it, as values of the desk.

An attempt is named by its task and generation; ``ref`` carries both through
the hub and back, because an acknowledgement alone names only the task.
:class:`Workshop` is the seam behind which attempts are worked on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from agentcom.sidecar.output import Note, Pending

if TYPE_CHECKING:
    # A workshop may import this module.
    from agentcom.sidecar.runner import Ears

BATCH_S = 0.2
FRAMES_A_BATCH = 8
LAST_FRAMES = 64
# No hub counts so far; Python would refuse to read a number of thousands of digits.
MOST_DIGITS = 20
ENDED = frozenset({"completed", "dead_letter", "cancelled", "expired"})

Key = tuple[str, int]
Frame = Mapping[str, Any]
Send = Callable[[Frame], None]


class Work(Protocol):
    """One attempt being worked on.  None of its methods raises, and each may come at any time."""

    def go_on(self) -> None:
        """The hub says that an adopted attempt is still this agent's."""

    def stop(self) -> None:
        """End it, gently first: a command gets SIGTERM, and SIGKILL after 10 s."""

    def kill(self) -> None:
        """End it now."""

    def discard(self) -> None:
        """Its end is in the journal: drop what it left on disk.  May be repeated."""


class Workshop(Protocol):
    """Where attempts are worked on.  None of its methods raises."""

    def start(self, task: Frame, ears: Ears) -> Work:
        """Begin an attempt.

        :param task: the whole ``task_assign``.
        :param ears: ``ended`` is called once in any case, and never before this returns.
        """

    def adopt(self, task: Frame, ears: Ears) -> Work | None:
        """Take up an attempt that an earlier process of this agent began.

        :return: ``None`` if nothing of it is left: it neither runs nor has it
            left its end.  Then the ears hear nothing; otherwise as for :meth:`start`.
        """

    def tidy(self, known: Collection[Key]) -> None:
        """At the start, before anything else: end and drop all runs but these."""


class Stage(Enum):
    """Where a job is.

    Unbegun: accepted by an earlier process, or handed back; the hub decides.
    Lost: an earlier process worked on it, and nothing of that is left.
    Aborted: whatever comes of it, the hub does not want to know.  Stopped:
    the agent stops, and says so of the task.
    """

    OFFERED = "offered"
    UNBEGUN = "unbegun"
    RUNNING = "running"
    LOST = "lost"
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
        if generation.isdecimal() and len(generation) < MOST_DIGITS:
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
    :ivar adopted: an earlier process began it, and the hub has not said yet
        whether to go on.
    """

    key: Key
    task: Frame
    feed: Feed
    stage: Stage = Stage.OFFERED
    work: Work | None = None
    adopted: bool = False

    def let_go(self) -> None:
        """Nothing is at work on it any more: drop what that left."""
        work, self.work = self.work, None
        if work is not None:
            work.discard()

    @property
    def takes_slot(self) -> bool:
        """Whether it runs, or may begin at any moment."""
        return self.stage not in (Stage.UNBEGUN, Stage.LOST)

    @property
    def last_status(self) -> str | None:
        """What ``task_recovering`` tells of it; ``None`` if there is nothing to ask."""
        if self.stage is Stage.UNBEGUN:
            return "accepted"
        asks = self.stage is Stage.LOST or (self.adopted and self.stage is not Stage.ABORTED)
        return "working" if asks else None
