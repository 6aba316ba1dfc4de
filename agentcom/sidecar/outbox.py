"""Final reports that the hub has not acknowledged, oldest first.

They are in the ``journal``; in memory is only which there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twisted.logger import Logger

from agentcom.sidecar.jobs import Frame, Key, Send, Work
from agentcom.sidecar.journal import Journal, JournalFailed

FINAL = {"task_complete": "complete", "task_failed": "failed"}


@dataclass
class _Report:
    """One that waits.

    :ivar kind: its type, once it was sent.
    :ivar plain: it stands for one that the hub could not read.
    """

    kind: str | None = None
    plain: bool = False


class Outbox:
    """Keeps reports until the hub has had its last word on each."""

    log = Logger()

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._reports: dict[Key, _Report] = {}
        self._works: dict[Key, Work] = {}

    def __len__(self) -> int:
        return len(self._reports)

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._reports))

    def __contains__(self, key: Key) -> bool:
        return key in self._reports

    def found(self, key: Key) -> None:
        """An earlier process left a report in the journal."""
        self._reports[key] = _Report()

    def put(self, key: Key, before: list[Frame], report: Frame, work: Work | None) -> None:
        """Keep a report.

        :param before: progress to be sent once ahead of it.
        :param work: discarded as soon as the report is on disk.
        """
        self._reports[key] = _Report()
        if work is not None:
            self._works[key] = work
        self._journal.ended(key, [*before, report])
        self.sweep()

    def send(self, key: Key, send: Send) -> None:
        """Send a report, for the first time or again."""
        try:
            frames = self._journal.said(key)
        except JournalFailed as e:
            self.log.error("the end of {key[0]} cannot be reported: {e}", key=key, e=e)
            return
        report = self._reports[key]
        # Progress is told once; a report until it is acknowledged.
        first = -1 if report.kind else 0
        report.kind = str(frames[-1]["type"])
        for frame in frames[first:]:
            send(frame)

    def acknowledged(self, key: Key, status: object) -> bool:
        """Whether that settles a report."""
        report = self._reports.get(key)
        return self._settle(key, report is not None and FINAL.get(report.kind or "") == status)

    def refused(self, key: Key, kind: object) -> bool:
        """Whether that settles a report: it would be refused again."""
        report = self._reports.get(key)
        return self._settle(key, report is not None and report.kind == kind)

    def simplify(self, key: Key, kind: object, report: Frame) -> bool:
        """The hub cannot read a report: from now on say a plain one in its place.

        :returns: whether there is something to say now.
        """
        found = self._reports.get(key)
        if found is None or found.kind != kind or found.plain:
            return False
        self._reports[key] = _Report(plain=True)
        self._journal.ended(key, [report])
        return True

    def supersede(self, key: Key) -> None:
        """A newer attempt exists: reports of older ones do not count any more."""
        for old in self:
            if old[0] == key[0] and old[1] < key[1]:
                self._settle(old, True)

    def clear(self) -> None:
        """Say none of them in this life; the journal keeps them for another."""
        self._reports.clear()

    def sweep(self) -> None:
        """Discard the works whose ends are in the journal by now."""
        for key, work in list(self._works.items()):
            if self._journal.holds(key):
                del self._works[key]
                work.discard()

    def _settle(self, key: Key, settled: bool) -> bool:
        if settled:
            del self._reports[key]
            self._journal.forget(key)
            self.sweep()
        return settled
