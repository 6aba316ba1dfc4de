"""The event log as watchers see it: a ring of the newest, the store behind it.

Watchers are woken by a commit and read on from their cursor; they are never
the record.  A cursor is ``epoch:seq`` (PROTOCOL.md section 5).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from agentcom.core.events import Draft, Event, numbered
from agentcom.store.interface import PAGE_BYTES, Store, event_weight

RING = 10_000
"""Committed events kept in memory for those at the tip."""

RING_BYTES = 32 * 1024 * 1024
"""Bytes of payloads that the ring may hold."""

PAGE = 500
"""Events handed to a watcher at a time."""

WATCHED_BYTES = 128 * 1024
"""Bytes of payloads at which what a watcher is handed ends: each may have so
much in its buffers, and there may be many."""

KEPT_PAGES = 16
"""Pages that are kept to be handed to further watchers until the next commit."""

T = TypeVar("T")


class Page:
    """Events in a row, handed to all watchers that stand before them.

    :ivar seq: the cursor that stands after them.
    """

    __slots__ = ("_forms", "events", "seq")

    def __init__(self, events: list[Event], seq: int) -> None:
        self.events = events
        self.seq = seq
        self._forms: dict[object, Any] = {}

    def form(self, name: object, make: Callable[[Page], T]) -> T:
        """What becomes of it on its way to watchers, made by the first who asks.

        :param name: of this form; watchers that get the same share it.
        """
        found: T | None = self._forms.get(name)
        if found is None:
            found = self._forms[name] = make(self)
        return found


class Gap(msgspec.Struct, frozen=True):
    """A cursor that cannot be followed: too old, too new, or of another epoch.

    :ivar first: the sequence number from which on nothing is missing.
    """

    first: int


class Subscription:
    """A watcher's registration; ``stop`` ends it."""

    def __init__(
        self, watchers: set[Subscription], wake: Callable[[], None], live: Callable[[Event], None]
    ) -> None:
        self._watchers = watchers
        self.wake = wake
        self.live = live
        watchers.add(self)

    def stop(self) -> None:
        """No more calls."""
        self._watchers.discard(self)


class EventLog:
    """Reads of the log, and news of it.

    :param epoch: of the store, part of each cursor.
    :param pruned_seq: the highest sequence number that was ever forgotten.
    """

    log = Logger()

    def __init__(self, store: Store, epoch: str, last_seq: int, pruned_seq: int) -> None:
        self._store = store
        self.epoch = epoch
        self.last_seq = last_seq
        self._pruned_seq = pruned_seq
        self._ring: list[Event] = []
        self._ring_bytes = 0
        self._weights: list[int] = []
        self._pages: dict[int, Page] = {}
        self._watchers: set[Subscription] = set()
        store.on_commit(self._committed)

    def subscribe(self, wake: Callable[[], None], live: Callable[[Event], None]) -> Subscription:
        """Hear of news.

        :param wake: there are events after the cursor that you have.
        :param live: an event that is in no log (``seq`` null).
        """
        return Subscription(self._watchers, wake, live)

    def announce(self, draft: Draft) -> None:
        """Show an event to live watchers only."""
        event = numbered(draft, None)
        for watcher in list(self._watchers):
            self._tell(partial(watcher.live, event))

    def forgotten(self, seq: int) -> None:
        """Events up to this one may be missing from now on."""
        self._pruned_seq = max(self._pruned_seq, seq)
        self._pages.clear()

    def missed(self, seq: int) -> Gap | None:
        """Whether events after this one may have been forgotten meanwhile."""
        return Gap(self._pruned_seq + 1) if seq < self._pruned_seq else None

    def cursor(self, seq: int) -> str:
        """The cursor that stands after an event."""
        return f"{self.epoch}:{seq}"

    async def start(self, cursor: str | None) -> int | Gap:
        """Where a watcher begins.

        :param cursor: ``epoch:seq``, a bare ``seq``, ``0`` for the oldest
            kept, ``None`` for from now on.
        """
        if cursor is None:
            return self.last_seq
        epoch, _, number = cursor.rpartition(":")
        oldest = await self._store.first_seq()
        # Between these two only the events of tasks that still live are kept.
        first = max(oldest, self._pruned_seq + 1)
        if not (number.isascii() and number.isdigit()) or len(number) > 16:
            return Gap(first)
        seq = int(number)
        if seq == 0 and epoch in ("", self.epoch):
            return max(oldest - 1, 0)
        if epoch not in ("", self.epoch) or seq > self.last_seq or seq < first - 1:
            return Gap(first)
        return seq

    def after(self, seq: int) -> Deferred[list[Event]]:
        """Up to a page of events after ``seq``: from the ring at the tip."""
        if seq >= self.last_seq:
            return succeed([])
        page = self._from_ring(seq, PAGE_BYTES)
        return self._store.events(seq, PAGE) if page is None else succeed(page)

    def at_hand(self, seq: int) -> Page | None:
        """What a watcher is handed next, ``None`` where it must be read.

        Those who stand at the same place are handed the same page.
        """
        found = self._pages.get(seq)
        if found is None:
            events = self._from_ring(seq, WATCHED_BYTES)
            if not events:
                return None
            found = Page(events, events[-1].seq or seq)
            if len(self._pages) < KEPT_PAGES:
                self._pages[seq] = found
        return found

    def read(self, seq: int) -> Deferred[Page]:
        """What a watcher is handed next, from the store."""
        return self._store.events(seq, PAGE, WATCHED_BYTES).addCallback(
            lambda events: Page(events, (events[-1].seq if events else None) or seq)
        )

    def _from_ring(self, seq: int, most: int) -> list[Event] | None:
        """Up to a page of events after ``seq``, ``None`` where the ring has not all of them.

        :param most: bytes of payloads at which it ends.
        """
        ring = self._ring
        # The ring may still have what was forgotten; the store has not.
        if seq < self._pruned_seq or not ring or ring[0].seq is None or ring[0].seq > seq + 1:
            return None
        start = seq + 1 - ring[0].seq
        page = ring[start : start + PAGE]
        total = 0
        for number, event in enumerate(page, 1):
            total += event_weight(event)
            if total >= most:
                del page[number:]
                break
        return page

    def _committed(self, events: list[Event]) -> None:
        ring, weights = self._ring, self._weights
        ring += events
        # Kept, because the oldest ones would have to be fetched from far to be weighed.
        new = list(map(event_weight, events))
        weights += new
        over = max(0, len(ring) - RING)
        self._ring_bytes += sum(new) - sum(weights[:over])
        while self._ring_bytes > RING_BYTES and len(ring) - over > 1:
            self._ring_bytes -= weights[over]
            over += 1
        del ring[:over], weights[:over]
        self._pages.clear()
        self.last_seq = events[-1].seq or self.last_seq
        for watcher in list(self._watchers):
            self._tell(watcher.wake)

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            self.log.failure("while telling a watcher of events")
